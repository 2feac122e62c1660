"""Replays beside live rows, and twice: a newer file has the last word whoever is faster, and a letter is one letter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from processors.replay_state import Replay, ReplayCounts
from tests.unit.changing import BAD, File
from tests.unit.lead_model import check_stream
from tests.unit.replaying import ReplayLane, counts_of


@pytest.fixture
def lane() -> Iterator[ReplayLane]:
    """A lane with the mapping under which BAD fails."""
    with asyncio.Runner() as runner:
        lane = ReplayLane(loop=runner.get_loop())
        yield lane
        lane.close()
    check_stream(lane.sent)


def edit_mapping(lane: ReplayLane, **meanings: str | None) -> None:
    """From now on these names mean something else; BAD stays bad unless it is among them."""
    lane.readers.meanings = {BAD: None, **meanings}
    lane.readers.mapping_version += "'"


def begin(lane: ReplayLane, batches: int) -> None:
    """A replay of everything, so many batches of one row."""
    lane.accept(Replay(f"replay-{len(lane.finished)}"))
    for _ in range(batches):
        lane.replay_batch(1)


def go_on(lane: ReplayLane) -> ReplayCounts:
    """To the end of the replay; gives what it counted."""
    while lane.replay is not None:
        lane.replay_batch(1)
    return counts_of(lane.finished[-1])


def replay(lane: ReplayLane) -> ReplayCounts:
    """A whole replay of everything."""
    begin(lane, 0)
    return go_on(lane)


def test_a_change_that_waits_in_a_replay_is_not_sent_after_a_newer_file(lane: ReplayLane) -> None:
    """A key stands twice in its file, so its change waits for the file's end; meanwhile the next file speaks."""
    lane.load(File(10, [("A", "one"), ("A", "two")]))
    edit_mapping(lane, two="three")
    begin(lane, 2)
    lane.load(File(20, [("A", "four")]))
    go_on(lane)
    assert lane.names() == {"A": "four"}


def test_a_live_change_that_waits_is_not_sent_after_what_a_replay_took_from_a_newer_file(lane: ReplayLane) -> None:
    """An older file is under way when a row of a newer one, that had failed, is replayed."""
    lane.load(File(10, [("A", "one"), ("A", "two")]))
    lane.load(File(35, [("A", BAD)], refresh="partial"))
    edit_mapping(lane, bad="three")
    lane.put(File(33, [("A", "one")], refresh="partial"))
    lane.work(1)
    assert replay(lane).updated == 1
    lane.work()
    assert lane.names() == {"A": "three"}


def test_a_complete_file_that_comes_meanwhile_has_the_last_word_on_what_it_found_unchanged(lane: ReplayLane) -> None:
    """Nothing is written of an unchanged lead, and yet its older row is overtaken."""
    lane.load(File(10, [("B", "one"), ("A", "two")]))
    edit_mapping(lane, one="two", two="three")
    begin(lane, 1)
    assert lane.load(File(20, [("B", "one"), ("A", "one")])).counts.unchanged == 2
    assert go_on(lane).stale == 1
    assert lane.names() == {"A": "two", "B": "two"}


def test_what_a_replay_found_unchanged_in_a_newer_file_no_older_file_deletes(lane: ReplayLane) -> None:
    """The lead stands by the first of two files that were broken off; a complete one between them comes late."""
    lane.load(File(10, [("A", BAD)], status="abandoned"), File(20, [("A", BAD)], status="abandoned"))
    edit_mapping(lane, bad="two")
    counts = replay(lane)
    assert (counts.inserted, counts.unchanged, counts.fixed) == (1, 1, 2)
    assert lane.load(File(15, [])).counts.deleted == 0
    assert lane.names() == {"A": "two"}


def test_a_row_that_a_lead_stands_by_has_one_letter_however_often_it_fails(lane: ReplayLane) -> None:
    """The newest file does not name the lead, its deletion is held: its old row is mapped by every replay."""
    lane.load(File(10, [("A", "three")]), File(20, [], hold="it shrank"))
    edit_mapping(lane, three=None, four="three")
    assert replay(lane).dead_letters == 1
    counts = replay(lane)
    assert (counts.failed_again, counts.dead_letters, counts.overtaken) == (1, 0, 0)
    assert list(lane.open_letters()) == [("load-10", 1)]
    assert lane.load(File(30, [("A", "four")])).counts.unchanged == 1
    assert replay(lane).overtaken == 1 and not lane.open_letters()


def test_a_lead_that_a_partial_file_found_unchanged_is_mapped_again(lane: ReplayLane) -> None:
    """No newer file names it; that its deletion is held stays so."""
    held = File(20, [], hold="it shrank")
    lane.load(File(10, [("A", "two")]), File(15, [("A", "two")], refresh="partial"), held)
    edit_mapping(lane, two="three")
    assert replay(lane).updated == 1
    assert lane.names() == {"A": "three"}
    assert lane.settle("approve", held).counts.deleted == 1


def test_a_load_that_was_under_way_at_a_restart_is_replayed_once_it_has_ended(lane: ReplayLane) -> None:
    """Only a load that is under way when the replay begins is left alone."""
    lane.put(File(10, [("A", BAD)]))
    lane.work(1)
    lane.restart()
    lane.work(1)
    edit_mapping(lane, bad="two")
    assert replay(lane).fixed == 1
