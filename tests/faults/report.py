"""What the suite itself writes into docs/reliability.md: one part of the page a run of it, between two marks."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path
from typing import Literal

import psutil

from tests.faults.checker import Finding
from tests.faults.faults import FAULTS
from tests.faults.world import CAUGHT_UP_SECONDS, TRANSACTION_TIMEOUT_SECONDS, Result, World

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"

Part = Literal["faults", "soak"]


def write_report(world: World, part: Part, minutes: float) -> None:
    """Replace the part of the page that tells of this kind of run."""
    begin, end = f"<!-- {part}: written by tests/faults/report.py -->", f"<!-- end of {part} -->"
    text = "\n".join([begin, *_summary(world, part, minutes), "", *_table(world, part), end])
    page = PAGE.read_text()
    new = re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _match: text, page, flags=re.DOTALL)
    assert begin in page, f"{PAGE} has no place for {part}"
    PAGE.write_text(new)


def _summary(world: World, part: Part, minutes: float) -> list[str]:
    evidence, results = world.evidence, world.results
    recoveries = [result.recovery_seconds for result in results]
    aborted = len(evidence.uncommitted - evidence.committed.keys())
    findings = sum(finding.invariant != "none" for result in results for finding in result.findings)
    raw = sum(message.kind != "end" for messages in evidence.raw.values() for message in messages)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    missed = FAULTS.keys() - {result.name for result in results}
    load = f"{os.getloadavg()[2] / (os.cpu_count() or 1):.1f}"
    machine = (
        f"{psutil.cpu_count()} CPUs, {psutil.virtual_memory().total / 1e9:.0f} GB, Python {platform.python_version()}"
    )
    return [
        "",
        f"Run of `make {part}` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, "
        f"commit {commit or 'unknown'}, {minutes:.0f} min, seed {world.seed}, {machine}:",
        "",
        f"- {len(results)} faults and pairs of faults; {findings} broken promises",
        f"- {len(world.files):,} files with {world.rows:,} rows; {raw:,} messages on raw topics, "
        f"{len(evidence.changes):,} change records, {len(evidence.letters):,} dead letters checked one by one",
        f"- {aborted:,} records of aborted transactions on the topics, seen by no read_committed reader",
        f"- {len(evidence.audit):,} writes in the audit table, {world.snapshots_judged:,} partition offsets "
        "compared with the tables in snapshots",
        f"- caught up after {statistics.median(recoveries):.1f} s (median), {max(recoveries):.1f} s at most "
        f"(allowed: {TRANSACTION_TIMEOUT_SECONDS + CAUGHT_UP_SECONDS} s on a free machine; "
        f"{load} runnable processes a CPU at the end)",
        *([f"- stopped early: {len(missed)} faults had no turn"] if part == "faults" and missed else []),
        *([] if world.disk.is_mounted else ["- not run: disk full (no right to mount a small disk)"]),
    ]


def _table(world: World, part: Part) -> list[str]:
    """Of `make faults` one line a fault; of a soak one line a kind of fault."""
    by_name: dict[str, list[Result]] = {}
    for result in world.results:
        by_name.setdefault(result.name, []).append(result)
    lines = ["| fault | times | lasted, s | caught up after, s | broken promises |", "|---|---|---|---|---|"]
    for name, results in by_name.items():
        lasted = max(result.fault_seconds for result in results)
        recovery = max(result.recovery_seconds for result in results)
        broken = "; ".join(sorted({_told(finding) for result in results for finding in result.findings}))
        lines.append(f"| {name} | {len(results)} | {lasted:.0f} | {recovery:.1f} | {broken or 'no'} |")
    return lines


def _told(finding: Finding) -> str:
    return "the fault did not happen" if finding.invariant == "none" else finding.invariant
