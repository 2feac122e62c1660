"""What a raw partition knows of its leads: enough to tell insert, update, unchanged and deleted apart.

One entry a lead, packed to some forty bytes, in memory; its changelog is the compacted topic
``leads.state.<source>``, written in the same transaction as the changes themselves and read back when a lane is
taken over. A row that changes nothing writes nothing: that the newest complete file has said so is kept once a
partition (``newest_complete``).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastavro import parse_schema

from leadstream.changelog import read_partition
from leadstream.forgotten import Forgotten
from leadstream.settings import KafkaSettings
from processors.content import FINGERPRINT_BYTES, HASH_BYTES
from processors.progress import ActiveLoad, Counts
from processors.replay_state import Replay, from_json, to_json
from schemas.codec import Decoder
from schemas.flat_records import compile_encoder, encoded_long, encoded_string
from schemas.receipts import COUNTS
from schemas.records import schema_json
from schemas.topics import state_topic

PROGRESS_KEY = b"\x00"
FIRST_PROGRESS_FIELD = "active_load"
"""In lead_state.avsc, the fields from this one on say how far a load is."""

_PACKED = struct.Struct(f">{HASH_BYTES}s{FINGERPRINT_BYTES}sqqq??")  # ``deleted`` last: live_keys reads it there


class LeadEntry(NamedTuple):
    """What is known of one lead; see ``schemas/lead_state.avsc``."""

    content_hash: bytes
    load_seq: int
    row_number: int
    canonical_offset: int
    deleted: bool
    held_by: str = ""
    has_duplicates: bool = False
    fingerprint: bytes = b""
    """Of the row that last gave this content (:func:`processors.content.fingerprint`); not in the changelog, so that a
    new process, which may map otherwise, maps every row once."""

    def is_newer_than(self, load_seq: int, row_number: int) -> bool:
        """Whether a newer row than this one, or a newer file, has spoken of the lead."""
        return (self.load_seq, self.row_number) > (load_seq, row_number)

    def sent_at(self, offset: int) -> LeadEntry:
        """The same, and that its record stands at this offset of leads.canonical."""
        content_hash, load_seq, row_number, _offset, deleted, held_by, has_duplicates, fingerprint = self
        return _entry((content_hash, load_seq, row_number, offset, deleted, held_by, has_duplicates, fingerprint))

    def encoded(self) -> bytes:
        """The entry as an Avro record of ``schemas/lead_state.avsc``; the fields of progress have their defaults."""
        content_hash, load_seq, row_number, offset, deleted, held_by, has_duplicates, _fingerprint = self
        return b"".join(
            (
                encoded_string(content_hash),
                encoded_long(load_seq),
                encoded_long(row_number),
                encoded_long(offset),
                b"\x01" if deleted else b"\x00",
                encoded_string(held_by.encode()) if held_by else b"\x00",
                b"\x01" if has_duplicates else b"\x00",
                _no_progress(),
            )
        )


_entry = functools.partial(tuple.__new__, LeadEntry)
"""A lead's entry from all that is in it, in half the time of its constructor."""


@functools.cache
def _no_progress() -> bytes:
    """The fields that say how far a load is, as they are in an entry of a lead: their defaults."""
    fields = schema_json("lead_state")["fields"]
    first = next(at for at, field in enumerate(fields) if field["name"] == FIRST_PROGRESS_FIELD)
    schema = parse_schema({"type": "record", "name": "Progress", "fields": fields[first:]})
    return compile_encoder(schema)({field["name"]: field["default"] for field in fields[first:]})


class PartitionState:
    """The leads of one partition of one source, and the load under way there."""

    def __init__(self, source: str, partition: int) -> None:
        self.source = source
        self.partition = partition
        self.newest_complete = -1
        """load_seq of the newest load that came to its end as a complete file; -1: none."""
        self.active: ActiveLoad | None = None
        self.next_offset = 0
        """After a restore: raw offset from which rows are to be read."""
        self.resume_offset = -1
        """After a restore: raw offset from which rows of the load under way are to be looked at again; -1: none is."""
        self.resume_counts = Counts()
        """After a restore: what that load had counted."""
        self.resume_load = ""
        """After a restore: that load; empty: none is under way."""
        self.replays: list[Replay] = []
        """What is to be mapped again, the first first."""
        self.halted_load = ""
        """The load whose rows are not read on because too many of them failed; empty: none."""
        self.halted_version = ""
        """The mapping by which they failed."""
        self.approved_load = ""
        """The load that goes on however many of its rows fail."""
        self.is_rewound = False
        """Nothing was read since :meth:`rewind`: the committed progress stands."""
        self.forgotten = Forgotten()
        """Who is to stay out; the same for all partitions of a lane."""
        self._leads: dict[bytes, bytes] = {}
        self._held: dict[bytes, str] = {}
        self._committed = self.progress_record(0)

    def __len__(self) -> int:
        return len(self._leads)

    def get(self, key: bytes) -> LeadEntry | None:
        """What is known of a lead; ``key`` is the provider's key."""
        packed = self._leads.get(key)
        if packed is None:
            return None
        content_hash, fingerprint, load_seq, row_number, offset, has_duplicates, deleted = _PACKED.unpack(packed)
        held_by = self._held.get(key, "")
        return _entry((content_hash, load_seq, row_number, offset, deleted, held_by, has_duplicates, fingerprint))

    def put(self, key: bytes, entry: LeadEntry) -> None:
        """Take over a committed entry."""
        content_hash, load_seq, row_number, offset, deleted, held_by, has_duplicates, fingerprint = entry
        self._leads[key] = _PACKED.pack(
            content_hash, fingerprint, load_seq, row_number, offset, has_duplicates, deleted
        )
        if held_by:
            self._held[key] = held_by
        else:
            self._held.pop(key, None)

    def forget(self, key: bytes) -> None:
        """Take over that an entry was erased."""
        self._leads.pop(key, None)
        self._held.pop(key, None)

    def remember(self, key: bytes, fingerprint: bytes) -> None:
        """Note the row that gives a known lead's content, so that the same row need not be mapped again."""
        packed = self._leads.get(key)
        if packed is not None:
            self._leads[key] = packed[:HASH_BYTES] + fingerprint + packed[HASH_BYTES + FINGERPRINT_BYTES :]

    @property
    def load_under_way(self) -> str:
        """The load whose rows come now, also when they were not looked at again after a restore; empty: none."""
        return self.active.load_id if self.active else self.resume_load

    def all_keys(self) -> Iterator[bytes]:
        """Keys of all leads, deleted ones included."""
        return iter(self._leads)

    def live_keys(self) -> Iterator[bytes]:
        """Keys of the leads that are not deleted."""
        return (key for key, packed in self._leads.items() if not packed[-1])

    def held_keys(self, load_id: str) -> list[bytes]:
        """Keys of the leads whose deletion by a load is held."""
        return [key for key, held_by in self._held.items() if held_by == load_id]

    def progress_record(self, next_offset: int) -> dict[str, object]:
        """The entry of progress as an Avro record, to be committed; ``next_offset``: up to where raw messages were
        taken.
        """
        active = self.active
        reading = {
            "content_hash": b"",
            "load_seq": self.newest_complete,
            "row_number": 0,
            "active_load": active.load_id if active else "",
            "active_offset": active.first_offset if active else -1,
            "counts": active.counts.to_list() if active else [],
            "next_offset": next_offset,
        }
        self._committed = (self._committed if self.is_rewound else reading) | {
            "replays": to_json(self.replays),
            "halted_load": self.halted_load,
            "halted_version": self.halted_version,
            "approved_load": self.approved_load,
        }
        return self._committed

    def is_halted(self, mapping_version: str) -> bool:
        """Whether nothing is to be read on: the load failed too much by this mapping, and nobody let it through."""
        return self.halted_load not in {"", self.approved_load} and self.halted_version == mapping_version

    def halt(self, load_id: str, mapping_version: str) -> None:
        """Too many rows of a load fail by this mapping: be as before the batch in hand, and read nothing on."""
        self.rewind()
        self.halted_load, self.halted_version = load_id, mapping_version

    def rewind(self) -> None:
        """Forget what was taken since the last commit. Before reading on, the load under way is to be looked at
        again, as after a restore.
        """
        self.active = None
        self.take_record(PROGRESS_KEY, self._committed)
        self.is_rewound = True

    def take_record(self, key: bytes, value: dict[str, Any]) -> None:
        """Take over a record of the changelog; a newer one of the same key replaces it."""
        if key != PROGRESS_KEY:
            entry = (
                value["content_hash"],
                value["load_seq"],
                value["row_number"],
                value["canonical_offset"],
                value["deleted"],
                value.get("held_by", ""),
                value.get("has_duplicates", False),
                b"",
            )
            self.put(key, _entry(entry))
            return
        self.newest_complete = value["load_seq"]
        self.next_offset = value["next_offset"]
        self.resume_load = value["active_load"]
        self.resume_offset = value["active_offset"]
        self.resume_counts = Counts(**dict(zip(COUNTS, value["counts"], strict=False)))
        self.replays = from_json(value["replays"])
        self.halted_load, self.halted_version = value.get("halted_load", ""), value.get("halted_version", "")
        self.approved_load = value.get("approved_load", "")
        self._committed = value

    async def restore(self, settings: KafkaSettings, decoder: Decoder) -> None:
        """Read the changelog. Which keys of the load under way were seen is not there: the raw topic says it,
        from ``resume_offset`` on (:meth:`processors.changes.BatchChanges.look_again`).

        Raises:
            TransientError: Kafka or the registry is away.
        """
        async for records in read_partition(settings, state_topic(self.source), self.partition):
            for record in records:
                if record.value is None:
                    self.forget(record.key)
                    continue
                # Millions of records: what is decoded already needs no waiting, and goes straight to its packed form.
                _schema_id, value = decoder.decode_cached(record.value) or await decoder.decode(record.value)
                self.take_record(record.key, value)
