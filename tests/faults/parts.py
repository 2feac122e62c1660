"""The embedded stack as the faults need it: Kafka behind a proxy, and a Postgres that is small and loses more."""

from __future__ import annotations

import dataclasses
import errno
import os
import pwd
import random
import subprocess
from pathlib import Path

from leadstream.stack.kafka import Kafka
from leadstream.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from leadstream.stack.postgres import Postgres
from leadstream.stack.process import Command, Program
from leadstream.stack.supervisor import Stack

SMALL_DISK_MEGABYTES = 900
POSTGRES_SETTINGS = ("max_connections=25", "wal_writer_delay=2s", "deadlock_timeout=1s", "max_wal_size=200MB")
"""Few connections to run out of; commits that wait longer for the disk, so that more of them are lost in a crash."""


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        if is_free(port):
            return port


class FaultStack(Stack):
    """As `Stack`; the stages reach Kafka by a second listener that says it is at ``kafka_proxy_port``."""

    def __init__(self, home: Path, kafka_listener_port: int, kafka_proxy_port: int) -> None:
        super().__init__(home)
        self._kafka_ports = (kafka_listener_port, kafka_proxy_port)

    async def _programs(self) -> list[Program]:
        programs = []
        for program in await super()._programs():
            if isinstance(program, Kafka):
                program = _TwoListeners(program, self.home, *self._kafka_ports)
            elif isinstance(program, Postgres):
                program = _SmallPostgres(program)
            programs.append(program)
        return programs


class SmallDisk:
    """A file system of its own for the data of Postgres, which can be filled. Mounting one needs the right to."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "postgres"
        self._ballast = self._folder / "ballast"
        self.is_mounted = False

    def mount(self) -> None:
        """Before Postgres starts first."""
        if os.geteuid() != 0:
            return
        self._folder.mkdir(parents=True)
        for folder in (self._folder.parent, *self._folder.parent.parents[:1]):
            folder.chmod(0o711)
        options = f"size={SMALL_DISK_MEGABYTES}m,mode=0700,uid={pwd.getpwnam('nobody').pw_uid}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)], check=False, capture_output=True
        )
        self.is_mounted = done.returncode == 0
        if not self.is_mounted:
            self._folder.rmdir()

    def unmount(self) -> None:
        """After Postgres has stopped."""
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)

    def fill(self) -> None:
        """Nothing more can be written."""
        with self._ballast.open("ab") as file:
            while True:
                free = os.statvfs(self._folder).f_bavail * os.statvfs(self._folder).f_frsize
                if free < 4096:
                    return
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
                except OSError as exc:  # Postgres has taken some of it meanwhile: look again
                    if exc.errno != errno.ENOSPC:
                        raise

    def clear(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)


class _TwoListeners:
    """Kafka with a listener for the stages beside its own."""

    def __init__(self, kafka: Kafka, home: Path, port: int, advertised_port: int) -> None:
        self.name = kafka.name
        self.port = kafka.port
        self._kafka = kafka
        self._file = home / "kafka" / "server.properties"
        controller = f"CONTROLLER://{HOST}:{kafka._controller_port}"
        own = f"PLAINTEXT://{HOST}:{kafka.port}"
        self._lines = (
            f"listeners={own},STAGES://{HOST}:{port},{controller}\n"
            f"advertised.listeners={own},STAGES://{HOST}:{advertised_port}\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,STAGES:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
            "inter.broker.listener.name=PLAINTEXT\n"
        )

    async def prepare(self) -> None:
        """Of two lines with one name the later counts."""
        await self._kafka.prepare()
        with self._file.open("a") as file:
            file.write(self._lines)

    def command(self) -> Command:
        """As Kafka's own."""
        return self._kafka.command()

    async def ready(self) -> bool:
        """As Kafka's own."""
        return await self._kafka.ready()


class _SmallPostgres:
    def __init__(self, postgres: Postgres) -> None:
        self.name = postgres.name
        self.port = postgres.port
        self._postgres = postgres

    async def prepare(self) -> None:
        """As Postgres' own."""
        await self._postgres.prepare()

    def command(self) -> Command:
        """Of two settings with one name the later counts."""
        command = self._postgres.command()
        options = [word for setting in POSTGRES_SETTINGS for word in ("-c", setting)]
        return dataclasses.replace(command, argv=[*command.argv, *options])

    async def ready(self) -> bool:
        """As Postgres' own."""
        return await self._postgres.ready()
