"""What must come of files, as plain dicts: no batches, no restarts, no state packed into bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.progress import Counts
from tests.unit.changing import DAMAGED, FIRST_MAPPING, File, Sent, meaning


@dataclass
class Reading:
    """What the model knows of the load under way."""

    file: File
    is_stale: bool
    counts: Counts = field(default_factory=Counts)
    named: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    """The name in the last good row of each key."""


class Model:
    """What must come of it, message by message: no batches, no restarts, no state packed into bytes."""

    def __init__(self) -> None:
        self.meanings: Mapping[str, str | None] = FIRST_MAPPING
        self.leads: dict[str, str] = {}
        self.said_by: dict[str, int] = {}
        """seq of the file that has the last word on a lead, deleted ones included."""
        self.held: dict[str, str] = {}
        self.newest_complete = -1
        self.reading: Reading | None = None
        self.ended: list[tuple[Reading, str]] = []
        """With the reason to hold deletes."""
        self.letters: set[tuple[str, int]] = set()
        """Load and row of the open dead letters."""

    def take(self, file: File, at: int) -> None:
        """The message at index ``at`` of a file; the one after its rows is the end marker."""
        if self.reading is None or self.reading.file is not file:
            if self.reading is not None:
                self._leave(self.reading)
            self.reading = Reading(file, file.seq < self.newest_complete)
        if at < len(file.rows):
            self._row(self.reading, at + 1, *file.rows[at])
        else:
            self._end(self.reading)

    def settle(self, kind: str, file: File) -> tuple[int, int]:
        """How many deletes were held and how many leads are deleted now."""
        keys = [key for key, load_id in self.held.items() if load_id == file.load_id]
        for key in keys:
            del self.held[key]
            if kind == "approve":
                self._delete(key, file.seq)
        return len(keys), len(keys) if kind == "approve" else 0

    def _row(self, reading: Reading, row: int, key: str, name: str) -> None:
        counts, seq = reading.counts, reading.file.seq
        company = meaning(self.meanings, name)
        if name != DAMAGED:
            counts.rows += 1
        if reading.is_stale:
            counts.stale += name != DAMAGED
            return
        reading.named.add(key)
        if company is None:
            counts.dead_letters += 1
            self.letters.add((reading.file.load_id, row))
        elif name != DAMAGED and self.said_by.get(key, -1) > seq:
            counts.stale += 1
            return
        elif name != DAMAGED:
            counts.stale += key in reading.names
            counts.duplicates += key in reading.names
            reading.names[key] = company
        self.held.pop(key, None)

    def _leave(self, reading: Reading) -> None:
        """An end without a word about absent leads."""
        for key, name in reading.names.items():
            if self.said_by.get(key, -1) > reading.file.seq:
                continue  # a replay was faster
            before = self.leads.get(key)
            fate = "inserted" if before is None else "unchanged" if before == name else "updated"
            setattr(reading.counts, fate, getattr(reading.counts, fate) + 1)
            self.leads[key] = name
            self.said_by[key] = reading.file.seq

    def _end(self, reading: Reading) -> None:
        file = reading.file
        reason = file.hold
        self._leave(reading)
        if file.status == "complete" and file.refresh == "complete" and not reading.is_stale:
            reason = reason or "rows lost" * (file.lost_rows > 0)
            for key in [key for key in self.leads if key not in reading.named and self.said_by[key] < file.seq]:
                if reason:
                    self.held[key] = file.load_id
                    reading.counts.deletes_held += 1
                else:
                    self._delete(key, file.seq)
                    reading.counts.deleted += 1
            self.newest_complete = max(self.newest_complete, file.seq)
        self.ended.append((reading, reason))
        self.reading = None

    def _delete(self, key: str, seq: int) -> None:
        del self.leads[key]
        self.held.pop(key, None)
        self.said_by[key] = seq


def check_stream(sent: Sequence[Sent | None]) -> None:
    """Each record follows from the one before of its lead: op, fields, order; a tombstone after each delete.

    Raises:
        AssertionError: one does not.
    """
    newest: dict[str, Sent] = {}
    last: Sent | None = None
    for record in sent:
        assert (record is None) == (last is not None and last.op == "d")
        last = record
        if record is None:
            continue
        before = newest.get(record.key)
        is_live = before is not None and before.op != "d"
        assert (record.op == "c") == (not is_live)
        if before is not None:
            assert record.order > before.order or (record.order == before.order and record.replay_id)
        if record.op == "u":
            assert before is not None
            differing = [name for name, value in record.body.items() if before.body[name] != value]
            assert record.changed_fields == differing != []
        elif record.op == "d":
            assert before is not None
            assert record.body == before.body
        newest[record.key] = record
