"""When a load is worth an alert, and in which words: the workers raise alerts by this, the commands show them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINISHED = frozenset({"processed", "done", "broken"})
"""Status of a load whose numbers are known: ``processed`` on a receipt, the others in Postgres."""

Load = Mapping[str, Any]


class AlertKind(enum.StrEnum):
    """Why; symbols of ``schemas/alert.avsc``."""

    DEAD_LETTER_RATE = "dead_letter_rate"
    DELETES_HELD = "deletes_held"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True)
class Alert:
    """What is wrong with a load, for machines and for people; never a value of a row."""

    kind: AlertKind
    text: str


def alerts(load: Load, dead_letter_rate: float | None) -> list[Alert]:
    """What an operator should be told of a load now, the most urgent first; a load raises each kind at most once.

    ``load``: a receipt, or a row of the table ``loads``. ``dead_letter_rate``: the limit that its source's YAML sets,
    None: no limit.
    """
    if load["status"] in {AlertKind.HELD, AlertKind.FAILED}:
        return [Alert(AlertKind(load["status"]), load["reason"])]
    if load["status"] not in FINISHED:
        return []
    found = []
    share = failed_share(load)
    if dead_letter_rate is not None and share > dead_letter_rate:
        limit = f"the source's dead_letter_rate is {percent(dead_letter_rate)}"
        found.append(Alert(AlertKind.DEAD_LETTER_RATE, f"{percent(share)} of the rows failed, {limit}"))
    if load["deletes_held"]:
        found.append(Alert(AlertKind.DELETES_HELD, deletes_held_text(load)))
    return found


def failed_share(load: Load) -> float:
    """Share of a load's rows in the dead letters, 0 to 1."""
    return load["dead_letters"] / load["rows"] if load["rows"] else 0.0


def deletes_held_text(load: Load) -> str:
    """How many deletes a load holds, why, and what to do."""
    why = f": {load['reason']}" if load["reason"] else ""
    settle = f"`leadstream loads approve {load['load_id']}` deletes these leads, `reject` keeps them"
    return f"{load['deletes_held']:,} deletes held{why} → {settle}"


def percent(share: float) -> str:
    """A share for people, e.g. ``0.04 %``."""
    return f"{share * 100:.3g} %"
