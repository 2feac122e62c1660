"""The whole system for tests: the embedded parts and the three stages as processes of their own."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aioboto3
import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream.settings import RegistrySettings, TopicSettings
from leadstream.stack.ports import HIGHEST_PORT, LOWEST_PORT, is_free
from schemas.codec import Decoder
from schemas.headers import Kind, to_dict
from schemas.registry import Registry

ROOT = Path(__file__).parent.parent
VENDOR_DATA = ROOT.parent / "shared" / "data"
"""Real vendor files, where a checkout has them beside it; they are never part of the repository."""
HTTP_PORT = {"produce": "PRODUCER_HTTP_PORT", "process": "PROCESSOR_HTTP_PORT", "sink": "SINK_HTTP_PORT"}
STAGES = tuple(HTTP_PORT)
PATIENCE = 3
"""Every wait is this many times as long as it takes on a machine of one's own: only a test that fails waits for it."""
FINISHED = {"done", "held", "failed", "broken"}


class System:
    """Starts, kills and asks the stages; puts files; reads what came out."""

    program = "leadstream"
    """The module that runs a stage."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.sources_dir = folder / "sources"
        self.sources_dir.mkdir(parents=True)
        for file in (ROOT / "sources").glob("*.yaml"):
            shutil.copy(file, self.sources_dir)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "S3_", "POSTGRES_"))},
            **environment,
            "LEADSTREAM_SOURCES_DIR": str(self.sources_dir),
            "LEADSTREAM_HOME": str(folder / "home"),
            "PRODUCER_POLL_INTERVAL_SECONDS": "0.2",
        }
        self._folder = folder
        self._stages: dict[str, subprocess.Popen[bytes]] = {}
        self._arguments: dict[str, tuple[str, dict[str, str]]] = {}
        self.ports: dict[str, int] = {}
        """Where each stage answers how it does, by its name."""

    def start(self, stage: str, name: str = "", under: Sequence[str] = (), **environment: str) -> None:
        """Start a stage; ``name`` tells several of one kind apart, ``under`` is a command that runs it."""
        if (name or stage) not in self.ports:
            self.ports[name or stage] = free_port(set(self.ports.values()))
        environment = {HTTP_PORT[stage]: str(self.ports[name or stage]), **environment}
        self._arguments[name or stage] = (stage, environment)
        with (self._folder / f"{name or stage}.log").open("ab") as log:
            self._stages[name or stage] = subprocess.Popen(
                [*under, sys.executable, "-m", self.program, stage],
                env={**self.environment, **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ask(self, name: str, path: str) -> tuple[int, str]:
        """HTTP status and body of what a stage answers."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
            session.get(f"http://127.0.0.1:{self.ports[name]}{path}") as answer,
        ):
            return answer.status, await answer.text()

    def kill(self, name: str) -> None:
        """SIGKILL: no goodbye."""
        process = self._stages.pop(name)
        process.kill()
        process.wait()

    def kill_and_restart(self, name: str) -> None:
        """SIGKILL, and a new process with the same settings."""
        self.kill(name)
        stage, environment = self._arguments[name]
        self.start(stage, name, **environment)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a stage."""
        self._stages[name].send_signal(number)

    def stop(self, name: str) -> int:
        """Ask a stage to end; gives its exit code."""
        process = self._stages.pop(name)
        process.terminate()
        return process.wait(30)

    def stop_all(self) -> None:
        """End every stage that runs."""
        for name in list(self._stages):
            self._stages[name].send_signal(signal.SIGCONT)
            self.stop(name)

    def interrupt(self, name: str, timeout: float) -> int:
        """Ctrl-C; gives the exit code of a stage that ends in time."""
        process = self._stages.pop(name)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout * PATIENCE)

    async def ended(self, name: str, timeout: float = 20) -> int:
        """Wait until a stage ends by itself; gives its exit code."""
        process = self._stages.pop(name)
        return await asyncio.to_thread(process.wait, timeout * PATIENCE)

    async def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``leadstream`` as a user would, and wait for its end."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "leadstream", *arguments],
            check=False,
            env={**self.environment, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
        )

    def log(self, name: str) -> str:
        """What a stage has printed."""
        return (self._folder / f"{name}.log").read_text()

    def all_logs(self) -> str:
        """What every stage has printed, also those that have ended."""
        return "".join(file.read_text() for file in sorted(self._folder.glob("*.log")))

    async def logged(self, name: str, text: str, timeout: float = 30) -> None:
        """Wait until a stage has printed ``text``."""
        deadline = time.monotonic() + timeout * PATIENCE
        while text not in self.log(name):
            assert time.monotonic() < deadline, f"{name} has not printed {text!r}:\n{self.log(name)[-3000:]}"
            await asyncio.sleep(0.05)

    def add_source(self, name: str, like: str, **changes: str) -> None:
        """A source of its own for one test, mapped as another one is; ``changes`` replace texts in its YAML."""
        text = (ROOT / "sources" / f"{like}.yaml").read_text()
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("prefix:"))
        for old, new in changes.items():
            text = text.replace(old, new)
        (self.sources_dir / f"{name}.yaml").write_text(text)

    def memory_kilobytes(self) -> dict[str, int]:
        """The most memory that each running stage has used so far."""
        peaks = {}
        for name, process in self._stages.items():
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks[name] = int(status.partition("VmHWM:")[2].split()[0])
        return peaks

    async def put(self, source: str, data: bytes, name: str = "file.csv") -> str:
        """Upload a file of a source; gives its ETag."""
        return await self.put_at(f"{source}/{name}", data)

    async def put_at(self, key: str, data: bytes) -> str:
        """Upload a file; gives its ETag."""
        session = aioboto3.Session(
            self.environment["S3_ACCESS_KEY_ID"], self.environment["S3_SECRET_ACCESS_KEY"], region_name="us-east-1"
        )
        async with session.client("s3", endpoint_url=self.environment["S3_ENDPOINT_URL"]) as s3:
            answer = await s3.put_object(Bucket=self.environment["S3_BUCKET"], Key=key, Body=data)
        etag: str = answer["ETag"].strip('"')
        return etag

    async def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Rows of a query."""
        connection = await asyncpg.connect(self.environment["POSTGRES_DSN"])
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def until(self, query: str, timeout: float) -> None:
        """Wait until a query has a row."""
        deadline = time.monotonic() + timeout * PATIENCE
        while not await self.sql(query):
            assert time.monotonic() < deadline, f"no row after {timeout} s: {query}"
            await asyncio.sleep(0.1)

    async def finished(
        self, source: str, etag: str, timeout: float = 90, among: set[str] = FINISHED, name: str = "file.csv"
    ) -> dict[str, Any]:
        """The receipt of a load once it has come to an end."""
        return await self.finished_at(f"{source}/{name}", etag, timeout, among)

    async def finished_at(self, key: str, etag: str, timeout: float, among: set[str] = FINISHED) -> dict[str, Any]:
        """The receipt of the load of an object once it has come to an end."""
        deadline = time.monotonic() + timeout * PATIENCE
        rows: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            rows = await self.sql("select * from loads where object_key = $1 and object_version = $2", key, etag)
            if rows and rows[0]["status"] in among:
                return rows[0]
            await asyncio.sleep(0.1)
        logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self._stages)
        raise AssertionError(f"load of {key} not finished after {timeout} s: {rows}\n{logs}")

    async def load(self, source: str, data: bytes, name: str = "file.csv", timeout: float = 90) -> dict[str, Any]:
        """Upload a file and wait for its receipt."""
        return await self.finished(source, await self.put(source, data, name), timeout, name=name)

    async def records(self, topic: str, source: str | None = None) -> list[tuple[Any, dict[str, Any] | None]]:
        """Every committed record of a topic, decoded, with the raw record; of one source only where that is asked."""
        registry = Registry(RegistrySettings(url=self.environment["SCHEMA_REGISTRY_URL"]))
        decoder = Decoder(registry)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.environment["KAFKA_BOOTSTRAP_SERVERS"],
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        found = []
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, lane) for lane in range(TopicSettings().lanes)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(where) < end for where, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    for record in batch:
                        key = record.key.decode() if record.key else ""
                        if source is None or key.startswith(f"{source}:"):
                            value = (await decoder.decode(record.value))[1] if record.value is not None else None
                            found.append((record, value))
        finally:
            await consumer.stop()
            await registry.close()
        return found

    async def leads(self, source: str) -> list[dict[str, Any]]:
        """The live leads of a source in Postgres, by key."""
        return await self.sql("select * from leads where source = $1 and deleted_at is null order by lead_key", source)


def free_port(taken: set[int]) -> int:
    """A port that no server listens on and no client is given as its own."""
    while True:
        port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        if port not in taken and is_free(port):
            return port


async def check_exactly_once(system: System, source: str, load: dict[str, Any], rows: int) -> None:
    """Each row once on the raw topic, each lead once on the canonical topic and in Postgres."""
    raw = [to_dict(record.headers) for record, _value in await system.records(f"leads.raw.{source}")]
    numbers = Counter(values["row"] for values in raw if values["kind"] == Kind.ROW)
    assert len(numbers) == rows and set(numbers.values()) == {1}
    assert sum(1 for values in raw if values["kind"] == Kind.END) == 4
    canonical = Counter(record.key for record, _value in await system.records("leads.canonical", source))
    assert len(canonical) == rows and set(canonical.values()) == {1}
    assert (load["status"], load["rows"], load["inserted"], load["sent"]) == ("done", rows, rows, rows), load
    history = await system.sql("select op, count(*) from lead_history where source = $1 group by op", source)
    assert history == [{"op": "c", "count": rows}]
    assert len(await system.leads(source)) == rows
