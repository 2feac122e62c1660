"""``replay``: history mapped again with today's mapping, previewed first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import Row, connect
from leadstream.cli.dead_letter_filters import TIME_FORMATS
from leadstream.cli.load_lookup import find_load
from leadstream.cli.output import JsonOption, UnmaskedOption, print_json, print_table
from leadstream.cli.replay_order import (
    RUNNING,
    carry_out,
    exit_code,
    new_replay_id,
    order,
    print_receipt,
    replay_document,
)
from leadstream.cli.replay_preview import Summary, previewed
from leadstream.cli.replay_restore import gone_loads, restore, restored_messages
from leadstream.cli.sources import find_source, find_usable_source
from leadstream.errors import LeadstreamError
from leadstream.partitioning import lane_of, lead_key
from leadstream.settings import PostgresSettings, Settings
from leadstream.sources import SourceConfig, read_trial
from producer.arrivals import SEQUENCE_PER_SECOND

if TYPE_CHECKING:
    from processors.replay_state import Replay

PREVIEW_ID = "preview"

app = typer.Typer()


@app.callback(invoke_without_command=True)
def replay(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="The source whose rows are mapped again.")] = None,
    load: Annotated[str | None, typer.Option(help="Only rows of this load (its id, or how it begins).")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", formats=TIME_FORMATS, help="Only rows of files as old as TIME, or younger."),
    ] = None,
    all_history: Annotated[
        bool,
        typer.Option("--all-history", help="Also rows that the raw topic no longer holds, from their files in S3."),
    ] = False,
    from_object: Annotated[
        bool,
        typer.Option(
            "--from-object",
            help="With --load: split its file again with today's YAML, instead of reading the raw topic.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and send nothing.")] = False,
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="With --dry-run: try this YAML instead of the source's."
        ),
    ] = None,
    diff: Annotated[
        str | None, typer.Option(metavar="LEAD-KEY", help="With --dry-run: only this lead, field by field.")
    ] = None,
    unmasked: UnmaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Map rows again with today's mapping: what differs from what stands is sent, and dead letters that pass are
    resolved.

    Rows come from the raw topic, or from the file in S3 when that holds them no more. A row that a newer row or a
    newer complete file has overtaken changes nothing, and nothing is deleted. Live loads go on meanwhile; a worker
    that dies is followed by one that goes on. Given twice, the second replay finds everything as it should be.

    \b
    Examples:
      leadstream replay --source nevada --dry-run
      leadstream replay --source nevada --dry-run --mapping nevada-next.yaml --json
      leadstream replay --source nevada --dry-run --diff nevada:1042
      leadstream replay --source nevada --load 3f2a
      leadstream replay list
    """
    if context.invoked_subcommand is not None:
        return
    if source is None:
        raise typer.BadParameter("say which source", param_hint="--source")
    if not dry_run and (mapping or diff):
        option = "--mapping" if mapping else "--diff"
        raise typer.BadParameter("goes with --dry-run: a replay always uses the sources' own files", param_hint=option)
    if sum((load is not None, since is not None, all_history)) > 1:
        raise typer.BadParameter("give one of --load, --since and --all-history", param_hint="--source")
    if from_object and load is None:
        raise typer.BadParameter("goes with --load", param_hint="--from-object")
    settings = session.start()
    config = find_usable_source(settings, source)
    if diff and diff != lead_key(config.name, diff.partition(":")[2]):
        raise typer.BadParameter(f"{diff!r} is no lead of {config.name}: give {config.name}:KEY", param_hint="--diff")
    scope = session.run(_scope(settings, config, load, since))
    gone = session.run(_gone(settings, config, scope, from_object=from_object))
    if not (load or since or all_history):
        if gone:
            note = f"the raw topic no longer holds {len(gone)} loads that may matter: --all-history reads them from S3"
            typer.echo(note, err=True)
        gone = []
    if dry_run:
        tried = read_trial(mapping, settings.sources_dir, config.name) if mapping else config
        _dry_run(settings, tried, scope, gone, diff, unmasked=unmasked, as_json=as_json)
        return
    row = session.run(_replay(settings, config, scope, gone))
    if as_json:
        print_json(replay_document(row))
    else:
        print_receipt(row)
    raise typer.Exit(exit_code([row]))


@app.command("list")
def list_(
    source: Annotated[str | None, typer.Option(help="Only replays of this source.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The newest replays and retries.

    \b
    Examples:
      leadstream replay list
      leadstream replay list --source nevada --json
    """
    rows = session.run(_rows(session.start().postgres, source, limit))
    documents = [replay_document(row) for row in rows]
    if as_json:
        print_json(documents)
        return
    columns = ("replay_id", "kind", "source", "scope", "status", "rows", "inserted", "updated", "fixed",
               "newly_failed", "started_at")  # fmt: skip
    print_table(columns, [tuple(d[name] for name in columns) for d in documents], empty="no replays yet")


@app.command()
def show(
    replay_id: Annotated[str, typer.Argument(metavar="ID", help="The replay's id.")],
    as_json: JsonOption = False,
) -> None:
    """One replay: what it mapped again and what came of it.

    \b
    Examples:
      leadstream replay show r20260131-1f6a2b3c
    """
    row = session.run(_row(session.start().postgres, replay_id))
    if as_json:
        print_json(replay_document(row))
    else:
        print_receipt(row)


@app.command()
def cancel(
    replay_id: Annotated[str, typer.Argument(metavar="ID", help="The replay's id.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop a replay that is under way. What it has sent stays; replay again to do the rest.

    \b
    Examples:
      leadstream replay cancel r20260131-1f6a2b3c
    """
    settings = session.start()
    row = session.run(_row(settings.postgres, replay_id))
    if row["status"] != RUNNING:
        typer.echo(f"{replay_id} has ended already: nothing to cancel", err=True)
    elif not dry_run:
        config = find_source(settings, row["source"])
        row = session.run(carry_out(settings, order("cancel", config, replay_id)))
    if as_json:
        print_json(replay_document(row) | {"dry_run": dry_run})
    elif row["status"] == RUNNING:
        typer.echo(f"{row['kind']} {replay_id} would be stopped")
    else:
        print_receipt(row)


async def _replay(settings: Settings, config: SourceConfig, scope: dict[str, Any], gone: list[Row]) -> Row:
    replay_id = new_replay_id()
    if gone:
        async for load, rows in restore(settings, config, gone, replay_id):
            typer.echo(f"load {load['load_id']}: {rows:,} rows of {load['object_key']} read from S3", err=True)
        scope = scope | {"restored_loads": [load["load_id"] for load in gone]}
    return await carry_out(settings, order("replay", config, replay_id, **scope))


async def _gone(settings: Settings, config: SourceConfig, scope: dict[str, Any], *, from_object: bool) -> list[Row]:
    """Loads whose rows are to be read from S3."""
    load_id = scope.get("load_id", "")
    if not from_object:
        return await gone_loads(settings, config, load_id, scope.get("since_load_seq", 0))
    async with connect(settings.postgres) as database:
        row = await database.row("load", load_id)
    return [row] if row is not None else []


async def _scope(settings: Settings, config: SourceConfig, load: str | None, since: datetime | None) -> dict[str, Any]:
    """Which rows, as a command says it."""
    async with connect(settings.postgres) as database:
        if not await database.rows("newest_loads", config.name, 1):
            raise LeadstreamError(f"source {config.name} has no load yet", hint="there is nothing to map again")
        row = await find_load(database, load) if load is not None else None
    if since is not None:
        moment = since if since.tzinfo else since.replace(tzinfo=UTC)
        return {"since_load_seq": int(moment.timestamp()) * SEQUENCE_PER_SECOND}
    if load is None:
        return {}
    if row is None or row["source"] != config.name:
        raise LeadstreamError(
            f"source {config.name} has no load {load!r}", hint=f"leadstream loads --source {config.name} lists them"
        )
    return {"load_id": row["load_id"], "load_seq": row["load_seq"]}


def _dry_run(
    settings: Settings,
    config: SourceConfig,
    scope: dict[str, Any],
    gone: list[Row],
    lead: str | None,
    *,
    unmasked: bool,
    as_json: bool,
) -> None:
    from processors.replay_state import Replay

    def make_replay() -> Replay:
        return Replay(
            PREVIEW_ID,
            load_id=scope.get("load_id", ""),
            since_load_seq=scope.get("since_load_seq", 0),
            restored_loads=[load["load_id"] for load in gone],
        )

    lanes = settings.topics.lanes
    partitions = range(lanes) if lead is None else [lane_of(lead, lanes)]
    summary = Summary(keep_leads=as_json or lead is not None, unmasked=unmasked)
    restored = restored_messages(settings, config, gone, PREVIEW_ID) if gone else None
    session.run(previewed(settings, config, make_replay, partitions, summary, restored=restored))
    if lead is not None:
        found = [change for change in summary.leads if change["lead_key"] == lead]
        if not found:
            session.run(_check_there(settings.postgres, lead))
        _print_lead(found, lead, as_json=as_json)
    elif as_json:
        print_json({"source": config.name, "mapping_version": config.version, "dry_run": True, **summary.document()})
    else:
        typer.echo(f"a replay of {config.name} with mapping {config.version} (nothing was sent)")
        summary.print()


def _print_lead(found: list[dict[str, Any]], lead: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif not found:
        typer.echo(f"no row of {lead} would change anything")
    for change in [] if as_json else found:
        typer.echo(f"{lead} would be {'inserted' if change['op'] == 'c' else 'updated'} (row {change['row']})")
        rows = [(name, values["before"], values["after"]) for name, values in change["changes"].items()]
        print_table(("field", "before", "after"), rows, empty="")


async def _check_there(settings: PostgresSettings, lead: str) -> None:
    async with connect(settings) as database:
        if await database.row("lead", lead) is None:
            raise LeadstreamError(
                f"there is no lead {lead!r}, and no row would make one", hint="look up its lead_key in the table leads"
            )


async def _rows(settings: PostgresSettings, source: str | None, limit: int) -> list[Row]:
    async with connect(settings) as database:
        return await database.rows("newest_replays", source, limit)


async def _row(settings: PostgresSettings, replay_id: str) -> Row:
    async with connect(settings) as database:
        row = await database.row("replay", replay_id)
    if row is None:
        raise LeadstreamError(f"there is no replay {replay_id!r}", hint="leadstream replay list shows them")
    return row
