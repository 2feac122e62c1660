"""The receipt of a replay or retry, folded from its steps; one step a partition. Pure."""

from __future__ import annotations

from typing import Any

from schemas.receipts import COUNTS

REPLAY_STEPS = frozenset({"replaying", "replayed", "cancelled"})
"""Steps that are about a replay; their ``load_id`` is the replay's id, their ``command_id`` says what kind it is."""
_LOADS_ALONE = frozenset({"deleted", "deletes_held"})
REPLAY_COUNTS = (*(name for name in COUNTS if name not in _LOADS_ALONE), "fixed", "failed_again", "overtaken")
"""What a replay counts; see ``load_step.avsc``."""

RECEIPT_FIELDS = (
    *("replay_id", "kind", "source", "scope", "mapping_version", "partitions", "ended_partitions"),
    *REPLAY_COUNTS,
    *("cancelled", "reason", "started_at", "mapped_at"),
)
"""Of a replay's receipt; columns of the table ``replays``."""

Record = dict[str, Any]


def fold_replay(receipt: Record | None, step: Record) -> Record:
    """The receipt after ``step`` (a record of ``load_step.avsc``); each partition counts once.

    A receipt has the columns of the table ``replays``.
    """
    new = dict(receipt) if receipt is not None else _empty(step)
    if step["step"] == "replaying":
        new["started_at"] = min(new["started_at"], step["at"])
    elif step["partition"] not in new["ended_partitions"]:
        new["ended_partitions"] = sorted([*new["ended_partitions"], step["partition"]])
        for name in REPLAY_COUNTS:
            new[name] += step[name]
        new["mapped_at"] = max(new["mapped_at"] or step["at"], step["at"])
        if step["step"] == "cancelled":
            new["cancelled"] = True
            new["reason"] = step["reason"]
    return new


def _empty(step: Record) -> Record:
    return {
        "replay_id": step["load_id"],
        "kind": step["command_id"],
        "source": step["source"],
        "scope": "; ".join(step["notes"]),
        "mapping_version": step["mapping_version"],
        "partitions": step["partitions"],
        "ended_partitions": [],
        **dict.fromkeys(REPLAY_COUNTS, 0),
        "cancelled": False,
        "reason": "",
        "started_at": step["at"],
        "mapped_at": None,
    }
