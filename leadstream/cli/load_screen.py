"""Loads on a terminal or in a pipe: a table where it fits, some lines a load where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from leadstream.cli.documents import UNDER_WAY, so_far, sum_sentence
from leadstream.cli.load_remarks import durations_text, remarks
from leadstream.cli.output import table

MIN_TABLE_COLUMNS = 180
"""Narrower than this, the table would be folded beyond reading."""

COUNTERS = ("rows", "inserted", "updated", "unchanged", "stale", "deleted", "failed")

Document = dict[str, Any]


def screen(documents: Sequence[Document], width: int) -> RenderableType:
    """The loads (documents of ``leadstream loads``) for a terminal of ``width`` columns."""
    if width < MIN_TABLE_COLUMNS:
        return Group(*(Text(block(document)) for document in documents))
    columns = ("load", "key", "status", *COUNTERS, "started (UTC)", "took (split + map + write)", "rows/s", "remarks")
    return table(
        columns,
        [
            (
                *(d[name] for name in ("load_id", "key", "status", *COUNTERS, "started_at")),
                durations_text(d),
                d["rows_per_second"],
                "; ".join(filter(None, [so_far(d) if d["status"] in UNDER_WAY else "", remarks(d)])),
            )
            for d in documents
        ],
    )


def block(load: Document) -> str:
    """One load in three lines: which and how far, where its rows went, what else there is to say."""
    return "\n  ".join(filter(None, [f"{load['load_id']}  {_state(load)}", _sums(load), remarks(load)]))


def line(load: Document) -> str:
    """One load in one line."""
    return "; ".join(filter(None, [_state(load), _sums(load), remarks(load)]))


def _state(load: Document) -> str:
    took = durations_text(load)
    speed = f", {load['rows_per_second']:,} rows/s" if load["rows_per_second"] is not None else ""
    return f"{load['key']}: {load['status']}{f' in {took}' if took else ''}{speed}"


def _sums(load: Document) -> str:
    return sum_sentence(load) + (f"; deleted {load['deleted']:,}" if load["deleted"] else "")
