"""Where the loads stand, as metrics and in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from leadstream import metrics
from leadstream.log import get_logger

COUNTS = ("rows", "inserted", "updated", "unchanged", "stale", "deleted", "dead_letters")

log = get_logger("sink")


def show_loads(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show what the query ``load_summary`` found, in place of what it found before."""
    for gauge in (metrics.LOADS, metrics.UNSETTLED_LOADS, metrics.OLDEST_UNSETTLED_LOAD, metrics.DELETES_HELD):
        gauge.clear()
    held: Counter[str] = Counter()
    for row in rows:
        metrics.LOADS.labels(row["source"], row["status"]).set(row["loads"])
        metrics.UNSETTLED_LOADS.labels(row["source"], row["status"]).set(row["unsettled"])
        if row["oldest"] is not None:
            metrics.OLDEST_UNSETTLED_LOAD.labels(row["source"], row["status"]).set(row["oldest"])
        held[row["source"]] += row["deletes_held"]
    for source, deletes in held.items():
        metrics.DELETES_HELD.labels(source).set(deletes)


def log_settled(rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell of loads that came to their end; held and failed ones were told of by who held them."""
    for row in rows:
        load = {"load_id": row["load_id"], "source": row["source"], **{name: row[name] for name in COUNTS}}
        if row["is_news"] and row["status"] == "done":
            log.info("load_done", **load)
        elif row["is_news"] and row["status"] == "broken":
            log.error("load_broken", **load, why=row["reason"])
