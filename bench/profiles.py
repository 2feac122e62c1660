"""``make bench-profile``: where the time of each stage goes, as a flame graph in docs/ and a table in the results."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import flame
from bench.contestants import PEERS_PYTHON
from bench.growth import cut
from bench.results import FOLDER, Figures, save
from bench.stages import temporary_folder
from bench.world import World, world
from tests.system import ROOT

ROWS = 100_000
WARM_ROWS = 5_000
SAMPLES_PER_SECOND = 250
MOST_PLACES = 14
STAGES = {"produce": "producer", "process": "processors", "sink": "sink"}
DOCS = FOLDER.parent / "docs"
READY_SECONDS = 2.0
POLL_SECONDS = 2.0
"""The picture is of splitting a file, not of looking for one."""
LONGEST_SECONDS = 120


class Spy:
    """py-spy looking at one stage, idle threads left out; an asynchronous context manager."""

    def __init__(self, here: World, stage: str, raw: Path) -> None:
        self._here = here
        self._stage = stage
        self._raw = raw
        self._process: asyncio.subprocess.Process | None = None
        self._used_before = 0.0
        self.cpu_seconds = 0.0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(str(PEERS_PYTHON.parent / "py-spy"), "record", "--pid", str(self._here.process(self._stage).pid)),
            *("--format", "raw", "--output", str(self._raw), "--function"),
            *("--rate", str(SAMPLES_PER_SECOND), "--duration", str(LONGEST_SECONDS)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._used_before = self._here.cpu_seconds()[self._stage]
        return self

    async def stop(self) -> None:
        """Look no more; what was seen is in its file."""
        process, self._process = self._process, None
        if process is not None:
            self.cpu_seconds = self._here.cpu_seconds()[self._stage] - self._used_before
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def measure(rows: int = ROWS) -> Figures:
    """One file the whole way, every stage looked at until its part is done; writes the pictures."""
    found: Figures = {}
    with temporary_folder() as folder:
        raw = {stage: Path(folder) / f"{stage}.txt" for stage in STAGES}
        async with world() as here:
            here.add_source("warm", "texas")
            here.add_source("profiled", "texas")
            here.start("produce", PRODUCER_POLL_INTERVAL_SECONDS=str(POLL_SECONDS))
            here.start("process")
            here.start("sink")
            await here.restored()
            await here.load_done("warm", await here.put("warm", cut(1, 970, WARM_ROWS)[0]), "file.csv")
            data = cut(1, 971, rows)[0]
            async with contextlib.AsyncExitStack() as stack:
                spies = {stage: await stack.enter_async_context(Spy(here, stage, file)) for stage, file in raw.items()}
                await asyncio.sleep(READY_SECONDS)
                etag = await here.put("profiled", data)
                await here.steps.until("profiled/file.csv", "split")
                await spies["produce"].stop()
                await here.steps.until("profiled/file.csv", "mapped", here.lanes)
                await spies["process"].stop()
                await here.load_done("profiled", etag, "file.csv")
        for stage, name in STAGES.items():
            stacks = flame.stacks(await asyncio.to_thread(raw[stage].read_text), str(ROOT))
            title = f"{name}: processor time of {rows:,} rows, {sum(stacks.values()):,} samples"
            await asyncio.to_thread((DOCS / f"flame-{name}.svg").write_text, flame.svg(stacks, title))
            found[name] = {
                "samples": sum(stacks.values()),
                "cpu_microseconds_per_row": round(spies[stage].cpu_seconds / rows * 1e6, 1),
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
