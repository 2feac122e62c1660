"""What a deployment needs, worked out from measured figures. Pure: no input or output."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.results import Figures

ROWS_PER_FILE = 20_000
"""Of a vendor's weekly file, which is a complete refresh."""
WINDOW_HOURS = 8
"""All files of a week come in one night: the worst week there is."""
BUSY_SHARE = 0.5
"""Of a core that a stage may need in that night; the rest is for what comes late and for replays."""
FEWEST_LANES = 4
MOST_STATE_GIGABYTES = 6.0
"""Of leads that a worker shall hold."""
TOPICS_PER_SOURCE = 2
"""Rows, and the changelog of its leads; each has a partition a lane."""
STAGES = ("produce", "process", "sink")


@dataclass(frozen=True)
class Size:
    """What so many vendors need."""

    vendors: int
    rows: int
    rows_per_second_all_week: float
    rows_per_second_in_window: float
    cores: dict[str, float]
    """Kept busy by each stage in that night."""
    first_load_core_hours: dict[str, float]
    state_gigabytes: float
    lanes: int
    workers: int
    partitions: int
    restore_seconds: float


def size(vendors: int, refresh: Figures, state: Figures) -> Size:
    """``refresh`` and ``state``: those sections of the results."""
    rows = vendors * ROWS_PER_FILE
    in_window = rows / (WINDOW_HOURS * 3600)
    spent = {which: microseconds_per_row(refresh, which) for which in ("first", "refresh")}
    cores = {stage: in_window * spent["refresh"][stage] / 1e6 for stage in STAGES}
    gigabytes = rows * bytes_per_lead(state) / 1e9
    by_memory = math.ceil(gigabytes / MOST_STATE_GIGABYTES)
    workers = max(by_memory, math.ceil(cores["process"] / BUSY_SHARE))
    lanes = max(FEWEST_LANES, 2 ** math.ceil(math.log2(workers)))
    return Size(
        vendors=vendors,
        rows=rows,
        rows_per_second_all_week=rows / (7 * 24 * 3600),
        rows_per_second_in_window=in_window,
        cores=cores,
        first_load_core_hours={stage: rows * spent["first"][stage] / 1e6 / 3600 for stage in STAGES},
        state_gigabytes=gigabytes,
        lanes=lanes,
        workers=workers,
        partitions=vendors * TOPICS_PER_SOURCE * lanes,
        restore_seconds=rows / workers * state["restore_seconds"]["median"] / state["leads"],
    )


def microseconds_per_row(refresh: Figures, which: str) -> dict[str, float]:
    """Processor time of each stage for a row of a ``first`` load or of a ``refresh``."""
    used, rows = refresh[which]["cpu_seconds"], refresh["rows"]
    return {stage: used[stage]["median"] / rows * 1e6 for stage in STAGES}


def bytes_per_lead(state: Figures) -> float:
    """Memory that a worker uses for one lead."""
    gigabytes: float = state["resident_gb_after"]["median"] - state["resident_gb_before"]["median"]
    return gigabytes * 1e9 / state["leads"]
