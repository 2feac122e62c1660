"""Subscribers: the programs of docs/subscribing.md and `leadstream tail`, on a stream with all kinds of changes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from typing import Any

import pytest

from leadstream.samples import ChangeInfo, change_sample, write_sample
from leadstream.settings import RegistrySettings
from schemas.records import lead_fields
from schemas.registry import Registry
from tests.system import ROOT, System

SOURCE = "subscribed"
ROWS = 200
PATIENCE_SECONDS = 150


@pytest.fixture(scope="module")
async def refreshed(system: System, tmp_path_factory: pytest.TempPathFactory) -> ChangeInfo:
    """A file and its refresh were loaded; what the refresh changed."""
    folder = tmp_path_factory.mktemp(SOURCE)
    system.add_source(SOURCE, "texas")
    write_sample("texas", folder / "1.csv", rows=ROWS, seed=21, damage=False)
    await system.load(SOURCE, (folder / "1.csv").read_bytes(), "1.csv")
    info = change_sample(folder / "1.csv", folder / "2.csv", seed=22, update=0.1, delete=0.1, insert=0.1)
    load = await system.load(SOURCE, (folder / "2.csv").read_bytes(), "2.csv")
    assert (load["updated"], load["deleted"], load["inserted"]) == (info.updated, info.deleted, info.inserted)
    assert min(info.updated, info.deleted, info.inserted) > 0
    return info


@pytest.mark.parametrize("program", ["subscribe_aiokafka.py", "subscribe_confluent.py"])
async def test_a_newcomer_ends_with_exactly_the_live_leads(system: System, refreshed: ChangeInfo, program: str) -> None:
    """Reading from the start and keeping the newest of each key gives the rows of Postgres, in every field."""
    expected = len(await system.records("leads.canonical", SOURCE))
    assert expected == ROWS + refreshed.inserted + refreshed.updated + 2 * refreshed.deleted
    live: dict[str, dict[str, Any]] = {}
    for change in await _follow(system, program, expected):
        live.pop(change["key"], None)
        if change["lead"] is not None:
            live[change["key"]] = {name: change["lead"][name] for name in lead_fields()}
    rows = await system.leads(SOURCE)
    table = {row["lead_key"]: {name: row[name] for name in lead_fields()} for row in rows}
    assert live == json.loads(json.dumps(table, default=str))


async def test_kafkas_own_console_consumer_finds_keys_and_framed_values(system: System, refreshed: ChangeInfo) -> None:
    """Java reads what we write: each key, and a value that begins with a zero byte and a registered schema's id."""
    records = await system.records("leads.canonical")
    registry = Registry(RegistrySettings(url=system.environment["SCHEMA_REGISTRY_URL"]))
    newest = await registry.latest("leads.canonical-value")
    await registry.close()
    assert newest is not None
    done = await _run(system, [str(ROOT / "examples" / "console_consumer.sh"), "--max-messages", str(len(records))])
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("\t", 1) for line in done.stdout.splitlines() if line.startswith(SOURCE))
    assert set(lines) == {record.key.decode() for record, _lead in records if record.key.startswith(SOURCE.encode())}
    for value in lines.values():
        shown = value.encode().decode("unicode_escape").encode("latin-1") if value != "null" else None
        assert shown is None or (shown[0] == 0 and int.from_bytes(shown[1:5]) == newest[0])
    assert list(lines.values()).count("null") == refreshed.deleted


async def test_tail_shows_the_kinds_of_change_that_are_asked_for(system: System, refreshed: ChangeInfo) -> None:
    """--op and --changed let through exactly the change records that Postgres has as history."""
    asked = {
        ("--op", "d"): ("op = 'd'", refreshed.deleted),
        ("--op", "u", "--op", "d"): ("op in ('u', 'd')", refreshed.updated + refreshed.deleted),
        ("--changed", "phone", "--changed", "city"): ("changed_fields && '{phone,city}'", refreshed.updated),
    }
    for options, (condition, count) in asked.items():
        shown = await _tail(system, *options, "--from", "earliest", count=count)
        rows = await system.sql(f"select lead_key, op from lead_history where source = '{SOURCE}' and {condition}")
        assert sorted((lead["lead_key"], lead["op"]) for lead in shown) == sorted(
            (row["lead_key"], row["op"]) for row in rows
        )


async def test_tail_masks_personal_data_unless_told_otherwise(system: System, refreshed: ChangeInfo) -> None:
    """Whoever looks at the stream in passing sees no phone and no address."""
    masked, plain = [
        {lead["lead_key"]: lead for lead in await _tail(system, *options, "--op", "d", count=refreshed.deleted)}
        for options in (("--from", "earliest"), ("--from", "earliest", "--unmasked"))
    ]
    rows = await system.sql("select * from leads where source = $1 and deleted_at is not null", SOURCE)
    assert masked.keys() == plain.keys() == {row["lead_key"] for row in rows}
    for row in rows:
        key = row["lead_key"]
        assert (plain[key]["phone"], plain[key]["address1"]) == (row["phone"], row["address1"])
        assert "*******" in masked[key]["phone"] and masked[key]["address1"] == "***"
        assert masked[key]["city"] == row["city"]


async def test_tail_with_a_group_goes_on_where_it_ended(system: System, refreshed: ChangeInfo) -> None:
    """Several tails of one group, one after the other, show every change once, in the order of each lead."""
    total = ROWS + refreshed.inserted + refreshed.updated + refreshed.deleted
    group = f"group-{uuid.uuid4().hex[:8]}"
    shown = []
    for count in (7, total // 2, total - 7 - total // 2):
        shown += await _tail(system, "--group", group, "--from", "earliest", count=count)
    records = [lead for _record, lead in await system.records("leads.canonical", SOURCE) if lead is not None]
    assert len(records) == total
    for key in {lead["lead_key"] for lead in records}:
        ops = [lead["op"] for lead in shown if lead["lead_key"] == key]
        assert ops == [lead["op"] for lead in records if lead["lead_key"] == key]


async def _follow(system: System, program: str, count: int) -> list[dict[str, Any]]:
    """The first ``count`` changes of our source that a program prints; then it is stopped."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(ROOT / "examples" / program)),
        env={**system.environment, "GROUP": f"subscriber-{uuid.uuid4().hex[:8]}"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    changes: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in process.stdout:
                change = json.loads(line)
                if change["key"].startswith(f"{SOURCE}:"):
                    changes.append(change)
                if len(changes) == count:
                    break
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    assert len(changes) == count, f"{program} ended early"
    return changes


async def _tail(system: System, *options: str, count: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "leadstream", "tail", "--source", SOURCE, *options, "--count", str(count)]
    done = await _run(system, command)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def _run(system: System, command: list[str]) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env={**system.environment, "PYTHON": sys.executable},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
