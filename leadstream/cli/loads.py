"""``loads``: every file that came in, and where each of its rows went."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from leadstream.alerts import alerts
from leadstream.cli import session
from leadstream.cli.database import Database, Row, connect
from leadstream.cli.documents import load_document, reason_document, sum_sentence
from leadstream.cli.load_lookup import find_load
from leadstream.cli.load_screen import screen
from leadstream.cli.load_watch import follow, open_display
from leadstream.cli.output import JsonOption, console, print_json, print_pairs, print_table
from leadstream.errors import LeadstreamError
from leadstream.settings import PostgresSettings
from leadstream.sources import SourceCatalog

app = typer.Typer()

Rates = Mapping[str, float | None]


@app.callback(invoke_without_command=True)
def newest(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only loads of this source.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing them as they change; Ctrl-C ends it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The newest loads. Every row of a file is counted: rows = inserted + updated + unchanged + stale + failed.

    Remarks tell of alerts, held deletes, drift, and why rows failed.

    \b
    Examples:
      leadstream loads
      leadstream loads --source nevada --limit 5
      leadstream loads --watch
      leadstream loads --watch --json
      leadstream loads show 3f2a
    """
    if context.invoked_subcommand is not None:
        return
    settings = session.start()
    rates = dead_letter_rates(settings.sources_dir)
    if watch:
        with contextlib.suppress(KeyboardInterrupt), open_display(as_json=as_json) as show_changes:
            session.run(follow(lambda: _newest(settings.postgres, rates, source, limit), show_changes))
        return
    documents = session.run(_newest(settings.postgres, rates, source, limit))
    if as_json:
        print_json(documents)
        return
    if not documents:
        typer.echo(f"no loads yet{f' of {source}' if source else ''} → leadstream put FILE --source SOURCE")
        return
    out = console()
    out.print(screen(documents, out.width))


@app.command()
def show(
    load_id: Annotated[str, typer.Argument(metavar="ID", help="The load's id, or how it begins.")],
    as_json: JsonOption = False,
) -> None:
    """One load: its receipt, what was remarked, and why rows failed.

    \b
    Examples:
      leadstream loads show 3f2a91c0d4e5b677
      leadstream loads show 3f2a --json
    """
    settings = session.start()
    document = session.run(_load(settings.postgres, dead_letter_rates(settings.sources_dir), load_id))
    if as_json:
        print_json(document)
        return
    typer.echo(f"{document['bucket']}/{document['key']}: {document['status']}")
    typer.echo(sum_sentence(document))
    reasons, seconds, found = (document.pop(name) for name in ("dead_letter_reasons", "seconds", "alerts"))
    for alert in found:
        typer.echo(f"ALERT: {alert}")
    taken = {f"{stage} took": f"{part:.1f} s" for stage, part in seconds.items() if part is not None}
    print_pairs({name: value for name, value in document.items() if value not in (None, "", [])} | taken)
    if reasons:
        typer.echo(f"\nwhy rows failed (leadstream dlq list --each --load {document['load_id']})")
        print_table(
            ("count", "open", "stage", "code", "example"),
            [(r["count"], r["open"], r["stage"], r["code"], r["example"]) for r in reasons],
            empty="",
        )


def dead_letter_rates(sources_dir: Path) -> dict[str, float | None]:
    """Each source's limit for the share of rows that fail; none where the sources are not at hand or unusable."""
    try:
        configs = SourceCatalog(sources_dir).configs
    except LeadstreamError:  # `sources check` says what is wrong; the loads can be seen all the same
        return {}
    return {name: config.dead_letter_rate for name, config in configs.items()}


async def _newest(settings: PostgresSettings, rates: Rates, source: str | None, limit: int) -> list[dict[str, Any]]:
    async with connect(settings) as database:
        return await _documents(database, await database.rows("newest_loads", source, limit), rates)


async def _load(settings: PostgresSettings, rates: Rates, load_id: str) -> dict[str, Any]:
    async with connect(settings) as database:
        return (await _documents(database, [await find_load(database, load_id)], rates))[0]


async def _documents(database: Database, rows: list[Row], rates: Rates) -> list[dict[str, Any]]:
    found = await database.rows(
        "dead_letter_reasons", [row["source"] for row in rows], [row["load_id"] for row in rows]
    )
    reasons: dict[str, list[Row]] = {}
    for reason in found:
        reasons.setdefault(reason["load_id"], []).append(reason_document(reason))
    documents = []
    for row in rows:
        document = load_document(row)
        document["alerts"] = [alert.text for alert in alerts(row, rates.get(row["source"]))]
        document["dead_letter_reasons"] = reasons.get(row["load_id"], [])
        documents.append(document)
    return documents
