"""``make bench-profile``: where the time of each stage goes, as a flame graph in docs/ and a table in the results."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from bench import flame
from bench.contestants import PEERS_PYTHON
from bench.growth import cut
from bench.results import FOLDER, Figures, save
from bench.stages import temporary_folder
from bench.world import World, world
from tests.system import ROOT

ROWS = 60_000
WARM_ROWS = 5_000
SAMPLES_PER_SECOND = 250
MOST_PLACES = 14
STAGES = {"produce": "producer", "process": "processors", "sink": "sink"}
DOCS = FOLDER.parent / "docs"
READY_SECONDS = 2.0
LONGEST_SECONDS = 120


@contextlib.asynccontextmanager
async def recorded(here: World, stage: str, raw: Path) -> AsyncIterator[None]:
    """py-spy looks at a stage, idle threads left out; its folded stacks are in ``raw`` afterwards."""
    spy = await asyncio.create_subprocess_exec(
        *(str(PEERS_PYTHON.parent / "py-spy"), "record", "--pid", str(here.process(stage).pid)),
        *("--format", "raw", "--output", str(raw), "--function"),
        *("--rate", str(SAMPLES_PER_SECOND), "--duration", str(LONGEST_SECONDS)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await asyncio.sleep(READY_SECONDS)
    yield
    if spy.returncode is None:
        spy.send_signal(signal.SIGINT)
    await spy.wait()


async def measure(rows: int = ROWS) -> Figures:
    """One file the whole way, every stage looked at; writes the pictures."""
    found: Figures = {}
    with temporary_folder() as folder:
        async with world() as here:
            here.add_source("warm", "texas")
            here.add_source("profiled", "texas")
            for stage in STAGES:
                here.start(stage)
            await here.restored()
            await here.load_done("warm", await here.put("warm", cut(1, 970, WARM_ROWS)[0]), "file.csv")
            data = cut(1, 971, rows)[0]
            raw = {stage: Path(folder) / f"{stage}.txt" for stage in STAGES}
            before = here.cpu_seconds()
            async with contextlib.AsyncExitStack() as spies:
                for stage, file in raw.items():
                    await spies.enter_async_context(recorded(here, stage, file))
                await here.load_done("profiled", await here.put("profiled", data), "file.csv")
            used = here.cpu_seconds()
        for stage, name in STAGES.items():
            stacks = flame.stacks(await asyncio.to_thread(raw[stage].read_text), str(ROOT))
            title = f"{name}: processor time of {rows:,} rows, {sum(stacks.values()):,} samples"
            await asyncio.to_thread((DOCS / f"flame-{name}.svg").write_text, flame.svg(stacks, title))
            found[name] = {
                "samples": sum(stacks.values()),
                "cpu_microseconds_per_row": round((used[stage] - before[stage]) / rows * 1e6, 1),
                "shares": flame.shares(stacks, MOST_PLACES),
            }
    return {"rows": rows, "stages": found}


def show(figures: Figures) -> None:
    """Print the shares."""
    for name, stage in figures["stages"].items():
        print(f"{name}: {stage['cpu_microseconds_per_row']} µs a row, {stage['samples']} samples")
        for place, share in stage["shares"]:
            print(f"  {share:>6.1%}  {place}")


if __name__ == "__main__":
    results = asyncio.run(measure())
    show(results)
    save("profile", results)
