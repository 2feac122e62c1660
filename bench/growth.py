"""``make bench-growth``: how the cost of a row grows with sources, files and workers.

200,000 rows go the whole way as one file of one source, cut into files, and spread over sources. What counts is the
processor time of the stages for each row; rows/s stand beside it. Each is done twice, and the cheaper run counts: what
else a shared machine does can only add to it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from bench.results import Figures, save
from bench.world import PARTIAL, PATIENCE_SECONDS, POLL_SECONDS, World, seconds_between, world
from leadstream.sample_vendors import FIRST_SERIAL, Pools, vendor

ROWS = 200_000
WARM_ROWS = 20_000
RUNS = 2
SETTLE_SECONDS = 5.0
"""Two workers share the lanes among them."""
STAGES = ("produce", "process", "sink")

Files = Sequence[tuple[str, bytes]]
"""Source and content of each file."""


def cut(parts: int, seed: int, rows: int = ROWS, run: int = 0) -> list[bytes]:
    """Invented rows as so many files of one size, each lead in one of them; those of another run have other leads."""
    texas, pools, each = vendor("texas"), Pools(seed), rows // parts
    files = []
    start = FIRST_SERIAL + run * rows
    for first in range(start, start + each * parts, each):
        lines = [",".join(texas.row(pools, serial)) for serial in range(first, first + each)]
        files.append("\r\n".join([texas.header, *lines]).encode())
    return files


async def whole_way(here: World, name: str, files: Files) -> Figures:
    """The files lie there at once; rows/s until all loads are done, and what each stage spent on a row."""
    with here.paused("produce"):
        began_at = await here.put_all([(f"{source}/{name}-{at}.csv", data) for at, (source, data) in enumerate(files)])
        before = here.cpu_seconds()
    query = "select count(*) as loads, max(finished_at) as at, sum(rows) as rows from loads where object_key like $1"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := (await here.sql(f"{query} and status = 'done'", f"%/{name}-%.csv"))[0])["loads"] < len(files):
        here.check_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name}: {found['loads']} of {len(files)} loads are done after {PATIENCE_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)
    used, rows = here.cpu_seconds(), int(found["rows"])
    microseconds = {stage: (used[stage] - before[stage]) / rows * 1e6 for stage in STAGES}
    figures = {
        "files": len(files),
        "rows": rows,
        "rows_per_second": round(rows / seconds_between(began_at, found["at"])),
        "cpu_microseconds_per_row": {stage: round(spent, 1) for stage, spent in microseconds.items()},
        "cpu_microseconds_per_row_in_all": round(sum(microseconds.values()), 1),
    }
    print(f"  {name:<14} {figures}", flush=True)
    return figures


async def cheaper_run(here: World, name: str, sources: Sequence[str], parts: int, seed: int) -> Figures:
    """Of two :func:`whole_way` runs of different leads, cut into so many parts, which the sources take by turns."""
    runs = []
    for run in range(RUNS):
        owners = itertools.cycle(sources)
        files = [(next(owners), data) for data in cut(parts, seed + run, run=run)]
        runs.append(await whole_way(here, f"{name}-run{run}", files))
    return min(runs, key=lambda figures: figures["cpu_microseconds_per_row_in_all"])


async def workers_alone(here: World, source: str, data: bytes, workers: Sequence[str]) -> Figures:
    """Every row is on the raw topic before the workers begin, and no sink runs."""
    with here.paused(*workers):
        await here.put(source, data, "file.csv")
        began_at = await here.steps.until(f"{source}/file.csv", "split")
    ended_at = await here.steps.until(f"{source}/file.csv", "mapped", here.lanes)
    figures = {"workers": len(workers), "rows_per_second": round(ROWS / seconds_between(began_at, ended_at))}
    print(f"  {figures}", flush=True)
    return figures


async def measure() -> Figures:
    """Every figure of this page. The sources of a run are added just before it, so that they are no cost before."""
    found: dict[str, Figures] = {}
    async with world() as here:
        here.add_source("warm", "texas")
        here.add_source("one", "texas", **PARTIAL)
        for stage in STAGES:
            here.start(stage)
        await here.restored()
        await whole_way(here, "warm", [("warm", cut(1, 900, WARM_ROWS)[0])])
        found["1 source"] = await cheaper_run(here, "one", ["one"], 1, 901)
        for at, rows in enumerate((100_000, 10_000, 1_000)):
            source = f"files-{rows}"
            await here.add_sources([source], PARTIAL)
            found[f"files of {rows:,} rows"] = await cheaper_run(here, source, [source], ROWS // rows, 910 + at * 10)
        for many in (10, 100):
            sources = [f"of-{many}-{number}" for number in range(many)]
            await here.add_sources([*sources, f"beside-{many}"], PARTIAL)
            found[f"beside {many} idle sources"] = await cheaper_run(
                here, f"beside-{many}", [f"beside-{many}"], 1, 940 + many
            )
            found[f"{many} sources"] = await cheaper_run(here, f"of-{many}", sources, many, 950 + many)
        here.stop("sink")
        await here.add_sources(["worker-1", "worker-2"])
        alone = [await workers_alone(here, "worker-1", cut(1, 931)[0], ["process"])]
        here.start("process", "process-2")
        await here.logged("process-2", "lane_restored", PATIENCE_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        alone.append(await workers_alone(here, "worker-2", cut(1, 932)[0], ["process", "process-2"]))
    return {"rows": ROWS, "whole_way": found, "workers_alone": alone}


if __name__ == "__main__":
    save("growth", asyncio.run(measure()))
