"""A lane of the row path without Kafka, for tests of change detection: lists instead of topics."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from leadstream.errors import BadRecordError
from leadstream.forgotten import Digester, Forgotten
from leadstream.partitioning import lead_key
from leadstream.sources import SourceConfig, load_sources
from processors.breaker import judged
from processors.change_state import PROGRESS_KEY, PartitionState
from processors.changes import BatchChanges
from processors.content import Body
from processors.envelope import EnvelopeEncoder
from processors.forgetting import erase
from processors.mapping_guard import by_load
from processors.progress import NO_OFFSET, Counts, EndedLoad
from processors.raw_rows import RowReaders
from producer.raw_output import encode_row, end_headers, load_headers, raw_schema, row_headers
from producer.splitter import Column
from schemas import records
from schemas.codec import FRAME_BYTES, frame
from schemas.headers import Headers, Kind, Reason

SOURCE = "texas"
SCHEMA_ID = 7
COLUMNS = [Column(name="Key", field="Key"), Column(name="Name", field="Name")]
BAD = "bad"
"""As a name: the row fails the mapping."""
MANGLED = "mangled"
"""As a name: the row's bytes are no record."""
DAMAGED = "damaged"
"""As a name: the producer could read the key alone; it sends a `seen` message."""
SECRET = "a secret of these tests"
FIRST_MAPPING: Mapping[str, str | None] = {BAD: None}


@dataclass(frozen=True)
class Message:
    """What a consumer gives of a raw record."""

    key: bytes
    value: bytes | None
    headers: Headers
    offset: int = -1
    topic: str = f"leads.raw.{SOURCE}"
    partition: int = 0


@dataclass(frozen=True)
class File:
    """One load in one partition: rows of (key, name), and how it ends."""

    seq: int
    rows: Sequence[tuple[str, str]]
    refresh: str = "complete"
    status: str = "complete"
    """``complete``, ``abandoned``; empty: no end marker follows."""
    hold: str = ""
    lost_rows: int = 0
    """Row messages that the end marker counts and nobody saw."""

    @property
    def load_id(self) -> str:
        """One load a sequence number."""
        return f"load-{self.seq}"

    def messages(self) -> list[Message]:
        """As the producer makes them."""
        place = (self.load_id, self.seq, "landing", f"{SOURCE}/{self.seq}.csv", "v1")
        found, sent_rows = [], self.lost_rows
        for row_number, (key, name) in enumerate(self.rows, start=1):
            kind = Kind.SEEN if name == DAMAGED else Kind.ROW
            value = None
            if kind is Kind.ROW:
                sent_rows += 1
                value = frame(SCHEMA_ID) + (b"\xff" if name == MANGLED else encode_row(b"", [key, name]))
            where = row_headers(load_headers(kind, *place), row_number, row_number + 1)
            found.append(Message(key.encode(), value, where))
        if self.status:
            marker = end_headers(
                load_headers(Kind.END, *place),
                rows=sent_rows,
                status=self.status,
                refresh=self.refresh,
                hold=self.hold,
            )
            found.append(Message(b"", None, marker))
        return found


@dataclass(frozen=True)
class Sent:
    """A record of leads.canonical."""

    op: str
    key: str
    load_id: str
    order: tuple[int, int]
    changed_fields: list[str]
    body: Body
    replay_id: str


@dataclass(frozen=True)
class Step:
    """What a load reported."""

    kind: str
    load_id: str
    counts: Counts
    reason: str


class Readers:
    """Stands in for RowReaders: its one mapping makes the second cell the lead's company, and notes what it mapped."""

    schema_id = SCHEMA_ID
    missing_required = ()

    def __init__(self, refused: str = BAD) -> None:
        self.meanings: Mapping[str, str | None] = {refused: None}
        """By the name that stands in a row, the company it gives if that is another; ``None``: the row fails."""
        self.mapping_version = "m1"
        self.mapped: list[str | None] = []
        """Keys of the rows that were mapped."""

    @property
    def bound(self) -> Readers:
        """The mapping, bound to the one header."""
        return self

    async def prepare(self, _values: Sequence[bytes]) -> None:
        """Nothing is to be fetched."""

    def reader(self, _source: SourceConfig, _value: bytes) -> Readers:
        """The reader of the one header."""
        return self

    def cells(self, value: bytes) -> list[str | None]:
        """The cells of a raw message."""
        try:
            row = schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), _row_schema(), None)
        except Exception as exc:  # as schemas.codec does it
            raise BadRecordError("the bytes are not a record", code="undecodable") from exc
        return list(cast("dict[str, str | None]", row).values())

    def map(self, cells: list[str | None]) -> tuple[Body, list[Reason]]:
        """All canonical fields, and what is wrong."""
        self.mapped.append(cells[0])
        company = meaning(self.meanings, cells[1] or "")
        body = dict.fromkeys(records.lead_fields()) | {"ages_served": [], "provider_id": cells[0], "company": company}
        return body, [Reason("company", "wrong", "is not allowed")] if company is None else []


@functools.cache
def source() -> SourceConfig:
    """A real source's settings."""
    return load_sources(Path(__file__).parents[2] / "sources")[SOURCE]


@dataclass
class Lane:
    """Does what ``processors.lane`` does with Kafka, one partition of one source."""

    raw: list[Message] = field(default_factory=list)
    next_offset: int = 0
    canonical: list[bytes | None] = field(default_factory=list)
    sent: list[Sent | None] = field(default_factory=list)
    """The same, decoded; ``None`` is a tombstone."""
    sent_at_once: list[int] = field(default_factory=list)
    """How many change records each transaction had."""
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    """Key and code of the first reason."""
    steps: list[Step] = field(default_factory=list)
    state: PartitionState = field(default_factory=lambda: PartitionState(SOURCE, 0))
    config: SourceConfig = field(default_factory=source)
    readers: Readers = field(default_factory=Readers)
    commands: int = 0
    """How many came."""
    dies_while_it_releases: bool = False
    """Whether a successor takes over between the transactions in which parked changes go out."""
    is_lead_known: bool = True
    """Whether what an updated or deleted lead was before can be read."""

    def put(self, *files: File) -> None:
        """The producer sends loads."""
        for file in files:
            self.put_messages(file.messages())

    def put_messages(self, messages: Sequence[Message]) -> None:
        """The producer sends messages."""
        self.raw += [replace(message, offset=len(self.raw) + at) for at, message in enumerate(messages)]

    def work(self, size: int | None = None) -> None:
        """One batch of up to ``size`` messages, committed: in several transactions when it ends a file for whose end
        much has waited.
        """
        left = self.work_once(size)
        while left:
            if self.dies_while_it_releases:
                self.restart()
            left = self.work_once(left)

    def work_once(self, size: int | None = None) -> int:
        """The first transaction of such a batch; gives how many of its messages are still to be taken."""
        messages: Sequence[Message] = self._next(size)
        if self.config.hold_dead_letters:
            messages = by_load(messages)[0]
        outcome = self._outcome()
        rest_from = outcome.take(messages)
        left = 0 if rest_from is None else len(messages) - messages.index(rest_from)
        outcome = judged(outcome)
        if not self.state.is_rewound:
            self.next_offset += len(messages) - left
        self._write(outcome)
        return 0 if self.state.is_rewound else left

    def load(self, *files: File, batch: int | None = None) -> Step:
        """Send loads and take them in batches of ``batch``; gives the last step."""
        self.put(*files)
        while self.next_offset < len(self.raw):
            self.work(batch)
        return self.steps[-1]

    def load_until_halted(self, *files: File, batch: int | None = None) -> Step:
        """As :meth:`load`, up to where the lane halts; gives the step that says so."""
        self.put(*files)
        while not self.state.is_rewound:
            self.work(batch)
        return self.steps[-1]

    def approve(self, load_id: str) -> None:
        """An operator lets a load through however many of its rows fail."""
        self.state.approved_load = load_id
        self._write(self._outcome())

    def crash(self, size: int) -> None:
        """A batch whose transaction is lost, and a successor."""
        self._outcome().take(self._next(size))
        self.restart(size)

    def forget(self, *digests: bytes, kind: str = "forget") -> None:
        """An operator has a person forgotten, or let in again."""
        digester = Digester(SECRET)
        command = {"kind": kind, "digests": digests, "digest_key": digester.check}
        if not self.state.forgotten:
            self.state.forgotten = Forgotten(digester)
        self.state.forgotten.take(command, self.commands)
        self.commands += 1
        self._write(erase(self._outcome(), f"{kind}-1", self.commands))

    def restart(self, batch: int = 1_000) -> None:
        """A successor: state from the changelog, the load under way from the raw topic."""
        forgotten, self.state = self.state.forgotten, PartitionState(SOURCE, 0)
        self.state.forgotten = forgotten
        for key, value in self.changelog.items():
            record = schemaless_reader(io.BytesIO(value), records.parsed("lead_state"), None)
            self.state.take_record(key, cast("dict[str, Any]", record))
        self.look_again(batch)

    def look_again(self, batch: int = 1_000) -> None:
        """Before reading on: the load under way from the raw topic."""
        self.state.is_rewound = False
        outcome = self._outcome()
        assert self.state.next_offset == self.next_offset
        start = self.state.resume_offset
        for at in range(start, self.next_offset if start >= 0 else start, batch):
            outcome.look_again(self.raw[at : min(at + batch, self.next_offset)])

    def settle(self, kind: str, file: File) -> Step:
        """An operator approves or rejects the held deletes of a load."""
        outcome = self._outcome()
        outcome.settle_held_deletes(
            {
                "command_id": f"{kind}-{file.load_id}",
                "kind": kind,
                "load_id": file.load_id,
                "load_seq": file.seq,
                "bucket": "landing",
                "object_key": f"{SOURCE}/{file.seq}.csv",
                "object_version": "v1",
            },
            offset=0,
        )
        self._write(outcome)
        return self.steps[-1]

    def sent_for(self, file: File) -> list[Sent]:
        """The change records of a load itself, without those of its replays."""
        own = (file.load_id, "")
        return [record for record in self.sent if record is not None and (record.load_id, record.replay_id) == own]

    def names(self) -> dict[str, str]:
        """The live leads by key, as a reader of leads.canonical folds them: their names."""
        found: dict[str, str] = {}
        for record in self.sent:
            if record is not None:
                found[record.key] = record.body["company"]
                if record.op == "d":
                    del found[record.key]
        return found

    def _outcome(self) -> BatchChanges:
        return BatchChanges(self.state, self.config, cast("RowReaders", self.readers))

    def _next(self, size: int | None) -> list[Message]:
        return self.raw[self.next_offset : None if size is None else self.next_offset + size]

    def _write(self, outcome: BatchChanges) -> None:
        for change in outcome.changes:
            if change.previous_offset != NO_OFFSET and self.is_lead_known:
                value = self.canonical[change.previous_offset]
                assert value is not None
                before = _decode_lead(value)
                change.previous = {name: before[name] for name in records.lead_fields()}
        outcome.finish()
        self.sent_at_once.append(len(outcome.changes))
        offsets = []
        envelopes = EnvelopeEncoder(SOURCE, 0, datetime.now(UTC))
        for change in outcome.changes:
            envelope = envelopes.encode(lead_key(SOURCE, change.key.decode()).encode(), change)
            for value in [envelope + change.body_bytes] + [None] * (change.op == "d"):
                offsets.append(len(self.canonical))
                self.canonical.append(value)
                self.sent.append(None if value is None else _sent(value))
        given = iter(offsets)
        for key, entry in outcome.settle(given).items():
            self.changelog[key] = entry.encoded()
        for key in outcome.erased:
            self.changelog.pop(key, None)
        assert next(given, None) is None
        buffer = io.BytesIO()
        schemaless_writer(buffer, records.parsed("lead_state"), self.state.progress_record(self.next_offset))
        self.changelog[PROGRESS_KEY] = buffer.getvalue()
        self.dead_letters += [(letter.message.key.decode(), letter.reasons[0].code) for letter in outcome.dead_letters]
        self.steps += [_step(ended) for ended in outcome.ended]


def meaning(meanings: Mapping[str, str | None], name: str) -> str | None:
    """The company that a mapping gives for a name; ``None``: the row fails."""
    return None if name == MANGLED else meanings.get(name, name)


@functools.cache
def _row_schema() -> Any:
    return parse_schema(raw_schema(SOURCE, COLUMNS))


def _decode_lead(value: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", schemaless_reader(io.BytesIO(value), records.parsed("lead"), None))


def _sent(value: bytes) -> Sent:
    lead = _decode_lead(value)
    return Sent(
        op=lead["op"],
        key=lead["lead_key"].removeprefix(f"{SOURCE}:"),
        load_id=lead["load_id"],
        order=(lead["load_seq"], lead["row_number"]),
        changed_fields=lead["changed_fields"],
        body={name: lead[name] for name in records.lead_fields()},
        replay_id=lead["replay_id"],
    )


def _step(ended: EndedLoad) -> Step:
    return Step(ended.step, ended.load.load_id, replace(ended.counts), ended.reason)
