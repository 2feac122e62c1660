"""``make bench-state``: 2,000,000 leads of one source come back from the changelog after a restart.

The changelog is written with the product's own encoder and transactions. Each run restores the four lanes in a fresh
process; then a real worker does it once, for its memory.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from bench.restore import restore
from bench.results import Figures, save, spread
from bench.world import World, world
from leadstream import kafka
from leadstream.partitioning import lane_of, lead_key
from leadstream.transaction import TransactionalProducer
from processors.change_state import LeadEntry, PartitionState
from processors.content import hash_body
from schemas import records, topics
from schemas.codec import Encoder
from schemas.registry import Registry
from tests.system import ROOT

LEADS = 2_000_000
LEADS_PER_TRANSACTION = 20_000
RUNS = 3
SOURCE = "state"
FIRST_KEY = 1_000_000
GOAL_SECONDS = 20.0
GOAL_GIGABYTES = 1.2
WORKER_PATIENCE_SECONDS = 180.0


async def write_changelog(here: World, leads: int) -> None:
    """The state of ``leads`` leads, as a first load of that many rows leaves it."""
    registry = Registry(here.registry)
    schema_id = await registry.register(
        topics.value_subject(topics.state_topic(SOURCE)), records.schema_json("lead_state")
    )
    await registry.close()
    encoder = Encoder(schema_id, records.parsed("lead_state"))
    await kafka.ensure_topics(here.kafka, topics.source_topics(SOURCE, here.lanes, 90))
    producer = TransactionalProducer(here.kafka, "bench-state")
    await producer.start()
    load_seq = int(time.time()) * 1000
    counts = [0] * here.lanes
    for number in range(leads):
        key = str(FIRST_KEY + number)
        lane = lane_of(lead_key(SOURCE, key), here.lanes)
        entry = LeadEntry(hash_body(key.encode()), load_seq, number + 1, counts[lane], deleted=False)
        producer.add(topics.state_topic(SOURCE), lane, key.encode(), encoder.prefix + entry.encoded())
        counts[lane] += 1
        if number % LEADS_PER_TRANSACTION == LEADS_PER_TRANSACTION - 1 or number == leads - 1:
            for one in range(here.lanes):
                progress = PartitionState(SOURCE, one).progress_record(next_offset=0)
                producer.add(topics.state_topic(SOURCE), one, b"\x00", encoder.encode(progress))
            await producer.begin()
            await producer.commit()
    await producer.close()


async def restore_in_child(here: World) -> Figures:
    """What :mod:`bench.restore` prints, run in a process of its own."""
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", restore.__module__, SOURCE],
        env=here.environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    figures: Figures = json.loads(child.stdout)
    return figures


async def worker(here: World, leads: int) -> Figures:
    """A real worker with this source: seconds from its start to its last lane's restore, and its memory."""
    here.add_source(SOURCE, "texas")
    began_at = time.monotonic()
    here.start("process")
    while here.log("process").count("lane_restored") < here.lanes:
        if time.monotonic() - began_at > WORKER_PATIENCE_SECONDS:
            raise RuntimeError(f"the worker has not restored:\n{here.log('process')[-3000:]}")
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - began_at
    memory = here.process("process").memory_info().rss / 1e9
    peak = here.memory_kilobytes()["process"] * 1024 / 1e9
    here.stop("process")
    return {
        "start_to_restored_seconds": round(seconds, 1),
        "resident_gb": round(memory, 2),
        "peak_gb": round(peak, 2),
    }


def bytes_on_disk(here: World) -> int:
    """Size of the changelog's segments (data only, no indexes)."""
    folders = Path(here.home / "kafka").rglob(f"{topics.state_topic(SOURCE)}-*")
    return sum(file.stat().st_size for folder in folders for file in folder.glob("*.log"))


async def measure(leads: int = LEADS, runs: int = RUNS) -> Figures:
    """Every figure of this page."""
    async with world() as here:
        began_at = time.monotonic()
        await write_changelog(here, leads)
        print(f"wrote the changelog of {leads:,} leads in {time.monotonic() - began_at:.0f} s", flush=True)
        found = [await restore_in_child(here) for _ in range(runs)]
        if any(one["leads"] != leads for one in found):
            raise RuntimeError(f"{leads} leads were to come back: {found}")
        size = bytes_on_disk(here)
        return {
            "leads": leads,
            "goal_seconds": GOAL_SECONDS,
            "goal_gb": GOAL_GIGABYTES,
            "restore_seconds": spread([one["seconds"] for one in found]),
            "restore_cpu_seconds": spread([one["cpu_seconds"] for one in found]),
            "resident_gb_before": spread([one["before_gb"] for one in found]),
            "resident_gb_after": spread([one["after_gb"] for one in found]),
            "changelog_bytes": size,
            "changelog_bytes_per_lead": round(size / leads, 1),
            "worker": await worker(here, leads),
        }


def show(figures: Figures) -> None:
    """Print the figures."""
    print(f"{figures['leads']:,} leads, {figures['changelog_bytes_per_lead']} bytes each on disk")
    for name in ("restore_seconds", "restore_cpu_seconds", "resident_gb_before", "resident_gb_after"):
        print(f"{name}: {figures[name]['median']} ({figures[name]['min']} to {figures[name]['max']})")
    print(f"worker: {figures['worker']}")
    print(f"goals: {figures['goal_seconds']} s, {figures['goal_gb']} GB")


if __name__ == "__main__":
    results = asyncio.run(measure())
    show(results)
    save("state", results)
