"""What the rows of Postgres look like from outside: the stable field names of every JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from leadstream.cli.database import Row
from leadstream.cli.output import counted
from leadstream.masking import masked_text

SETTLED = frozenset({"done", "held", "failed", "broken"})
UNDER_WAY = frozenset({"splitting", "processing", "held"})
"""Status of a load whose rows are not all counted yet: their sum does not come out, and need not."""
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
    "changes_written",
    "dead_letters_written",
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
_LOAD_COLUMNS = {
    "key": "object_key",
    "failed": "dead_letters",
    "changes_written": "applied",
    "dead_letters_written": "dead_letters_applied",
}
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


def reason_document(row: Row) -> dict[str, Any]:
    """Why so many rows of a load failed, as ``loads`` prints it; its example is masked as a letter's message is."""
    example = masked_text(row["example"] or "")
    return {name: value for name, value in row.items() if name != "load_id"} | {"example": example}


def sum_sentence(load: Mapping[str, Any]) -> str:
    """Where each row of a load went; while that is not known of all, what is written of it so far."""
    rows = counted(load["rows"] or 0, "row")
    if load["status"] in UNDER_WAY:
        return "; ".join([*([rows] if load["rows"] else []), so_far(load)])
    fates = {name: load[name] or 0 for name in ("inserted", "updated", "unchanged", "stale")}
    fates["dead letters"] = load["failed"] or 0
    sign = "=" if sum(fates.values()) == (load["rows"] or 0) else "≠"
    return f"{rows} {sign} {' + '.join(f'{name} {count:,}' for name, count in fates.items())}"


def so_far(load: Mapping[str, Any]) -> str:
    """What Postgres has of a load that is under way; nothing is written of rows that are as they were."""
    changes, letters = load["changes_written"] or 0, load["dead_letters_written"] or 0
    if not changes and not letters:
        return "nothing written yet"
    return f"so far {counted(changes, 'change')} written, {counted(letters, 'dead letter')}"


def seconds_taken(load: Mapping[str, Any]) -> str:
    """How long a load took from its first step to Postgres."""
    total = load["seconds"]["total"]
    return f"{total:.1f} s" if total is not None else ""


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    # The clocks of two machines may differ by more than a stage took.
    return max(0.0, (end - start).total_seconds()) if start is not None and end is not None else None


def _document(row: Row, fields: tuple[str, ...], columns: Mapping[str, str]) -> dict[str, Any]:
    return {name: row.get(columns.get(name, name)) for name in fields}
