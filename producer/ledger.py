"""What the producer knows of every load, kept in the compacted topic ``leads.ledger``.

An entry is written in the same transaction as the rows it counts; so after a crash the ledger says exactly how many
rows of a half-split file are on the raw topic, and a finished file is never split twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from leadstream.changelog import read_partition
from leadstream.settings import KafkaSettings
from leadstream.sources import SourceConfig
from producer.arrivals import Arrival, first_sequence
from schemas.codec import Decoder
from schemas.topics import LEDGER

FINAL_STATUSES = frozenset({"split", "failed", "abandoned"})
RETRYABLE_REASONS = frozenset({"unknown_source", "header_only", "no_table"})
"""Failures that a change of the source's YAML can mend; with them a failed load is tried again."""


@dataclass(frozen=True)
class LedgerEntry:
    """How far a load is; see ``schemas/ledger_entry.avsc``."""

    load_id: str
    source: str
    bucket: str
    object_key: str
    object_version: str
    etag: str
    load_seq: int
    status: str
    last_modified: datetime
    started_at: datetime
    at: datetime
    rows: int = 0
    dead_letters: int = 0
    unkeyed: int = 0
    partition_rows: list[int] = field(default_factory=list)
    reason_code: str = ""
    reason: str = ""
    config_version: str = ""
    raw_schema_id: int = 0

    def to_record(self) -> dict[str, object]:
        """The entry as an Avro record."""
        return asdict(self)

    def changed(self, at: datetime, **changes: object) -> LedgerEntry:
        """The next entry of the same load."""
        return replace(self, at=at, **changes)  # type: ignore[arg-type]  # names are checked by dataclasses.replace


class Ledger:
    """One partition of the ledger, in memory."""

    def __init__(self) -> None:
        self._entries: dict[str, LedgerEntry] = {}
        self._of_source: defaultdict[str, dict[str, LedgerEntry]] = defaultdict(dict)
        self._under_way: defaultdict[str, set[str]] = defaultdict(set)
        self._of_bytes: dict[tuple[str, str, str, int], LedgerEntry] = {}
        """By what is known of an object without its version: bucket, key, ETag and the second it was put."""
        self._sequences: dict[str, set[int]] = {}
        self._newest_of_key: dict[tuple[str, str], LedgerEntry] = {}

    async def restore(self, settings: KafkaSettings, partition: int, decoder: Decoder) -> None:
        """Read the partition to its end."""
        async for records in read_partition(settings, LEDGER, partition):
            for record in records:
                if record.value is not None:
                    _schema_id, document = await decoder.decode(record.value)
                    self.put(LedgerEntry(**document))

    def put(self, entry: LedgerEntry) -> None:
        """Take over a committed entry."""
        before = self._entries.get(entry.load_id)
        if before is not None and before.source != entry.source:  # its prefix has another source now
            del self._of_source[before.source][entry.load_id]
            self._under_way[before.source].discard(entry.load_id)
        self._entries[entry.load_id] = self._of_source[entry.source][entry.load_id] = entry
        if entry.status == "splitting":
            self._under_way[entry.source].add(entry.load_id)
        else:
            self._under_way[entry.source].discard(entry.load_id)
        self._of_bytes[entry.bucket, entry.object_key, entry.etag, _second(entry.last_modified)] = entry
        self._sequences.setdefault(entry.source, set()).add(entry.load_seq)
        newest = self._newest_of_key.get((entry.bucket, entry.object_key))
        if newest is None or newest.last_modified <= entry.last_modified:
            self._newest_of_key[entry.bucket, entry.object_key] = entry

    def load_id_of(self, arrival: Arrival) -> str:
        """The id of the load that ``arrival`` is.

        Bytes that come back at a key after other bytes stood there (A, then B, then A again, in a bucket without
        versions), or after the object was removed while it was read, are a new load: the vendor means A again.

        A listing of the bucket does not tell versions, a notice and a HEAD do: when one of the arrival and what is
        known has a version and the other has none, they are the same if they are the same bytes of the same second.
        """
        same = self._of_bytes.get((arrival.bucket, arrival.key, arrival.etag, _second(arrival.last_modified)))
        if same is not None and (arrival.version_id is None) != (same.object_version == same.etag):
            return same.load_id
        newest = self._newest_of_key.get((arrival.bucket, arrival.key))
        if newest is None:
            return arrival.load_id
        is_same = newest.object_version == arrival.version
        comes_back = arrival.load_id in self._entries and (not is_same or newest.status == "abandoned")
        if comes_back and arrival.last_modified > newest.last_modified:
            return arrival.load_id_of(f"{arrival.version}@{arrival.last_modified.isoformat()}")
        return newest.load_id if is_same else arrival.load_id

    def find(self, arrival: Arrival) -> LedgerEntry | None:
        """What is known of the load that ``arrival`` is."""
        return self._entries.get(self.load_id_of(arrival))

    def is_settled(self, arrival: Arrival, source: SourceConfig | None) -> bool:
        """Whether nothing is left to do for an arrival (as things stand with its source's YAML)."""
        entry = self.find(arrival)
        if entry is None:
            return False
        version = source.version if source is not None else ""
        if entry.status == "held" or (entry.status == "failed" and entry.reason_code in RETRYABLE_REASONS):
            return entry.config_version == version
        return entry.status in FINAL_STATUSES

    def unfinished(self) -> list[LedgerEntry]:
        """Loads that are half split, or may be tried again when their source's YAML changes."""
        return [
            entry
            for entry in self._entries.values()
            if entry.status in {"splitting", "held"} or entry.reason_code in RETRYABLE_REASONS
        ]

    def load_under_way(self, source_name: str) -> str | None:
        """The load of a source whose rows are partly on the raw topic: it must come to its end before another."""
        return next(iter(self._under_way.get(source_name, ())), None)

    def outdated_versions(self, entry: LedgerEntry, version: str) -> list[str]:
        """The mappings that ``version``, by which a load is split, has replaced since the load before it was split
        and since this one was held. Empty when the mapping is still the same."""
        split = [other for other in self._of_source.get(entry.source, {}).values() if other.status == "split"]
        before = {max(split, key=lambda other: other.at).config_version} if split else set()
        return sorted((before | {entry.config_version}) - {version, ""})

    def next_sequence(self, source_name: str, arrival: Arrival, source: SourceConfig | None) -> int:
        """A load_seq for a new load: that of its second, and after those of the same second known before it."""
        taken = self._sequences.get(source_name, set())
        sequence = first_sequence(arrival, source)
        while sequence in taken:
            sequence += 1
        return sequence

    def file_to_measure_by(self, source_name: str, before: int, approved: Collection[str] = ()) -> LedgerEntry | None:
        """The load whose rows tell whether one of load_seq ``before`` shrank: the newest older one that was split.

        One whose deletes were held proves nothing, unless it is among the ``approved``: of it and those before it,
        back to the first that was trusted, the largest counts. Else the second of two cut-off files would delete.
        """
        older = [entry for entry in self._of_source.get(source_name, {}).values() if entry.status == "split"]
        candidates = []
        for entry in sorted(older, key=lambda entry: entry.load_seq, reverse=True):
            if entry.load_seq < before:
                candidates.append(entry)
                if not entry.reason or entry.load_id in approved:
                    break
        return max(candidates, key=lambda entry: entry.rows, default=None)


def _second(moment: datetime) -> int:
    # A HEAD tells whole seconds, a listing more in some stores.
    return int(moment.timestamp())
