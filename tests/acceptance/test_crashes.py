"""Stages that are killed, paused, doubled: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from leadstream.samples import write_sample
from tests.system import System, check_exactly_once

ROWS = 12_000
KILLS = 4


@pytest.mark.parametrize("stage", ["produce", "process", "sink"])
async def test_a_stage_killed_again_and_again_in_the_middle_of_a_load_loses_and_repeats_nothing(
    system: System, tmp_path: Path, stage: str
) -> None:
    """SIGKILL at any moment: the next process goes on from the last commit."""
    source = f"killed-{stage}"
    system.add_source(source, "texas")
    write_sample("texas", tmp_path / "t.csv", rows=ROWS, seed=20, damage=False)
    small = {
        "PRODUCER_ROWS_PER_TRANSACTION": "400",
        "PROCESSOR_MAX_POLL_RECORDS": "200",
        "SINK_MAX_BATCH_RECORDS": "300",
    }
    system.stop(stage)
    system.start(stage, **small)
    etag = await system.put(source, (tmp_path / "t.csv").read_bytes())
    await system.until(f"select 1 from loads where source = '{source}'", 60)
    for pause in range(KILLS):
        await asyncio.sleep(0.6 + 0.5 * pause)
        system.kill_and_restart(stage)
        await asyncio.sleep(2.5)
    load = await system.finished(source, etag, 120)
    await check_exactly_once(system, source, load, ROWS)
    system.stop(stage)
    system.start(stage)


async def test_a_paused_worker_that_wakes_up_as_a_zombie_commits_nothing(system: System, tmp_path: Path) -> None:
    """SIGSTOP beyond the session timeout: its lanes move to another worker; after SIGCONT its commits are refused."""
    system.add_source("zombie", "texas")
    write_sample("texas", tmp_path / "t.csv", rows=ROWS, seed=21, damage=False)
    system.stop("process")
    system.start("process", PROCESSOR_MAX_POLL_RECORDS="200")
    etag = await system.put("zombie", (tmp_path / "t.csv").read_bytes())
    await system.until("select 1 from leads where source = 'zombie'", 60)
    system.signal("process", signal.SIGSTOP)
    system.start("process", "process-2")
    await asyncio.sleep(14)  # the group's session timeout is 10 s
    system.signal("process", signal.SIGCONT)
    load = await system.finished("zombie", etag, 120)
    await check_exactly_once(system, "zombie", load, ROWS)
    system.stop("process-2")


async def test_a_second_worker_takes_over_lanes_and_a_lost_one_is_replaced(system: System, tmp_path: Path) -> None:
    """Workers scale by lanes: two share them, and one that dies leaves nothing half done."""
    system.add_source("shared", "nevada")
    write_sample("nevada", tmp_path / "n.csv", rows=ROWS, seed=22, damage=False)
    etag = await system.put("shared", (tmp_path / "n.csv").read_bytes())
    system.start("process", "process-3")
    for _ in range(300):
        if "lanes_assigned" in system.log("process-3"):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    system.kill("process-3")
    load = await system.finished("shared", etag, 120)
    await check_exactly_once(system, "shared", load, ROWS)
