"""How far one raw partition is with the load whose rows are under way: what it counted, and which changes wait."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from schemas import headers
from schemas.receipts import COUNTS

Body = dict[str, Any]

NO_OFFSET = -1


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
    """Of the row; see :func:`processors.changes.fingerprint`."""
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
    parked: dict[bytes, Change] = field(default_factory=dict)
    """Changes that wait for the end of the file, because a later row of it may say otherwise."""

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
