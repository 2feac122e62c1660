"""The stages, one after the other, each beside its bound and its peers: what ``make bench`` runs.

In every round each contestant has its turn, ours first, on one file; the stages that are not measured are paused or
not started. What a source needs once (its topics, its schema) is there before the clock starts, as theirs is.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.contestants import PEERS_PYTHON, Contestant
from bench.refresh import files
from bench.results import Figures, percentile, spread
from bench.world import PARTIAL, SESSION_SECONDS, World, seconds_between
from leadstream.samples import write_sample
from schemas import topics

ASSIGNED = re.compile(r"(\S+Z) .*partitions_assigned")
PATH = re.compile(r"/\S*/")
WARM_ROWS = 5_000
FEW_ROWS = 100
SMALL_SOURCES = 2
WARM = "warm"
NEEDS_PEERS = {"producer_quix", "processors_quix", "sink_quix", "pandas_load"}

Ends = dict[Any, int]
"""Where each partition of a topic ended at some moment."""


@dataclass(frozen=True)
class Plan:
    """How much is run."""

    rounds: int = 3
    producer_rows: int = 200_000
    rows: int = 100_000
    """For processors and sink."""
    whole_rows: int = 100_000
    """For end to end and refresh."""
    sink_quix_rows: int = 30_000
    faust_rows: int = 5_000
    small_files: int = 40
    notices: int = 200
    load_rows: int = 200_000
    """Of the file that is loaded while notices come."""


QUICK = Plan(
    rounds=1,
    producer_rows=60_000,
    rows=20_000,
    whole_rows=40_000,
    sink_quix_rows=8_000,
    faust_rows=1_500,
    small_files=4,
    notices=15,
    load_rows=20_000,
)


@dataclass
class Results:
    """Rows/s of every run by stage and contestant, and what could not be run."""

    rates: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, stage: str, who: str, rows: float, seconds: float) -> None:
        """Keep one run."""
        self.rates[stage][who].append(rows / seconds)
        print(f"  {stage:<12} {who:<12} {rows / seconds:>9,.0f} rows/s", flush=True)

    def ratio(self, stage: str, who: str, ours: str = "leadstream") -> Figures | None:
        """Ours over theirs, run by run; nothing when they did not run."""
        mine, theirs = self.rates[stage][ours], self.rates[stage].get(who)
        return spread([a / b for a, b in zip(mine, theirs, strict=False)]) if theirs else None


class Bench:
    """One run of everything on a fresh system."""

    def __init__(self, here: World, plan: Plan, folder: Path) -> None:
        self._here = here
        self._plan = plan
        self._folder = folder
        self._small_files = 0
        self.results = Results()

    async def producer(self) -> None:
        """A file in S3 becomes committed rows; no other stage runs."""
        here, rows = self._here, self._plan.producer_rows
        for source in self._sources("split"):
            here.add_source(source, "texas")
        here.start("produce")
        path = self._file(rows, 300)
        async with self._contestants("producer_bound", "producer_script", "producer_quix") as others:
            for source in self._sources("split"):
                await here.put(source, self._file(FEW_ROWS, 398).read_bytes(), "few.csv")
                await here.steps.until(f"{source}/few.csv", "split")
            for run, source in enumerate(self._sources("split")):
                await here.put(source, path.read_bytes(), "file.csv")
                ended_at = await here.steps.until(f"{source}/file.csv", "split")
                began_at = here.steps.made_at(f"{source}/file.csv", "splitting")
                self.results.add("producer", "leadstream", rows, seconds_between(began_at, ended_at))
                for name in others:
                    topic = f"bench.{name}.{run}"
                    await here.make_topics(topic)
                    request = {"path": str(path), "source": source, "key": f"{source}/file.csv", "topic": topic}
                    answer = await self._turn(others[name], **request)
                    if answer is not None:
                        count, last_at = await here.arrived(topic)
                        if count != rows:
                            raise RuntimeError(f"{name} sent {count} messages")
                        seconds = answer["seconds"] if "seconds" in answer else last_at - answer["began_at"]
                        self.results.add("producer", name.removeprefix("producer_"), count, seconds)
        for source in self._sources("split"):
            (here.sources_dir / f"{source}.yaml").unlink()

    async def processors_and_sink(self) -> None:
        """Raw rows become change records, those become rows in Postgres: one after the other, each alone."""
        here, rows = self._here, self._plan.rows
        here.add_source(WARM, "texas", **PARTIAL)
        for name in (*self._sources("alone"), *self._sources("whole")):
            here.add_source(name, "texas")
        for number in range(SMALL_SOURCES):
            here.add_source(f"small-{number}", "texas")
        here.start("process")
        here.start("sink")
        names = ("processors_bound", "processors_quix", "processors_faust", "sink_rows", "sink_quix")
        async with self._contestants(*names) as others:
            await here.restored()
            await self._map(WARM, self._file(WARM_ROWS, 399))
            for source in self._sources("alone"):
                await self._map(source, self._file(FEW_ROWS, 398))
            await self._settled()
            here.stop("sink")
            for run, source in enumerate(self._sources("alone")):
                path, before = self._file(rows, 400 + run), await here.end_offsets(topics.CANONICAL)
                with here.paused("process"):
                    etag = await here.put(source, path.read_bytes(), "file.csv")
                    await here.steps.until(f"{source}/file.csv", "split")
                    began_at = time.time()
                ended_at = await here.steps.until(f"{source}/file.csv", "mapped", here.lanes)
                self.results.add("processors", "leadstream", rows, seconds_between(began_at, ended_at))
                after = await here.end_offsets(topics.CANONICAL)
                await self._other_processors(others, run)
                self.results.add("sink", "leadstream", rows, await self._sink_run(source, etag, "file.csv"))
                await self._other_sinks(others, before, after, run)

    async def end_to_end(self) -> None:
        """A file lands, its last row is visible; then the same file with 1 % changed."""
        here, rows = self._here, self._plan.whole_rows
        here.start("sink")
        async with self._contestants("pandas_load") as others:
            await self._settled()
            for run, source in enumerate(self._sources("whole")):
                first, second, _changed = await asyncio.to_thread(files, self._folder, rows, 500 + run)
                whole = await self._whole(source, first, "first.csv")
                self.results.add("end_to_end", "leadstream", rows, whole)
                self.results.add("refresh", "first", rows, whole)
                self.results.add("refresh", "leadstream", rows, await self._whole(source, second, "second.csv"))
                for other in others.values():
                    if run == 0:
                        await self._turn(other, key=f"{WARM}/{WARM_ROWS}-399.csv", table="bench_pandas_warm")
                    answer = await self._turn(other, key=f"{source}/first.csv", table=f"bench_pandas_{run}")
                    if answer is not None:
                        self.results.add("end_to_end", "pandas", rows, answer["seconds"])

    async def small_files(self) -> Figures:
        """Seconds from landing to done for files of 100 rows, one at a time."""
        seconds = []
        for number in range(SMALL_SOURCES + self._plan.small_files):
            data = self._file(FEW_ROWS, 600 + number).read_bytes()
            seconds.append(await self._whole(f"small-{number % SMALL_SOURCES}", data, f"{number}.csv"))
        seconds = seconds[SMALL_SOURCES:]  # a source's first file makes its topics
        return {
            "files": len(seconds),
            "p50": round(percentile(seconds, 0.5), 2),
            "p95": round(percentile(seconds, 0.95), 2),
        }

    def _sources(self, kind: str) -> list[str]:
        return [f"{kind}-{run}" for run in range(self._plan.rounds)]

    async def _map(self, source: str, path: Path) -> None:
        await self._here.put(source, await asyncio.to_thread(path.read_bytes), path.name)
        await self._here.steps.until(f"{source}/{path.name}", "mapped", self._here.lanes)

    async def _settled(self) -> None:
        """A small file goes all the way: whoever was paused for long, or has just started, is at work again."""
        self._small_files += 1
        await self._whole(WARM, self._file(FEW_ROWS, 700 + self._small_files).read_bytes(), f"{self._small_files}.csv")

    async def _whole(self, source: str, data: bytes, name: str) -> float:
        etag, visible_at = await self._here.put_timed(source, data, name)
        load = await self._here.load_done(source, etag, name)
        return seconds_between(visible_at, load["finished_at"])

    async def _sink_run(self, source: str, etag: str, name: str) -> float:
        """A sink drains what one load left; seconds from its first poll to the load being done."""
        here = self._here
        rounds_before = len(ASSIGNED.findall(here.log("sink")))
        here.start("sink")
        load = await here.load_done(source, etag, name)
        here.stop("sink")
        began_at = datetime.fromisoformat(ASSIGNED.findall(here.log("sink"))[rounds_before])
        return seconds_between(began_at, load["finished_at"])

    async def _other_processors(self, others: dict[str, Contestant], run: int) -> None:
        for name in ("processors_bound", "processors_quix", "processors_faust"):
            if name not in others:
                continue
            rows = self._plan.faust_rows if name == "processors_faust" else self._plan.rows
            topic = f"bench.{name}.{run}"
            await self._here.make_topics(topic)
            answer = await self._turn(others[name], source=topics.raw_topic(f"alone-{run}"), topic=topic, rows=rows)
            if answer is None:
                continue
            if "began_at" in answer:
                _count, last_at = await self._here.arrived(topic)
                answer["seconds"] = last_at - answer["began_at"]
            self.results.add("processors", name.removeprefix("processors_"), answer["rows"], answer["seconds"])

    async def _other_sinks(self, others: dict[str, Contestant], before: Ends, after: Ends, run: int) -> None:
        ranges = [(where.partition, before[where], after[where]) for where in before]
        for who, way in (("bound", "copy"), ("executemany", "script"), ("ready", "executemany")):
            answer = await self._turn(others["sink_rows"], topic=topics.CANONICAL, ranges=ranges, way=way)
            if answer is not None:
                self.results.add("sink", who, answer["rows"], answer["seconds"])
        if "sink_quix" in others:
            topic = f"bench.sink.{run}"
            await self._here.copied(topics.CANONICAL, before, after, topic)
            answer = await self._turn(others["sink_quix"], source=topic, rows=self._plan.sink_quix_rows)
            if answer is not None:
                self.results.add("sink", "quix", answer["rows"], answer["seconds"])

    async def _turn(self, other: Contestant, **request: Any) -> dict[str, Any] | None:
        """One run of a contestant, with all stages paused. One that fails is named in the results; the others go on."""
        began_at = time.monotonic()
        try:
            with self._here.paused():
                return await other.run(**request)
        except RuntimeError as exc:
            self._failed(other, exc)
            return None
        finally:
            if time.monotonic() - began_at > SESSION_SECONDS / 2:
                await self._at_work()

    def _failed(self, other: Contestant, error: RuntimeError) -> None:
        self.results.missing[other.name] = PATH.sub("", str(error).splitlines()[-1])[:200]
        print(f"  {other.name} failed: {error}", flush=True)

    async def _at_work(self) -> None:
        """Wait until the stages that run, and were paused for long, take files again."""
        if "sink" in self._here.running:
            await self._settled()
        elif "process" in self._here.running:
            self._small_files += 1
            await self._map(WARM, self._file(FEW_ROWS, 700 + self._small_files))

    @contextlib.asynccontextmanager
    async def _contestants(self, *names: str) -> AsyncIterator[dict[str, Contestant]]:
        async with contextlib.AsyncExitStack() as stack:
            running = {}
            for name in names:
                if name in NEEDS_PEERS and not PEERS_PYTHON.exists():
                    self.results.missing[name] = "the peers are not installed"
                    continue
                other = Contestant(name, self._here.environment, self._folder, peer=name in NEEDS_PEERS)
                running[name] = await stack.enter_async_context(other)
            for name, other in list(running.items()):
                try:
                    await other.ready()
                except RuntimeError as exc:
                    self._failed(other, exc)
                    del running[name]
            yield running

    def _file(self, rows: int, seed: int) -> Path:
        path = self._folder / f"{rows}-{seed}.csv"
        if not path.exists():
            write_sample("texas", path, rows, seed, damage=False)
            # One row has a byte that is no UTF-8, which leadstream takes and most others do not.
            path.write_bytes(path.read_bytes().replace(b"\x92", "\N{RIGHT SINGLE QUOTATION MARK}".encode()))
        return path


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """For files and logs of one run."""
    return tempfile.TemporaryDirectory(prefix="leadstream-bench-files-")
