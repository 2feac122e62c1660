"""Sending a replay or retry to the processors, and waiting for its receipt."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from leadstream.cli.database import Row, connect
from leadstream.cli.holds import send_command
from leadstream.cli.replay_preview import counts_document, print_counts
from leadstream.errors import LeadstreamError
from leadstream.settings import Settings
from leadstream.sources import SourceConfig

ACCEPTED_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.2
RUNNING = "running"


def new_replay_id() -> str:
    """An id that no other replay has."""
    return f"r{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"


def order(kind: str, source: SourceConfig, replay_id: str, **what: Any) -> dict[str, Any]:
    """A record of ``command.avsc``: every lane maps rows of ``source`` again with just this mapping."""
    return {
        "command_id": f"{kind}-{replay_id}",
        "kind": kind,
        "source": source.name,
        "replay_id": replay_id,
        "mapping_version": source.version,
        "at": datetime.now(UTC),
        **what,
    }


async def carry_out(settings: Settings, command: dict[str, Any]) -> Row:
    """Send the command and wait until the replay has come to its end; gives its row of ``replays``.

    Raises:
        TransientError: Kafka or the registry is away; nothing was sent.
        LeadstreamError: the processors do not take it up.
    """
    await send_command(settings, command)
    replay_id = command["replay_id"]
    try:
        return await _ended(settings, replay_id)
    except asyncio.CancelledError:
        which = f"leadstream replay show {replay_id} tells how far it is, leadstream replay cancel {replay_id} stops it"
        typer.echo(f"{replay_id} goes on by itself: {which}", err=True)
        raise


def replay_document(row: Row) -> dict[str, Any]:
    """A replay as ``replay list`` and ``replay show`` print it."""
    names = ("replay_id", "kind", "source", "scope", "status", "reason", "mapping_version")
    return {
        **{name: row[name] for name in names},
        "partitions": row["partitions"],
        "partitions_done": len(row["ended_partitions"]),
        **counts_document(row),
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
    }


def print_receipt(row: Row) -> None:
    """The receipt of a replay for people."""
    document = replay_document(row)
    done = "" if row["status"] != RUNNING else f" ({document['partitions_done']} of {row['partitions']} partitions)"
    typer.echo(f"{row['kind']} {row['replay_id']} of {row['source']} ({row['scope']}): {row['status']}{done}")
    if row["reason"]:
        typer.echo(f"  {row['reason']}")
    print_counts(document, is_dry=False)


def exit_code(rows: Sequence[Row]) -> int:
    """0 when every replay is done."""
    return int(any(row["status"] != "done" for row in rows))


async def _ended(settings: Settings, replay_id: str) -> Row:
    deadline = time.monotonic() + ACCEPTED_WITHIN_SECONDS
    async with connect(settings.postgres) as database:
        while True:
            row = await database.row("replay", replay_id)
            if row is not None and row["status"] != RUNNING:
                return row
            if row is None and time.monotonic() > deadline:
                raise LeadstreamError(
                    f"the processors have not taken up {replay_id} within {ACCEPTED_WITHIN_SECONDS:.0f} s",
                    hint="it is not lost: they will when they run; see leadstream status and leadstream replay list",
                )
            await asyncio.sleep(POLL_SECONDS)
