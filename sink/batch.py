"""What one poll brings, as rows for Postgres. Pure: no input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from schemas.receipts import fold
from schemas.records import schema_json
from schemas.replays import fold_replay
from sink import dead_letters
from sink.dead_letters import Event
from sink.lead_changes import Change

RECEIPT_FIELDS = tuple(item["name"] for item in schema_json("receipt")["fields"])
"""Of a receipt; columns of the table ``loads`` as well, where status and reason have ``receipt_`` before them."""

Record = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Everything that one database transaction writes.

    ``expected`` is where each partition stands in Postgres if nobody else wrote to it, ``following`` where it will.
    """

    expected: dict[TopicPartition, int] = field(default_factory=dict)
    following: dict[TopicPartition, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    steps: list[Record] = field(default_factory=list)
    dead_letters: list[dead_letters.Row] = field(default_factory=list)
    letter_events: list[Event] = field(default_factory=list)


def folded_replays(standing: Mapping[str, Record], steps: Sequence[Record]) -> dict[str, Record]:
    """The receipts by replay: those that stand, with ``steps`` folded onto them in their order."""
    receipts = dict(standing)
    for step in steps:
        receipts[step["load_id"]] = fold_replay(receipts.get(step["load_id"]), step)
    return receipts


def folded_events(events: Sequence[Event]) -> list[Event]:
    """One event a letter: the last, with the attempts of all."""
    folded: dict[str, Event] = {}
    for event in events:
        before = folded.get(event["dead_letter_id"])
        attempts = event["attempts"] + (before["attempts"] if before else 0)
        erased = event["erased"] or bool(before and before["erased"])
        folded[event["dead_letter_id"]] = event | {"attempts": attempts, "erased": erased}
    return list(folded.values())


def folded_receipts(standing: Mapping[str, Record], steps: Sequence[Record]) -> dict[str, Record]:
    """The receipts by load: those that stand, with ``steps`` folded onto them in their order."""
    receipts = dict(standing)
    for step in steps:
        receipts[step["load_id"]] = fold(receipts.get(step["load_id"]), step)
    return receipts


def receipt_row(receipt: Record) -> Record:
    """A receipt as columns of ``loads``, whose own status and reason follow from more than the receipt's."""
    row: Record = dead_letters.without_nul(receipt)
    row["receipt_status"] = row.pop("status")
    row["receipt_reason"] = row.pop("reason")
    return row


def receipt_of_row(row: Mapping[str, Any]) -> Record:
    """The receipt in a row of ``loads``: :func:`receipt_row` turned round."""
    receipt = {name: row[name] for name in RECEIPT_FIELDS}
    return receipt | {"status": row["receipt_status"], "reason": row["receipt_reason"]}
