"""Leads whose rows differ within one file: what they take while they wait for its end, and how they go out then."""

from __future__ import annotations

import tracemalloc

import pytest

from processors.changes import MAX_RELEASED
from processors.content import encode_body, hash_body
from processors.progress import ActiveLoad, Change, ParkedChanges
from schemas import records
from tests.unit.changing import File, Lane

LEADS = 7
AT_ONCE = 3
MOST_BYTES_A_LEAD = 500
"""It is some 320; with the fields as Python values it would be some 2,000."""
LOAD = ActiveLoad("load", 10, "landing", "texas/10.csv", "v1", first_offset=0, is_stale=False)
KEYS = [f"lead-{number}" for number in range(LEADS)]
DOUBLED = File(20, [(key, name) for name in ("two", "three") for key in KEYS])


def parked(number: int, *, raw_schema_id: int = 7, mapping_version: str = "0123456789ab") -> Change:
    """A change whose values are its own, as they are when rows come from a file."""
    body = dict.fromkeys(records.lead_fields()) | {
        "ages_served": ["infant", "toddler"],
        "company": f"Little Acorns Child Care {number}",
        "phone": f"+1214555{number:04}",
        "email": f"office{number}@acorns.example.com",
        "first_name": f"Pat{number}",
        "last_name": f"Smith{number}",
        "address1": f"{number} Long Street",
        "city": f"Springfield {number}",
        "provider_id": str(number),
    }
    return Change(
        op="c",
        key=b"%d" % number,
        load=LOAD,
        content_hash=hash_body(encode_body(body)),
        body=body,
        body_bytes=encode_body(body),
        row_number=1_000_000 + number,
        line_number=2_000_000 + number,
        raw_offset=3_000_000 + number,
        raw_schema_id=raw_schema_id,
        mapping_version=mapping_version,
        fingerprint=b"%08d" % number,
        has_duplicates=True,
    )


def test_a_parked_change_comes_back_as_it_was_put() -> None:
    """Whatever raw schema and mapping its row was read by; those that waited first come first, a few at a time."""
    changes = [parked(1), parked(2, raw_schema_id=8), parked(3, mapping_version="mended"), parked(4)]
    waiting = ParkedChanges()
    for change in changes:
        waiting.put(change)
    assert waiting.content_hash(b"2") == changes[1].content_hash
    assert list(waiting.take_out(LOAD, 3)) == changes[:3]
    assert (len(waiting), waiting.content_hash(b"2")) == (1, None)
    waiting.drop(b"4")
    assert list(waiting.take_out(LOAD)) == []


def test_a_parked_change_takes_some_hundred_bytes() -> None:
    """A vendor that doubles every row of a big file costs the worker tens of megabytes, not hundreds."""
    waiting, leads = ParkedChanges(), 5_000
    waiting.put(parked(0))
    tracemalloc.start()
    try:
        for number in range(leads):
            waiting.put(parked(number))
        taken, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / leads < MOST_BYTES_A_LEAD


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("ends", [True, False])
def test_what_waits_for_the_end_of_a_file_goes_out_a_part_in_each_transaction(
    ends: bool, dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they send what one would, once, also when a successor takes over between any two of them; the file's
    end (or the load that comes instead of it) is taken with the last.
    """
    calm, lane = Lane(), Lane(dies_while_it_releases=dies)
    for one, at_once in ((calm, MAX_RELEASED), (lane, AT_ONCE)):
        monkeypatch.setattr("processors.changes.MAX_RELEASED", at_once)
        one.load(File(10, [(key, name) for name in ("zero", "one") for key in KEYS]), batch=LEADS)
        one.put_messages(DOUBLED.messages()[: None if ends else -1])
        one.put(File(30, [(key, "three") for key in KEYS]))
        one.work(len(DOUBLED.rows))
        assert one.sent_for(DOUBLED) == []
        one.sent_at_once.clear()
        one.work(1)
    assert (calm.sent_at_once, lane.sent_at_once) == ([7], [3, 3, 1])
    lane.load()
    calm.load()
    assert len(lane.sent_for(DOUBLED)) == LEADS
    assert (lane.sent, lane.steps) == (calm.sent, calm.steps)


def test_the_parts_that_are_sent_already_are_not_sent_again_when_the_next_one_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker dies within a transaction: its successor maps the file again and finds what is left."""
    monkeypatch.setattr("processors.changes.MAX_RELEASED", AT_ONCE)
    lane = Lane()
    lane.load(File(10, [(key, name) for name in ("zero", "one") for key in KEYS]), batch=LEADS)
    lane.put(DOUBLED)
    lane.work(len(DOUBLED.rows))
    lane.crash(1)
    lane.work_once(1)
    lane.crash(1)
    lane.work(1)
    assert [record.key for record in lane.sent_for(DOUBLED)] == KEYS
    counts = lane.steps[-1].counts
    assert (counts.rows, counts.stale, counts.duplicates, counts.updated, counts.sent) == (14, 7, 7, 7, 7)
