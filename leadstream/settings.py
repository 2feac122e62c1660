"""All settings, read from the environment in one place.

Each part has a small frozen class and an environment prefix; ``Settings.load()`` reads them all. When a value is
not given and an embedded stack runs under ``LEADSTREAM_HOME``, its addresses are used (``stack.json`` there).
Secrets come from the environment or from files named by ``*_FILE`` variables, never from YAML.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadstream.errors import ConfigError

STACK_FILE_NAME = "stack.json"
SECRETS = (
    "KAFKA_SASL_PASSWORD",
    "SCHEMA_REGISTRY_PASSWORD",
    "SCHEMA_REGISTRY_TOKEN",
    "POSTGRES_DSN",
    "S3_SECRET_ACCESS_KEY",
    "LEADSTREAM_PRIVACY_KEY",
)
"""Variables that may be given as the name of a file (``<name>_FILE``) instead."""

HttpPort = Annotated[int | None, Field(ge=1, le=65_535)]
"""Port of ``/healthz``, ``/readyz`` and ``/metrics``; none by default, so that several stages fit on one machine."""


def _prefix(name: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=name, frozen=True, extra="ignore", env_ignore_empty=True)


class KafkaSettings(BaseSettings):
    """Where Kafka is and how to log in (``KAFKA_*``)."""

    model_config = _prefix("KAFKA_")

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    replication_factor: int = 1
    compression: Literal["zstd", "none"] = "zstd"
    """Of what the stages write in transactions."""


class RegistrySettings(BaseSettings):
    """Where the schema registry (Confluent API) is (``SCHEMA_REGISTRY_*``)."""

    model_config = _prefix("SCHEMA_REGISTRY_")

    url: str = "http://127.0.0.1:8081"
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    """A bearer token, instead of user and password."""
    ca_file: Path | None = None
    auto_register: bool = True
    """Off: a schema that is not yet registered is an error (for production, where CI registers)."""


class S3Settings(BaseSettings):
    """The bucket vendors drop files into (``S3_*``; keys from the usual ``AWS_*`` variables or an instance role)."""

    model_config = _prefix("S3_")

    bucket: str = "landing"
    endpoint_url: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    ca_file: Path | None = None


class PostgresSettings(BaseSettings):
    """The database (``POSTGRES_*``)."""

    model_config = _prefix("POSTGRES_")

    dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/leadstream")


class ProducerSettings(BaseSettings):
    """How files arrive and are split (``PRODUCER_*``)."""

    model_config = _prefix("PRODUCER_")

    arrivals: Literal["poll", "sqs"] = "poll"
    poll_interval_seconds: float = 0.5
    sqs_queue_url: str | None = None
    sqs_endpoint_url: str | None = None
    sqs_visibility_timeout_seconds: int = 60
    reconcile_interval_seconds: float = Field(default=900.0, ge=0)
    """Between two looks at the bucket for what the queue never announced; 0: never."""
    rows_per_transaction: int = 20_000
    max_row_bytes: int = Field(default=1_048_576, ge=1_024, le=2_097_152)
    """A row above this goes to the dead letters (its first bytes and its place); bounds memory."""
    http_port: HttpPort = None


class ProcessorSettings(BaseSettings):
    """The row path and its Faust app (``PROCESSOR_*``)."""

    model_config = _prefix("PROCESSOR_")

    max_poll_records: int = 2_000
    web_port: int | None = None
    """Port of Faust's web server; none by default, so that several workers fit on one machine."""
    http_port: HttpPort = None


class SinkSettings(BaseSettings):
    """The way into Postgres (``SINK_*``)."""

    model_config = _prefix("SINK_")

    max_batch_records: int = 10_000
    http_port: HttpPort = None


class TopicSettings(BaseSettings):
    """Shape of the topics (``TOPICS_*``)."""

    model_config = _prefix("TOPICS_")

    lanes: int = Field(default=4, ge=1, le=256)
    """Partitions of every raw topic and of ``leads.canonical``: the unit of parallelism. Fixed for a cluster's life."""
    raw_retention_days: int = 90


class Settings(BaseSettings):
    """Everything, as one frozen value."""

    model_config = _prefix("LEADSTREAM_")

    home: Path = Path(".leadstream")
    sources_dir: Path = Path("sources")
    log_format: Literal["console", "json"] = "console"
    http_host: str = "127.0.0.1"
    """Address that the stages answer on; ``0.0.0.0`` in a container."""
    privacy_key: SecretStr | None = None
    """Secret of the digests by which forgotten people are known; the same for every stage and operator, for ever."""
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    s3: S3Settings = Field(default_factory=S3Settings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    producer: ProducerSettings = Field(default_factory=ProducerSettings)
    processor: ProcessorSettings = Field(default_factory=ProcessorSettings)
    sink: SinkSettings = Field(default_factory=SinkSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment (and a running embedded stack's addresses beneath it).

        Raises:
            ConfigError: a variable holds something that cannot be used; names the variable.
        """
        home = Path(os.environ.get("LEADSTREAM_HOME", ".leadstream"))
        _apply_secret_files(os.environ)
        for name, value in stack_environment(home).items():
            os.environ.setdefault(name, value)
        try:
            return cls(home=home)
        except ValidationError as exc:
            first = exc.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"setting {exc.title} {name!r}: {first['msg']}", hint="correct the environment variable"
            ) from exc


def stack_environment(home: Path) -> dict[str, str]:
    """The environment variables that point at the embedded stack under ``home``; empty when none was started."""
    try:
        document: dict[str, Any] = json.loads((home / STACK_FILE_NAME).read_text())
    except (OSError, ValueError):
        return {}
    environment: dict[str, str] = document.get("environment", {})
    return environment


def log_format() -> Literal["console", "json"]:
    """How to log before it is known whether the settings can be used: what is wrong with them is said so, too."""
    return "json" if os.environ.get("LEADSTREAM_LOG_FORMAT") == "json" else "console"


def _apply_secret_files(environ: os._Environ[str]) -> None:
    for name in SECRETS:
        file = environ.get(f"{name}_FILE")
        if file is None:
            continue
        try:
            environ[name] = Path(file).read_text().strip()
        except OSError as exc:
            raise ConfigError(f"{name}_FILE={file}: {exc.strerror}", hint="name a readable file") from exc


@functools.cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.load()
