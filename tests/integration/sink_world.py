"""What a test of the sink needs: topics, a database, and the sending of what the stages before the sink would send."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from pydantic import SecretStr

from leadstream import kafka
from leadstream.settings import KafkaSettings, PostgresSettings, RegistrySettings, Settings
from leadstream.stack.supervisor import Stack
from schemas.codec import Encoder
from schemas.headers import Reason, Stage, dead_letter_headers
from schemas.records import parsed, schema_json
from schemas.registry import Registry
from schemas.topics import Topic, value_subject
from sink.batch import Batch
from sink.lead_changes import ChangeReader
from sink.service import SinkService

LANES = 2
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
PATIENCE_SECONDS = 60.0
"""Three waits in one test still come to their end before pytest loses its own patience."""
STOP_PATIENCE_SECONDS = 20.0
QUERY_TIMEOUT_SECONDS = 10.0
CHILD = """
import asyncio, sys
import sink.loop, sink.service
from leadstream.settings import settings
sink.loop.CANONICAL, sink.loop.LOADS, sink.loop.DEAD_LETTERS, sink.loop.GROUP_ID = sys.argv[1:]
sink.loop.TOPICS = tuple(sys.argv[1:4])
sink.service.shared_topics = lambda lanes: []
asyncio.run(sink.service.SinkService(settings()).run())
"""
"""A sink as a process of its own, on the topics of one test."""

Row = dict[str, Any]


class World:
    """Topics, a group and a database of one test; sends what the stages before the sink would send."""

    def __init__(self, stack: Stack, dsn: str, name: str) -> None:
        self.stack = stack
        self.dsn = dsn
        self.canonical, self.loads, self.dead_letters, self.group = (
            f"{name}.{part}" for part in ("canonical", "loads", "dlq", "sink")
        )
        self.environment = {**stack.environment, "POSTGRES_DSN": dsn}
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"]),
            registry=RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"]),
            postgres=PostgresSettings(dsn=SecretStr(dsn)),
        )
        self.encoders: dict[str, Encoder] = {}
        self.clock = itertools.count()
        self.producer: AIOKafkaProducer

    async def start(self) -> None:
        """Make the topics, register the schemas."""
        topics = [Topic(name, LANES, None) for name in (self.canonical, self.loads, self.dead_letters)]
        await kafka.ensure_topics(self.settings.kafka, topics)
        registry = Registry(self.settings.registry)
        for name, topic in (("lead", "leads.canonical"), ("load_step", "leads.loads")):
            schema_id = await registry.register(value_subject(topic), schema_json(name))
            self.encoders[name] = Encoder(schema_id, parsed(name))
        await registry.close()
        self.producer = kafka.producer(self.settings.kafka, transactional_id=self.group)
        await self.producer.start()

    def lead(self, number: int, load: str = "load-1", seq: int = 1, op: str = "c", **fields: Any) -> Row:
        """A change record of lead ``number``; each is made a second after the one before."""
        record: Row = {field["name"]: field.get("default") for field in schema_json("lead")["fields"]}
        return record | {
            "lead_key": f"acme:{number}",
            "source": "acme",
            "op": op,
            "changed_fields": ["company"] if op == "u" else [],
            "content_hash": hashlib.blake2b(repr(fields).encode(), digest_size=8).digest(),
            "load_id": load,
            "load_seq": seq,
            "row_number": 0 if op == "d" else number,
            "line_number": 0 if op == "d" else number + 1,
            "bucket": "landing",
            "object_key": f"acme/{load}.csv",
            "object_version": "etag",
            "mapping_version": "m1",
            "raw_schema_id": 7,
            "raw_partition": number % LANES,
            "raw_offset": number,
            "emitted_at": START + timedelta(seconds=next(self.clock)),
            "company": f"Sunny Days {number}",
            "ages_served": ["infants", "toddlers"],
            "phone": f"+1702555{100 + number % 100:04}",
            "license_issued": date(2020, 2, 29),
            **fields,
        }

    def step(self, kind: str, load: str = "load-1", **fields: Any) -> Row:
        """A step of a load; each is made a second after the one before, and what is not given is zero."""
        record: Row = {field["name"]: field.get("default") for field in schema_json("load_step")["fields"]}
        return record | {
            "load_id": load,
            "source": "acme",
            "bucket": "landing",
            "object_key": f"acme/{load}.csv",
            "object_version": "etag",
            "load_seq": 1,
            "step": kind,
            "at": START + timedelta(seconds=next(self.clock)),
            **fields,
        }

    def steps(self, rows: int, load: str = "load-1", **counts: int) -> list[Row]:
        """Every step of a load of ``rows`` rows, whose ``counts`` its lanes report, each a share."""
        return [
            self.step("splitting", load),
            self.step("split", load, rows=rows, partitions=LANES),
            *(
                self.step("mapped", load, partition=lane, **{name: (n + lane) // LANES for name, n in counts.items()})
                for lane in range(LANES)
            ),
        ]

    async def send_leads(self, *records: Row) -> None:
        """Send change records in one transaction, deletes followed by their tombstones."""
        async with self.producer.transaction():
            for record in records:
                key, partition = record["lead_key"].encode(), record["raw_partition"]
                await self.producer.send(self.canonical, self.encode(record), key, partition=partition)
                if record["op"] == "d":
                    await self.producer.send(self.canonical, None, key, partition=partition)

    async def send(
        self, topic: str, *values: bytes, partition: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send values as they are."""
        async with self.producer.transaction():
            for value in values:
                await self.producer.send(topic, value, b"key", partition=partition, headers=headers)

    async def send_steps(self, *steps: Row) -> None:
        """Send steps, all to one partition, as those of one load are."""
        await self.send(self.loads, *(self.encoders["load_step"].encode(step) for step in steps))

    def encode(self, lead: Row) -> bytes:
        """A change record as it stands on the canonical topic."""
        return self.encoders["lead"].encode(lead)

    async def sql(self, query: str, *arguments: object) -> list[Row]:
        """Rows of a query."""
        connection = await asyncpg.connect(
            self.dsn, timeout=QUERY_TIMEOUT_SECONDS, command_timeout=QUERY_TIMEOUT_SECONDS
        )
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close(timeout=QUERY_TIMEOUT_SECONDS)

    async def until(self, query: str, expected: object, task: asyncio.Task[None] | None = None) -> None:
        """Wait until the one value of a query is ``expected``; fail with what there is instead."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        found: object = None
        while time.monotonic() < deadline:
            if task is not None and task.done():
                task.result()
            try:
                rows = await self.sql(query)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError) as exc:
                found = exc  # Postgres is away, as some tests want it
            else:
                found = next(iter(rows[0].values())) if rows else None
                if found == expected:
                    return
            await asyncio.sleep(0.05)
        pytest.fail(f"{query}: {found!r}, not {expected!r}\n{await self._whereabouts()}")

    @contextlib.asynccontextmanager
    async def sink(self) -> AsyncIterator[asyncio.Task[None]]:
        """A sink in this process."""
        task = asyncio.create_task(SinkService(self.settings).run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_PATIENCE_SECONDS)
            if not task.done():
                await self._fail_of(task)
            if not task.cancelled():
                task.result()

    def sink_process(self) -> subprocess.Popen[bytes]:
        """A sink in a process of its own."""
        names = (self.canonical, self.loads, self.dead_letters, self.group)
        environment = {**os.environ, **self.environment}
        return subprocess.Popen([sys.executable, "-c", CHILD, *names], env=environment)

    async def _fail_of(self, task: asyncio.Task[None]) -> NoReturn:
        """Say where a sink is that was told to stop and did not; then end it, so that the next test is alone."""
        where = io.StringIO()
        task.print_stack(file=where)
        for _ in range(10):
            task.cancel()
            await asyncio.wait([task], timeout=1)
        pytest.fail(f"the sink was told to stop and goes on\n{where.getvalue()}\n{await self._whereabouts()}")

    async def _whereabouts(self) -> str:
        """How far the partitions are, and what the sessions of this database do and wait for."""
        queries = (
            "SELECT topic, partition, next_offset FROM sink_offsets ORDER BY 1, 2",
            "SELECT pid, application_name, state, wait_event, pg_blocking_pids(pid)::text AS blocked_by, "
            "now() - xact_start AS in_transaction, left(query, 60) AS query FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        lines = []
        for query in queries:
            try:
                lines += [str(row) for row in await self.sql(query)]
            except (OSError, asyncpg.PostgresError) as exc:
                lines.append(repr(exc))
        return "\n".join(lines)


def message(world: World, record: Row, offset: int) -> ConsumerRecord[bytes, bytes]:
    """A change record as aiokafka gives it."""
    return ConsumerRecord(
        topic=world.canonical,
        partition=record["raw_partition"],
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=record["lead_key"].encode(),
        value=world.encode(record),
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=(),
    )


async def batch(world: World, expected: int, *records: Row) -> Batch:
    """A batch of partition 0, whose records stand at offsets from ``expected`` on."""
    place = TopicPartition(world.canonical, 0)
    registry = Registry(world.settings.registry)
    reader = ChangeReader(registry)
    changes = [await reader.read(message(world, record, expected + i)) for i, record in enumerate(records)]
    await registry.close()
    return Batch({place: expected}, {place: expected + len(records)}, changes)


def letter_headers(
    row_number: int, load_id: str = "load-1", message: str = "is not a number", stage: Stage = Stage.VALIDATE
) -> list[tuple[str, bytes]]:
    """Headers of a dead letter with two reasons."""
    return dead_letter_headers(
        stage=stage,
        reasons=[Reason("capacity", "not_a_number", message), Reason("zip", "no_zip", "is no ZIP code")],
        source="acme",
        load_id=load_id,
        load_seq=1,
        row_number=row_number,
        line_number=row_number + 1,
        bucket="landing",
        object_key="acme/load-1.csv",
        object_version="etag",
        topic="leads.raw.acme",
        partition=1,
        offset=42,
        mapping_version="m1",
    )
