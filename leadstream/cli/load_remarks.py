"""What an operator should know of a load besides its counters: alerts, held deletes, drift, why rows failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leadstream.alerts import deletes_held_text
from leadstream.cli.documents import seconds_taken
from leadstream.cli.output import counted

SHOWN_REASONS = 3
STAGES = ("splitting", "mapping", "writing")

Load = Mapping[str, Any]


def remarks(load: Load) -> str:
    """Everything worth a remark in one line, the most urgent first.

    ``load`` is the document of ``leadstream loads``: with ``alerts`` and ``dead_letter_reasons``. Dead letters that
    are settled are worth none.
    """
    parts = [f"ALERT: {alert}" for alert in load["alerts"]]
    reason = deletes_held_text(load) if load["deletes_held"] else load["reason"]
    if reason and reason not in load["alerts"]:
        parts.append(reason)
    said = "; ".join(parts)
    parts += [note for note in load["notes"] or [] if note not in said]
    if still_open := [reason for reason in load["dead_letter_reasons"] if reason["open"]]:
        parts.append(f"failed: {_reasons_text(still_open)}")
    return "; ".join(parts)


def durations_text(load: Load) -> str:
    """How long the load took, and of that splitting + mapping + writing, e.g. ``2.1 s (1.2 + 0.6 + 0.3)``."""
    total = seconds_taken(load)
    parts = [load["seconds"][stage] for stage in STAGES]
    return f"{total} ({' + '.join(f'{part:.1f}' for part in parts)})" if total and None not in parts else total


def _reasons_text(reasons: Sequence[Mapping[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason["code"]] = counts.get(reason["code"], 0) + reason["open"]
    shown = sorted(counts.items(), key=lambda item: -item[1])
    more = f", {counted(len(shown) - SHOWN_REASONS, 'more reason')}" if len(shown) > SHOWN_REASONS else ""
    return ", ".join(f"{code} {count:,}" for code, count in shown[:SHOWN_REASONS]) + more
