"""Restores the four lanes of one source in this process and prints what it took, as JSON; see ``bench.state``."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import psutil

from bench.results import Figures
from leadstream.settings import Settings
from processors.change_state import PartitionState
from processors.worker import faust_app
from schemas.codec import Decoder
from schemas.registry import Registry


async def restore(source: str) -> Figures:
    """Seconds, processor seconds, resident memory before and after, and how many leads came back."""
    assert faust_app.__module__ == "processors.worker"  # what a worker imports is in memory before the measurement
    settings, process = Settings.load(), psutil.Process()
    registry = Registry(settings.registry)
    decoder = Decoder(registry)
    states = [PartitionState(source, lane) for lane in range(settings.topics.lanes)]
    before = process.memory_info().rss
    began_at, cpu_before = time.monotonic(), time.process_time()
    await asyncio.gather(*(state.restore(settings.kafka, decoder) for state in states))
    seconds, cpu = time.monotonic() - began_at, time.process_time() - cpu_before
    await registry.close()
    return {
        "leads": sum(map(len, states)),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "before_gb": before / 1e9,
        "after_gb": process.memory_info().rss / 1e9,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(restore(sys.argv[1]))))
