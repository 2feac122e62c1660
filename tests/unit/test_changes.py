"""Change detection, case by case; the random sequences are in test_changes_model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.changing import BAD, DAMAGED, MANGLED, File, Lane, Message, Step

FIRST = File(10, [("A", "one"), ("B", "one")])


def ops(lane: Lane, file: File) -> list[tuple[str, str]]:
    """What a load sent: op and key."""
    return [(record.op, record.key) for record in lane.sent_for(file)]


def nonzero(step: Step) -> dict[str, int]:
    """The counts of a step that are not 0."""
    return {name: count for name, count in vars(step.counts).items() if count}


def test_a_refresh_sends_exactly_what_changed() -> None:
    """Insert, update, unchanged and delete are told apart, counted, and only three of them sent."""
    lane = Lane()
    lane.load(File(10, [("A", "one"), ("B", "one"), ("C", "one")]))
    second = File(20, [("A", "one"), ("B", "two"), ("D", "one")])
    step = lane.load(second)
    assert nonzero(step) == {"rows": 3, "unchanged": 1, "updated": 1, "inserted": 1, "deleted": 1, "sent": 3}
    assert ops(lane, second) == [("u", "B"), ("c", "D"), ("d", "C")]
    assert [record.changed_fields for record in lane.sent_for(second)] == [["company"], [], []]
    assert lane.names() == {"A": "one", "B": "two", "D": "one"}


def test_a_delete_carries_the_last_body_and_a_tombstone_follows() -> None:
    """Also when the lead was changed in the same batch; a lead whose record cannot be read is deleted all the same."""
    lane = Lane()
    lane.load(FIRST, File(20, [("A", "two"), ("B", "one")]), File(30, [("B", "one")]))
    assert lane.sent[-1] is None
    assert (lane.sent[-2] is not None) and (lane.sent[-2].op, lane.sent[-2].body["company"]) == ("d", "two")
    lane.is_lead_known = False
    empty = File(40, [])
    lane.load(empty)
    assert ops(lane, empty) == [("d", "B")]
    assert lane.names() == {}


def test_a_lead_that_comes_back_is_inserted_again() -> None:
    """Also with the content it had when it was deleted, and also within one batch."""
    for batch in (None, 1):
        lane = Lane()
        back = File(30, FIRST.rows)
        lane.load(FIRST, File(20, [("B", "one")]), back, batch=batch)
        assert ops(lane, back) == [("c", "A")]
        lane.load(File(40, [("B", "one")]), batch=batch)
        assert lane.names() == {"B": "one"}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_of_rows_with_one_key_the_last_good_one_decides(batch: int) -> None:
    """The earlier are stale and duplicates, wherever the file is cut into batches; the lead counts once."""
    lane = Lane()
    step = lane.load(File(10, [("A", "one"), ("B", "one"), ("A", "two"), ("A", "three"), ("A", BAD)]), batch=batch)
    sent = step.counts.sent
    assert nonzero(step) == {
        "rows": 5, "inserted": 2, "stale": 2, "duplicates": 2, "dead_letters": 1, "sent": sent,
    }  # fmt: skip
    assert lane.names() == {"A": "three", "B": "one"}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
@pytest.mark.parametrize("names", [("one", "two"), ("one", "two", "one"), ("one", "one"), ("two", BAD, "one", "two")])
def test_a_file_with_duplicate_keys_that_is_put_again_sends_nothing(names: tuple[str, ...], batch: int) -> None:
    """Not even a change that is taken back: the lead's rows wait for the end of the file."""
    lane = Lane()
    rows = [("A", name) for name in names] + [("B", "one")]
    lane.load(File(10, rows), batch=batch)
    for seq in (20, 30):
        step = lane.load(File(seq, rows), batch=batch)
        assert (step.counts.sent, step.counts.unchanged, step.counts.updated) == (0, 2, 0)


def test_a_change_that_a_later_row_of_the_batch_took_back_is_remembered_as_a_duplicate() -> None:
    """The same file, cut between the two rows, sends nothing either."""
    lane = Lane()
    lane.load(File(10, [("A", "two")]))
    rows = [("A", "one"), ("A", "two")]
    assert lane.load(File(20, rows)).counts.sent == 0
    assert lane.load(File(30, rows), batch=1).counts.sent == 0


def test_the_rows_of_a_known_duplicate_are_sent_once_at_the_end_of_the_file() -> None:
    """A first row that differs waits, and an operator of a stream sees one update, not two."""
    lane = Lane()
    lane.load(File(10, [("A", "one"), ("A", "two")]), batch=1)
    second = File(20, [("A", "one"), ("A", "three")])
    lane.put(second)
    lane.work(2)
    assert lane.sent_for(second) == []
    lane.work()
    assert ops(lane, second) == [("u", "A")]
    assert nonzero(lane.steps[-1]) == {"rows": 2, "stale": 1, "duplicates": 1, "updated": 1, "sent": 1}


def test_waiting_rows_survive_a_restart() -> None:
    """They are found again on the raw topic; so is what the load has sent already."""
    lane = Lane()
    lane.load(File(10, [("A", "one"), ("A", "two"), ("B", "one"), ("C", "one")]))
    second = File(20, [("A", "one"), ("A", "three"), ("B", "two"), ("C", "one"), ("C", "two"), ("D", BAD)])
    lane.put(second)
    for _message in second.messages():
        lane.work(1)
        lane.restart(batch=2)
    counts = nonzero(lane.steps[-1])
    assert counts == {"rows": 6, "dead_letters": 1, "stale": 2, "duplicates": 2, "updated": 3, "sent": 3}
    assert lane.names() == {"A": "three", "B": "two", "C": "two"}


def test_a_failed_row_is_no_row_taken_after_a_restart_either() -> None:
    """A good row after a bad one of its key is no duplicate, and no count falls below nothing."""
    lane = Lane()
    lane.load(FIRST)
    lane.put(File(20, [("A", BAD), ("A", "two"), ("B", "one")]))
    lane.work(1)
    lane.restart()
    lane.work()
    assert nonzero(lane.steps[-1]) == {"rows": 3, "dead_letters": 1, "updated": 1, "unchanged": 1, "sent": 1}


@pytest.mark.parametrize("name", [BAD, MANGLED, DAMAGED])
def test_a_row_that_failed_never_deletes_its_lead(name: str) -> None:
    """The lead is in the file, whatever is wrong with its row; it keeps what was last known."""
    lane = Lane()
    lane.load(FIRST)
    step = lane.load(File(20, [("A", name), ("B", "one")]), batch=1)
    assert (step.counts.deleted, lane.names()) == (0, {"A": "one", "B": "one"})
    assert [key for key, _code in lane.dead_letters] == ["A"] * (name != DAMAGED)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"load_seq": b"first"},
        {"kind": b"riddle"},
        {"row": b""},
        {"row": b"-1"},
        {"line": b"9" * 5_000},
        {"line": b"\xff"},
    ],
)
def test_a_message_that_the_producer_did_not_write_is_a_dead_letter_and_stops_nothing(
    wrong: dict[str, bytes] | None, at: int
) -> None:
    """First in a partition, in the middle of a load, and when a successor meets it there."""
    lane = Lane()
    messages = FIRST.messages()
    found = [] if wrong is None else [(name, wrong.get(name, value)) for name, value in messages[0].headers]
    foreign = Message(b"A", b"hello", found)
    lane.put_messages([*messages[:at], foreign, *messages[at:]])
    lane.work(2)
    lane.restart()
    step = lane.load()
    assert lane.dead_letters == [("A", "undecodable")]
    assert nonzero(step) == {"rows": 2, "inserted": 2, "sent": 2}


def test_an_older_file_than_the_newest_complete_one_changes_nothing() -> None:
    """All its rows are stale, bad ones too; nothing is deleted."""
    lane = Lane()
    lane.load(File(20, [("A", "one")]))
    step = lane.load(File(10, [("A", "two"), ("B", "two"), ("C", BAD)]))
    assert nonzero(step) == {"rows": 3, "stale": 3}
    assert (lane.names(), lane.dead_letters) == ({"A": "one"}, [])


@pytest.mark.parametrize("ending", [{"refresh": "partial"}, {"status": "abandoned"}, {"status": ""}])
def test_an_older_file_does_not_overtake_a_newer_one_that_is_no_complete_refresh(ending: dict[str, Any]) -> None:
    """A newer file that left a lead as it was has the last word on it, too; on other leads it has none."""
    lane = Lane()
    lane.load(FIRST)
    lane.load(File(30, [("A", "one")], **ending))
    step = lane.load(File(20, [("A", "two"), ("B", "two")]))
    assert nonzero(step) == {"rows": 2, "stale": 1, "updated": 1, "sent": 1}
    assert lane.names() == {"A": "one", "B": "two"}


def test_a_newer_word_keeps_a_lead_from_being_deleted_or_held_by_an_older_file() -> None:
    """Absent from an older complete file says nothing about a lead that a newer partial one named."""
    for hold in ("", "it shrank"):
        lane = Lane()
        lane.load(FIRST)
        lane.load(File(30, [("A", "one")], refresh="partial"))
        step = lane.load(File(20, [("B", "one")], hold=hold))
        assert nonzero(step) == {"rows": 1, "unchanged": 1}
        assert lane.names() == {"A": "one", "B": "one"}


@pytest.mark.parametrize("ending", [{"refresh": "partial"}, {"status": "abandoned"}, {"status": ""}])
def test_only_a_complete_refresh_deletes(ending: dict[str, Any]) -> None:
    """What is absent from a partial or abandoned file, or from one that was never ended, stays."""
    lane = Lane()
    lane.load(FIRST)
    lane.load(File(20, [("A", "two"), ("C", "one"), ("C", "two")], **ending), File(30, [], refresh="partial"))
    assert lane.names() == {"A": "two", "B": "one", "C": "two"}


def test_deletes_are_held_when_not_every_row_of_the_file_was_there_to_be_looked_at() -> None:
    """The end marker says how many rows there are: leads in rows that nobody saw are not taken for absent."""
    lane = Lane()
    lane.load(FIRST)
    step = lane.load(File(20, [("A", "one")], lost_rows=1))
    assert (step.counts.deleted, step.counts.deletes_held) == (0, 1)
    assert "of 2 rows in this partition only 1" in step.reason
    assert lane.names() == {"A": "one", "B": "one"}


def test_a_file_that_was_interrupted_by_another_deletes_none_of_what_its_first_part_named() -> None:
    """The producer puts a file off while S3 is away and splits the next one meanwhile."""
    lane = Lane()
    lane.load(FIRST)
    interrupted = File(30, [("A", "two"), ("B", "one"), ("C", "one"), ("D", "one")])
    messages = interrupted.messages()
    lane.put_messages(messages[:3])
    lane.put(File(20, FIRST.rows))
    lane.put_messages(messages[3:])
    step = lane.load()
    assert (step.load_id, step.counts.deleted, step.counts.deletes_held) == (interrupted.load_id, 0, 0)
    assert "of 4 rows in this partition only 1" in step.reason
    assert lane.names() == {"A": "two", "B": "one", "C": "one", "D": "one"}


def test_held_deletes_are_deleted_once_by_an_approval() -> None:
    """The second finds nothing; a later file without the lead neither."""
    lane = Lane()
    lane.load(FIRST)
    cut = File(20, [("A", "one")], hold="it looks cut off")
    step = lane.load(cut)
    assert (nonzero(step), step.reason) == ({"rows": 1, "unchanged": 1, "deletes_held": 1}, "it looks cut off")
    assert lane.names() == {"A": "one", "B": "one"}
    lane.restart()
    assert nonzero(lane.settle("approve", cut)) == {"deleted": 1, "deletes_held": 1, "sent": 1}
    assert nonzero(lane.settle("approve", cut)) == {}
    assert nonzero(lane.load(File(30, [("A", "one")]))) == {"rows": 1, "unchanged": 1}
    assert ops(lane, cut) == [("d", "B")]


def test_a_rejected_hold_is_lifted_and_the_leads_stay() -> None:
    """An approval afterwards finds nothing; the next complete file decides anew."""
    lane = Lane()
    lane.load(FIRST)
    cut = File(20, [("A", "one")], hold="it looks cut off")
    lane.load(cut)
    assert nonzero(lane.settle("reject", cut)) == {"deletes_held": 1}
    assert nonzero(lane.settle("approve", cut)) == {}
    assert lane.names() == {"A": "one", "B": "one"}
    assert lane.load(File(30, [("A", "one")])).counts.deleted == 1


@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("name", ["one", "two", BAD, MANGLED, DAMAGED])
def test_a_lead_that_a_newer_file_names_is_not_deleted_by_approving_an_older_hold(name: str, batch: int) -> None:
    """Unchanged, changed or damaged: it is there. Also when hold and newer row come in one batch."""
    lane = Lane()
    cut = File(20, [("A", "one")], hold="it looks cut off")
    lane.load(FIRST, cut, File(30, [("A", "one"), ("B", name)]), batch=batch)
    assert nonzero(lane.settle("approve", cut)) == {}
    assert lane.names() == {"A": "one", "B": "two" if name == "two" else "one"}


def test_a_hold_is_taken_over_by_the_next_file_that_holds() -> None:
    """The lead waits for the newest of them; approving the older one does nothing to it."""
    lane = Lane()
    lane.load(FIRST)
    older, newer = File(20, [("A", "one")], hold="it shrank"), File(30, [("A", "one")], hold="it shrank")
    lane.load(older, newer, batch=1)
    assert nonzero(lane.settle("approve", older)) == {}
    assert nonzero(lane.settle("approve", newer)) == {"deleted": 1, "deletes_held": 1, "sent": 1}


def test_a_lost_transaction_leaves_no_trace() -> None:
    """What was worked out and not committed is worked out again, with the same outcome."""
    calm, troubled = Lane(), Lane()
    files = [FIRST, File(20, [("A", "two"), ("C", "one"), ("C", "two"), ("B", BAD)]), File(30, [("C", "two")])]
    for file in files:
        calm.load(file, batch=2)
        troubled.put(file)
        while troubled.next_offset < len(troubled.raw):
            troubled.crash(2)
            troubled.work(2)
    assert (troubled.sent, troubled.steps) == (calm.sent, calm.steps)
    assert troubled.dead_letters == calm.dead_letters


def test_a_lead_whose_hash_alone_differs_is_unchanged_and_gets_the_new_hash() -> None:
    """So it is when the canonical schema grows by a field that is empty: not a single record is sent."""
    lane = Lane()
    lane.load(FIRST)
    entry = lane.state.get(b"A")
    assert entry is not None
    lane.state.put(b"A", entry._replace(content_hash=b"formerly"))
    step = lane.load(File(20, FIRST.rows))
    assert nonzero(step) == {"rows": 2, "unchanged": 2}
    assert lane.state.get(b"A") == entry._replace(load_seq=20)
    assert ops(lane, File(20, [])) == []


def test_a_row_that_did_not_change_is_mapped_once_by_a_process_and_again_by_another_mapping() -> None:
    """An unchanged file costs no mapping; a new process, or a mended YAML, looks at every row again."""
    lane = Lane()
    lane.load(FIRST)
    lane.readers.mapped.clear()
    assert nonzero(lane.load(File(20, [("A", "one"), ("B", "two")]))) == {
        "rows": 2,
        "unchanged": 1,
        "updated": 1,
        "sent": 1,
    }
    assert lane.readers.mapped == ["B"]
    lane.restart()
    lane.readers.mapped.clear()
    for seq, mapped in ((30, ["A", "B"]), (40, [])):
        assert nonzero(lane.load(File(seq, [("A", "one"), ("B", "two")]))) == {"rows": 2, "unchanged": 2}
        assert lane.readers.mapped == mapped
        lane.readers.mapped.clear()
    lane.readers.mapping_version = "mended"
    lane.load(File(50, [("A", "one"), ("B", "two")]))
    assert lane.readers.mapped == ["A", "B"]


def test_a_lead_that_was_deleted_and_comes_back_as_it_was_is_mapped_and_sent() -> None:
    """Its row is the one it was made from, and still something is sent."""
    lane = Lane()
    lane.load(FIRST, File(20, [("A", "one")]), File(30, FIRST.rows))
    assert lane.names() == {"A": "one", "B": "one"}


def test_the_last_row_of_a_lead_has_the_last_word_also_when_the_mapping_is_mended_within_the_file() -> None:
    """The first was sent, the second waits; then a worker with a newer mapping takes over."""
    lane = Lane()
    lane.put(File(10, [("A", "one"), ("A", "two")]))
    lane.work(1)
    lane.work(1)
    lane.readers.mapping_version = "m2"
    lane.readers.meanings = {BAD: None, "one": "One"}
    lane.restart()
    lane.work()
    assert lane.names() == {"A": "two"}
