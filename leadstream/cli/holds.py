"""``loads approve`` and ``loads reject``: what becomes of deletes that a guard held."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from leadstream import kafka
from leadstream.cli import session
from leadstream.cli.database import Row, connect
from leadstream.cli.documents import load_document
from leadstream.cli.output import JsonOption, print_json
from leadstream.errors import LeadstreamError
from leadstream.settings import Settings
from leadstream.transaction import TransactionalProducer
from schemas import records, topics
from schemas.codec import Encoder
from schemas.registry import Registry

Kind = Literal["approve", "reject"]

DONE_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.2

LoadId = Annotated[str, typer.Argument(metavar="ID", help="The load's id, or how it begins.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]


def approve(load_id: LoadId, dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Delete the leads whose deletion this load held (it looked cut off, shrank, or had rows without a key).

    Given twice, the second finds nothing left to do. A lead that a newer file has named since stays.

    \b
    Examples:
      leadstream loads approve 3f2a --dry-run
      leadstream loads approve 3f2a
    """
    _settle("approve", load_id, dry_run, as_json)


def reject(load_id: LoadId, dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Keep the leads whose deletion this load held; the hold is lifted.

    \b
    Examples:
      leadstream loads reject 3f2a
    """
    _settle("reject", load_id, dry_run, as_json)


def _settle(kind: Kind, load_id: str, dry_run: bool, as_json: bool) -> None:
    settings = session.start()
    before, after = session.run(_carry_out(settings, kind, load_id, dry_run))
    held = before["deletes_held"]
    if as_json:
        print_json(load_document(after) | {"deletes_were_held": held, "dry_run": dry_run})
        return
    verb = "deleted" if kind == "approve" else "kept"
    if held == 0:
        typer.echo(f"load {before['load_id']} holds no deletes: nothing to do")
    elif dry_run:
        typer.echo(f"{held} leads of {before['source']} would be {verb} ({before['reason']})")
    else:
        typer.echo(f"{held} held deletes settled: {after['deleted'] - before['deleted']} leads deleted")


async def _carry_out(settings: Settings, kind: Kind, load_id: str, dry_run: bool) -> tuple[Row, Row]:
    async with connect(settings.postgres) as database:
        before = await database.row("load", load_id)
        if before is None:
            raise LeadstreamError(f"there is no load {load_id!r}", hint="leadstream loads lists them")
        if before["deletes_held"] == 0 or dry_run:
            return before, before
        await send_command(settings, _command(kind, before))
        deadline = time.monotonic() + DONE_WITHIN_SECONDS
        while True:
            after = await database.row("load", before["load_id"])
            if after is not None and after["deletes_held"] == 0 and after["status"] != "processing":
                return before, after
            if time.monotonic() > deadline:
                raise LeadstreamError(
                    f"the processors have not carried it out within {DONE_WITHIN_SECONDS:.0f} s",
                    hint="it is not lost: they will when they run; see leadstream status",
                )
            await asyncio.sleep(POLL_SECONDS)


def _command(kind: Kind, load: Row) -> dict[str, Any]:
    return {
        "command_id": f"{kind}-{load['load_id']}",
        "kind": kind,
        **{name: load[name] for name in ("source", "load_id", "load_seq", "bucket", "object_key", "object_version")},
        "at": datetime.now(UTC),
    }


async def send_command(settings: Settings, command: dict[str, Any]) -> None:
    """Put a command (a record of ``command.avsc``) before every lane, all or none.

    Raises:
        TransientError: Kafka or the registry is away; nothing was sent.
    """
    registry = Registry(settings.registry)
    try:
        subject = topics.value_subject(topics.COMMANDS)
        schema_id = await registry.register(subject, records.schema_json("command"))
    finally:
        await registry.close()
    value = Encoder(schema_id, records.parsed("command")).encode(command)
    await kafka.ensure_topics(settings.kafka, topics.shared_topics(settings.topics.lanes))
    producer = TransactionalProducer(settings.kafka, f"leadstream-commands-{command['command_id']}")
    try:
        await producer.start()
        for lane in range(settings.topics.lanes):
            producer.add(topics.COMMANDS, lane, command["command_id"].encode(), value)
        await producer.begin()
        await producer.commit()
    finally:
        await producer.close()
