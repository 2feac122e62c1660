"""A key that does not fit: each door says which key it was, and what to do; nobody waits for it as for an outage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.doors.locked import NAME, Doors
from tests.system import System

pytestmark = pytest.mark.doors

OTHER_NAME = "127.0.0.1"


@dataclass(frozen=True)
class Refusal:
    """What is wrong with the settings, and what the message must say."""

    settings: dict[str, str]
    words: tuple[str, ...]
    secrets: tuple[str, ...] = field(default=())


KAFKA = ("wrong CA", "wrong host name", "wrong password", "unknown user", "wrong mechanism", "no client certificate",
         "client certificate of a stranger", "certificate file missing")  # fmt: skip


def _kafka(case: str, doors: Doors, user: str) -> Refusal:
    by_password = doors.kafka(user)
    address = by_password["KAFKA_BOOTSTRAP_SERVERS"]
    certificate, key = (str(file) for file in doors.stranger.issue(user))
    by_certificate = {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_BOOTSTRAP_SERVERS": f"{NAME}:{doors.ports['mtls']}",
    }
    stranger = {"KAFKA_SSL_CERT_FILE": certificate, "KAFKA_SSL_KEY_FILE": key}
    changes, *words = {
        "wrong CA": (
            {"KAFKA_SSL_CA_FILE": str(doors.stranger.ca_file)}, address, "that is not trusted", "KAFKA_SSL_CA_FILE",
        ),
        "wrong host name": (
            {"KAFKA_BOOTSTRAP_SERVERS": f"{OTHER_NAME}:{doors.ports['sasl']}"},
            f"{OTHER_NAME}:{doors.ports['sasl']}", "another host name", "KAFKA_BOOTSTRAP_SERVERS",
        ),
        "wrong password": (
            {"KAFKA_SASL_PASSWORD": "wrong-password"}, address, f"user '{user}' or the password", "KAFKA_SASL_PASSWORD",
        ),
        "unknown user": ({"KAFKA_SASL_USERNAME": "nobody"}, address, "user 'nobody'", "KAFKA_SASL_USERNAME"),
        "wrong mechanism": ({"KAFKA_SASL_MECHANISM": "PLAIN"}, address, "PLAIN", "KAFKA_SASL_MECHANISM"),
        "no client certificate": (by_certificate, "wants a certificate of ours", "KAFKA_SSL_CERT_FILE"),
        "client certificate of a stranger": (
            by_certificate | stranger, "wants a certificate of ours that it trusts", "KAFKA_SSL_CERT_FILE",
        ),
        "certificate file missing": ({"KAFKA_SSL_CA_FILE": "/nowhere/ca.pem"}, "KAFKA_SSL_CA_FILE=/nowhere/ca.pem"),
    }[case]  # fmt: skip
    return Refusal(by_password | changes, tuple(words), (by_password["KAFKA_SASL_PASSWORD"], "wrong-password"))


async def _refused(behind: System, stage: str, case: Refusal) -> None:
    done = await behind.command(stage, **case.settings)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, (stage, case, done.stderr)
    assert len(errors) == 1, (stage, case, done.stderr)
    assert all(word in errors[0] for word in (*case.words, " → ")), (case.words, errors[0])
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stderr + done.stdout for secret in case.secrets)


@pytest.mark.parametrize("case", KAFKA)
async def test_kafka_refuses_and_the_sink_says_why(case: str, doors: Doors, behind: System) -> None:
    """Exit code 1 and one line that says which it is, where, and which setting to correct; never the password."""
    refusal = _kafka(case, doors, "sink")
    common = doors.registry() | {"POSTGRES_DSN": doors.postgres("writer")}
    await _refused(behind, "sink", Refusal(common | refusal.settings, refusal.words, refusal.secrets))


@pytest.mark.parametrize(
    ("stage", "user"), [("produce", "producer"), ("process", "processors"), ("tail", "subscriber")]
)
async def test_every_stage_says_that_its_password_is_wrong(stage: str, user: str, doors: Doors, behind: System) -> None:
    """As the sink does; the processors in spite of Faust, which would print pages."""
    refusal = _kafka("wrong password", doors, user)
    await _refused(behind, stage, Refusal(doors.registry() | refusal.settings, refusal.words, refusal.secrets))


@pytest.mark.parametrize("case", ["wrong CA", "wrong host name", "wrong password", "no TLS", "CA file missing"])
async def test_postgres_refuses_and_the_sink_and_the_commands_say_why(case: str, doors: Doors, behind: System) -> None:
    """asyncpg and libpq tell it in ways of their own; the message is one."""
    dsn, *words = {
        "wrong CA": (doors.postgres("writer", ca_file=doors.stranger.ca_file), "that is not trusted", "sslrootcert"),
        "wrong host name": (doors.postgres("writer", host=OTHER_NAME), "another host name", "POSTGRES_DSN"),
        "wrong password": (doors.postgres("writer", password="wrong-password"), "user 'writer' or the password"),
        "no TLS": (doors.postgres("writer").partition("?")[0] + "?sslmode=disable", "without TLS", "verify-full"),
        "CA file missing": (doors.postgres("writer").partition("&")[0] + "&sslrootcert=/nowhere", "sslrootcert"),
    }[case]  # fmt: skip
    settings = doors.kafka("sink") | doors.registry() | {"POSTGRES_DSN": dsn}
    secrets = (doors.passwords["writer"], "wrong-password")
    await _refused(behind, "sink", Refusal(settings, ("Postgres at", *words), secrets))
    await _refused(behind, "loads", Refusal(settings, ("Postgres at", *words), secrets))


@pytest.mark.parametrize(
    "case", ["wrong CA", "wrong host name", "wrong password", "no login", "wrong token", "two logins"]
)
async def test_the_registry_refuses_and_the_stages_say_why(case: str, doors: Doors, behind: System) -> None:
    """By basic authentication and by token."""
    login = doors.registry()
    no_login = {"SCHEMA_REGISTRY_USERNAME": "", "SCHEMA_REGISTRY_PASSWORD": ""}
    changes, *words = {
        "wrong CA": (
            {"SCHEMA_REGISTRY_CA_FILE": str(doors.stranger.ca_file)}, "that is not trusted", "SCHEMA_REGISTRY_CA_FILE",
        ),
        "wrong host name": (
            {"SCHEMA_REGISTRY_URL": doors.registry_url(OTHER_NAME)}, "another host name", "SCHEMA_REGISTRY_URL",
        ),
        "wrong password": (
            {"SCHEMA_REGISTRY_PASSWORD": "wrong-password"}, "user 'stages' or the password", "SCHEMA_REGISTRY_PASSWORD",
        ),
        "no login": (no_login, "without a login", "SCHEMA_REGISTRY_USERNAME"),
        "wrong token": (no_login | {"SCHEMA_REGISTRY_TOKEN": "wrong-token"}, "the token", "SCHEMA_REGISTRY_TOKEN"),
        "two logins": ({"SCHEMA_REGISTRY_TOKEN": doors.token}, "two logins"),
    }[case]  # fmt: skip
    secrets = (doors.passwords["registry"], "wrong-password", "wrong-token", doors.token)
    for stage, user in (("produce", "producer"), ("process", "processors")):
        settings = doors.kafka(user) | login | changes
        await _refused(behind, stage, Refusal(settings, ("registry", *words), secrets))


@pytest.mark.parametrize("case", ["wrong CA", "wrong host name", "wrong key", "CA file missing"])
async def test_s3_refuses_and_the_producer_and_the_commands_say_why(case: str, doors: Doors, behind: System) -> None:
    """A wrong certificate is no outage, a wrong key is none either."""
    changes, *words = {
        "wrong CA": ({"S3_CA_FILE": str(doors.stranger.ca_file)}, "authority that is not trusted", "S3_CA_FILE"),
        "wrong host name": (
            {"S3_ENDPOINT_URL": f"https://{OTHER_NAME}:{doors.ports['s3']}"}, "another host name", "S3_ENDPOINT_URL",
        ),
        "wrong key": ({"S3_SECRET_ACCESS_KEY": "wrong-password"}, "refuses the access key", "S3_SECRET_ACCESS_KEY"),
        "CA file missing": ({"S3_CA_FILE": "/nowhere/ca.pem"}, "S3_CA_FILE=/nowhere/ca.pem"),
    }[case]  # fmt: skip
    settings = doors.kafka("producer") | doors.registry() | doors.s3() | changes
    secrets = (doors.stack.environment["S3_SECRET_ACCESS_KEY"], "wrong-password")
    await _refused(behind, "produce", Refusal(settings, ("S3", *words), secrets))


async def test_a_broker_that_is_away_is_waited_for(doors: Doors, behind: System) -> None:
    """Nothing listens there: that is an outage, and the stage is there when it ends."""
    settings = doors.kafka("sink") | doors.registry() | {"POSTGRES_DSN": doors.postgres("writer")}
    behind.start("sink", "patient", **(settings | {"KAFKA_BOOTSTRAP_SERVERS": f"{NAME}:1"}))
    await behind.logged("patient", "waiting")
    await asyncio.sleep(1)
    assert behind.stop("patient") == 0
