"""A load of which too many rows fail: its lane halts, takes nothing of it, and goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadstream.sources import SourceConfig, load_sources
from processors.breaker import MIN_ROWS
from processors.progress import Counts
from tests.system import ROOT
from tests.unit.changing import BAD, SOURCE, File, Lane, Readers

LIMIT = 0.1
GOOD = File(1, [(f"A{n}", "Sample House") for n in range(10)])
MENDED = Readers(refused="no name at all")


@pytest.fixture
def config(tmp_path: Path) -> SourceConfig:
    """A source that holds loads of which more than a tenth fails."""
    return _config(tmp_path, f"dead_letter_rate: {LIMIT}\nhold_dead_letters: true\n")


@pytest.fixture
def other_config(tmp_path: Path) -> SourceConfig:
    """The same with another version."""
    return _config(tmp_path, f"dead_letter_rate: {LIMIT}\nhold_dead_letters: true\nmax_shrink: 0.5\n")


def _config(folder: Path, more: str) -> SourceConfig:
    (folder / f"{SOURCE}.yaml").write_text((ROOT / "sources" / f"{SOURCE}.yaml").read_text() + more)
    (folder / "_defaults.yaml").write_text((ROOT / "sources" / "_defaults.yaml").read_text())
    return load_sources(folder)[SOURCE]


def a_file(rows: int, failed: int, seq: int = 2) -> File:
    """A load of ``rows``, the first ``failed`` of which fail the mapping."""
    return File(seq, [(f"A{n}", BAD if n < failed else f"Sample House {seq}") for n in range(rows)])


def test_a_load_above_the_limit_halts_once_enough_rows_were_looked_at(config: SourceConfig) -> None:
    """One row fewer says too little; the batch that says enough is thrown away whole."""
    lane = Lane(config=config)
    lane.put(a_file(300, 300))
    lane.work(MIN_ROWS - 1)
    assert (len(lane.dead_letters), lane.steps) == (MIN_ROWS - 1, [])
    lane = Lane(config=config)
    lane.put(a_file(300, 11))
    lane.work(MIN_ROWS)
    assert (lane.next_offset, lane.dead_letters, lane.sent) == (0, [], [])
    assert [step.kind for step in lane.steps] == ["halted"]
    assert lane.state.is_halted(config.version)


def test_the_reason_names_share_limit_what_failed_most_and_what_to_do(config: SourceConfig) -> None:
    """No value of a row is in it."""
    lane = Lane(config=config)
    step = lane.load_until_halted(a_file(MIN_ROWS, 30))
    assert step.reason == (
        "30 % of 100 rows in partition 0 failed, most often company: wrong (30 of this batch); the source's "
        "dead_letter_rate is 10 % → mend texas.yaml and the load goes on by itself, or let it through: "
        "`leadstream loads approve load-2`"
    )
    assert (step.load_id, step.counts) == ("load-2", Counts())


@pytest.mark.parametrize(("rows", "failed"), [(MIN_ROWS, 10), (10, 1), (10, 0), (0, 0)])
def test_a_load_at_the_limit_ends_as_ever(config: SourceConfig, rows: int, failed: int) -> None:
    """Above means above."""
    lane = Lane(config=config)
    assert lane.load(a_file(rows, failed)).kind == "mapped"
    assert len(lane.dead_letters) == failed


def test_a_small_load_is_judged_at_its_end(config: SourceConfig) -> None:
    """All rows are enough rows; before, nothing is said."""
    lane = Lane(config=config)
    lane.put(a_file(10, 2))
    lane.work(10)
    assert lane.steps == []
    lane.work()
    assert [step.kind for step in lane.steps] == ["halted"]


def test_without_the_option_nothing_halts(config: SourceConfig) -> None:
    """Rows fail, the load ends."""
    lane = Lane()
    assert lane.load(a_file(MIN_ROWS, MIN_ROWS)).kind == "mapped"


def test_the_load_before_in_the_same_batch_is_kept(config: SourceConfig) -> None:
    """Each load is judged, and thrown away, alone."""
    lane = Lane(config=config)
    assert lane.load_until_halted(GOOD, a_file(MIN_ROWS, 30)).load_id == "load-2"
    assert [(step.kind, step.load_id) for step in lane.steps] == [("mapped", "load-1"), ("halted", "load-2")]
    assert lane.names() == dict(GOOD.rows)


@pytest.mark.parametrize("batch", [20, 150, 1_000])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_mended_load_ends_as_if_nothing_had_been(
    config: SourceConfig, other_config: SourceConfig, batch: int, is_restarted: bool
) -> None:
    """Leads, deletes and sums are those of a lane that never halted; what was committed before stays counted."""
    file = a_file(300, 90)
    lane = Lane(config=config)
    lane.load_until_halted(GOOD, file, batch=batch)
    failed = len(lane.dead_letters)
    if is_restarted:
        lane.restart()
    assert lane.state.is_halted(config.version) and not lane.state.is_halted(other_config.version)
    lane.config, lane.readers = other_config, MENDED
    if not is_restarted:
        lane.look_again()
    lane.load(batch=batch)
    kinds = [step.kind for step in lane.steps if step.load_id == "load-2"]
    assert kinds == ["halted", "resumed", "mapped"]
    counts = lane.steps[-1].counts
    assert (counts.rows, counts.dead_letters) == (300, failed)
    assert counts.rows == counts.inserted + counts.updated + counts.unchanged + counts.stale + counts.dead_letters
    assert counts.sent == counts.inserted + counts.updated == len(lane.sent_for(file))
    if not failed:
        unharmed = Lane(readers=MENDED)
        unharmed.load(GOOD, file, batch=batch)
        assert lane.names() == unharmed.names() and counts == unharmed.steps[-1].counts
    assert lane.load(a_file(300, 0, seq=3)).kind == "mapped"


def test_a_mapping_that_is_no_better_halts_the_load_again(config: SourceConfig, other_config: SourceConfig) -> None:
    """With a step of its own, which has the new reason."""
    lane = Lane(config=config)
    lane.load_until_halted(a_file(300, 90))
    lane.config = other_config
    lane.look_again()
    lane.work()
    assert [step.kind for step in lane.steps] == ["halted", "halted"]
    assert lane.state.is_halted(other_config.version) and not lane.dead_letters


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_approved_load_goes_on_to_its_end(config: SourceConfig, is_restarted: bool) -> None:
    """Also after restarts; the next load is judged again."""
    lane = Lane(config=config)
    lane.load_until_halted(a_file(300, 300), batch=100)
    lane.approve("load-2")
    assert not lane.state.is_halted(config.version)
    if not is_restarted:
        lane.look_again()
    while lane.next_offset < len(lane.raw):
        if is_restarted:
            lane.restart()
        lane.work(100)
    assert [step.kind for step in lane.steps] == ["halted", "resumed", "mapped"]
    assert (len(lane.dead_letters), lane.steps[-1].counts.dead_letters) == (300, 300)
    assert lane.load_until_halted(a_file(300, 300, seq=3)).load_id == "load-3"


def test_held_deletes_of_an_earlier_load_can_be_settled_while_the_lane_is_halted(config: SourceConfig) -> None:
    """A command is about leads; that rows wait is no reason to lose it."""
    lane = Lane(config=config)
    lane.load(GOOD)
    shrunk = File(2, GOOD.rows[:4], hold="it shrank")
    assert lane.load(shrunk).counts.deletes_held == 6
    lane.load_until_halted(a_file(300, 90, seq=3))
    assert lane.settle("approve", shrunk).counts.deleted == 6
    lane.restart()
    assert lane.state.is_halted(config.version)
    assert set(lane.names()) == {key for key, _name in shrunk.rows}
