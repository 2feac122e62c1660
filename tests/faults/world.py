"""The running system under attack: its parts, its stages, files that land all the time, and what was seen of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from sink.migrate import migrate
from tests.faults.checker import Finding, check
from tests.faults.evidence import (
    CANONICAL,
    LANES,
    LETTERS,
    LOADS,
    RAW,
    Evidence,
    TopicReader,
    checksum,
    read_snapshot,
    read_tables,
)
from tests.faults.files import YAML, File, Row, Vendor
from tests.faults.parts import FaultStack, SmallDisk, free_port
from tests.faults.proxy import Proxy
from tests.faults.s3_proxy import S3Proxy
from tests.system import STAGES, System

SOURCES = ("faults-a", "faults-b", "faults-c")
POISONED, BIG = "faults-poisoned", "faults-big"
LEADS_PER_SOURCE = 400
SECONDS_BETWEEN_FILES = 1.0
FILES_IN_WAIT = 9
FINISHED = "select count(*) from loads where status in ('done', 'failed')"
SNAPSHOT_SECONDS = 0.4
TRANSACTION_TIMEOUT_SECONDS = 60
CAUGHT_UP_SECONDS = 30
"""After that; more where other programs take their share of the machine."""
STUCK_AFTER_SECONDS = 300
POINT_TIMEOUT_SECONDS = 60
READER_TIMEOUT_SECONDS = 30
AWAY_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
SMALL = {
    "PRODUCER_ROWS_PER_TRANSACTION": "100",
    "PROCESSOR_MAX_POLL_RECORDS": "40",
    "SINK_MAX_BATCH_RECORDS": "60",
}
"""Small transactions, so that a fault falls into the middle of a load."""


class FaultSystem(System):
    """Stages that pass the points of `tests.faults.points`."""

    program = "tests.faults.points"

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        super().__init__(environment | {"FAULTS_FOLDER": str(folder)} | SMALL, folder)
        self.folder = folder

    def start(self, stage: str, name: str = "", under: Sequence[str] = (), **environment: str) -> None:
        """As any stage, with a name by which the points know it."""
        super().start(stage, name, under, **environment | {"FAULTS_NAME": name or stage})

    def ended_by_themselves(self) -> dict[str, int]:
        """Exit codes of the stages that nobody ended."""
        codes = {name: process.poll() for name, process in list(self._stages.items())}
        return {name: code for name, code in codes.items() if code is not None}

    def start_again(self, name: str) -> None:
        """With the same settings."""
        stage, environment = self._arguments[name]
        self.start(stage, name, **environment)


@dataclass
class Result:
    """What came of a fault, or of two at once."""

    name: str
    fault_seconds: float
    recovery_seconds: float
    rows: int
    findings: list[Finding] = field(default_factory=list)


class World:
    """Everything. Made by :func:`running_world`."""

    def __init__(self, stack: FaultStack, system: FaultSystem, disk: SmallDisk, s3: Any, seed: int) -> None:
        self.stack, self.system, self.disk = stack, system, disk
        self.rng = random.Random(seed)
        self.seed = seed
        self.files: list[File] = []
        self.vendors = {source: Vendor(source, self.rng, LEADS_PER_SOURCE) for source in SOURCES}
        self.evidence = Evidence()
        self.results: list[Result] = []
        self.snapshots_judged = 0
        self.s3 = s3
        self.landing = asyncio.Event()
        """Whether files land."""
        self._putting = asyncio.Lock()
        self._known: set[Finding] = set()
        self._finished = 0
        self._ended: list[Finding] = []
        self.works: list[asyncio.Task[None]] = []
        """What goes on all the time."""
        environment = stack.environment
        topics = [CANONICAL, LETTERS, LOADS, *(RAW + source for source in (*SOURCES, POISONED, BIG))]
        self.reader = TopicReader(environment["KAFKA_BOOTSTRAP_SERVERS"], topics, environment["SCHEMA_REGISTRY_URL"])
        self._live_topics = topics
        self.kafka: Proxy
        self.postgres: Proxy
        self.s3_proxy: S3Proxy

    async def put(self, file: File) -> None:
        """Upload a file, however long that takes, and remember it; not while files are held back by :meth:`pause`."""
        async with self._putting:
            await self.upload(file)

    async def upload(self, file: File) -> None:
        """As :meth:`put`, at any time."""
        while True:
            try:
                answer = await self.s3.put_object(Bucket="landing", Key=file.object_key, Body=file.data)
                break
            except (BotoCoreError, ClientError, OSError):
                await asyncio.sleep(0.2)
        file.etag = answer["ETag"].strip('"')
        self.files.append(file)

    async def spring(self, name: str, point: str, number: signal.Signals, passage: int) -> None:
        """Wait until a stage has got a signal at a point."""
        file = self.system.folder / f"{name}.json"
        done = file.with_suffix(".done")
        done.unlink(missing_ok=True)
        told = {"point": point, "passage": passage, "signal": int(number), "id": uuid.uuid4().hex}
        file.with_suffix(".new").write_text(json.dumps(told))
        file.with_suffix(".new").rename(file)
        deadline = time.monotonic() + POINT_TIMEOUT_SECONDS
        while file.exists():
            assert time.monotonic() < deadline, f"{name} did not come to {point!r}"
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """To Postgres, not through the proxy."""
        connection = await asyncpg.connect(self.stack.environment["POSTGRES_DSN"], timeout=10)
        try:
            yield connection
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=5)

    async def survive(self, name: str, *faults: Any) -> Result:
        """Let faults happen (all at once) while files land; then wait until all is well, and check everything."""
        self.landing.set()
        await asyncio.sleep(SECONDS_BETWEEN_FILES)
        began = time.monotonic()
        happened = await asyncio.gather(*(fault(self) for fault in faults), return_exceptions=True)
        ended = time.monotonic()
        await self.pause()
        findings = [Finding("none", f"no fault: {exc!r}") for exc in happened if isinstance(exc, BaseException)]
        findings += await self._catch_up(ended)
        recovered = time.monotonic() - ended
        findings += self._ended
        self._ended = []
        for work in self.works:
            if work.done():
                work.result()
        findings += await self._judge()
        new = [finding for finding in findings if finding not in self._known]
        self._known.update(new)
        result = Result(name, round(ended - began, 1), round(recovered, 1), self.rows, new)
        self.results.append(result)
        with (self.system.folder / "results.log").open("a") as log:
            log.write(f"{result}\n")
        return result

    async def pause(self) -> None:
        """No more files land."""
        self.landing.clear()
        async with self._putting:
            pass

    async def settle(self) -> None:
        """Wait until all that was put is in Postgres."""
        await self.pause()
        deadline = time.monotonic() + STUCK_AFTER_SECONDS
        while await self._what_is_missing():
            assert time.monotonic() < deadline, await self._what_is_missing()
            await asyncio.sleep(0.2)

    @property
    def rows(self) -> int:
        """Rows that were put so far."""
        return sum(len(file.rows) for file in self.files)

    async def _catch_up(self, ended: float) -> list[Finding]:
        missing = await self._what_is_missing()
        while missing and time.monotonic() < ended + STUCK_AFTER_SECONDS:
            await asyncio.sleep(0.2)
            missing = await self._what_is_missing()
        waited = time.monotonic() - ended
        if missing:
            return [Finding("I7", f"not caught up after {waited:.0f} s: {missing}")]
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        if waited > TRANSACTION_TIMEOUT_SECONDS + CAUGHT_UP_SECONDS * crowd:
            return [Finding("I7", f"caught up only after {waited:.0f} s")]
        return []

    async def _what_is_missing(self) -> str:
        """What stands between now and being caught up; nothing when the system is."""
        try:
            async with self.connection() as connection:
                loads = await connection.fetch("select object_key, object_version, status from loads")
                status = {(load["object_key"], load["object_version"]): load["status"] for load in loads}
                for file in self.files:
                    stands = status.get((file.object_key, file.etag))
                    if file.ends and stands not in file.ends:
                        return f"{file.object_key} is {stands}"
                await asyncio.to_thread(self.reader.read_into, self.evidence)
                rows = await connection.fetch("select topic, partition, next_offset from sink_offsets")
        except (*AWAY_ERRORS, KafkaException) as exc:
            return f"no answer: {type(exc).__name__}"
        offsets = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        for (topic, partition), last in self.evidence.last_offsets.items():
            if topic in (CANONICAL, LETTERS, LOADS) and offsets.get((topic, partition), 0) <= last:
                return f"{topic}[{partition}] is not read to its end"
        return ""

    async def _judge(self) -> list[Finding]:
        try:
            await asyncio.to_thread(self.reader.read_into, self.evidence)
            async with self.connection() as connection:
                await read_tables(connection, self.evidence)
        except (*AWAY_ERRORS, KafkaException) as exc:
            return [Finding("I7", f"cannot be checked: {type(exc).__name__}: {exc}")]
        self.snapshots_judged += len(self.evidence.snapshots)
        deadline = time.monotonic() + READER_TIMEOUT_SECONDS
        while self.evidence.committed.keys() - self.evidence.live.keys():
            if time.monotonic() > deadline:
                return [Finding("I6", "the reader that ran all the time does not see what is committed")]
            await asyncio.sleep(0.2)
        findings = await asyncio.to_thread(check, self.evidence, self.files)
        self.evidence.snapshots.clear()
        return findings

    async def land(self) -> None:
        """Put files of all sources, by turns, while files land and not too many of them wait."""
        while True:
            for vendor in self.vendors.values():
                while not self.landing.is_set() or len(self.files) - self._finished > FILES_IN_WAIT:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                await self.put(vendor.next_file())
                await asyncio.sleep(SECONDS_BETWEEN_FILES)

    async def look_after_stages(self) -> None:
        """Start a stage again when it has ended; that nobody ended it is a finding."""
        while True:
            await asyncio.sleep(0.1)
            for name, code in self.system.ended_by_themselves().items():
                done = self.system.folder / f"{name}.done"
                if code != -signal.SIGKILL or not done.exists():
                    last = self.system.log(name).strip().splitlines()[-1:]
                    self._ended.append(Finding("I7", f"{name} ended by itself with {code}: {last}"))
                done.unlink(missing_ok=True)
                self.system.start_again(name)

    async def take_snapshots(self) -> None:
        """Look at the database all the time, whenever it answers."""
        while True:
            with contextlib.suppress(*AWAY_ERRORS):
                async with self.connection() as connection:
                    while True:
                        self.evidence.snapshots += await read_snapshot(connection)
                        self._finished = await connection.fetchval(FINISHED)
                        await asyncio.sleep(SNAPSHOT_SECONDS)
            await asyncio.sleep(SNAPSHOT_SECONDS)

    async def read_along(self) -> None:
        """A read_committed reader that is there all the time, as a subscriber is."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"],
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, lane) for topic in self._live_topics for lane in range(LANES)])
            while True:
                for where, records in (await consumer.getmany(timeout_ms=300)).items():
                    for record in records:
                        place = (where.topic, where.partition, record.offset)
                        self.evidence.live_twice += place in self.evidence.live
                        self.evidence.live[place] = checksum(record.value)
        finally:
            await consumer.stop()


@contextlib.asynccontextmanager
async def running_world(home: Path, folder: Path, seed: int) -> AsyncIterator[World]:
    """Start everything, with something undecodable first in every partition; end it all at the end."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    disk = SmallDisk(home)
    disk.mount()
    listener = free_port()
    async with contextlib.AsyncExitStack() as opened:
        opened.callback(disk.unmount)
        kafka = await opened.enter_async_context(Proxy("kafka", listener))
        stack = await opened.enter_async_context(FaultStack(home, listener, kafka.port))
        own = stack.environment
        port = urlsplit(own["POSTGRES_DSN"]).port or 0
        postgres = await opened.enter_async_context(Proxy("postgres", port))
        s3_proxy = await opened.enter_async_context(S3Proxy(own["S3_ENDPOINT_URL"]))
        session = aioboto3.Session(own["S3_ACCESS_KEY_ID"], own["S3_SECRET_ACCESS_KEY"], region_name="us-east-1")
        s3 = await opened.enter_async_context(session.client("s3", endpoint_url=own["S3_ENDPOINT_URL"]))
        await asyncio.to_thread(migrate, own["POSTGRES_DSN"])
        environment = own | {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.port}",
            "POSTGRES_DSN": own["POSTGRES_DSN"].replace(f":{port}/", f":{postgres.port}/"),
            "S3_ENDPOINT_URL": s3_proxy.url,
        }
        system = FaultSystem(environment, folder)
        opened.push_async_callback(asyncio.to_thread, system.stop_all)  # the stages need the proxies to end
        world = World(stack, system, disk, s3, seed)
        world.kafka, world.postgres, world.s3_proxy = kafka, postgres, s3_proxy
        async with world.connection() as connection:
            await connection.execute((Path(__file__).parent / "audit.sql").read_text())
        for source in (*SOURCES, POISONED, BIG):
            (system.sources_dir / f"{source}.yaml").write_text(YAML)
        await asyncio.to_thread(_poison, own["KAFKA_BOOTSTRAP_SERVERS"])
        for stage in STAGES:
            system.start(stage)
        works = (world.land, world.look_after_stages, world.take_snapshots, world.read_along)
        world.works = [asyncio.create_task(work()) for work in works]
        try:
            yield world
        finally:
            for task in world.works:
                task.cancel()
            await asyncio.gather(*world.works, return_exceptions=True)


def _poison(bootstrap_servers: str) -> None:
    """Make the topics, and put first into every partition what nobody can read."""
    from leadstream.settings import TopicSettings
    from schemas.topics import shared_topics, source_topics

    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    topics = shared_topics(LANES)
    for source in (*SOURCES, POISONED, BIG):
        topics += source_topics(source, LANES, TopicSettings().raw_retention_days)
    made = admin.create_topics([NewTopic(topic.name, LANES, 1, config=topic.config) for topic in topics])
    for future in made.values():
        future.result(30)
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for topic in (CANONICAL, LETTERS, LOADS, *(RAW + source for source in (*SOURCES, POISONED, BIG))):
        for lane in range(LANES):
            producer.produce(topic, os.urandom(20), b"poison", partition=lane, headers={"kind": b"\xff"})
    producer.flush(30)


def tiny_file(world: World, leads: int = 20, source: str = BIG) -> File:
    """A file of a source of which no file deletes anything: it has the leads of those before it, too."""
    before = [file for file in world.files if file.source == source]
    number, leads = len(before), max([leads, *(len(file.rows) for file in before)])
    rows = [Row(f"B{at}", (f"Provider B{at}", f"n{number}-{at}")) for at in range(leads)]
    return File(source, f"{source}/{2000 + number}-01-01.csv", rows)
