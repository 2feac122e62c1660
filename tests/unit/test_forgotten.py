"""People who are forgotten: what a lane erases of them, and that no row brings them back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from leadstream.cli.app import run
from leadstream.errors import ConfigError
from leadstream.forgotten import Digester, Forgotten
from leadstream.partitioning import lead_key
from processors.progress import Counts
from processors.replay_state import Replay
from tests.unit.changing import BAD, SECRET, SOURCE, File, Lane
from tests.unit.replaying import ReplayLane

DIGESTER = Digester(SECRET)
CONTACT = {"phone": "+17755550123;ext=4", "email": "pat@example.com"}


def _lead(key: str) -> bytes:
    return DIGESTER.of_lead(lead_key(SOURCE, key).encode())


def _is_whole(counts: Counts) -> bool:
    return counts.rows == sum((counts.inserted, counts.updated, counts.unchanged, counts.stale, counts.dead_letters))


def test_a_forgotten_lead_leaves_a_delete_without_content_and_no_state() -> None:
    """Its place in the order stays, so that nothing goes back; others do not notice; a second time does nothing."""
    lane = Lane()
    lane.load(File(1, [("a", "Ann"), ("b", "Bob")]))
    lane.forget(_lead("a"))
    delete, tombstone = lane.sent[-2:]
    assert delete is not None and tombstone is None
    assert (delete.op, delete.key, delete.order) == ("d", "a", (1, 1))
    assert not any(delete.body.values())
    assert b"a" not in lane.changelog and lane.state.get(b"a") is None
    assert lane.names() == {"b": "Bob"}
    sent = len(lane.sent)
    lane.forget(_lead("a"))
    assert len(lane.sent) == sent


def test_a_deleted_lead_is_forgotten_as_well() -> None:
    """Its history has what it said."""
    lane = Lane()
    lane.load(File(1, [("a", "Ann"), ("b", "Bob")]), File(2, [("b", "Bob")]))
    lane.forget(_lead("a"))
    assert lane.sent[-2] is not None and lane.sent[-2].order == (2, 0)
    assert lane.state.get(b"a") is None


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_no_file_brings_a_forgotten_person_back_and_the_sums_come_out(batch: int) -> None:
    """The same file, a newer one, a bad row, two rows: each row is counted as stale, as one that was overtaken is."""
    lane = Lane()
    lane.load(File(1, [("a", "Ann"), ("b", "Bob")]))
    lane.forget(_lead("a"))
    step = lane.load(File(2, [("a", "Ann"), ("b", "Bo"), ("a", BAD), ("a", "Anna")]), batch=batch)
    assert (step.counts.stale, step.counts.updated, step.counts.dead_letters) == (3, 1, 0)
    assert _is_whole(step.counts)
    lane.restart()
    step = lane.load(File(3, [("a", "Ann"), ("b", "Bo")]), batch=batch)
    assert (step.counts.stale, step.counts.unchanged, step.counts.deleted) == (1, 1, 0)
    assert lane.names() == {"b": "Bo"} and lane.dead_letters == []


def test_who_is_forgotten_in_the_middle_of_a_file_is_not_in_it() -> None:
    """Neither a row that waits for the end of the file nor a restart before it brings the lead back."""
    for restarts in (False, True):
        lane = Lane()
        lane.load(File(1, [("a", "Ann"), ("a", "Anna"), ("b", "Bob")]))
        lane.put(File(2, [("a", "Amy"), ("b", "Bob"), ("c", "Cy")]))
        lane.work(2)
        lane.forget(_lead("a"))
        if restarts:
            lane.restart()
        lane.work()
        assert lane.names() == {"b": "Bob", "c": "Cy"}
        assert lane.steps[-1].counts.rows == 3


def test_who_is_let_in_again_comes_with_the_next_file() -> None:
    """As a new lead: nothing is remembered of the one that was."""
    lane = Lane()
    lane.load(File(1, [("a", "Ann")]))
    lane.forget(_lead("a"))
    lane.forget(_lead("a"), kind="unforget")
    step = lane.load(File(2, [("a", "Ann")]))
    assert step.counts.inserted == 1 and lane.names() == {"a": "Ann"}


def test_a_replay_does_not_bring_a_forgotten_person_back() -> None:
    """The row still stands on the raw topic; it is counted as overtaken."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        lane = ReplayLane(loop=loop)
        lane.load(File(1, [("a", "Ann"), ("b", "Bob")]))
        lane.forget(_lead("a"))
        lane.accept(Replay("r1"))
        while lane.replay is not None:
            lane.replay_batch(1)
        counts = lane.finished[-1].counts
    assert (counts.rows, counts.stale, counts.unchanged, counts.sent) == (2, 1, 1, 0)
    assert lane.names() == {"b": "Bob"}


def test_a_phone_or_an_email_keeps_a_lead_out_however_it_is_written() -> None:
    """In any phone field, whatever the extension; in a cell of a row that fails, as the vendor wrote it."""
    forgotten = Forgotten(DIGESTER)
    assert not forgotten and not forgotten.has_contact(CONTACT)
    command = {"kind": "forget", "digests": [DIGESTER.of_phone("+17755550123")], "digest_key": DIGESTER.check}
    forgotten.take(command, 0)
    assert forgotten.has_contact(CONTACT) and forgotten.has_contact({"phone": None, "phone2": "+17755550123"})
    assert not forgotten.has_contact(CONTACT | {"phone": "+17755550124"})
    assert forgotten.has_contact_in([None, "", "(775) 555-0123"]) and forgotten.has_contact_in(["1-775-555-0123"])
    assert not forgotten.has_contact_in(["775-555-012", "a@b.example"])
    forgotten.take(command | {"digests": [DIGESTER.of_email("Pat@Example.com ")]}, 1)
    assert forgotten.has_contact({"email": "pat@example.com"}) and forgotten.has_contact_in([" PAT@example.com"])


def test_what_was_found_under_a_name_is_let_in_with_it_and_nothing_else() -> None:
    """A lead that was named itself stays out when the phone under which it was found is let in."""
    phone, found, named = DIGESTER.of_phone("+17755550123"), _lead("a"), _lead("b")
    forgotten = Forgotten(DIGESTER)
    for offset, (kind, digests) in enumerate(
        [("forget", [phone, found, named]), ("forget", [named]), ("unforget", [phone]), ("approve", [])]
    ):
        forgotten.take({"kind": kind, "digests": digests, "digest_key": DIGESTER.check}, offset)
    assert forgotten.has_lead(SOURCE, b"b") and not forgotten.has_lead(SOURCE, b"a")
    forgotten.take({"kind": "forget", "digests": [phone], "digest_key": DIGESTER.check}, 0)  # read again
    assert not forgotten.is_subject(phone)


@pytest.mark.parametrize("digester", [None, Digester("another")])
def test_who_cannot_tell_the_forgotten_stops(digester: Digester | None) -> None:
    """Without the secret everybody would come in again: the stage ends and says what to set."""
    command = {"kind": "forget", "digests": [_lead("a")], "digest_key": DIGESTER.check}
    with pytest.raises(ConfigError, match="LEADSTREAM_PRIVACY_KEY"):
        Forgotten(digester).take(command, 0)


def test_a_digest_tells_nothing_without_the_secret() -> None:
    """The same number has another digest under another secret, and as another thing."""
    other = Digester("another")
    assert DIGESTER.of_phone("+17755550123") != other.of_phone("+17755550123")
    assert len({DIGESTER.of_phone("x"), DIGESTER.of_email("x"), DIGESTER.of_lead(b"x")}) == 3


@pytest.mark.parametrize("words", [[], ["A"], ["texas:"], ["--phone", "call us"], ["--email", "pat"]], ids=" ".join)
def test_nobody_is_forgotten_by_mistake(words: list[str]) -> None:
    """Nobody named, or by something that is no key, phone or e-mail: wrong use, before anything is looked for."""
    assert run(["forget", *words, "--yes"]) == 2
