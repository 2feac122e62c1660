"""``dlq``: the rows and files that could not pass a stage, with their bytes and every reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from leadstream.cli import dead_letter_export, dead_letter_retry, session
from leadstream.cli import dead_letter_settling as settling
from leadstream.cli.database import Row, connect
from leadstream.cli.dead_letter_filters import (
    Filters,
    LoadFilter,
    ReasonFilter,
    SinceFilter,
    SourceFilter,
    StageFilter,
    Status,
    StatusFilter,
)
from leadstream.cli.documents import dead_letter_document
from leadstream.cli.messages import masked_content, open_registry, readable
from leadstream.cli.output import JsonOption, UnmaskedOption, print_json, print_pairs, print_table, text
from leadstream.errors import LeadstreamError
from leadstream.settings import PostgresSettings, Settings

MAX_SHOWN_CHARACTERS = 10_000
"""Of a row that is no table row; the JSON document has all of it."""

app = typer.Typer()


@app.callback()
def group() -> None:
    """Dead letters: dlq list, show, retry, resolve, ignore, export."""


@app.command("list")
def list_(
    each: Annotated[bool, typer.Option("--each", help="Every single letter, newest first, instead of groups.")] = False,
    source: SourceFilter = None,
    load: LoadFilter = None,
    stage: StageFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    status: StatusFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="With --each: at most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """What failed and how often, by source, stage and reason; with --each, every row: where it stands, and why.

    A letter counts under the first of its reasons. The trend compares the source's newest load with the one before.

    \b
    Examples:
      leadstream dlq list
      leadstream dlq list --source oklahoma --status all
      leadstream dlq list --load 3f2a91c0d4e5b677 --each --json
      leadstream dlq list --stage VALIDATE --since 2026-01-31 --each
    """
    wanted = Filters(source, load, stage, reason, since, status)
    settings = session.start().postgres
    if each:
        _print_letters(session.run(_letters(settings, wanted, limit)), wanted, as_json)
    else:
        _print_groups(session.run(_groups(settings, wanted)), wanted, as_json)


@app.command()
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", help="As dlq list --each shows it.")],
    unmasked: UnmaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """One dead letter: the row as the vendor sent it, its place in the file, and every reason it failed. Anything may
    stand in such a row: unless --unmasked, letters are shown as a, digits as 9.

    \b
    Examples:
      leadstream dlq show 2-17
      leadstream dlq show 2-17 --unmasked
      leadstream dlq show 2-17 --json
    """
    row, content = session.run(_show(session.start(), dead_letter_id))
    if not unmasked:
        content = masked_content(content)
    document = dead_letter_document(row) | {
        "bucket": row["bucket"],
        "object_version": row["object_version"],
        "mapping_version": row["mapping_version"],
        "raw": {name: row[f"raw_{name}"] for name in ("topic", "partition", "offset")},
        "content": content,
    }
    if as_json:
        print_json(document)
        return
    place = f"row {row['row_number']}, line {row['line_number']}" if row["row_number"] else "the whole file"
    typer.echo(f"{row['bucket']}/{row['object_key']}: {place}, failed at {row['stage']}")
    for reason in row["reasons"] or [{"field": "", "code": row["reason_code"], "message": row["message"]}]:
        field = f"{reason['field']}: " if reason["field"] else ""
        typer.echo(f"  {reason['code']}: {field}{reason['message']}")
    if row["attempts"]:
        times = "once" if row["attempts"] == 1 else f"{row['attempts']} times"
        typer.echo(f"mapped again {times}, the last time {text(row['last_attempt_at'])}")
    if row["status"] != Status.OPEN:
        typer.echo(f"{row['status']}: {row['status_why']}")
    typer.echo(f"\nas the vendor sent it ({content['format']})")
    if "cells" in content:
        print_pairs(content["cells"])
    else:
        shown = content.get("text") or content.get("hex") or "(nothing)"
        typer.echo(f"  {shown[:MAX_SHOWN_CHARACTERS]}")
        if len(shown) > MAX_SHOWN_CHARACTERS:
            typer.echo(f"  … {len(shown) - MAX_SHOWN_CHARACTERS:,} more characters: --json has them")


app.command()(dead_letter_retry.retry)
app.command()(settling.resolve)
app.command()(settling.ignore)
app.command()(dead_letter_export.export)


def trend(group: Row) -> str:
    """How many letters of a group the load before has and the newest has, and the difference; empty: nothing to say."""
    now, before = group["in_load"], group["in_load_before"]
    if now is None or before is None:
        return ""
    return f"{before:,} → {now:,} ({now - before:+,})" if now != before else f"{before:,} → {now:,}"


def _print_groups(groups: list[Row], wanted: Filters, as_json: bool) -> None:
    if as_json:
        print_json(groups)
        return
    print_table(
        ("count", "source", "stage", "code", "field", "before → newest", "first seen", "last seen", "e.g."),
        [
            (
                *(g[name] for name in ("count", "source", "stage", "reason_code", "field")),
                trend(g),
                *(g[name] for name in ("first_seen", "last_seen", "example")),
            )
            for g in groups
        ],
        empty=_nothing(wanted),
    )


def _print_letters(rows: list[Row], wanted: Filters, as_json: bool) -> None:
    documents = [dead_letter_document(row) for row in rows]
    if as_json:
        print_json(documents)
        return
    print_table(
        ("id", "key", "row", "line", "stage", "code", "message", "status"),
        [
            (d["id"], d["key"], d["row"], d["line"], d["stage"], d["reason_code"], d["message"], d["status"])
            for d in documents
        ],
        empty=_nothing(wanted),
    )


def _nothing(wanted: Filters) -> str:
    kind = "dead letters" if wanted.status is Status.ALL else f"{wanted.status or Status.OPEN} dead letters"
    chosen = replace(wanted, status=None).given
    return f"no {kind}{' that match; without filters: leadstream dlq list' if chosen else ''}"


async def _groups(settings: PostgresSettings, wanted: Filters) -> list[Row]:
    async with connect(settings) as database:
        return await database.rows("dead_letter_groups", *wanted.arguments)


async def _letters(settings: PostgresSettings, wanted: Filters, limit: int) -> list[Row]:
    async with connect(settings) as database:
        return await database.rows("dead_letters", *wanted.arguments, limit)


async def _show(settings: Settings, dead_letter_id: str) -> tuple[Row, dict[str, Any]]:
    async with connect(settings.postgres) as database:
        row = await database.row("dead_letter", dead_letter_id)
    if row is None:
        raise LeadstreamError(f"there is no dead letter {dead_letter_id!r}", hint="leadstream dlq list --each")
    async with open_registry(settings.registry) as registry:
        return row, await readable(registry, row["value"])
