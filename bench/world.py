"""The real system for a measurement: embedded parts, the three stages as processes, and a clock on what they do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aioboto3
import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream import kafka
from leadstream.changelog import read_partition
from leadstream.settings import KafkaSettings, RegistrySettings, TopicSettings
from leadstream.stack.supervisor import Stack
from leadstream.transaction import TransactionalProducer
from schemas import topics
from schemas.codec import Decoder
from schemas.registry import Registry
from sink.migrate import migrate
from tests.system import System

PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.1
SESSION_SECONDS = 10.0
"""A stage that was paused for longer has lost its partitions, and takes a moment to get them back."""
LOG_CHARACTERS = 3_000
UPLOADS_AT_ONCE = 8
PARTIAL = {"\nkey:": "\nrefresh: partial\nkey:"}
"""Changes of a source with many files: the next one deletes nothing of the one before."""
RESTORED = re.compile(r"lane_restored.*\bsources=(\d+)")


class World(System):
    """:class:`tests.system.System` for measuring: it looks at the stages rarely, and at their own clocks."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        super().__init__(stack.environment, folder)
        self.home = stack.home
        self.folder = folder
        self.kafka = KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
        self.registry = RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"])
        self.lanes = TopicSettings().lanes
        self.steps = _Steps(self)
        self._opened = contextlib.AsyncExitStack()
        self._s3: Any = None

    async def put_timed(self, source: str, data: bytes, name: str) -> tuple[str, float]:
        """Upload a file; gives its ETag and when it was there (Unix time)."""
        etag = await self.put(source, data, name)
        return etag, time.time()

    async def put_at(self, key: str, data: bytes) -> str:
        """As in the base class, by a client that stays open."""
        return await self._put(key, data)

    async def put_all(self, objects: Sequence[tuple[str, bytes | Path]]) -> float:
        """Upload objects (key, content), several at a time; gives when all were there (Unix time)."""
        several = asyncio.Semaphore(UPLOADS_AT_ONCE)

        async def put(key: str, content: bytes | Path) -> None:
            async with several:
                with contextlib.ExitStack() as opened:
                    body = content if isinstance(content, bytes) else opened.enter_context(content.open("rb"))
                    await self._put(key, body)

        await asyncio.gather(*(put(key, content) for key, content in objects))
        return time.time()

    async def _put(self, key: str, body: Any) -> str:
        if self._s3 is None:
            session = aioboto3.Session(
                self.environment["S3_ACCESS_KEY_ID"], self.environment["S3_SECRET_ACCESS_KEY"], region_name="us-east-1"
            )
            client = session.client("s3", endpoint_url=self.environment["S3_ENDPOINT_URL"])
            self._s3 = await self._opened.enter_async_context(client)
        answer = await self._s3.put_object(Bucket=self.environment["S3_BUCKET"], Key=key, Body=body)
        etag: str = answer["ETag"].strip('"')
        return etag

    async def close(self) -> None:
        """Stop the stages and let go of the connections."""
        self.stop_all()
        await self.steps.close()
        await self._opened.aclose()

    async def add_sources(self, names: Sequence[str], changes: Mapping[str, str] | None = None) -> None:
        """Add sources while the worker runs, and wait until its lanes read them all."""
        sources = int(RESTORED.findall(self.log("process"))[-1]) + len(names)
        for name in names:
            self.add_source(name, "texas", **(changes or {}))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while RESTORED.findall(self.log("process")).count(str(sources)) < self.lanes:
            self.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{sources} sources are not read:\n{self.log('process')[-LOG_CHARACTERS:]}")
            await asyncio.sleep(POLL_SECONDS)

    async def load_done(self, source: str, etag: str, name: str) -> dict[str, Any]:
        """The receipt of a load that is done.

        Raises:
            RuntimeError: it came to another end, or to none in time.
        """
        connection = await asyncpg.connect(self.environment["POSTGRES_DSN"])
        query = "select * from loads where object_key = $1 and object_version = $2"
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                row = await connection.fetchrow(query, f"{source}/{name}", etag)
                if row is not None and row["status"] in {"done", "held", "failed", "broken"}:
                    if row["status"] != "done":
                        raise RuntimeError(f"the load of {name} is {row['status']}: {row['reason']}")
                    return dict(row)
                self.check_alive()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await connection.close()
        raise RuntimeError(
            f"the load of {name} is not done after {PATIENCE_SECONDS} s\n{self.all_logs()[-LOG_CHARACTERS:]}"
        )

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time that each stage has used so far."""
        times = {name: psutil.Process(process.pid).cpu_times() for name, process in self._stages.items()}
        return {name: used.user + used.system for name, used in times.items()}

    def process(self, name: str) -> psutil.Process:
        """A running stage."""
        return psutil.Process(self._stages[name].pid)

    @property
    def running(self) -> set[str]:
        """The stages that were started and not stopped."""
        return set(self._stages)

    def check_alive(self) -> None:
        """See that no stage has ended by itself: what waits for one that has would wait in vain.

        Raises:
            RuntimeError: one has.
        """
        for name, process in self._stages.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended:\n{self.log(name)[-LOG_CHARACTERS:]}")

    async def restored(self) -> None:
        """Wait until the worker has all its lanes."""
        await self.logged("process", "lanes_assigned", PATIENCE_SECONDS)
        while self.log("process").count("lane_restored") < self.lanes:
            self.check_alive()
            await asyncio.sleep(POLL_SECONDS)

    @contextlib.contextmanager
    def paused(self, *names: str) -> Iterator[None]:
        """Stages that do nothing for a while, but keep what they have restored and warmed up; all without names."""
        names = names or tuple(self._stages)
        for name in names:
            self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.signal(name, signal.SIGCONT)

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Where each partition of a topic ends."""
        partitions = [TopicPartition(topic, lane) for lane in range(self.lanes)]
        async with _consumer(self.kafka) as consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends

    async def committed_records(self, topic: str, start: dict[TopicPartition, int], prefix: str) -> int:
        """How many committed records with such a key stand between ``start`` and the end."""
        stop = await self.end_offsets(topic)
        found = 0
        async with _consumer(self.kafka) as consumer:
            consumer.assign(list(start))
            for where, offset in start.items():
                consumer.seek(where, offset)
            while any([await consumer.position(where) < end for where, end in stop.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += sum(record.key.startswith(prefix.encode()) for record in records)
        return found

    async def arrived(self, topic: str) -> tuple[int, float]:
        """How many messages a contestant's topic has, and when the broker got the last (Unix time)."""
        ends = {where: end for where, end in (await self.end_offsets(topic)).items() if end}
        times = []
        async with _consumer(self.kafka) as consumer:
            for where, end in ends.items():
                consumer.assign([where])
                consumer.seek(where, end - 1)
                times.append((await consumer.getone(where)).timestamp / 1000)
        return sum(ends.values()), max(times)

    async def copied(
        self, source: str, start: dict[TopicPartition, int], stop: dict[TopicPartition, int], topic: str
    ) -> int:
        """Copy the committed records of a topic from ``start`` to ``stop`` into another; gives how many there are."""
        await self.make_topics(topic)
        producer = TransactionalProducer(self.kafka, topic)
        await producer.start()
        count = 0
        for where, first in start.items():
            async for records in read_partition(self.kafka, source, where.partition, start=first, end=stop[where]):
                count += len(records)
                for record in records:
                    producer.add(topic, where.partition, record.key, record.value)
                await producer.begin()
                await producer.commit()
        await producer.close()
        return count

    async def make_topics(self, *names: str) -> None:
        """Topics with a partition a lane, for contestants to write to, whose messages have the broker's time."""
        config = {"message.timestamp.type": "LogAppendTime"}
        await kafka.ensure_topics(self.kafka, [topics.Topic(name, self.lanes, None, config) for name in names])


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A fresh system in a temporary folder; its stages are not started. All of it ends with a task that is told to."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder = _temporary_folder()
    try:
        async with Stack(folder / "home") as stack:
            await asyncio.to_thread(migrate, stack.environment["POSTGRES_DSN"])
            running = World(stack, folder / "system")
            await kafka.ensure_topics(running.kafka, topics.shared_topics(running.lanes))
            try:
                yield running
            finally:
                await running.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="leadstream-bench-"))
    folder.chmod(0o711)  # run by root, Postgres works as another user, who must be able to pass
    return folder


class _Steps:
    """Waits for the steps of loads on Kafka itself: they are there before Postgres hears of them."""

    def __init__(self, owner: World) -> None:
        self._owner = owner
        self._consumer: AIOKafkaConsumer | None = None
        self._registry = Registry(owner.registry)
        self._decoder = Decoder(self._registry)
        self._seen: Counter[tuple[str, str]] = Counter()
        self._last_at: dict[tuple[str, str], float] = {}
        self._made_at: dict[tuple[str, str], datetime] = {}

    async def until(self, object_key: str, step: str, count: int = 1, patience: float = PATIENCE_SECONDS) -> float:
        """When the ``count``-th such step of a load was there (Unix time).

        Raises:
            RuntimeError: it did not come in time.
        """
        if self._consumer is None:
            self._consumer = kafka.consumer(self._owner.kafka, group_id=None)
            await self._consumer.start()
            self._consumer.assign([TopicPartition(topics.LOADS, lane) for lane in range(self._owner.lanes)])
        deadline = time.monotonic() + patience
        while self._seen[object_key, step] < count:
            self._owner.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no step {step} of {object_key}\n{self._owner.all_logs()[-LOG_CHARACTERS:]}")
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    _schema_id, value = await self._decoder.decode(record.value)
                    name = value["object_key"], value["step"]
                    self._seen[name] += 1
                    self._last_at[name] = time.time()
                    self._made_at[name] = value["at"]
        return self._last_at[object_key, step]

    def made_at(self, object_key: str, step: str) -> datetime:
        """When a step that was there was made by its stage, before its transaction was committed."""
        return self._made_at[object_key, step]

    async def close(self) -> None:
        """Let go of the connections."""
        if self._consumer is not None:
            await self._consumer.stop()
        await self._registry.close()


@contextlib.asynccontextmanager
async def _consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = kafka.consumer(settings, group_id=None)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def seconds_between(start: datetime | float, end: datetime | float) -> float:
    """Seconds from one moment to another; each is Unix time or a time with its zone."""
    first, last = (at.timestamp() if isinstance(at, datetime) else at for at in (start, end))
    return last - first
