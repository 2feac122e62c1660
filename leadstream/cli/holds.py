"""``loads approve`` and ``loads reject``: what becomes of loads, and of deletes, that a guard held."""

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
from leadstream.cli.load_lookup import find_load
from leadstream.cli.output import JsonOption, counted, print_json
from leadstream.errors import LeadstreamError
from leadstream.settings import Settings
from leadstream.transaction import TransactionalProducer
from schemas import records, topics
from schemas.codec import Encoder
from schemas.registry import Registry

Kind = Literal["approve", "reject", "proceed"]

DONE_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.2

LoadId = Annotated[str, typer.Argument(metavar="ID", help="The load's id, or how it begins.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]


def approve(load_id: LoadId, dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Delete the leads whose deletion this load held (it looked cut off, shrank, or had rows without a key).

    A load that is held because too many of its rows fail goes on in spite of it: those rows go to the dead letters.
    Given twice, the second finds nothing left to do. A lead that a newer file has named since stays.

    \b
    Examples:
      leadstream loads approve 3f2a --dry-run
      leadstream loads approve 3f2a
    """
    _settle("approve", load_id, dry_run, as_json)


def reject(load_id: LoadId, dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Keep the leads whose deletion this load held; the hold is lifted.

    Rows cannot be rejected: a load that is held because too many of them fail waits for its mapping, or for approve.

    \b
    Examples:
      leadstream loads reject 3f2a
    """
    _settle("reject", load_id, dry_run, as_json)


def _settle(kind: Kind, load_id: str, dry_run: bool, as_json: bool) -> None:
    settings = session.start()
    before, after = session.run(_carry_out(settings, kind, load_id, dry_run))
    held, was_halted = before["deletes_held"], bool(before["halted_partitions"])
    if as_json:
        found = {"deletes_were_held": held, "was_halted": was_halted, "dry_run": dry_run}
        print_json(load_document(after) | found)
        return
    verb = "deleted" if kind == "approve" else "kept"
    if was_halted:
        would = "would go" if dry_run else "goes"
        typer.echo(f"load {before['load_id']} {would} on in spite of the rows that fail ({before['reason']})")
    elif held == 0:
        typer.echo(f"load {before['load_id']} holds no deletes: nothing to do")
    elif dry_run:
        typer.echo(f"{counted(held, 'lead')} of {before['source']} would be {verb} ({before['reason']})")
    else:
        deleted = after["deleted"] - before["deleted"]
        typer.echo(f"{counted(held, 'held delete')} settled: {counted(deleted, 'lead')} deleted")


async def _carry_out(settings: Settings, kind: Kind, load_id: str, dry_run: bool) -> tuple[Row, Row]:
    async with connect(settings.postgres) as database:
        before = await find_load(database, load_id)
        check_can_be_settled(before, kind)
        was_halted = bool(before["halted_partitions"])
        if not (was_halted or before["deletes_held"]) or dry_run:
            return before, before
        await send_command(settings, _command("proceed" if was_halted else kind, before))
        deadline = time.monotonic() + DONE_WITHIN_SECONDS
        while True:
            after = await database.row("load", before["load_id"])
            if after is not None and (_goes_on(after) if was_halted else _is_settled(after)):
                return before, after
            if time.monotonic() > deadline:
                raise LeadstreamError(
                    f"the processors have not carried it out within {DONE_WITHIN_SECONDS:.0f} s",
                    hint="it is not lost: they will when they run; see leadstream status",
                )
            await asyncio.sleep(POLL_SECONDS)


def check_can_be_settled(load: Row, kind: Kind) -> None:
    """Make sure that what holds a load is for ``kind`` to settle.

    Raises:
        LeadstreamError: it waits for its mapping.
    """
    if load["halted_partitions"]:
        if kind == "reject":
            raise LeadstreamError(
                f"load {load['load_id']} is held because too many of its rows fail: rows cannot be rejected",
                hint="mend its source's mapping and it goes on by itself, or let it through: leadstream loads approve",
            )
    elif load["status"] == "held":
        raise LeadstreamError(
            f"load {load['load_id']} is held for its header: there is nothing to approve or reject",
            hint=f"see `leadstream sources drift {load['source']}`; with its mapping mended it goes on by itself",
        )


def _goes_on(load: Row) -> bool:
    return not load["halted_partitions"]


def _is_settled(load: Row) -> bool:
    return not load["deletes_held"] and load["status"] != "processing"


def _command(kind: Kind, load: Row) -> dict[str, Any]:
    return {
        "command_id": f"{kind}-{load['load_id']}",
        "kind": kind,
        **{name: load[name] for name in ("source", "load_id", "load_seq", "bucket", "object_key", "object_version")},
        "at": datetime.now(UTC),
    }


async def send_command(settings: Settings, command: dict[str, Any]) -> list[int]:
    """Put a command (a record of ``command.avsc``) before every lane, all or none; gives its offset in each lane.

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
        await producer.deliver()
        [offsets] = zip(
            *(producer.offsets(topics.COMMANDS, lane) for lane in range(settings.topics.lanes)), strict=True
        )
        await producer.commit()
    finally:
        await producer.close()
    return list(offsets)
