"""Where the loads stand, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from leadstream import metrics


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
