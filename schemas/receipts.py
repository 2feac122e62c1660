"""The receipt of a load, folded from its steps. Pure: the sink keeps the result in Postgres, the workers in a table."""

from __future__ import annotations

from typing import Any

COUNTS = (
    "rows",
    "dead_letters",
    "inserted",
    "updated",
    "unchanged",
    "stale",
    "duplicates",
    "deleted",
    "deletes_held",
    "sent",
)
"""What a step and a receipt count; see ``load_step.avsc``."""

Record = dict[str, Any]

PLACE = ("load_id", "source", "bucket", "object_key", "object_version", "load_seq")
SETTLED = frozenset({"approved", "rejected"})
STOPPED = {"held": "held", "failed": "failed"}


def fold(receipt: Record | None, step: Record) -> Record:
    """The receipt after ``step`` (records of ``receipt.avsc`` and ``load_step.avsc``).

    Steps may come again (Faust delivers at least once) and in any order: each counts once.
    """
    new = dict(receipt) if receipt is not None else _empty(step)
    kind = step["step"]
    if kind == "splitting":
        if new["status"] in {"held", "failed"} and step["at"] > new["started_at"]:
            new = _empty(step)  # tried again
    elif kind == "split":
        if new["split_at"] is None:
            new["rows"] = step["rows"]
            new["dead_letters"] += step["dead_letters"]
            new["split_at"] = step["at"]
            new["partitions"] = step["partitions"]
            new["notes"] = step["notes"]
            new["raw_schema_id"] = step["raw_schema_id"]
            new["mapping_version"] = step["mapping_version"]
            new["reason"] = step["reason"]
            new["status"] = "processing"
    elif kind == "mapped":
        if step["partition"] not in new["mapped_partitions"]:
            new["mapped_partitions"] = sorted([*new["mapped_partitions"], step["partition"]])
            new["partitions_mapped"] = len(new["mapped_partitions"])
            for name in COUNTS:
                if name != "rows":
                    new[name] += step[name]
            new["mapped_at"] = max(new["mapped_at"] or step["at"], step["at"])
            _resume(new, step["partition"])
    elif kind == "halted":
        if step["partition"] not in new["mapped_partitions"]:
            new["halted_partitions"] = sorted({*new["halted_partitions"], step["partition"]})
            new["halted_reason"] = step["reason"]
    elif kind == "resumed":
        _resume(new, step["partition"])
    elif kind in SETTLED:
        if step["partition"] not in new["settled_partitions"] and new["deletes_held"]:
            new["settled_partitions"] = sorted([*new["settled_partitions"], step["partition"]])
            new["deletes_held"] -= step["deletes_held"]
            new["deleted"] += step["deleted"]
            new["sent"] += step["sent"]
            if len(new["settled_partitions"]) == new["partitions"]:
                new["deletes_held"] = 0  # the others were settled by newer files
    elif kind in STOPPED and new["split_at"] is None:
        new |= {
            "status": STOPPED[kind],
            "reason": step["reason"],
            "notes": step["notes"],
            "rows": step["rows"],
        }
        new["mapping_version"] = step["mapping_version"]
    if new["status"] == "processing" and new["partitions_mapped"] == new["partitions"]:
        new["status"] = "processed"
    return new


def standing(receipt: Record) -> Record:
    """The receipt with the status and the reason that count: a load that is halted anywhere is held."""
    if not receipt["halted_partitions"]:
        return receipt
    return receipt | {"status": "held", "reason": receipt["halted_reason"]}


def _resume(receipt: Record, partition: int) -> None:
    receipt["halted_partitions"] = [halted for halted in receipt["halted_partitions"] if halted != partition]
    if not receipt["halted_partitions"]:
        receipt["halted_reason"] = ""


def _empty(step: Record) -> Record:
    return {
        **{name: step[name] for name in PLACE},
        "status": "splitting",
        "partitions": 0,
        "partitions_mapped": 0,
        "mapped_partitions": [],
        "settled_partitions": [],
        "halted_partitions": [],
        "halted_reason": "",
        **dict.fromkeys(COUNTS, 0),
        "size_bytes": step["size_bytes"],
        "reason": "",
        "notes": [],
        "raw_schema_id": 0,
        "mapping_version": step["mapping_version"],
        "started_at": step["at"],
        "split_at": None,
        "mapped_at": None,
    }
