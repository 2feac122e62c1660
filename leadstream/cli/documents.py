"""What the rows of Postgres look like from outside: the stable field names of every JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from leadstream.cli.database import Row
from leadstream.masking import masked_text

SETTLED = frozenset({"done", "held", "failed", "broken"})
GOOD = "done"

_LOAD_FIELDS = (
    "load_id",
    "source",
    "bucket",
    "key",
    "object_version",
    "load_seq",
    "status",
    "rows",
    "inserted",
    "updated",
    "unchanged",
    "stale",
    "duplicates",
    "deleted",
    "deletes_held",
    "failed",
    "sent",
    "size_bytes",
    "reason",
    "notes",
    "raw_schema_id",
    "mapping_version",
    "started_at",
    "split_at",
    "mapped_at",
    "finished_at",
)
_LOAD_COLUMNS = {"key": "object_key", "failed": "dead_letters"}
"""Where the document's name differs from the table's column."""

_DURATIONS = {
    "splitting": ("started_at", "split_at"),
    "mapping": ("split_at", "mapped_at"),
    "writing": ("mapped_at", "finished_at"),
    "total": ("started_at", "finished_at"),
}
"""From when to when each lasts."""

_DEAD_LETTER_COLUMNS = {"id": "dead_letter_id", "key": "object_key", "row": "row_number", "line": "line_number"}
_DEAD_LETTER_FIELDS = (
    "id",
    "source",
    "load_id",
    "key",
    "row",
    "line",
    "stage",
    "reason_code",
    "message",
    "reasons",
    "status",
    "status_why",
    "failed_at",
    "attempts",
    "last_attempt_at",
)


def load_document(row: Row) -> dict[str, Any]:
    """A load as ``loads`` and ``put --wait`` print it; ``failed`` counts its dead letters.

    ``seconds`` says how long each stage had it to itself: a stage begins before the one before it has ended.
    """
    seconds = {name: _seconds(row[start], row[end]) for name, (start, end) in _DURATIONS.items()}
    speed = round(row["rows"] / seconds["total"]) if seconds["total"] else None
    return _document(row, _LOAD_FIELDS, _LOAD_COLUMNS) | {"seconds": seconds, "rows_per_second": speed}


def dead_letter_document(row: Row) -> dict[str, Any]:
    """A dead letter as ``dlq list`` prints it. Our messages hold no values; those of a function in YAML may."""
    document = _document(row, _DEAD_LETTER_FIELDS, _DEAD_LETTER_COLUMNS)
    reasons = [reason | {"message": masked_text(reason["message"])} for reason in row["reasons"] or []]
    return document | {"message": masked_text(row["message"] or ""), "reasons": reasons}


def sum_sentence(load: Mapping[str, Any]) -> str:
    """Where each row of a load went."""
    names = ("inserted", "updated", "unchanged", "stale")
    parts = " + ".join(f"{name} {load[name] or 0:,}" for name in names)
    return f"{load['rows'] or 0:,} rows = {parts} + dead letters {load['failed'] or 0:,}"


def seconds_taken(load: Mapping[str, Any]) -> str:
    """How long a load took from its first step to Postgres."""
    total = load["seconds"]["total"]
    return f"{total:.1f} s" if total is not None else ""


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    # The clocks of two machines may differ by more than a stage took.
    return max(0.0, (end - start).total_seconds()) if start is not None and end is not None else None


def _document(row: Row, fields: tuple[str, ...], columns: Mapping[str, str]) -> dict[str, Any]:
    return {name: row.get(columns.get(name, name)) for name in fields}
