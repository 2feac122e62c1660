"""What the system left on its topics and in its tables, read without any of its code."""

from __future__ import annotations

import io
import json
import struct
import urllib.request
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from fastavro import parse_schema, schemaless_reader

CANONICAL, LETTERS, LOADS, RAW = "leads.canonical", "leads.dlq", "leads.loads", "leads.raw."
LANES = 4
FRAME_BYTES = 5
POLL_SECONDS = 10.0

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class RawMessage:
    """A record of a raw topic: ``kind`` is row, seen or end; other records are not kept."""

    place: Place
    kind: str
    load_id: str
    load_seq: int
    row: int
    object_key: str
    version: str
    status: str


@dataclass(frozen=True)
class Change:
    """A change record."""

    place: Place
    key: str
    op: str
    load_id: str
    order: tuple[int, int]
    content: tuple[str | None, str | None]


@dataclass(frozen=True)
class Letter:
    """A dead letter of a row (0: of a file)."""

    place: Place
    load_id: str
    row: int
    stage: str


@dataclass(frozen=True)
class Snapshot:
    """What Postgres said at one moment, in one transaction: of each partition its offset, and how much was written."""

    topic: str
    partition: int
    next_offset: int
    written: int


@dataclass
class Evidence:
    """Everything that the checker looks at."""

    raw: dict[str, list[RawMessage]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    undecodable: list[Place] = field(default_factory=list)
    """Records of the canonical topic that are none."""
    written_places: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """By topic and partition, the offsets of what must be in Postgres, in order."""
    last_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    committed: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """Checksum by topic, partition, offset."""
    uncommitted: set[tuple[str, int, int]] = field(default_factory=set)
    """What a reader of everything sees."""
    live: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """What the read_committed reader that ran all the time saw."""
    live_twice: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)
    leads: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    audit: list[dict[str, Any]] = field(default_factory=list)


def checksum(value: bytes | None) -> int:
    """Of a record's value; -1 for a tombstone."""
    return -1 if value is None else zlib.crc32(value)


class TopicReader:
    """Reads on, at each call, what has come since; by librdkafka, which is not the product's client."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str], registry_url: str) -> None:
        self._partitions = [TopicPartition(topic, lane, OFFSET_BEGINNING) for topic in topics for lane in range(LANES)]
        self._options = {"bootstrap.servers": bootstrap_servers, "enable.auto.commit": False, "group.id": "faults"}
        self._registry_url = registry_url
        self._schemas: dict[int, Any] = {}
        self._next = {level: dict[tuple[str, int], int]() for level in ("read_committed", "read_uncommitted")}

    def read_into(self, evidence: Evidence) -> None:
        """Add all that is committed now, and note the places of what is not."""
        for message in self._new_messages("read_committed"):
            self._take(evidence, message)
        for message in self._new_messages("read_uncommitted"):
            evidence.uncommitted.add((message.topic() or "", message.partition() or 0, message.offset() or 0))

    def _new_messages(self, level: str) -> Iterable[Message]:
        """Read to the end of every partition that stands now."""
        options = {"isolation.level": level, "enable.partition.eof": True, "auto.offset.reset": "earliest"}
        consumer = Consumer(self._options | options)
        known = self._next[level]
        try:
            consumer.assign(
                [
                    TopicPartition(p.topic, p.partition, known.get((p.topic, p.partition), OFFSET_BEGINNING))
                    for p in self._partitions
                ]
            )
            open_ends = {(p.topic, p.partition) for p in self._partitions}
            while open_ends:
                message = consumer.poll(POLL_SECONDS)
                if message is None:
                    raise TimeoutError(f"Kafka does not answer; not read to their ends: {sorted(open_ends)}")
                where = (message.topic() or "", message.partition() or 0)
                error = message.error()
                if error is None:
                    known[where] = (message.offset() or 0) + 1
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(where)
                elif not error.retriable() and error.code() not in (
                    KafkaError._TRANSPORT,
                    KafkaError._ALL_BROKERS_DOWN,
                ):
                    raise KafkaException(error)
        finally:
            consumer.close()

    def _take(self, evidence: Evidence, message: Message) -> None:
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        value, place = message.value(), (partition, offset)
        evidence.committed[topic, partition, offset] = checksum(value)
        evidence.last_offsets[topic, partition] = offset
        headers = {name: (data or b"").decode("utf-8", "replace") for name, data in message.headers() or []}
        if topic.startswith(RAW):
            if headers.get("kind") in {"row", "seen", "end"}:
                evidence.raw.setdefault(topic.removeprefix(RAW), []).append(_raw_message(place, headers))
        elif topic == LETTERS:
            evidence.written_places.setdefault((topic, partition), []).append(offset)
            evidence.letters.append(
                Letter(
                    place,
                    headers.get("leadstream.load_id", ""),
                    int(headers.get("leadstream.row") or 0),
                    headers.get("__connect.errors.stage", ""),
                )
            )
        elif topic == CANONICAL and value is not None:
            evidence.written_places.setdefault((topic, partition), []).append(offset)
            lead = self._decode(value)
            if lead is None:
                evidence.undecodable.append(place)
                return
            order = (lead["load_seq"], lead["row_number"])
            content = (lead["company"], lead["license_number"])
            evidence.changes.append(Change(place, lead["lead_key"], lead["op"], lead["load_id"], order, content))

    def _decode(self, value: bytes) -> dict[str, Any] | None:
        if len(value) < FRAME_BYTES or value[0] != 0:
            return None
        (schema_id,) = struct.unpack(">I", value[1:FRAME_BYTES])
        if schema_id not in self._schemas:
            with urllib.request.urlopen(f"{self._registry_url}/schemas/ids/{schema_id}") as answer:
                self._schemas[schema_id] = parse_schema(json.loads(json.load(answer)["schema"]))
        record: Any = schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), self._schemas[schema_id], None)
        return dict(record)


async def read_tables(connection: asyncpg.Connection, evidence: Evidence) -> None:
    """Put what the tables say now into the evidence."""

    async def rows(query: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(query)]

    async with connection.transaction(isolation="repeatable_read", readonly=True):
        evidence.leads = await rows(
            "select lead_key, source, load_seq, row_number, company, license_number, deleted_at from leads"
        )
        evidence.history = await rows(
            "select canonical_partition, canonical_offset, lead_key, op, load_seq, row_number from lead_history"
        )
        evidence.loads = await rows("select * from loads")
        evidence.audit = await rows("select * from fault_audit order by audit_id")
        evidence.offsets = {
            (row["topic"], row["partition"]): row["next_offset"] for row in await rows("select * from sink_offsets")
        }


async def read_snapshot(connection: asyncpg.Connection) -> list[Snapshot]:
    """How far each partition is, and how many records of it are in the tables, at one moment."""
    found = await connection.fetch(
        """
        with written as (
            select 'leads.canonical' as topic, canonical_partition as partition, count(*) as records
            from lead_history group by 2
            union all
            select 'leads.dlq', split_part(dead_letter_id, '-', 1)::integer, count(*)
            from dead_letters where stage is distinct from 'WRITE' group by 2
            union all
            select 'leads.canonical', raw_partition, count(*)
            from dead_letters where stage = 'WRITE' and raw_topic = 'leads.canonical' group by 2
        )
        select topic, partition, next_offset,
            (select coalesce(sum(records), 0) from written
             where (written.topic, written.partition) = (sink_offsets.topic, sink_offsets.partition))::bigint as records
        from sink_offsets
        where topic in ('leads.canonical', 'leads.dlq')
        """
    )
    return [Snapshot(row["topic"], row["partition"], row["next_offset"], row["records"]) for row in found]


def _raw_message(place: Place, headers: dict[str, str]) -> RawMessage:
    return RawMessage(
        place=place,
        kind=headers["kind"],
        load_id=headers["load_id"],
        load_seq=int(headers["load_seq"]),
        row=int(headers.get("row") or 0),
        object_key=headers["key"],
        version=headers["version"],
        status=headers.get("status", ""),
    )
