"""What the producer knows of its loads, and what it tells the workers of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from producer.arrivals import Arrival
from producer.ledger import Ledger, LedgerEntry

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def entry(number: int, status: str, version: str, source: str = "acme") -> LedgerEntry:
    """The last entry of a load; the load of a greater number was worked on later."""
    at = NOON + timedelta(minutes=number)
    return LedgerEntry(
        load_id=f"load-{number}",
        source=source,
        bucket="landing",
        object_key=f"{source}/{number}.csv",
        object_version="v1",
        etag="v1",
        load_seq=100 - number,
        status=status,
        last_modified=NOON,
        started_at=NOON,
        at=at,
        config_version=version,
    )


@pytest.mark.parametrize(
    ("before", "own", "outdated"),
    [
        ([], "", []),
        ([], "m1", ["m1"]),
        ([(1, "split", "m2")], "", []),
        ([(1, "split", "m1")], "", ["m1"]),
        ([(1, "split", "m0"), (2, "split", "m1")], "", ["m1"]),
        ([(1, "split", "m2"), (2, "split", "m1")], "", ["m1"]),
        ([(1, "split", "m1"), (2, "failed", "m2"), (3, "held", "m3")], "", ["m1"]),
        ([(1, "split", "m0")], "m1", ["m0", "m1"]),
        ([(1, "split", "m2")], "m1", ["m1"]),
    ],
)
def test_a_load_knows_the_mappings_that_its_own_has_replaced(
    before: list[tuple[int, str, str]], own: str, outdated: list[str]
) -> None:
    """That of the load split last, and that by which it was held itself; what other sources have does not count."""
    ledger = Ledger()
    ledger.put(entry(8, "split", "m7", source="other"))
    for number, status, version in before:
        ledger.put(entry(number, status, version))
    assert ledger.outdated_versions(entry(9, "splitting", own), "m2") == outdated


@pytest.mark.parametrize(
    ("loads", "approved", "measure"),
    [
        ([], "", None),
        ([(400, ""), (380, "")], "", 380),
        ([(400, ""), (240, "it shrank")], "", 400),
        ([(400, ""), (240, "it shrank"), (240, "it shrank")], "", 400),
        ([(400, ""), (240, "it shrank")], "load-2", 240),
        ([(400, ""), (240, "it shrank"), (90, "cut off")], "load-2", 240),
        ([(400, ""), (900, "cut off")], "", 900),
        ([(400, "cut off")], "", 400),
    ],
)
def test_a_file_whose_deletes_were_held_makes_no_smaller_file_pass(
    loads: list[tuple[int, str]], approved: str, measure: int | None
) -> None:
    """A file is measured by the newest one that was trusted, or approved, or by a larger one since."""
    ledger = Ledger()
    for number, (rows, reason) in enumerate(loads, start=1):
        ledger.put(replace(entry(number, "split", "m1"), load_seq=number, rows=rows, reason=reason))
    ledger.put(replace(entry(9, "split", "m1"), load_seq=99, rows=5_000))
    found = ledger.file_to_measure_by("acme", 50, {approved})
    assert (found.rows if found else None) == measure


def seen(version_id: str | None, etag: str = "a", seconds: float = 0) -> Arrival:
    """One object of the bucket, as a notice and a HEAD (with a version) or a listing (without) tell of it."""
    return Arrival("landing", "acme/weekly.csv", etag, version_id, NOON + timedelta(seconds=seconds), 9)


def split(ledger: Ledger, arrival: Arrival, status: str = "split") -> str:
    """Let an arrival become a load; gives its id."""
    found = replace(
        entry(1, status, "m1"),
        load_id=ledger.load_id_of(arrival),
        object_key=arrival.key,
        object_version=arrival.version,
        etag=arrival.etag,
        last_modified=arrival.last_modified,
    )
    ledger.put(found)
    return found.load_id


@pytest.mark.parametrize(
    ("known", "arrival"),
    [
        (seen("v1"), seen("v1")),
        (seen("v1"), seen(None, seconds=0.7)),
        (seen(None, seconds=0.7), seen("v1")),
        (seen(None), seen(None)),
        (seen(None), seen(None, seconds=60)),
    ],
)
@pytest.mark.parametrize("overwritten", [False, True])
def test_an_object_is_one_load_whether_a_notice_or_a_listing_tells_of_it(
    known: Arrival, arrival: Arrival, overwritten: bool
) -> None:
    """In either order, in buckets with versions and without, and when the object was overwritten meanwhile."""
    ledger = Ledger()
    load_id = split(ledger, known)
    if overwritten and arrival.last_modified < NOON + timedelta(seconds=60):
        split(ledger, seen("v9" if known.version_id else None, "b", seconds=30))
    assert ledger.load_id_of(arrival) == load_id
    assert ledger.is_settled(arrival, None)


@pytest.mark.parametrize(
    ("before", "arrival"),
    [
        ([seen("v1")], seen("v2", seconds=60)),
        ([seen("v1")], seen(None, seconds=60)),
        ([seen("v1")], seen(None, "b")),
        ([seen("v1")], seen("v2")),
        ([seen("v2", "b", seconds=60)], seen("v1")),
        ([seen(None), seen(None, "b", 60)], seen(None, seconds=120)),
        ([seen(None), seen("v2", "b", 60)], seen("v3", seconds=120)),
        ([seen("v1"), seen("v2", "b", 60)], seen(None, seconds=120)),
        ([seen(None, seconds=0.1), seen(None, "b", 0.5)], seen(None, seconds=0.9)),
    ],
)
def test_what_was_put_again_is_a_load_of_its_own(before: list[Arrival], arrival: Arrival) -> None:
    """Other bytes, a version of its own, or A again after B (within a second, where the store tells)."""
    ledger = Ledger()
    known = {split(ledger, each) for each in before}
    assert ledger.load_id_of(arrival) not in known
    assert len(known) == len(before)
    assert split(ledger, arrival) == ledger.load_id_of(arrival)


def test_a_file_that_is_put_back_after_it_was_removed_while_it_was_read_is_read() -> None:
    """Nothing else stood at its key meanwhile; its first load was abandoned, and no notice of that time opens it."""
    ledger = Ledger()
    abandoned = split(ledger, seen(None), "abandoned")
    assert ledger.load_id_of(seen(None)) == abandoned
    again = split(ledger, seen(None, seconds=60))
    assert again != abandoned
    assert ledger.load_id_of(seen(None, seconds=60)) == again == ledger.load_id_of(seen(None, seconds=90))


def test_a_load_is_under_way_from_its_first_commit_to_its_last() -> None:
    """And only for its own source, also when it was first known under another source's name."""
    ledger = Ledger()
    ledger.put(entry(1, "failed", "", source="folder"))
    ledger.put(entry(1, "splitting", "m1"))
    ledger.put(entry(2, "held", "m1"))
    assert (ledger.load_under_way("acme"), ledger.load_under_way("folder")) == ("load-1", None)
    ledger.put(entry(1, "split", "m1"))
    assert ledger.load_under_way("acme") is None
    measure = ledger.file_to_measure_by("acme", 1_000)
    assert measure is not None and measure.load_id == "load-1"
    assert ledger.file_to_measure_by("folder", 1_000) is None
