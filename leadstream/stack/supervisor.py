"""The embedded stack: Kafka, schema registry, Postgres and S3 of one home, run and watched together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from leadstream.errors import ConfigError, FatalError, LeadstreamError
from leadstream.log import get_logger
from leadstream.stack import jars, s3
from leadstream.stack.home import (
    load_secrets,
    lock_home,
    make_home,
    remove_stack_record,
    write_stack_record,
)
from leadstream.stack.kafka import Kafka
from leadstream.stack.ports import choose_ports
from leadstream.stack.postgres import Postgres
from leadstream.stack.process import Command, GuardedProcess, Program
from leadstream.stack.registry import Registry

READY_TIMEOUT_SECONDS = 60
START_ATTEMPTS = 5
START_AGAIN_SECONDS = 1.0
READY_INTERVAL_SECONDS = 0.1
WATCH_INTERVAL_SECONDS = 0.2
MAX_RESTARTS = 5
FIRST_RESTART_DELAY_SECONDS = 0.5
# A part that was up this long has recovered: its earlier restarts no longer count.
HEALTHY_AFTER_SECONDS = 60

State = Literal["starting", "ready", "died", "killed", "failed", "stopping", "stopped"]
OnEvent = Callable[[str, str], None]


@dataclass
class Part:
    """One process of the stack as it is now. ``state`` ``failed``: it died too often and is left alone."""

    name: str
    log: Path
    program: Program = field(repr=False)
    state: State = "stopped"
    process: GuardedProcess | None = field(default=None, repr=False)
    restarts: int = 0
    ready_at: float = 0.0
    busy: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def pid(self) -> int | None:
        """The process id of the part itself (not of its guard) while it runs."""
        return self.process.pid if self.process and self.process.exit_code() is None else None

    @property
    def port(self) -> int | None:
        """The port clients use."""
        return self.program.port


@dataclass
class Stage:
    """A process of leadstream itself under the stack's supervision: ready as soon as it runs."""

    name: str
    start: Command
    port: int | None = None

    async def prepare(self) -> None:
        """Nothing to do."""

    def command(self) -> Command:
        """As it was added."""
        return self.start

    async def ready(self) -> bool:
        """It runs."""
        return True


class Stack:
    """The four parts under one home; an asynchronous context manager.

    A part that dies is started again (five times in a row, then it is ``failed`` and `wait_failed` raises).
    All processes end with this one, also when this one is killed.
    """

    def __init__(self, home: Path, *, bucket: str = "landing") -> None:
        self.home = home.absolute()
        self.parts: dict[str, Part] = {}
        self.environment: dict[str, str] = {}
        self._bucket = bucket
        self._lock: int | None = None
        self._watch: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()
        self._on_event: OnEvent | None = None
        self._log = get_logger("stack")

    async def start(self, on_event: OnEvent | None = None) -> None:
        """Start everything and wait until it can be used; ``on_event(part, state)`` hears of every change.

        Raises:
            ConfigError: a stack is already up in this home, or the home or a given port cannot be used.
            TransientError: the Java parts could not be downloaded.
            FatalError: a part did not start; carries the end of its log.
        """
        self._on_event = on_event
        self._failed.clear()
        self.parts.clear()
        make_home(self.home)
        self._lock = await lock_home(self.home)
        try:
            kafka, registry, *others = await self._programs()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_in_order(kafka, registry))
                for program in others:
                    group.create_task(self._start_in_order(program))
        except BaseException as exc:
            await self.stop()
            raise _first_of(exc) from None
        self._write_record()
        self._watch = asyncio.create_task(self._watch_parts())

    async def stop(self) -> None:
        """Stop everything, last started first. Does nothing when nothing runs."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        stages = [part for part in self.parts.values() if isinstance(part.program, Stage)]
        await asyncio.gather(*(self._stop_part(part) for part in stages))
        for names in (["registry"], ["s3", "postgres", "kafka"]):
            await asyncio.gather(*(self._stop_part(self.parts[name]) for name in names if name in self.parts))
        if self._lock is not None:
            remove_stack_record(self.home)
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def add_process(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        """Run one more process (a stage of leadstream) with the stack's addresses in its environment.

        It works in the directory of this process; its log is ``<home>/logs/<name>.log``. ``port``: where it answers.

        Raises:
            ConfigError: there is a part of that name.
            FatalError: the command cannot be started.
        """
        if name in self.parts:
            raise ConfigError(f"a part named {name} was already started", hint="give it another name")
        home = {"LEADSTREAM_HOME": str(self.home)}
        command = Command(argv, Path.cwd(), {**self.environment, **home, **(env or {})})
        try:
            await self._start_in_order(Stage(name, command, port))
        except LeadstreamError:
            del self.parts[name]
            raise
        self._write_record()

    async def restart_part(self, name: str) -> None:
        """Stop the part (if it runs), start it again and wait until it is ready."""
        part = self.parts[name]
        async with part.busy:
            await self._stop_part(part)
            part.restarts = 0
            for attempt in range(START_ATTEMPTS):
                try:
                    await self._start_part(part)
                    break
                except FatalError:
                    # A part that was killed may hold its memory or its port a moment longer than its process lives.
                    if attempt == START_ATTEMPTS - 1:
                        raise
                    await asyncio.sleep(START_AGAIN_SECONDS)
        if all(part.state != "failed" for part in self.parts.values()):
            self._failed.clear()
        self._write_record()

    async def kill_part(self, name: str) -> None:
        """End the part without warning (SIGKILL). It stays down until `restart_part`."""
        part = self.parts[name]
        async with part.busy:
            if part.process is not None:
                await part.process.kill()
            self._set_state(part, "killed")

    async def wait_failed(self) -> None:
        """Wait until a part died too often.

        Raises:
            FatalError: names the part and carries the end of its log.
        """
        await self._failed.wait()
        part = next(part for part in self.parts.values() if part.state == "failed")
        tail = part.process.log.tail() if part.process else ""
        raise FatalError(f"{part.name} died {part.restarts + 1} times in a row\n{tail}", hint=f"see {part.log}")

    async def _programs(self) -> list[Program]:
        downloads = await asyncio.to_thread(jars.ensure_downloads)
        inner = {option: "s3_" + option.replace(".", "_") for option in s3.INNER_PORTS}
        names = ("kafka", "kafka_controller", "registry", "postgres", "s3", *inner.values())
        ports = choose_ports(self.home / "ports.json", names)
        secrets = load_secrets(self.home)
        access_key = (secrets.s3_access_key_id, secrets.s3_secret_access_key)
        kafka = Kafka(self.home, ports["kafka"], ports["kafka_controller"], downloads.kafka_classpath)
        registry = Registry(self.home, ports["registry"], kafka.bootstrap_servers, downloads.apicurio)
        postgres = Postgres(self.home, ports["postgres"], secrets.postgres_password)
        store = s3.S3(
            self.home,
            ports["s3"],
            {option: ports[name] for option, name in inner.items()},
            self._bucket,
            access_key,
        )
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SCHEMA_REGISTRY_URL": registry.url,
            "POSTGRES_DSN": postgres.dsn,
            "S3_ENDPOINT_URL": store.url,
            "S3_BUCKET": self._bucket,
            "S3_ACCESS_KEY_ID": access_key[0],
            "S3_SECRET_ACCESS_KEY": access_key[1],
            "S3_REGION": s3.REGION,
            "LEADSTREAM_PRIVACY_KEY": secrets.privacy_key,
        }
        return [kafka, registry, postgres, store]

    async def _start_in_order(self, *programs: Program) -> None:
        for program in programs:
            part = Part(program.name, self.home / "logs" / f"{program.name}.log", program)
            self.parts[program.name] = part
            async with part.busy:
                await self._start_part(part)

    async def _start_part(self, part: Part) -> None:
        assert self._lock is not None, "the stack is not started"
        self._set_state(part, "starting")
        await part.program.prepare()
        try:
            part.process = GuardedProcess.start(part.program.command(), part.log, self._lock)
            await self._wait_ready(part, part.process)
        except LeadstreamError:
            if part.process is not None:
                await part.process.stop()
            self._set_state(part, "died")
            raise
        part.ready_at = time.monotonic()
        self._set_state(part, "ready")

    async def _wait_ready(self, part: Part, process: GuardedProcess) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                while not await part.program.ready():
                    code = process.exit_code()
                    if code is not None:
                        raise FatalError(
                            f"{part.name} ended with exit code {code} while it started\n{process.log.tail()}",
                            hint=f"see {part.log}",
                        )
                    await asyncio.sleep(READY_INTERVAL_SECONDS)
        except TimeoutError as exc:
            raise FatalError(
                f"{part.name} was not ready within {READY_TIMEOUT_SECONDS} s\n{process.log.tail()}",
                hint=f"see {part.log}",
            ) from exc

    async def _stop_part(self, part: Part) -> None:
        if part.process is not None:
            self._set_state(part, "stopping")
            await part.process.stop()
            part.process = None
        self._set_state(part, "stopped")

    async def _watch_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                for part in self.parts.values():
                    if part.state == "ready" and part.pid is None:
                        code = part.process.exit_code() if part.process else None
                        self._log.warning("part_died", part=part.name, exit_code=code, log=str(part.log))
                        self._set_state(part, "died")
                        group.create_task(self._revive(part))
                await asyncio.sleep(WATCH_INTERVAL_SECONDS)

    async def _revive(self, part: Part) -> None:
        async with part.busy:
            if part.state != "died":
                return
            if time.monotonic() - part.ready_at > HEALTHY_AFTER_SECONDS:
                part.restarts = 0
            while part.restarts < MAX_RESTARTS:
                await asyncio.sleep(FIRST_RESTART_DELAY_SECONDS * 2**part.restarts)
                part.restarts += 1
                try:
                    await self._start_part(part)
                except LeadstreamError as exc:
                    self._log.warning("part_restart_failed", part=part.name, error=exc.message)
                else:
                    self._write_record()
                    return
            self._set_state(part, "failed")
            self._failed.set()

    def _set_state(self, part: Part, state: State) -> None:
        if part.state == state:
            return
        part.state = state
        if self._on_event is not None:
            self._on_event(part.name, state)

    def _write_record(self) -> None:
        parts: dict[str, dict[str, Any]] = {
            part.name: {"pid": part.pid, "port": part.port, "log": str(part.log)} for part in self.parts.values()
        }
        write_stack_record(self.home, self.environment, parts)


def _first_of(error: BaseException) -> BaseException:
    """The error a user can act on, out of a task group's."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
