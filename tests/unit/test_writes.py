"""What a batch does to leads and their history: however the stream is cut into batches, the same comes out."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sink.copy_format import text
from sink.lead_changes import Change
from sink.writes import Writes, writes_of

Version = dict[str, Any]

_row = struct.Struct(">h4sxxxxixxxxq").unpack_from
_moment = struct.Struct(">iq")
ROW_BYTES = 2 + 4 + 8 + 12
LEAD_BYTES = 2 + 4


def change(offset: int, lead: int, order: tuple[int, int], *, deletes: bool = False, at: int = 0) -> Change:
    """The change record at an offset of partition 0; ``at`` is when it was made."""
    return Change(
        message=SimpleNamespace(partition=0, offset=offset),
        data=b"",
        lead_key=f"acme:{lead}",
        order=order,
        counted_for=text(f"load-{order[0]}"),
        is_delete=deletes,
        emitted_at=_moment.pack(8, at),
        shared=struct.pack(">hh", lead, offset),
        of_history=b"",
        of_leads=b"",
    )


@dataclass
class Tables:
    """``leads`` and ``lead_history``, written as the statements of queries.sql write them."""

    leads: dict[int, Version] = field(default_factory=dict)
    history: dict[int, Version] = field(default_factory=dict)
    orders: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def write(self, changes: list[Change]) -> Writes:
        """One batch."""
        standing = {key: order for key, order in self.orders.items() if key in {c.lead_key for c in changes}}
        writes = writes_of(changes, standing, {0: max(self.history)} if self.history else {})
        for row in writes.incoming:
            lead, offset, moments = _lead_row(row)
            _first_seen_at, updated_at, deleted_at, closed_at = moments
            self.leads[lead] |= {"offset": offset, "updated_at": updated_at, "deleted_at": deleted_at}
            for version in self.history.values():
                if closed_at is not None and version["lead"] == lead and version["valid_to"] is None:
                    version["valid_to"] = max(version["valid_from"], closed_at)
        for row in writes.new_leads:
            lead, offset, moments = _lead_row(row)
            assert lead not in self.leads
            first_seen_at, updated_at, deleted_at = moments
            self.leads[lead] = {
                "offset": offset,
                "first_seen_at": first_seen_at,
                "updated_at": updated_at,
                "deleted_at": deleted_at,
            }
        for row in writes.history:
            _count, shared, partition, offset = _row(row)
            assert (partition, offset) == (0, struct.unpack(">hh", shared)[1])
            assert offset not in self.history
            valid_from, valid_to = _moments(row[ROW_BYTES:])
            self.history[offset] = {
                "lead": struct.unpack(">hh", shared)[0],
                "valid_from": valid_from,
                "valid_to": valid_to,
            }
        for name, count in writes.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        by_offset = {c.message.offset: c for c in changes}
        for lead, row in self.leads.items():
            if row["offset"] in by_offset:
                self.orders[f"acme:{lead}"] = by_offset[row["offset"]].order
        return writes


def _lead_row(row: bytes) -> tuple[int, int, list[int | None]]:
    lead, offset = struct.unpack_from(">hh", row, 2)
    return lead, offset, _moments(row[LEAD_BYTES:])


def _moments(data: bytes) -> list[int | None]:
    moments: list[int | None] = []
    while data:
        (size,) = struct.unpack_from(">i", data)
        moments.append(None if size == -1 else _moment.unpack_from(data)[1])
        data = data[4 if size == -1 else 12 :]
    return moments


CHANGES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(0, 2), st.booleans(), st.integers(-5, 40)), max_size=12
).map(
    lambda rows: [
        change(offset, lead, (seq, row), deletes=deletes, at=at)
        for offset, (lead, seq, row, deletes, at) in enumerate(rows)
    ]
)


def _one_by_one(changes: list[Change]) -> Tables:
    """The rules themselves, a record at a time."""
    tables = Tables()
    for one in changes:
        lead, offset = struct.unpack(">hh", one.shared)
        at = _moment.unpack(one.emitted_at)[1]
        is_stale = one.lead_key in tables.orders and one.order < tables.orders[one.lead_key]
        if not is_stale:
            for version in tables.history.values():
                if version["lead"] == lead and version["valid_to"] is None:
                    version["valid_to"] = max(version["valid_from"], at)
            first = tables.leads.get(lead, {"first_seen_at": at})
            says = {"offset": offset, "updated_at": at, "deleted_at": at if one.is_delete else None}
            tables.leads[lead] = first | says
            tables.orders[one.lead_key] = one.order
        tables.history[offset] = {"lead": lead, "valid_from": at, "valid_to": at if is_stale else None}
        tables.counts[f"load-{one.order[0]}"] = tables.counts.get(f"load-{one.order[0]}", 0) + 1
    return tables


@given(CHANGES, st.lists(st.integers(1, 5), max_size=12))
def test_batches_may_be_cut_anywhere(changes: list[Change], sizes: list[int]) -> None:
    """Record by record, all at once or in between: the same leads, the same versions and periods, the same counts."""
    tables, start = Tables(), 0
    for size in [*sizes, len(changes)]:
        tables.write(changes[start : start + size])
        start += size
    assert tables == _one_by_one(changes)


@given(CHANGES, st.integers(0, 12))
def test_what_is_read_a_second_time_adds_nothing(changes: list[Change], start: int) -> None:
    """After the offsets were set back, no version is written twice, none is closed anew, and no lead says less."""
    tables = Tables()
    tables.write(changes)
    writes = tables.write(changes[start:])
    assert not writes.history
    assert not writes.counts
    assert not writes.new_leads
    assert tables == _one_by_one(changes)
