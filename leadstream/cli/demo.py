"""``demo``: the whole way on this machine, and one page that shows what happened."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from leadstream.cli import session, stack
from leadstream.cli.database import Row, connect
from leadstream.cli.dead_letter_filters import EVERY
from leadstream.cli.documents import GOOD, load_document
from leadstream.cli.output import console, counted, table
from leadstream.cli.put import keys_of, progress, upload, wait_for_load
from leadstream.cli.sources import find_source
from leadstream.masking import masked_lead
from leadstream.sample_vendors import VendorName
from leadstream.samples import write_sample
from leadstream.settings import Settings

FILES: dict[VendorName, int] = {"nevada": 100, "oklahoma": 50, "texas": 99}
"""Vendor and rows of each file."""
SEED = 7
LOAD_TIMEOUT_SECONDS = 120
SHOWN_DEAD_LETTERS = 12


@dataclass(frozen=True)
class Result:
    """What the demo shows."""

    loads: list[dict[str, Any]]
    dead_letters: list[Row]
    leads: list[Row]
    start_seconds: float
    load_seconds: float


def demo(
    home: Annotated[Path | None, typer.Option(help="Where the stack lives; without it, a temporary folder.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
) -> None:
    """See it work: start everything, drop three vendors' files, show on one page what became of each row.

    The files are invented (a few rows damaged on purpose). Nothing is left behind, unless --keep.

    \b
    Examples:
      leadstream demo
      leadstream demo --keep --home /tmp/leadstream-demo
    """
    place = home.absolute() if home is not None else _temporary_home()
    try:
        with progress() as report:
            result = _run(place, report)
        _print_page(console(), result, place if keep else None)
    finally:
        if not keep:
            stack.stop(place)
            if home is None:
                shutil.rmtree(place, ignore_errors=True)
    if any(load["status"] != GOOD for load in result.loads):
        raise typer.Exit(1)


def _temporary_home() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="leadstream-demo-"))
    folder.chmod(0o711)  # run by root, Postgres works as another user, who must be able to pass
    return folder


def _run(home: Path, report: Callable[[str], None]) -> Result:
    report("starting Kafka, schema registry, Postgres, S3 and the three stages")
    started_at = time.monotonic()
    session.start()
    stack.start_detached(home)
    settings = session.use_stack(home)
    ready_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leadstream-samples-") as folder:
        keys: dict[str, Path] = {}
        for vendor, rows in FILES.items():
            file = Path(folder) / f"{vendor}.csv"
            write_sample(vendor, file, rows, SEED)
            keys |= keys_of([file], find_source(settings, vendor), None)
        report(f"dropping {len(keys)} files into the bucket")
        loads, load_seconds = session.run(_load(settings, keys, report))
    dead_letters, leads = session.run(_read(settings))
    return Result(loads, dead_letters, leads, ready_at - started_at, load_seconds)


async def _load(
    settings: Settings, keys: dict[str, Path], report: Callable[[str], None]
) -> tuple[list[dict[str, Any]], float]:
    began_at = time.monotonic()
    deadline = began_at + LOAD_TIMEOUT_SECONDS
    uploads = await upload(settings.s3, keys)
    rows = await asyncio.gather(
        *(wait_for_load(settings.postgres, one, deadline=deadline, report=report) for one in uploads)
    )
    return [load_document(row) for row in rows], time.monotonic() - began_at


async def _read(settings: Settings) -> tuple[list[Row], list[Row]]:
    async with connect(settings.postgres) as database:
        return await database.rows("dead_letters", *EVERY.arguments, 1_000), await database.rows("sample_leads")


def _print_page(out: Console, result: Result, kept: Path | None) -> None:
    out.print(
        f"[bold]Three vendors' files, from the bucket to Postgres in {result.load_seconds:.1f} s[/bold] "
        f"(all parts were up in {result.start_seconds:.1f} s)\n"
    )
    counters = ("rows", "inserted", "updated", "unchanged", "stale", "failed")
    out.print(
        table(
            ("file", "status", "rows", "=\ninserted", "+\nupdated", "+\nunchanged", "+\nstale", "+ dead\nletters"),
            [(_name(load["key"]), load["status"], *(load[name] for name in counters)) for load in result.loads],
        )
    )
    for load in result.loads:
        for remark in filter(None, [load["reason"], *(load["notes"] or [])]):
            out.print(f"  {_name(load['key'])}: {remark}", markup=False)
    shown = sorted(result.dead_letters, key=lambda d: (d["object_key"] or "", d["row_number"] or 0))
    count = counted(len(shown), "dead letter")
    out.print(f"\n[bold]{count}[/bold]: the rows that were damaged, and why they could not pass\n")
    out.print(
        table(
            ("id", "file", "row", "stage", "why"),
            [
                (d["dead_letter_id"], _name(d["object_key"]), d["row_number"], d["stage"], d["message"])
                for d in shown[:SHOWN_DEAD_LETTERS]
            ],
        )
    )
    out.print("\n[bold]One lead of each vendor[/bold] (personal data masked here)\n")
    for lead in map(masked_lead, result.leads):
        reach = ", ".join(filter(None, [lead["last_name"], lead["phone"], lead["email"]]))
        ages = f", for {', '.join(lead['ages_served'])}" if lead["ages_served"] else ""
        out.print(f"  {lead['lead_key']:<22}{lead['company']}, {lead['city']}", markup=False)
        out.print(f"  {'':<22}{reach}{ages}", markup=False)
    out.print("\n[bold]Next[/bold]")
    if kept is None:
        out.print("  leadstream up --detach         start it to stay")
    else:
        out.print(f"  export LEADSTREAM_HOME={kept}", markup=False)
    out.print("  leadstream samples texas --rows 100000 --out texas.csv")
    out.print("  leadstream put texas.csv --source texas --wait")
    out.print("  leadstream loads               every file, and where each row went")
    out.print("  leadstream dlq show ID         a failed row, and why")
    out.print("  leadstream tail                changes as they happen")
    if kept is not None:
        out.print("  leadstream down                stop it")


def _name(key: str | None) -> str:
    return (key or "").rpartition("/")[2]
