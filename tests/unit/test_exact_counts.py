"""The counts of a refresh are those of the changes that were made, for files of any size, cut into batches anywhere."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from leadstream.sample_vendors import VENDORS
from leadstream.samples import BYTES_AS_TEXT, ChangeInfo, change_sample, write_sample
from tests.unit.changing import File, Lane

WEEKS = 3
LARGE_ROWS = 1_000
"""From here on a batch is at least a hundredth of the file: what matters is where it is cut, not how often."""
SEEDS = {1: 12, 2: 12, 3: 12, 10: 8, 100: 4, 1_000: 2, 20_000: 1}


def read(path: Path) -> list[tuple[str, str]]:
    """Key and phone of each row of a Texas sample."""
    one = VENDORS["texas"]
    with path.open(encoding=BYTES_AS_TEXT, newline="") as file:
        return [(row[one.key_column], row[one.phone_column]) for row in list(csv.reader(file))[1:]]


def load(lane: Lane, file: File, cuts: random.Random) -> None:
    """Send a load and take it in batches of random sizes; now and then a batch is lost and a successor takes over."""
    lane.put(file)
    rows = len(file.rows) + 1
    while lane.next_offset < len(lane.raw):
        size = cuts.randint(max(1, rows // 100 if rows > LARGE_ROWS else 1), max(2, rows // cuts.randint(1, 10)))
        if cuts.random() < 0.05:
            lane.crash(size)
        lane.work(size)


def check(lane: Lane, file: File, info: ChangeInfo) -> None:
    """Counts, records and leads are what the change says."""
    got = lane.steps[-1].counts
    wanted = {
        "rows": info.rows,
        "inserted": info.inserted,
        "updated": info.updated,
        "unchanged": info.unchanged,
        "stale": info.duplicates,
        "duplicates": info.duplicates,
        "deleted": info.deleted,
        "dead_letters": 0,
        "deletes_held": 0,
    }
    assert {name: getattr(got, name) for name in wanted} == wanted
    sent = lane.sent_for(file)
    assert info.changes <= got.sent == len(sent) <= info.changes + info.different_duplicates
    assert len([record for record in sent if record.op == "d"]) == info.deleted
    assert len({record.key for record in sent}) == info.changes
    assert lane.names() == dict(file.rows)


@pytest.mark.parametrize("rows", SEEDS)
def test_a_refresh_counts_exactly_what_was_changed(rows: int, tmp_path: Path) -> None:
    """Inserts, updates, deletes, reordered and repeated rows; week after week, on what the week before has left."""
    for seed in range(SEEDS[rows]):
        rng = random.Random(f"{rows}-{seed}")
        lane = Lane()
        write_sample("texas", tmp_path / "0", rows, seed, damage=False)
        first = File(10, read(tmp_path / "0"))
        load(lane, first, rng)
        check(lane, first, ChangeInfo(rows, inserted=rows, updated=0, unchanged=0, deleted=0, damaged=0))
        for week in range(1, WEEKS + 1):
            info = change_sample(
                tmp_path / str(week - 1),
                tmp_path / str(week),
                seed=seed + week,
                update=rng.choice([0, 0.01, 0.3, 0.5]),
                delete=rng.choice([0, 0.01, 0.2, 0.5]),
                insert=rng.choice([0, 0.01, 0.5, 1.0]),
                duplicate=rng.choice([0, 0.01, 0.3]),
                reorder=rng.random() < 0.5,
            )
            file = File(10 + week, read(tmp_path / str(week)))
            load(lane, file, rng)
            check(lane, file, info)


def test_a_refresh_that_changes_nothing_but_the_order_sends_nothing(tmp_path: Path) -> None:
    """Also when rows of the week before were repeated and are not any more."""
    lane, rng = Lane(), random.Random(1)
    write_sample("texas", tmp_path / "0", 300, 1, damage=False)
    load(lane, File(10, read(tmp_path / "0")), rng)
    change_sample(tmp_path / "0", tmp_path / "1", seed=1, duplicate=0.3)
    load(lane, File(20, read(tmp_path / "1")), rng)
    info = change_sample(tmp_path / "1", tmp_path / "2", seed=2, update=0, delete=0, insert=0, reorder=True)
    again = File(30, read(tmp_path / "2"))
    load(lane, again, rng)
    check(lane, again, info)
    assert (info.changes, lane.steps[-1].counts.sent) == (0, 0)
