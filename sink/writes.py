"""What a batch of changes does to the tables ``leads`` and ``lead_history``. Pure: no input or output."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sink.copy_format import NULL
from sink.lead_changes import OF_HISTORY, OF_LEADS, SHARED, Change, Order

HISTORY_COLUMNS = (
    *(*SHARED, *OF_HISTORY),
    *("canonical_partition", "canonical_offset", "valid_from", "valid_to"),
)
LEADS_COLUMNS = (*SHARED, *OF_LEADS, "first_seen_at", "updated_at", "deleted_at")
INCOMING_COLUMNS = (*LEADS_COLUMNS, "closed_at")

_HISTORY_FIELDS, _LEADS_FIELDS, _INCOMING_FIELDS = (
    struct.pack(">h", len(columns)) for columns in (HISTORY_COLUMNS, LEADS_COLUMNS, INCOMING_COLUMNS)
)
_place = struct.Struct(">iiiq").pack


@dataclass(slots=True)
class Writes:
    """Rows for COPY into each table, and how many versions there are of each load or replay."""

    history: list[bytes] = field(default_factory=list)
    new_leads: list[bytes] = field(default_factory=list)
    incoming: list[bytes] = field(default_factory=list)
    """Leads that stand already. Their standing version ends at ``closed_at``, if that is given."""
    counts: Counter[str] = field(default_factory=Counter)


def writes_of(changes: Sequence[Change], standing: Mapping[str, Order], history_ends: Mapping[int, int]) -> Writes:
    """What ``changes`` (in the order of their partitions and offsets) make of what stands.

    ``standing`` has the order of each of their leads that is in ``leads``, ``history_ends`` the last offset of each
    partition in ``lead_history``: what is read a second time gets no second version.

    Every change becomes a version, which is over when the lead's next begins. One that is older than what its lead
    already says has an empty period and changes nothing; the last of the others is what the lead says.
    """
    writes = Writes()
    newest = dict(standing)
    last: dict[str, int] = {}
    first_seen_at: dict[str, bytes] = {}
    closed_at: dict[str, bytes] = {}
    ends: list[bytes] = []
    for at, change in enumerate(changes):
        key = change.lead_key
        before = newest.get(key)
        if before is not None and change.order < before:
            ends.append(change.emitted_at)
            continue
        newest[key] = change.order
        ends.append(NULL)
        if key in last:
            overtaken = last[key]
            ends[overtaken] = max(changes[overtaken].emitted_at, change.emitted_at, key=_moment)
        else:
            first_seen_at[key] = change.emitted_at
        last[key] = at
        if key in standing and _is_new(change, history_ends):
            closed_at.setdefault(key, change.emitted_at)
    counts: Counter[bytes] = Counter()
    for change, end in zip(changes, ends, strict=True):
        if _is_new(change, history_ends):
            place = _place(4, change.message.partition, 8, change.message.offset)
            version = (_HISTORY_FIELDS, change.shared, change.of_history, place, change.emitted_at, end)
            writes.history.append(b"".join(version))
            counts[change.counted_for] += 1
    writes.counts.update({str(name[4:], "utf-8"): count for name, count in counts.items()})
    for key, at in sorted(last.items()):  # in the order of the tables' indexes, which costs Postgres less
        change = changes[at]
        deleted_at = change.emitted_at if change.is_delete else NULL
        lead = (change.shared, change.of_leads, first_seen_at[key], change.emitted_at, deleted_at)
        if key in standing:
            writes.incoming.append(b"".join((_INCOMING_FIELDS, *lead, closed_at.get(key, NULL))))
        else:
            writes.new_leads.append(b"".join((_LEADS_FIELDS, *lead)))
    return writes


def _is_new(change: Change, history_ends: Mapping[int, int]) -> bool:
    message = change.message
    return bool(message.offset > history_ends.get(message.partition, -1))


def _moment(field: bytes) -> int:
    return int.from_bytes(field[4:], signed=True)
