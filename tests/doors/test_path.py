"""The whole path through locked doors, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadstream.samples import write_sample
from leadstream.settings import KafkaSettings, PostgresSettings, RegistrySettings, S3Settings
from schemas.kafka_rights import RIGHTS
from tests.doors.locked import Doors
from tests.doors.proxies import role_with
from tests.system import System

pytestmark = pytest.mark.doors

ROWS = 200
DATA_SUFFIXES = {".log", ".json", ".properties", ".yaml", ".conf"}
"""Of the files under a home, those that somebody wrote by hand or reads; the others are the parts' own data."""
HOLDS_SECRETS = {"secrets.json", "stack.json"}
"""Of these, the ones that are there to keep the embedded parts' passwords."""


@pytest.fixture(scope="module")
async def loaded(
    doors: Doors, behind: System, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Any]]:
    """The receipt of a file that three stages took through locked doors, each by other keys; they run on."""
    doors.add_kafka_user("sink", (), "SCRAM-SHA-512")
    plain = doors.stack.environment
    token = {
        "SCHEMA_REGISTRY_URL": doors.registry()["SCHEMA_REGISTRY_URL"],
        "SCHEMA_REGISTRY_CA_FILE": str(doors.authority.ca_file),
        "SCHEMA_REGISTRY_TOKEN": doors.token,
    }
    nothing_else = {"POSTGRES_DSN": "", "S3_ACCESS_KEY_ID": "", "S3_SECRET_ACCESS_KEY": ""}
    async with role_with(plain["S3_ACCESS_KEY_ID"], plain["S3_SECRET_ACCESS_KEY"]) as role:
        behind.start(
            "produce", **doors.kafka("producer"), **doors.registry(), **doors.s3(), **nothing_else,
            AWS_CONTAINER_CREDENTIALS_FULL_URI=role,
        )  # fmt: skip
        behind.start("process", **doors.kafka_by_certificate("processors"), **token, **nothing_else)
        behind.start(
            "sink", **doors.kafka("sink", "SCRAM-SHA-512"), **doors.registry(),
            **(nothing_else | {"POSTGRES_DSN": doors.postgres("writer")}),
        )  # fmt: skip
        file = tmp_path_factory.mktemp("files") / "nevada.csv"
        write_sample("nevada", file, ROWS, 7)
        receipt = await behind.load("nevada", file.read_bytes(), timeout=20)
        yield receipt | {"file": file}
        behind.stop_all()


async def test_a_file_becomes_rows_through_locked_doors(loaded: dict[str, Any], behind: System) -> None:
    """Kafka by SCRAM-SHA-256, SCRAM-SHA-512 and client certificate with host names checked and no right but those of
    the table, the registry by password and by token, S3 by role over TLS, Postgres by verify-full as leads_writer."""
    assert loaded["status"] == "done", loaded
    assert loaded["rows"] == ROWS
    assert len(await behind.leads("nevada")) == loaded["inserted"]
    receipts = [value for _record, value in await behind.records("leads.receipts")]
    assert receipts, "Faust folds the receipts by the same certificate"


async def test_each_command_needs_no_more_than_its_role(loaded: dict[str, Any], doors: Doors, behind: System) -> None:
    """Looking as an analyst, settling and exporting as an operator, `migrate` as the owner, `tail` as a subscriber."""
    operator = {**doors.kafka("operator"), **doors.registry(), "POSTGRES_DSN": doors.postgres("operator")}
    subscriber = {**doors.kafka("subscriber"), **doors.registry(), "POSTGRES_DSN": ""}
    for arguments, variables in (
        (("loads", "--json"), {"POSTGRES_DSN": doors.postgres("analyst")}),
        (("loads", "show", loaded["load_id"]), {"POSTGRES_DSN": doors.postgres("analyst")}),
        (("dlq", "list", "--json"), {"POSTGRES_DSN": doors.postgres("analyst")}),
        (("dlq", "resolve", "--source", "nevada", "--why", "seen"), operator),
        (
            ("export", "--source", "nevada", "--format", "csv", "--to", str(loaded["file"].with_name("out.csv"))),
            operator,
        ),
        (("tail", "--count", "1", "--from", "earliest"), subscriber),
        (("migrate",), {"POSTGRES_DSN": doors.postgres("owner")}),
        (("replay", "--source", "nevada", "--dry-run"), operator),
    ):
        done = await behind.command(*arguments, **variables)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)


async def test_an_operator_who_may_not_write_commands_is_told_so(
    loaded: dict[str, Any], doors: Doors, behind: System
) -> None:
    """One line that names the topic."""
    doors.add_kafka_user("halfway", [right for right in RIGHTS["operator"] if right.name != "leads.commands"])
    settings = doors.kafka("halfway") | doors.registry() | {"POSTGRES_DSN": doors.postgres("operator")}
    done = await behind.command("replay", "--source", "nevada", **settings)
    assert done.returncode == 1 and loaded["status"] == "done", (done.stdout, done.stderr)
    assert "topic leads.commands" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_no_password_stands_in_a_log_a_command_line_or_a_file(
    loaded: dict[str, Any], doors: Doors, behind: System
) -> None:
    """Of the running stages, the embedded parts and their folders: neither our passwords nor those of the parts."""
    plain = doors.stack.environment
    postgres = plain["POSTGRES_DSN"].partition("//")[2].partition("@")[0].partition(":")[2]
    secrets = {*doors.passwords.values(), doors.token, plain["S3_SECRET_ACCESS_KEY"], postgres}
    assert all(len(secret) > 12 for secret in secrets)
    places = {"the stages' logs": behind.all_logs()} | _command_lines()
    for file in (*doors.stack.home.rglob("*"), *Path(behind.environment["LEADSTREAM_HOME"]).rglob("*")):
        if not file.is_file() or file.suffix not in DATA_SUFFIXES:
            continue
        if file.name in HOLDS_SECRETS:
            assert file.stat().st_mode & 0o077 == 0, file
        else:
            places[str(file)] = file.read_text(errors="replace")
    assert any("kafka.log" in place for place in places)
    assert f"command line of {os.getpid()}" in places
    assert not {place for place, text in places.items() for secret in secrets if secret in text}


def test_settings_hide_their_secrets(doors: Doors) -> None:
    """A settings object that is logged or stands in a traceback shows no secret."""
    secret = f"pw-{time.monotonic_ns()}"
    shown = [
        f"{made!r} {made} {made.model_dump()} {made.model_dump_json()}"
        for made in (
            KafkaSettings(sasl_password=secret),
            RegistrySettings(password=secret, token=secret),
            S3Settings(secret_access_key=secret),
            PostgresSettings(dsn=f"postgresql://user:{secret}@host/db"),
        )
    ]
    assert secret not in "".join(shown)


def _command_lines() -> dict[str, str]:
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                found[f"command line of {process.name}"] = (process / "cmdline").read_bytes().decode(errors="replace")
    return found
