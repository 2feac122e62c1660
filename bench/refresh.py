"""``make bench-refresh``: a complete refresh of which 1 % has changed, beside the first load of the same file.

Twice on fresh sources, first load and refresh by turns: the whole way (file visible to load done, all stages at
work together), and the processors alone (every row is on the raw topic before they begin; no sink runs).
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.results import Figures, save, spread
from bench.world import World, seconds_between, world
from leadstream.samples import change_sample, write_sample
from schemas import topics

ROWS = 100_000
CHANGED_SHARE = 0.01
RUNS = 3
GOAL = 2.0
"""Rows/s of the refresh over rows/s of the first load."""
SOURCE_SEEN_SECONDS = 3.0
STAGES = ("produce", "process", "sink")


def files(folder: Path, rows: int, seed: int) -> tuple[bytes, bytes, int]:
    """The first file, the refresh, and how many leads it changes."""
    first, second = folder / "first.csv", folder / "second.csv"
    write_sample("texas", first, rows, seed, damage=False)
    info = change_sample(first, second, seed=seed + 1, update=CHANGED_SHARE, delete=0, insert=0)
    return first.read_bytes(), second.read_bytes(), info.updated


async def whole_way(here: World, source: str, folder: Path, rows: int, seed: int) -> Figures:
    """One first load and its refresh, with all stages at work."""
    first, second, changed = files(folder, rows, seed)
    figures: Figures = {}
    for name, data in (("first", first), ("refresh", second)):
        before, ends = here.cpu_seconds(), await here.end_offsets(topics.CANONICAL)
        etag, visible_at = await here.put_timed(source, data, f"{name}.csv")
        load = await here.load_done(source, etag, f"{name}.csv")
        used = here.cpu_seconds()
        figures[name] = {
            "split_seconds": seconds_between(visible_at, load["split_at"]),
            "mapped_seconds": seconds_between(visible_at, load["mapped_at"]),
            "done_seconds": seconds_between(visible_at, load["finished_at"]),
            "cpu_seconds": {stage: used[stage] - before[stage] for stage in STAGES},
            "records": await here.committed_records(topics.CANONICAL, ends, f"{source}:"),
        }
    if figures["first"]["records"] != rows or figures["refresh"]["records"] != changed:
        raise RuntimeError(f"{rows} and {changed} records were to be sent: {figures}")
    return figures


async def processors_alone(here: World, source: str, folder: Path, rows: int, seed: int) -> dict[str, float]:
    """Seconds from the first poll to the last lane's step, for a first load and its refresh."""
    first, second, _changed = files(folder, rows, seed)
    seconds = {}
    for name, data in (("first", first), ("refresh", second)):
        with here.paused("process"):
            _etag, _at = await here.put_timed(source, data, f"{name}.csv")
            began_at = await here.steps.until(f"{source}/{name}.csv", "split")
        seconds[name] = seconds_between(began_at, await here.steps.until(f"{source}/{name}.csv", "mapped", here.lanes))
    return seconds


async def measure(rows: int = ROWS, runs: int = RUNS) -> Figures:
    """Every figure of this page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with world() as here:
            for run in range(runs):
                here.add_source(f"alone-{run}", "texas")
                here.add_source(f"whole-{run}", "texas")
            here.add_source("warm", "texas")
            here.start("produce")
            here.start("process")
            await _warm_up(here, folder)
            alone = [await processors_alone(here, f"alone-{run}", folder, rows, 100 + run) for run in range(runs)]
            here.start("sink")
            await here.load_done("warm", await here.put("warm", _small(folder, 1), "2.csv"), "2.csv")
            whole = [await whole_way(here, f"whole-{run}", folder, rows, 200 + run) for run in range(runs)]
    return _figures(rows, whole, alone)


async def _warm_up(here: World, folder: Path) -> None:
    await here.put("warm", _small(folder, 0), "1.csv")
    await here.steps.until("warm/1.csv", "mapped", here.lanes)
    await asyncio.sleep(SOURCE_SEEN_SECONDS)


def _small(folder: Path, seed: int) -> bytes:
    write_sample("texas", folder / "warm.csv", 5_000, seed, damage=False)
    return (folder / "warm.csv").read_bytes()


def _figures(rows: int, whole: list[Figures], alone: list[dict[str, float]]) -> Figures:
    figures: Figures = {"rows": rows, "changed_share": CHANGED_SHARE, "goal": GOAL}
    for which in ("first", "refresh"):
        figures[which] = {
            "rows_per_second": spread([rows / run[which]["done_seconds"] for run in whole], 0),
            "split_seconds": spread([run[which]["split_seconds"] for run in whole]),
            "mapped_seconds": spread([run[which]["mapped_seconds"] for run in whole]),
            "done_seconds": spread([run[which]["done_seconds"] for run in whole]),
            "cpu_seconds": {stage: spread([run[which]["cpu_seconds"][stage] for run in whole]) for stage in STAGES},
            "canonical_records": [run[which]["records"] for run in whole],
            "processors_alone_rows_per_second": spread([rows / run[which] for run in alone], 0),
        }
    figures["ratios"] = {
        "refresh_vs_first": spread([run["first"]["done_seconds"] / run["refresh"]["done_seconds"] for run in whole]),
        "refresh_vs_first_processors_alone": spread([run["first"] / run["refresh"] for run in alone]),
        "refresh_vs_first_processors_cpu": spread(
            [run["first"]["cpu_seconds"]["process"] / run["refresh"]["cpu_seconds"]["process"] for run in whole]
        ),
    }
    return figures


def show(figures: Figures) -> None:
    """Print the figures as a table."""
    for which in ("first", "refresh"):
        one = figures[which]
        cpu = {stage: used["median"] for stage, used in one["cpu_seconds"].items()}
        print(
            f"{which:>8}: {one['rows_per_second']['median']:>7,.0f} rows/s file to done  "
            f"{one['processors_alone_rows_per_second']['median']:>7,.0f} rows/s processors alone  "
            f"split {one['split_seconds']['median']} s  mapped {one['mapped_seconds']['median']} s  "
            f"done {one['done_seconds']['median']} s  cpu {cpu}  records {one['canonical_records']}"
        )
    for name, ratio in figures["ratios"].items():
        print(f"{name}: {ratio['median']} ({ratio['min']} to {ratio['max']}), goal {figures['goal']}")


if __name__ == "__main__":
    found = asyncio.run(measure())
    show(found)
    save("refresh", found)
