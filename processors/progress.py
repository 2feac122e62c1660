"""How far one raw partition is with the load whose rows are under way: what it counted, and which changes wait."""

from __future__ import annotations

import enum
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from processors.content import FINGERPRINT_BYTES, HASH_BYTES, Body, decode_body
from schemas import headers
from schemas.headers import Reason, Stage
from schemas.receipts import COUNTS

NO_OFFSET = -1

_PARKED = struct.Struct(f">{HASH_BYTES}s{FINGERPRINT_BYTES}sqqqH")
"""What a parked change has besides its body: content hash, fingerprint, row, line, raw offset, which reader read it."""


class Fate(enum.StrEnum):
    """What the last good row of a key came to so far; the value is the name of its count."""

    NAMED = ""
    """The key stands in the file, but no row of it was taken."""
    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass
class Counts:
    """What became of the rows of a load in one partition; names as in ``schemas/load_step.avsc``."""

    rows: int = 0
    dead_letters: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    duplicates: int = 0
    deleted: int = 0
    deletes_held: int = 0
    sent: int = 0

    def to_list(self) -> list[int]:
        """The counts in the order of :data:`schemas.receipts.COUNTS`."""
        return [getattr(self, name) for name in COUNTS]

    def add(self, fate: Fate) -> None:
        """Count the first good row of a key."""
        if fate is Fate.INSERTED:
            self.inserted += 1
        elif fate is Fate.UPDATED:
            self.updated += 1
        elif fate is Fate.UNCHANGED:
            self.unchanged += 1

    def move(self, before: Fate, after: Fate) -> None:
        """Count a lead under another fate: a later row of the same file decides."""
        # After a restart with another mapping the fate before may not be the one that was counted.
        if before is not after and getattr(self, before.value) > 0:
            setattr(self, before.value, getattr(self, before.value) - 1)
            self.add(after)


@dataclass(slots=True)
class Change:
    """A record for leads.canonical. ``previous`` is the lead's body before, once it is known."""

    op: str
    key: bytes
    load: ActiveLoad
    content_hash: bytes
    body: Body | None
    body_bytes: bytes
    row_number: int
    line_number: int
    raw_offset: int
    raw_schema_id: int
    mapping_version: str
    fingerprint: bytes = b""
    """Of the row; see :func:`processors.content.fingerprint`."""
    previous_offset: int = NO_OFFSET
    previous: Body | None = None
    has_duplicates: bool = False
    """The key stood in a file more than once, with contents that differ."""
    erased_by: str = ""
    """The command by which the lead is forgotten; empty: this is no erasure."""

    def changed_fields(self) -> list[str]:
        """Names of the fields in which an update differs from the lead before."""
        if self.op != "u" or self.previous is None or self.body is None:
            return []
        before = self.previous
        return [name for name, value in self.body.items() if before.get(name) != value]


class ParkedChanges:
    """Changes that wait for the end of their file, because a later row of it may say otherwise; one a lead.

    A file may double each of its rows. So each is packed: the body's bytes and some forty more, a quarter of what the
    change takes with the body as Python values.
    """

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._readers: list[tuple[int, str]] = []
        """Raw schema and mapping version of the rows: of a file hardly ever more than one."""

    def __len__(self) -> int:
        return len(self._packed)

    def content_hash(self, key: bytes) -> bytes | None:
        """That of the change that waits for a lead; ``None``: none does."""
        packed = self._packed.get(key)
        return None if packed is None else _PARKED.unpack_from(packed)[0]

    def put(self, change: Change) -> None:
        """Let a new or other content of a lead wait, instead of what waits for it already."""
        reader = (change.raw_schema_id, change.mapping_version)
        if reader not in self._readers:
            self._readers.append(reader)
        numbers = (change.row_number, change.line_number, change.raw_offset, self._readers.index(reader))
        self._packed[change.key] = _PARKED.pack(change.content_hash, change.fingerprint, *numbers) + change.body_bytes

    def drop(self, key: bytes) -> None:
        """Nothing waits for this lead any more."""
        self._packed.pop(key, None)

    def take_out(self, load: ActiveLoad, at_most: int | None = None) -> Iterator[Change]:
        """Take changes out, all or some, those that waited first; ``load`` is theirs."""
        for key in list(itertools.islice(self._packed, at_most)):
            packed = self._packed.pop(key)
            content_hash, row_fingerprint, row_number, line_number, raw_offset, at = _PARKED.unpack_from(packed)
            raw_schema_id, mapping_version = self._readers[at]
            body_bytes = packed[_PARKED.size :]
            yield Change(
                op="c",
                key=key,
                load=load,
                content_hash=content_hash,
                body=decode_body(body_bytes),
                body_bytes=body_bytes,
                row_number=row_number,
                line_number=line_number,
                raw_offset=raw_offset,
                raw_schema_id=raw_schema_id,
                mapping_version=mapping_version,
                fingerprint=row_fingerprint,
                has_duplicates=True,
            )


@dataclass
class ActiveLoad:
    """A load between its first message in a partition and its end marker."""

    load_id: str
    load_seq: int
    bucket: str
    object_key: str
    object_version: str
    first_offset: int
    is_stale: bool
    """A newer complete file was taken before this one: none of its rows changes anything."""
    replay_id: str = ""
    """The replay that maps rows of the load again; empty: the load itself is under way."""
    counts: Counts = field(default_factory=Counts)
    counts_before: Counts = field(default_factory=Counts)
    """Of the counts, what was counted before the lane was taken over or went on: no reason to halt it (again)."""
    rows_looked_at: int = 0
    """Row messages whose keys are in ``seen``; fewer than the end marker says: ``seen`` is not all of the file."""
    seen: dict[bytes, Fate] = field(default_factory=dict)
    """Keys that stand in the file."""
    parked: ParkedChanges = field(default_factory=ParkedChanges)
    absent: list[bytes] = field(default_factory=list)
    """Keys of leads that are still to be deleted, while its end deletes more than are sent at once."""

    @classmethod
    def from_headers(cls, values: dict[str, str], offset: int, newest_complete: int) -> ActiveLoad:
        """The load that a raw message with these headers belongs to."""
        load_seq = int(values[headers.LOAD_SEQ])
        return cls(
            load_id=values[headers.LOAD_ID],
            load_seq=load_seq,
            bucket=values[headers.BUCKET],
            object_key=values[headers.KEY],
            object_version=values[headers.VERSION],
            first_offset=offset,
            is_stale=load_seq < newest_complete,
        )


@dataclass(frozen=True)
class DeadLetter:
    """A raw message that failed, with everything that is wrong with it."""

    message: Any
    stage: Stage
    reasons: list[Reason]
    mapping_version: str


@dataclass(frozen=True)
class EndedLoad:
    """A load that came to its end marker in this partition, or what a command asked for and is done."""

    load: ActiveLoad
    counts: Counts
    reason: str
    mapping_version: str
    step: str = "mapped"
    command_id: str = ""
    """The command that asked for it; of a replay, what kind it is."""
    notes: tuple[str, ...] = ()


def is_complete(values: dict[str, str]) -> bool:
    """Whether a message with these headers ends a load that names every lead there is."""
    return values.get(headers.STATUS) == "complete" and values.get(headers.REFRESH) == "complete"


def reasons_to_hold(values: dict[str, str], load: ActiveLoad) -> list[str]:
    """Why leads that are absent from a load with this end are not to be deleted; none: they are."""
    reasons = [values[headers.HOLD]] if values.get(headers.HOLD) else []
    if is_complete(values) and not load.is_stale:
        rows = int(values[headers.ROWS])
        if load.rows_looked_at != rows:
            reasons.append(f"of {rows} rows in this partition only {load.rows_looked_at} were there to be looked at")
    return reasons
