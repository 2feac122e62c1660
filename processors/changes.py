"""What a batch of raw messages changes: the heart of the row path, without input or output.

Given the messages of one partition and what is known of its leads, :class:`BatchChanges` collects the change records,
the dead letters, the new state and the steps of loads that came to their end. Nothing here waits for anything, so
the same code answers a dry run.

Of several good rows with one key in a file the last decides. A row whose key is known to stand there more than once
(from an earlier row, or from an earlier file) is therefore parked until the file's end, and a file that is put again
sends nothing, wherever its messages are cut into batches. When more are parked, or are to be deleted, than go out at
once, they go out batch by batch, and the message that ends the file is taken with the last.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from leadstream.errors import BadRecordError
from leadstream.sources import SourceConfig
from processors.change_state import LeadEntry, PartitionState
from processors.content import encode_body, fingerprint, hash_body
from processors.progress import (
    NO_OFFSET,
    ActiveLoad,
    Change,
    Counts,
    DeadLetter,
    EndedLoad,
    Fate,
    is_complete,
    reasons_to_hold,
)
from processors.raw_rows import RowReader, RowReaders
from schemas import headers, records
from schemas.codec import FRAME_BYTES
from schemas.headers import Kind, Reason, Stage

MAX_RELEASED = 2_000
"""As many parked changes, or deletes, are sent at once at a file's end: as many as a poll gives rows by default."""


class Difference(enum.Enum):
    """How a row differs from what is known of its lead."""

    NONE = enum.auto()
    OVERTAKEN = enum.auto()
    NEW = enum.auto()
    FROM_AN_EARLIER_ROW = enum.auto()
    """It is new, and not the first of its key in the file."""


@dataclass
class BatchChanges:
    """The outcome of consecutive messages of one raw partition.

    Use: :meth:`take` (or :meth:`settle_held_deletes`); fill in ``previous`` of the changes that have a
    ``previous_offset``; :meth:`finish`; send ``changes``; :meth:`settle` with the offsets they got.
    """

    state: PartitionState
    source: SourceConfig
    readers: RowReaders
    changes: list[Change] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    ended: list[EndedLoad] = field(default_factory=list)
    entries: dict[bytes, LeadEntry] = field(default_factory=dict)
    """New state of leads; without an offset while their record is not sent."""
    erased: list[bytes] = field(default_factory=list)
    """Keys of leads that are forgotten: their entries of the state go."""
    latest: dict[bytes, Change] = field(default_factory=dict)
    """The newest change of each lead in this batch."""
    _ready: dict[bytes, Change] = field(default_factory=dict)
    """Changes of the load under way that go out at the end of the batch, unless a later row of it says otherwise."""
    _row_headers: Any = None
    """What the row messages of the load under way begin their headers with, once one was looked at."""
    _reader: tuple[SourceConfig, bytes, RowReader] | None = None
    """The reader of the last row, by the source's configuration and the frame of the message."""

    def take(self, messages: Iterable[Any]) -> Any | None:
        """Work through raw messages, in order; may be called several times. ``readers.prepare`` was called with their
        values.

        Gives the first message that is still to be taken, once this outcome is written, with those after it: its load
        ends there, and more waits for that than is sent at once. ``None``: all were taken.
        """
        rest_from = self._read(messages)
        self._release_ready()
        return rest_from

    def look_again(self, messages: Iterable[Any]) -> None:
        """After a restore: note what messages of the load under way said that were committed before.

        For messages from ``state.resume_offset`` up to the committed offset, in order; may be called several times.
        Whatever else this outcome holds afterwards was committed before, too: throw it away.
        """
        if self.state.active is not None:
            self.state.active.counts = Counts()
        self._read(messages)
        if self.state.active is not None:
            self.state.active.counts = self.state.resume_counts
            self.state.active.counts_before = replace(self.state.resume_counts)
            self.state.resume_load = ""  # from here on ``active`` says it
            for change in filter(lambda change: change.has_duplicates, self._ready.values()):
                self.state.active.parked.put(change)  # a later row of its lead: it waits, whatever the first one says
        self._ready.clear()  # sent before, unless a newer mapping says otherwise: that is for the next file
        self.dead_letters.clear()

    def settle_held_deletes(self, command: dict[str, Any], offset: int) -> None:
        """Carry out an ``approve`` or ``reject`` (a record of ``command.avsc``, at ``offset`` of its topic)."""
        load = ActiveLoad(
            load_id=command["load_id"],
            load_seq=command["load_seq"],
            bucket=command["bucket"],
            object_key=command["object_key"],
            object_version=command["object_version"],
            first_offset=offset,
            is_stale=False,
        )
        approved = command["kind"] == "approve"
        for key in self.state.held_keys(load.load_id):
            known = self._known(key)
            if known is None or known.deleted or known.held_by != load.load_id:
                continue
            load.counts.deletes_held += 1
            if approved:
                self._delete(key, known, load, offset)
            else:
                self.entries[key] = known._replace(held_by="")
        step = "approved" if approved else "rejected"
        self.ended.append(EndedLoad(load, load.counts, "", self.source.version, step, command["command_id"]))

    def finish(self) -> None:
        """Once ``previous`` is known: drop updates that change nothing, give each delete its last body."""
        changes, self.changes = self.changes, []
        for change in changes:
            if change.op == "u" and change.previous is not None and not change.changed_fields():
                # Another hash, the same fields: the canonical schema has grown since the lead was sent.
                change.load.counts.sent -= 1
                change.load.counts.move(Fate.UPDATED, Fate.UNCHANGED)
                if change.previous_offset != NO_OFFSET:
                    self.entries[change.key] = self.entries[change.key]._replace(
                        canonical_offset=change.previous_offset
                    )
                continue
            if change.op == "d" and change.body is None:
                change.body = change.previous or dict.fromkeys(records.lead_fields()) | {"ages_served": []}
                change.body_bytes = encode_body(change.body)
            self.changes.append(change)

    def settle(self, offsets: Iterator[int]) -> dict[bytes, LeadEntry]:
        """Take the outcome over into the state; gives the entries for its changelog.

        ``offsets``: those of the records sent for ``changes``, in order: one each, and one for a delete's tombstone.
        """
        for change in self.changes:
            offset = next(offsets)
            if change.op == "d":
                next(offsets)
            if not change.erased_by:
                self.entries[change.key] = self.entries[change.key].sent_at(offset)
        for key in self.erased:
            self.state.forget(key)
        for key, entry in self.entries.items():
            self.state.put(key, entry)
        return self.entries

    def _read(self, messages: Iterable[Any]) -> Any | None:
        for message in messages:
            found = message.headers
            if found[:-2] == self._row_headers and message.key is not None and self.state.active is not None:
                (_row, row_number), (_line, line_number) = found[-2:]  # a load's rows differ in these alone
                if (
                    row_number.isdigit()
                    and line_number.isdigit()
                    and len(row_number + line_number) <= headers.MAX_DIGITS
                ):
                    self._take_row(message, self.state.active, int(row_number), int(line_number))
                    continue
            values = headers.to_dict(found)
            if not headers.is_raw_message(values) or message.key is None:
                reason = Reason("", "undecodable", "the message has not the headers of a row")
                self._refuse(message, Stage.DECODE, [reason])
            elif values[headers.KIND] != Kind.RESTORED:
                if self._release_some(values) or self._delete_some(message, values):
                    return message
                self._take(message, values)
        return None

    def _take(self, message: Any, values: dict[str, str]) -> None:
        load, kind = self._load_of(message, values), values[headers.KIND]
        self._row_headers = None
        if kind == Kind.ROW:
            if [name for name, _value in message.headers[-2:]] == [headers.ROW, headers.LINE]:
                self._row_headers = message.headers[:-2]
            self._take_row(message, load, int(values[headers.ROW]), int(values[headers.LINE]))
        elif kind == Kind.SEEN:
            self._name(message.key, load)
        else:
            self._end(message, values, load)

    def _load_of(self, message: Any, values: dict[str, str]) -> ActiveLoad:
        active = self.state.active
        if active is None or active.load_id != values[headers.LOAD_ID]:
            if active is not None:
                self._leave(active, is_newest_word=False)
            active = ActiveLoad.from_headers(values, message.offset, self.state.newest_complete)
            if active.load_id == self.state.resume_load:  # parts of its end went out, and there was nothing before it
                active.counts = replace(self.state.resume_counts)
            self.state.active = active
        return active

    def _take_row(self, message: Any, load: ActiveLoad, row_number: int, line_number: int) -> bool:
        """Map a row and see what it changes; gives whether it is a good one."""
        load.rows_looked_at += 1
        load.counts.rows += 1
        if load.is_stale:
            load.counts.stale += 1
            return True
        key, value, version = message.key, message.value, ""
        if self.state.forgotten.has_lead(self.source.name, key):
            return self._keep_out(key, load, row_number)
        known = self._known(key)
        try:
            reader = self._reader_of(value)
            version = reader.mapping_version
            if reader.bound.missing_required:
                reasons = [Reason("", "column_missing", _lacks(name)) for name in reader.bound.missing_required]
                return self._fail_row(message, load, row_number, Stage.MAP, reasons, version)
            if known is not None and not known.deleted:
                # When this is the row that the lead was last mapped from, byte for byte, its content is known.
                content_hash = known.content_hash
                if known.fingerprint == fingerprint(value, version, content_hash):
                    self._compare(key, content_hash, known, load, row_number)
                    return True
            body, reasons = reader.bound.map(reader.cells(value))
            body_bytes = b"" if reasons else encode_body(body)
        except BadRecordError as exc:
            reasons = [Reason("", exc.code, exc.message)]
            return self._fail_row(message, load, row_number, Stage.DECODE, reasons, version)
        except Exception as exc:  # a function named in YAML may raise anything; it costs this row alone
            reasons = [Reason("", "mapping_raised", f"the mapping raised {type(exc).__name__}")]
            return self._fail_row(message, load, row_number, Stage.MAP, reasons, version)
        if reasons:
            return self._fail_row(message, load, row_number, Stage.VALIDATE, reasons, version)
        if self.state.forgotten.has_contact(body):
            return self._keep_out(key, load, row_number)
        content_hash = hash_body(body_bytes)
        difference = self._compare(key, content_hash, known, load, row_number)
        row_fingerprint = fingerprint(value, version, content_hash)
        if difference is Difference.NONE:
            self.state.remember(key, row_fingerprint)
        elif difference is not Difference.OVERTAKEN:
            change = Change(
                op="c",
                key=key,
                load=load,
                content_hash=content_hash,
                body=body,
                body_bytes=body_bytes,
                row_number=row_number,
                line_number=line_number,
                raw_offset=message.offset,
                raw_schema_id=reader.schema_id,
                mapping_version=version,
                fingerprint=row_fingerprint,
            )
            self._keep(change, known, is_duplicate=difference is Difference.FROM_AN_EARLIER_ROW)
        return True

    def _reader_of(self, value: bytes) -> RowReader:
        known = self._reader
        if known is not None and known[0] is self.source and value.startswith(known[1]):
            return known[2]
        reader = self.readers.reader(self.source, value)
        self._reader = (self.source, value[:FRAME_BYTES], reader)
        return reader

    def _compare(
        self, key: bytes, content_hash: bytes, known: LeadEntry | None, load: ActiveLoad, row_number: int
    ) -> Difference:
        """Insert, update, unchanged or overtaken? Count it; and what says nothing new ends what waited for its key."""
        counts = load.counts
        fate = Fate.INSERTED
        if known is not None:
            if known.is_newer_than(load.load_seq, row_number):
                counts.stale += 1
                return Difference.OVERTAKEN
            if known.held_by and known.load_seq < load.load_seq:
                known = self.entries[key] = known._replace(held_by="")
            if not known.deleted:
                fate = Fate.UNCHANGED if known.content_hash == content_hash else Fate.UPDATED
        before = load.seen.get(key, Fate.NAMED)
        is_duplicate = before is not Fate.NAMED
        if not is_duplicate:
            counts.add(fate)
            load.seen[key] = fate
        else:
            # The earlier row of the same file is overtaken by this one; its lead counts once, as what came of it.
            counts.duplicates += 1
            counts.stale += 1
            if known is None or known.load_seq != load.load_seq or not known.row_number:  # not sent by this load
                counts.move(before, fate)
                load.seen[key] = fate
        if known is not None and fate is Fate.UNCHANGED:
            load.parked.drop(key)
            if self._ready.pop(key, None) is not None and not known.has_duplicates:
                self.entries[key] = known._replace(has_duplicates=True)
            return Difference.NONE
        return Difference.FROM_AN_EARLIER_ROW if is_duplicate else Difference.NEW

    def _keep(self, change: Change, known: LeadEntry | None, *, is_duplicate: bool) -> None:
        """Let a change go out at the end of the batch, or park it until the end of the file."""
        key, load = change.key, change.load
        earlier = self._ready.get(key)
        if change.content_hash == (earlier.content_hash if earlier is not None else load.parked.content_hash(key)):
            return
        change.has_duplicates = is_duplicate or (known is not None and known.has_duplicates)
        if key in self._ready or not change.has_duplicates:
            self._ready[key] = change
        else:
            load.parked.put(change)

    def _release_some(self, values: dict[str, str]) -> bool:
        """Whether more waits for the end of the load under way, which a message with these headers is, than is sent at
        once; if so, a part of it goes out.
        """
        load = self.state.active
        if load is None or len(load.parked) <= MAX_RELEASED:
            return False
        if values[headers.LOAD_ID] == load.load_id and values[headers.KIND] != Kind.END:
            return False
        self._release_ready()
        self._release(load.parked.take_out(load, MAX_RELEASED))
        return True

    def _release_ready(self) -> None:
        self._release(self._ready.values())
        self._ready.clear()

    def _release(self, changes: Iterable[Change]) -> None:
        """Put changes among those to be sent.

        One that has waited is left out when something newer was sent meanwhile: live rows and a replay take turns.
        """
        for change in changes:
            key = change.key
            known = self._known(key)
            if self._is_overtaken(key, known, change.load.load_seq, change.row_number) or self._is_forgotten(change):
                continue
            if known is not None and not known.deleted:
                change.op = "u"
                before = self.latest.get(key)
                if before is not None:
                    change.previous = before.body
                else:
                    change.previous_offset = known.canonical_offset
            self._send(change, held_by=known.held_by if known is not None else "")

    def _send(self, change: Change, *, held_by: str) -> None:
        self.entries[change.key] = LeadEntry(
            change.content_hash,
            change.load.load_seq,
            change.row_number,
            NO_OFFSET,
            change.op == "d",
            held_by,
            change.has_duplicates,
            change.fingerprint,
        )
        self.changes.append(change)
        self.latest[change.key] = change
        change.load.counts.sent += 1

    def _end(self, message: Any, values: dict[str, str], load: ActiveLoad) -> None:
        reasons = reasons_to_hold(values, load)
        self._leave(load, is_newest_word=is_complete(values))
        if is_complete(values) and not load.is_stale:
            for key, known in self._absent(load):
                if reasons:
                    load.counts.deletes_held += 1
                    self.entries[key] = known._replace(held_by=load.load_id)
                else:
                    self._delete(key, known, load, message.offset)
            self.state.newest_complete = load.load_seq
        self.ended.append(EndedLoad(load, load.counts, "; ".join(reasons), self.source.version))
        self.state.active = None

    def _delete_some(self, message: Any, values: dict[str, str]) -> bool:
        """Whether ``message`` ends a load that deletes more leads than are sent at once; if so, a part of them is.

        What each was before is read for it: all at once, a file with other keys than the last would cost gigabytes.
        """
        if not is_complete(values):
            return False
        load = self._load_of(message, values)
        most = len(self.state) + len(self.entries) - len(load.seen)
        if most <= MAX_RELEASED or load.is_stale or reasons_to_hold(values, load):
            return False
        load.absent = load.absent or [key for key, _known in self._absent(load)]
        if len(load.absent) <= MAX_RELEASED:
            load.absent.clear()
            return False
        for key, known in self._absent(load, load.absent[-MAX_RELEASED:]):
            self._delete(key, known, load, message.offset)
        del load.absent[-MAX_RELEASED:]
        return True

    def _absent(self, load: ActiveLoad, keys: Iterable[bytes] = ()) -> Iterator[tuple[bytes, LeadEntry]]:
        """The leads (of ``keys``, else of all) that the file does not have."""
        for key in keys or dict.fromkeys(chain(self.state.live_keys(), self.entries)):
            known = self._known(key)
            if key not in load.seen and known is not None and not known.deleted and known.load_seq < load.load_seq:
                yield key, known

    def _leave(self, load: ActiveLoad, *, is_newest_word: bool) -> None:
        """No more rows of the load come now. Send what waits for that.

        Without ``newest_complete`` to say so (``is_newest_word``), older files would not know that this one named
        the leads it left unchanged: their entries remember it.
        """
        self._release_ready()
        self._release(load.parked.take_out(load))
        if is_newest_word:
            return
        for key, fate in load.seen.items():
            known = self._known(key) if fate is Fate.UNCHANGED else None
            if known is not None and known.load_seq < load.load_seq:
                self.entries[key] = known._replace(load_seq=load.load_seq, row_number=0)

    def _delete(self, key: bytes, known: LeadEntry, load: ActiveLoad, offset: int) -> None:
        before = self.latest.get(key)
        change = Change(
            op="d",
            key=key,
            load=load,
            content_hash=known.content_hash,
            body=before.body if before else None,
            body_bytes=before.body_bytes if before else b"",
            row_number=0,
            line_number=0,
            raw_offset=offset,
            raw_schema_id=0,
            mapping_version=self.source.version,
            previous_offset=NO_OFFSET if before else known.canonical_offset,
            has_duplicates=known.has_duplicates,
        )
        load.counts.deleted += 1
        self._send(change, held_by="")

    def _is_overtaken(self, key: bytes, known: LeadEntry | None, load_seq: int, row_number: int) -> bool:
        """Whether a newer row than this one, or a newer file, has spoken of the lead."""
        return known is not None and known.is_newer_than(load_seq, row_number)

    def _is_forgotten(self, change: Change) -> bool:
        """Whether a change that has waited is of somebody who was forgotten meanwhile."""
        forgotten = self.state.forgotten
        return forgotten.has_lead(self.source.name, change.key) or forgotten.has_contact(change.body or {})

    def _keep_out(self, key: bytes, load: ActiveLoad, row_number: int) -> bool:
        """A row of somebody who is forgotten: that has overtaken it, as a newer file would. Its lead, if any, stays."""
        load.counts.stale += 1
        self._name(key, load)
        return False

    def _known(self, key: bytes) -> LeadEntry | None:
        return self.entries.get(key) or self.state.get(key)

    def _name(self, key: bytes, load: ActiveLoad) -> None:
        """The key stands in the file: its lead is not deleted, and a deletion that was held for it is off."""
        load.seen.setdefault(key, Fate.NAMED)
        known = self._known(key)
        if known is not None and known.held_by and not load.is_stale:
            self.entries[key] = known._replace(held_by="")

    def _fail_row(
        self, message: Any, load: ActiveLoad, row_number: int, stage: Stage, reasons: list[Reason], version: str
    ) -> bool:
        if self.state.forgotten and self._has_forgotten_contact(message.value):
            return self._keep_out(message.key, load, row_number)
        load.counts.dead_letters += 1
        self._name(message.key, load)
        self._refuse(message, stage, reasons, version)
        return False

    def _has_forgotten_contact(self, value: bytes) -> bool:
        with contextlib.suppress(BadRecordError):
            return self.state.forgotten.has_contact_in(self._reader_of(value).cells(value))
        return False

    def _refuse(self, message: Any, stage: Stage, reasons: list[Reason], version: str = "") -> None:
        self.dead_letters.append(DeadLetter(message, stage, reasons, version))


def _lacks(column: str) -> str:
    """What is wrong with a row whose header has not a column that its mapping needs."""
    return f"the file lacks column {column!r}, which the mapping in use needs"
