"""The receipt of a load, folded from its steps."""

from __future__ import annotations

import itertools
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from processors.progress import Counts
from schemas.receipts import COUNTS, fold, standing
from schemas.records import schema_json

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def make_step(kind: str, seconds: int = 0, **fields: Any) -> dict[str, Any]:
    """A step of one load, ``seconds`` after its start."""
    place = {"load_id": "l1", "source": "texas", "bucket": "b", "object_key": "texas/a.csv", "object_version": "v"}
    rest = {"load_seq": 7, "size_bytes": 10, "raw_schema_id": 3, "mapping_version": "m", "notes": [], "reason": ""}
    counts = dict.fromkeys(COUNTS, 0)
    return place | rest | counts | {"step": kind, "partition": -1, "partitions": 0} | fields | {
        "at": START + timedelta(seconds=seconds)
    }  # fmt: skip


STEPS = [
    make_step("splitting"),
    make_step("split", 1, rows=10, dead_letters=1, partitions=2),
    make_step("mapped", 2, partition=0, rows=4, inserted=3, dead_letters=1, sent=3),
    make_step("mapped", 3, partition=1, rows=5, updated=2, unchanged=3, sent=2),
]


def test_steps_in_any_order_give_the_same_receipt() -> None:
    """Partitions report when they like; the sum is the sum."""
    receipts = []
    for order in itertools.permutations(STEPS[1:]):
        receipt = fold(None, STEPS[0])
        for step in order:
            receipt = fold(receipt, step)
        receipts.append(receipt)
    assert all(receipt == receipts[0] for receipt in receipts)
    first = receipts[0]
    assert first["status"] == "processed"
    assert first["rows"] == 10 == sum(first[name] for name in ("inserted", "updated", "unchanged", "dead_letters"))
    assert (first["sent"], first["split_at"], first["mapped_at"]) == (5, STEPS[1]["at"], STEPS[3]["at"])


def test_a_step_that_comes_again_changes_nothing() -> None:
    """Faust delivers at least once."""
    receipt = None
    for step in STEPS:
        receipt = fold(receipt, step)
    for step in STEPS:
        assert fold(receipt, step) == receipt


def test_a_load_is_processing_until_the_last_partition_reports() -> None:
    """Done by one partition is not done."""
    receipt = fold(fold(fold(None, STEPS[0]), STEPS[1]), STEPS[2])
    assert (receipt["status"], receipt["partitions_mapped"]) == ("processing", 1)


def test_a_held_load_that_is_tried_again_begins_anew() -> None:
    """The reason of the first try does not stick to the second."""
    held = fold(fold(None, STEPS[0]), make_step("held", 1, reason="column 'Phone#' is gone"))
    assert (held["status"], held["reason"]) == ("held", "column 'Phone#' is gone")
    again = fold(held, make_step("splitting", 60))
    assert (again["status"], again["reason"]) == ("splitting", "")
    assert fold(held, STEPS[0]) == held


def test_processors_steps_and_receipts_count_the_same_things() -> None:
    """What a lane counts has a field in its step and in the receipt, under one name; the saved order is fixed."""
    assert tuple(item.name for item in fields(Counts)) == COUNTS
    for name in ("load_step", "receipt"):
        assert set(COUNTS) <= {field["name"] for field in schema_json(name)["fields"]}


def test_a_load_whose_held_deletes_were_settled_in_every_partition_holds_none() -> None:
    """Also when newer files had settled some of them before: nobody waits for those."""
    receipt = None
    for step in [*STEPS[:2], make_step("mapped", 2, partition=0, deletes_held=3), make_step("mapped", 3, partition=1)]:
        receipt = fold(receipt, step)
    receipt = fold(receipt, make_step("approved", 4, partition=0, deletes_held=2, deleted=2, sent=2))
    assert (receipt["deletes_held"], receipt["deleted"]) == (1, 2)
    receipt = fold(receipt, make_step("approved", 5, partition=1))
    assert (receipt["deletes_held"], receipt["deleted"], receipt["sent"]) == (0, 2, 2)


def test_a_load_that_is_halted_in_any_partition_is_held_until_all_go_on() -> None:
    """With the reason of the halt; afterwards as if nothing had been, also when steps come again."""
    halts = [make_step("halted", 2, partition=at, reason=f"too many rows fail in {at}") for at in (0, 1)]
    unharmed = receipt = None
    for step in STEPS:
        unharmed = fold(unharmed, step)
    for step in [STEPS[0], halts[0], STEPS[1], halts[1]]:
        receipt = fold(receipt, step)
        assert fold(receipt, step) == receipt
        is_held = step is not STEPS[0]
        assert (standing(receipt)["status"] == "held") is is_held
    assert receipt is not None
    assert (receipt["status"], standing(receipt)["reason"]) == ("processing", "too many rows fail in 1")
    receipt = fold(receipt, make_step("resumed", 3, partition=1))
    assert (receipt["halted_partitions"], standing(receipt)["status"]) == ([0], "held")
    for step in [*STEPS[2:], halts[0]]:
        receipt = fold(receipt, step)
    assert receipt == unharmed == standing(receipt)
