"""Stages that are killed, paused, doubled: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import csv
import io
import signal
from collections import defaultdict
from pathlib import Path

import pytest

from leadstream.sample_vendors import VENDORS
from leadstream.samples import BYTES_AS_TEXT, write_sample
from processors.changes import MAX_RELEASED
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


async def test_a_worker_killed_while_leads_wait_for_the_end_of_their_file_loses_and_repeats_nothing(
    system: System, tmp_path: Path
) -> None:
    """Each lead stands twice in the file, with two phones: in each lane more wait than go out in a transaction."""
    write_sample("texas", tmp_path / "t.csv", rows=ROWS, seed=23, damage=False)
    doubled, phones = say_twice(tmp_path / "t.csv")
    assert len(phones) > 5 * MAX_RELEASED  # there are four lanes
    system.add_source("twice", "texas")
    etag = await system.put("twice", doubled)
    await system.until("select 1 from leads where source = 'twice'", 60)
    system.kill_and_restart("process")
    await system.until("select 1 from lead_history where source = 'twice' and op = 'u'", 90)
    system.kill_and_restart("process")
    load = await system.finished("twice", etag, 120)
    counts = [load[name] for name in ("status", "rows", "inserted", "stale", "duplicates", "sent")]
    assert counts == ["done", 2 * ROWS, ROWS, ROWS, ROWS, 2 * ROWS], load
    sent = defaultdict(list)
    for record, value in await system.records("leads.canonical", "twice"):
        assert value is not None
        sent[record.key.decode()].append((value["op"], value["row_number"], value["phone"][-10:]))
    for at, (key, (first, second)) in enumerate(phones.items(), start=1):
        assert sent.pop(f"twice:{key}") == [("c", at, first), ("u", at + ROWS, second)]
    assert not sent
    assert {lead["phone"][-10:] for lead in await system.leads("twice")} == {second for _, second in phones.values()}


def say_twice(file: Path) -> tuple[bytes, dict[str, tuple[str, str]]]:
    """A Texas sample whose rows come a second time with other phones; both phones of each key, in order."""
    one = VENDORS["texas"]
    with file.open(encoding=BYTES_AS_TEXT, newline="") as lines:
        header, *rows = csv.reader(lines)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([header, *rows])
    phones: dict[str, tuple[str, str]] = {}
    for row in rows:
        first = row[one.phone_column].replace("-", "")
        second = first[:-1] + str((int(first[-1]) + 1) % 10)
        phones[row[one.key_column]] = (first, second)
        writer.writerow([*row[: one.phone_column], second, *row[one.phone_column + 1 :]])
    return out.getvalue().encode(BYTES_AS_TEXT), phones


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
