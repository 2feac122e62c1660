"""``dlq resolve`` and ``dlq ignore``: dead letters that somebody has dealt with."""

from __future__ import annotations

from typing import Annotated

import typer

from leadstream.cli import session
from leadstream.cli.database import connect
from leadstream.cli.dead_letter_filters import (
    Filters,
    LoadFilter,
    ReasonFilter,
    SinceFilter,
    SourceFilter,
    StageFilter,
    Status,
    StatusFilter,
    check_known,
    chosen,
)
from leadstream.cli.output import JsonOption, print_json
from leadstream.settings import PostgresSettings

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="As dlq list --each shows them.")]
Why = Annotated[str, typer.Option("--why", help="Kept with each of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]


def resolve(
    why: Why,
    ids: Ids = None,
    source: SourceFilter = None,
    load: LoadFilter = None,
    stage: StageFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    status: StatusFilter = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Dead letters are dealt with: what they said is in the data by now, or was mended elsewhere.

    \b
    Examples:
      leadstream dlq resolve 2-17 2-18 --why "entered by hand"
      leadstream dlq resolve --source oklahoma --reason too_few_cells --why "sent again on 2 Feb" --dry-run
    """
    _settle(Status.RESOLVED, ids, Filters(source, load, stage, reason, since, status), why, dry_run, as_json)


def ignore(
    why: Why,
    ids: Ids = None,
    source: SourceFilter = None,
    load: LoadFilter = None,
    stage: StageFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    status: StatusFilter = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Dead letters need nothing done: they are no longer counted as open.

    \b
    Examples:
      leadstream dlq ignore 2-17 --why "a comment line, no provider"
      leadstream dlq ignore --load 3f2a91c0d4e5b677 --stage SPLIT --why "test file"
    """
    _settle(Status.IGNORED, ids, Filters(source, load, stage, reason, since, status), why, dry_run, as_json)


def _settle(target: Status, ids: list[str] | None, filters: Filters, why: str, dry_run: bool, as_json: bool) -> None:
    wanted = chosen(ids, filters)
    if not why.strip():
        raise typer.BadParameter("say in a few words why", param_hint="--why")
    count = session.run(_update(session.start().postgres, target, wanted, why.strip(), dry_run))
    if as_json:
        print_json({"status": target, "why": why.strip(), "count": count, "dry_run": dry_run})
    elif not count:
        typer.echo(f"nothing to do: no dead letter of these that is not {target} already")
    else:
        letters = "1 dead letter" if count == 1 else f"{count:,} dead letters"
        typer.echo(f"{letters} {'would become' if dry_run else 'became'} {target}")


async def _update(settings: PostgresSettings, target: Status, wanted: Filters, why: str, dry_run: bool) -> int:
    async with connect(settings) as database:
        await check_known(database, wanted)
        if dry_run:
            rows = await database.rows("dead_letter_statuses", *wanted.arguments)
            return sum(row["count"] for row in rows if row["status"] != target)
        row = await database.row("settle_dead_letters", *wanted.arguments, target, why)
        return row["count"] if row else 0
