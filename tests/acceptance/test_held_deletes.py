"""Deletes that a guard held: nothing goes until someone says so."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from leadstream.samples import write_sample
from tests.system import ROOT, System


async def _command(system: System, *words: str) -> dict[str, Any]:
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leadstream", *words, "--json"],
        env=system.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


async def test_the_deletes_of_a_file_that_shrank_are_held_until_they_are_approved(
    system: System, tmp_path: Path
) -> None:
    """Held, shown with the reason, applied once; a second approval finds nothing; a rejected hold keeps the leads."""
    system.add_source("shrunk", "texas")
    write_sample("texas", tmp_path / "1.csv", rows=100, seed=40, damage=False)
    data = (tmp_path / "1.csv").read_bytes()
    await system.load("shrunk", data, "1.csv")
    half = b"".join(data.splitlines(keepends=True)[:51])
    load = await system.load("shrunk", half, "2.csv")
    assert (load["status"], load["deletes_held"], load["deleted"]) == ("done", 50, 0), load
    assert "shrunk/1.csv had 100" in load["reason"]
    assert len(await system.leads("shrunk")) == 100

    preview = await _command(system, "loads", "approve", load["load_id"], "--dry-run")
    assert (preview["deletes_were_held"], preview["deleted"]) == (50, 0)
    applied = await _command(system, "loads", "approve", load["load_id"])
    assert (applied["status"], applied["deleted"], applied["deletes_held"]) == ("done", 50, 0)
    assert len(await system.leads("shrunk")) == 50
    again = await _command(system, "loads", "approve", load["load_id"])
    assert (again["deletes_were_held"], again["deleted"]) == (0, 50)
    records = await system.records("leads.canonical", "shrunk")
    assert sum(1 for _record, value in records if value is not None and value["op"] == "d") == 50
    assert sum(1 for _record, value in records if value is None) == 50

    quarter = b"".join(data.splitlines(keepends=True)[:26])
    third = await system.load("shrunk", quarter, "3.csv")
    assert third["deletes_held"] == 25
    kept = await _command(system, "loads", "reject", third["load_id"])
    assert (kept["deleted"], kept["deletes_held"]) == (0, 0)
    assert len(await system.leads("shrunk")) == 50
    fourth = await system.load("shrunk", quarter + b"\n", "4.csv")
    assert (fourth["deletes_held"], fourth["deleted"]) == (25, 0), fourth
    assert "shrunk/2.csv had 50" in fourth["reason"]

    fifth = await system.load("shrunk", data, "5.csv")
    assert (fifth["status"], fifth["deletes_held"], fifth["deleted"]) == ("done", 0, 0), fifth
    superseded = await _command(system, "loads", "approve", fourth["load_id"], "--dry-run")
    assert (superseded["deletes_were_held"], superseded["status"]) == (0, "done")
    assert superseded["reason"].endswith("a newer file has settled the held deletes")
