"""The checker of the fault suite finds what is broken: a clean world passes, and each damage done to it is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.checker import INVARIANTS, check
from tests.faults.evidence import CANONICAL, LETTERS, LOADS, Change, Evidence, Letter, RawMessage, Snapshot
from tests.faults.files import File, Row

SOURCE = "faults-a"


def clean() -> tuple[list[File], Evidence]:
    """Two files: A, B and a refused C; then A as it was, B otherwise, D new, and no C (which was no lead)."""
    first = File(SOURCE, "one.csv", [_row("A", "1"), _row("B", "1"), Row("C", ("", "1"), "refused")], etag="e1")
    second = File(SOURCE, "two.csv", [_row("A", "1"), _row("B", "2"), _row("D", "1")], etag="e2")
    third = File(SOURCE, "three.csv", [_row("A", "1"), _row("B", "2")], etag="e3")
    files = [first, second, third]
    evidence = Evidence()
    raw = evidence.raw[SOURCE] = []
    for seq, file in enumerate(files, start=1):
        numbers = range(1, len(file.rows) + 1)
        for kind, row in [*(("row", number) for number in numbers), ("end", 0)]:
            status = "complete" if kind == "end" else ""
            raw.append(RawMessage((0, len(raw)), kind, f"l{seq}", seq, row, file.object_key, file.etag, status))
    evidence.changes = [
        _change(0, "A", "c", 1, 1, "1"),
        _change(1, "B", "c", 1, 2, "1"),
        _change(2, "B", "u", 2, 2, "2"),
        _change(3, "D", "c", 2, 3, "1"),
        _change(4, "D", "d", 3, 0, "1"),
    ]
    evidence.letters = [Letter((0, 0), "l1", 3, "VALIDATE")]
    evidence.written_places = {(CANONICAL, 0): [0, 1, 2, 3, 4], (LETTERS, 0): [0]}
    evidence.last_offsets = {(CANONICAL, 0): 5, (LETTERS, 0): 0, (LOADS, 0): 9}
    evidence.offsets = {(CANONICAL, 0): 6, (LETTERS, 0): 1, (LOADS, 0): 10}
    evidence.committed = {(CANONICAL, 0, offset): offset for offset in range(5)} | {(CANONICAL, 0, 5): -1}
    evidence.live = dict(evidence.committed)
    evidence.uncommitted = {*evidence.committed, (CANONICAL, 0, 7)}
    evidence.snapshots = [Snapshot(CANONICAL, 0, 2, 2), Snapshot(CANONICAL, 0, 6, 5), Snapshot(LETTERS, 0, 1, 1)]
    evidence.leads = [_lead("A", "1"), _lead("B", "2"), _lead("D", "1", deleted_at="now")]
    evidence.history = [
        {
            "canonical_partition": 0,
            "canonical_offset": change.place[1],
            "lead_key": change.key,
            "op": change.op,
            "load_seq": change.order[0],
            "row_number": change.order[1],
        }
        for change in evidence.changes
    ]
    evidence.audit = [
        _write("leads", "INSERT" if change.op == "c" else "UPDATE", change) for change in evidence.changes
    ] + [_write("lead_history", "INSERT", change) for change in evidence.changes]
    evidence.loads = [
        _receipt(first, 1, rows=3, inserted=2, dead_letters=1, dead_letters_applied=1, sent=2, applied=2),
        _receipt(second, 2, rows=3, inserted=1, updated=1, unchanged=1, sent=2, applied=2),
        _receipt(third, 3, rows=2, unchanged=2, deleted=1, sent=1, applied=1),
    ]
    return files, evidence


def test_a_world_in_which_all_is_well_has_no_findings() -> None:
    """Else every other finding would mean nothing."""
    files, evidence = clean()
    assert check(evidence, files) == []


def _drop_raw(evidence: Evidence) -> None:
    del evidence.raw[SOURCE][1]


def _double_raw(evidence: Evidence) -> None:
    evidence.raw[SOURCE].insert(1, dataclasses.replace(evidence.raw[SOURCE][0]))


def _drop_change(evidence: Evidence) -> None:
    del evidence.changes[2]


def _double_change(evidence: Evidence) -> None:
    evidence.changes.append(dataclasses.replace(evidence.changes[2], place=(0, 8)))


def _invent_change(evidence: Evidence) -> None:
    evidence.changes.append(_change(8, "A", "u", 2, 1, "1"))


def _drop_letter(evidence: Evidence) -> None:
    evidence.letters.clear()


def _double_letter(evidence: Evidence) -> None:
    evidence.letters.append(Letter((0, 1), "l1", 3, "VALIDATE"))


def _miscount(evidence: Evidence) -> None:
    evidence.loads[1]["unchanged"] = 0


def _unfinish(evidence: Evidence) -> None:
    evidence.loads[1]["status"] = "processing"


def _cut_raw(evidence: Evidence) -> None:
    del evidence.raw[SOURCE][-1]


def _swap_order(evidence: Evidence) -> None:
    evidence.changes[1], evidence.changes[2] = (
        dataclasses.replace(evidence.changes[1], place=(0, 2)),
        dataclasses.replace(evidence.changes[2], place=(0, 1)),
    )


def _write_back(evidence: Evidence) -> None:
    evidence.audit.append(_write("leads", "UPDATE", _change(1, "B", "c", 1, 1, "1")))


def _write_again(evidence: Evidence) -> None:
    evidence.audit.append(_write("lead_history", "INSERT", evidence.changes[0]))


def _take_out(evidence: Evidence) -> None:
    evidence.audit.append(_write("lead_history", "DELETE", evidence.changes[0]))


def _lose_lead(evidence: Evidence) -> None:
    del evidence.leads[0]


def _alter_lead(evidence: Evidence) -> None:
    evidence.leads[1]["license_number"] = "1"


def _revive_lead(evidence: Evidence) -> None:
    evidence.leads[2]["deleted_at"] = None


def _lose_version(evidence: Evidence) -> None:
    del evidence.history[1]


def _go_too_far(evidence: Evidence) -> None:
    evidence.offsets[CANONICAL, 0] += 1


def _stay_behind(evidence: Evidence) -> None:
    evidence.offsets[LOADS, 0] -= 1


def _snapshot_too_far(evidence: Evidence) -> None:
    evidence.snapshots.append(Snapshot(CANONICAL, 0, 3, 2))


def _snapshot_behind(evidence: Evidence) -> None:
    evidence.snapshots.append(Snapshot(CANONICAL, 0, 2, 3))


def _see_aborted(evidence: Evidence) -> None:
    evidence.live[CANONICAL, 0, 7] = 7


def _see_other(evidence: Evidence) -> None:
    evidence.live[CANONICAL, 0, 1] = 8


def _see_twice(evidence: Evidence) -> None:
    evidence.live_twice = 1


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (_drop_raw, "I1"),
        (_double_raw, "I2"),
        (_drop_change, "I1"),
        (_double_change, "I2"),
        (_invent_change, "I2"),
        (_drop_letter, "I1"),
        (_double_letter, "I2"),
        (_miscount, "I1"),
        (_unfinish, "I1"),
        (_cut_raw, "I1"),
        (_swap_order, "I3"),
        (_write_back, "I3"),
        (_write_again, "I2"),
        (_take_out, "I2"),
        (_lose_lead, "I4"),
        (_alter_lead, "I4"),
        (_revive_lead, "I4"),
        (_lose_version, "I4"),
        (_go_too_far, "I5"),
        (_stay_behind, "I5"),
        (_snapshot_too_far, "I5"),
        (_snapshot_behind, "I5"),
        (_see_aborted, "I6"),
        (_see_other, "I6"),
        (_see_twice, "I6"),
    ],
)
def test_each_damage_is_found_under_the_promise_that_it_breaks(
    damage: Callable[[Evidence], None], invariant: str
) -> None:
    """A lost row, a doubled one, an offset too far, an aborted record that was seen, …"""
    files, evidence = clean()
    damage(evidence)
    found = {finding.invariant for finding in check(evidence, files)}
    assert invariant in found
    assert found <= INVARIANTS.keys()


def _row(key: str, number: str) -> Row:
    return Row(key, (f"Provider {key}", number))


def _change(offset: int, key: str, op: str, seq: int, row: int, number: str) -> Change:
    return Change((0, offset), f"{SOURCE}:{key}", op, f"l{seq}", (seq, row), (f"Provider {key}", number))


def _lead(key: str, number: str, deleted_at: str | None = None) -> dict[str, Any]:
    return {
        "lead_key": f"{SOURCE}:{key}",
        "source": SOURCE,
        "company": f"Provider {key}",
        "license_number": number,
        "deleted_at": deleted_at,
    }


def _write(table: str, op: str, change: Change) -> dict[str, Any]:
    partition, offset = change.place if table == "lead_history" else (None, None)
    return {
        "table_name": table,
        "op": op,
        "key": change.key,
        "load_seq": change.order[0],
        "row_number": change.order[1],
        "place_partition": partition,
        "place_offset": offset,
    }


def _receipt(file: File, seq: int, **counts: int) -> dict[str, Any]:
    names = (
        *("rows", "inserted", "updated", "unchanged", "stale", "duplicates", "deleted", "dead_letters"),
        *("sent", "applied", "dead_letters_applied"),
    )
    place = {"load_id": f"l{seq}", "object_key": file.object_key, "object_version": file.etag, "status": "done"}
    return place | dict.fromkeys(names, 0) | counts
