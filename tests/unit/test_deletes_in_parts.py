"""A complete file without most of the leads of the one before: its deletes go out a part in each transaction."""

from __future__ import annotations

import pytest

from tests.unit.changing import File, Lane

AT_ONCE = 3
KEYS = [f"lead-{number}" for number in range(8)]
FIRST = File(10, [(key, "one") for key in KEYS])


def at_the_end_of(file: File, *, dies: bool = False) -> Lane:
    """A lane that has come to the end marker of ``file``, but has not taken it."""
    lane = Lane(dies_while_it_releases=dies)
    lane.load(FIRST, batch=2)
    lane.put(file)
    if file.rows:
        lane.work(len(file.rows))
    lane.sent_at_once.clear()
    return lane


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("rows", [[("other", "new")], [(KEYS[0], "one")], [(KEYS[0], "two"), (KEYS[1], "one")], []])
def test_more_deletes_than_go_out_at_once_go_out_in_parts(
    rows: list[tuple[str, str]], dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they send what one transaction would, once, also when a successor takes over between any two parts; also
    in a partition that has the file's end alone.
    """
    calm = at_the_end_of(File(20, rows))
    calm.work()
    monkeypatch.setattr("processors.changes.MAX_RELEASED", AT_ONCE)
    lane = at_the_end_of(File(20, rows), dies=dies)
    lane.work()
    gone = set(KEYS) - {key for key, _name in rows}
    assert calm.sent_at_once == [len(gone)]
    assert len(lane.sent_at_once) > 1 and max(lane.sent_at_once) == AT_ONCE and sum(lane.sent_at_once) == len(gone)
    assert {record.key for record in lane.sent_for(File(20, rows)) if record.op == "d"} == gone
    assert lane.names() == calm.names() == dict(rows)
    assert lane.steps == calm.steps
    lane.load(File(30, rows))
    assert lane.sent_for(File(30, rows)) == []


def test_a_part_that_is_lost_is_deleted_again_and_those_before_it_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker dies within the second part's transaction."""
    monkeypatch.setattr("processors.changes.MAX_RELEASED", AT_ONCE)
    lane = at_the_end_of(File(20, []))
    lane.work_once()
    lane.crash(1)
    lane.work()
    assert sorted(record.key for record in lane.sent_for(File(20, []))) == KEYS
    assert lane.steps[-1].counts.deleted == len(KEYS)


def test_deletes_that_are_held_are_held_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read for them, and nothing sent."""
    monkeypatch.setattr("processors.changes.MAX_RELEASED", AT_ONCE)
    lane = at_the_end_of(File(20, [], hold="it shrank"))
    lane.work()
    assert lane.steps[-1].counts.deletes_held == len(KEYS)
    assert lane.sent_at_once == [0]
