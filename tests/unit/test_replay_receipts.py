"""The receipt of a replay, and what the sink makes of the records that tell of dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from processors.replay_state import Phase, Replay, ReplayCounts, from_json, to_json
from schemas.headers import Headers, LetterEvent, Reason, Stage, letter_event_headers
from schemas.replays import REPLAY_COUNTS, fold_replay
from sink.batch import folded_events
from sink.dead_letters import event_of

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Message:
    """What a consumer gives of a record of leads.dlq."""

    headers: Headers
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    partition: int = 2
    offset: int = 9
    topic: str = field(default="leads.dlq")


def step(kind: str, partition: int, after: int = 0, **counts: int) -> dict[str, Any]:
    """A step of a replay over two partitions."""
    return {
        "load_id": "r1",
        "command_id": "replay",
        "source": "texas",
        "notes": ["every load"],
        "mapping_version": "m2",
        "partitions": 2,
        "partition": partition,
        "step": kind,
        "reason": "as asked" if kind == "cancelled" else "",
        "at": START + timedelta(seconds=after),
        **dict.fromkeys(REPLAY_COUNTS, 0),
        **counts,
    }


def test_every_partition_counts_once_in_any_order() -> None:
    """Steps that come again, or before the one that says that the replay began, change nothing."""
    receipt: dict[str, Any] | None = None
    for one in (
        step("replayed", 1, 5, rows=4, updated=3, fixed=1),
        step("replaying", 0),
        step("replayed", 1, 6, rows=4, updated=3, fixed=1),
        step("replaying", 1, 1),
        step("replayed", 0, 7, rows=2, inserted=2, sent=2),
    ):
        receipt = fold_replay(receipt, one)
    assert receipt is not None
    assert (receipt["rows"], receipt["inserted"], receipt["updated"], receipt["fixed"]) == (6, 2, 3, 1)
    assert receipt["ended_partitions"] == [0, 1]
    assert (receipt["started_at"], receipt["mapped_at"]) == (START, START + timedelta(seconds=7))
    assert (receipt["replay_id"], receipt["scope"], receipt["cancelled"]) == ("r1", "every load", False)


def test_one_cancelled_partition_makes_it_a_cancelled_replay() -> None:
    """What the other partitions had done still counts."""
    receipt = fold_replay(fold_replay(None, step("replayed", 0, rows=3, sent=1)), step("cancelled", 1, rows=1))
    assert (receipt["cancelled"], receipt["reason"], receipt["rows"], receipt["sent"]) == (True, "as asked", 4, 1)


def test_a_replay_survives_a_change_of_worker() -> None:
    """What is kept in the progress entry says everything that its successor needs."""
    replay = Replay("r1", "retry", "load", 7, "m2", ["old"], 12)
    replay.begin(floor=3, live_offset=40, first_offset=10, end_offset=50, under_way="now")
    replay.next_offset = 5
    replay.counts = ReplayCounts(rows=9, fixed=2)
    assert replay.phase is Phase.LETTERS
    assert from_json(to_json([replay, Replay("r2")])) == [replay, Replay("r2")]
    assert from_json("") == [] and to_json([]) == ""


def test_the_last_event_of_a_letter_decides_and_all_its_attempts_count() -> None:
    """Failed twice, then fixed: two attempts with reasons, one that settles it; overtaken is no attempt."""

    def told(event: LetterEvent, letter: int, *reasons: Reason) -> dict[str, Any]:
        stage = Stage.VALIDATE if reasons else None
        found = event_of(
            Message(
                letter_event_headers(
                    event,
                    source="texas",
                    letter_partition=2,
                    letter_offset=letter,
                    replay_id="r1",
                    mapping_version="m2",
                    stage=stage,
                    reasons=reasons,
                )
            )
        )
        assert found is not None
        return found

    again = Reason("phone", "not_a_phone", "is no phone number")
    first, second, third = folded_events(
        [
            told(LetterEvent.FAILED_AGAIN, 7, again),
            told(LetterEvent.FAILED_AGAIN, 8, again),
            told(LetterEvent.FAILED_AGAIN, 7, again),
            told(LetterEvent.FIXED, 7),
            told(LetterEvent.OVERTAKEN, 9),
        ]
    )
    assert (first["dead_letter_id"], first["attempts"]) == ("2-7", 3)
    assert first["status_why"] == "passes since replay r1" and first["reasons"] is None
    assert (second["attempts"], second["status_why"], second["stage"]) == (1, None, "VALIDATE")
    assert second["reasons"] == [{"field": "phone", "code": "not_a_phone", "message": "is no phone number"}]
    assert (third["attempts"], "newer row" in third["status_why"]) == (0, True)


def test_a_letter_is_no_event() -> None:
    """A record of leads.dlq without the header is a dead letter of its own."""
    assert event_of(Message([("leadstream.source", b"texas")])) is None
