"""``leads``: one lead, everything that ever happened to it, and the row it came from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import Database, Row, connect
from leadstream.cli.messages import cells_of, open_registry, read_message
from leadstream.cli.output import JsonOption, UnmaskedOption, print_json, print_pairs, print_table
from leadstream.errors import BadRecordError, LeadstreamError
from leadstream.masking import masked_cells, masked_lead
from leadstream.settings import Settings
from schemas.records import lead_fields
from schemas.topics import raw_topic

app = typer.Typer()


@app.callback()
def group() -> None:
    """Leads and their history: leads show KEY."""


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The lead's key: SOURCE:PROVIDER-KEY.")],
    unmasked: UnmaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """A lead as it stands, its history, and its row as the vendor sent it (read back from Kafka). Personal data is
    masked; of the vendor's cells, the shapes are shown.

    \b
    Examples:
      leadstream leads show nevada:1106-22
      leadstream leads show nevada:1106-22 --unmasked
      leadstream leads show texas:1001003 --json
    """
    document = session.run(_show(session.start(), key))
    if not unmasked:
        document = _masked(document)
    if as_json:
        print_json(document)
        return
    lead, raw = document["lead"], document["raw"]
    fields = {name: lead[name] for name in lead_fields() if lead[name] not in (None, [], "")}
    typer.echo(f"{key}{' (deleted)' if lead['deleted_at'] else ''}")
    print_pairs(fields)
    typer.echo("\nwhere it comes from")
    print_pairs(
        {
            "file": f"{lead['bucket']}/{lead['object_key']}, row {lead['row_number']}, line {lead['line_number']}",
            "load": f"{lead['load_id']}, mapping {lead['mapping_version']}",
        }
    )
    typer.echo("\nhistory")
    print_table(
        ("from (UTC)", "until (UTC)", "op", "changed", "load", "row", "replay"),
        [
            (
                h["valid_from"],
                h["valid_to"],
                h["op"],
                h["changed_fields"],
                h["load_id"],
                h["row_number"],
                h["replay_id"],
            )
            for h in document["history"]
        ],
        empty="  none",
    )
    typer.echo(f"\nthe vendor's row ({raw['topic']}, partition {raw['partition']}, offset {raw['offset']})")
    if raw["columns"] is None:
        typer.echo(f"  {raw['missing']}")
    else:
        print_pairs(raw["columns"])


def _masked(document: dict[str, Any]) -> dict[str, Any]:
    raw = document["raw"]
    return {
        "lead": masked_lead(document["lead"]),
        "history": [masked_lead(version) for version in document["history"]],
        "raw": raw | {"columns": raw["columns"] and masked_cells(raw["columns"])},
    }


async def _show(settings: Settings, key: str) -> dict[str, Any]:
    async with connect(settings.postgres) as database:
        lead = await database.row("lead", key)
        if lead is None:
            raise LeadstreamError(f"there is no lead {key!r}", hint=await _hint(database, key))
        history = await database.rows("lead_history", key)
    return {"lead": lead, "history": history, "raw": await _raw_row(settings, lead)}


async def _raw_row(settings: Settings, lead: Row) -> dict[str, Any]:
    place = {
        "topic": raw_topic(lead["source"]),
        "partition": lead["raw_partition"],
        "offset": lead["raw_offset"],
    }
    record = await read_message(settings.kafka, *place.values())
    if record is None:
        return place | {"columns": None, "missing": "no longer in Kafka: its retention is over"}
    if record.value is None:
        return place | {"columns": None, "missing": "none: the lead was deleted because a newer file lacks it"}
    try:
        async with open_registry(settings.registry) as registry:
            cells = await cells_of(registry, record.value)
    except BadRecordError as exc:
        return place | {"columns": None, "missing": exc.message}
    return place | {"schema_id": cells.schema_id, "columns": cells.columns}


async def _hint(database: Database, key: str) -> str:
    source, _, provider_key = key.rpartition(":")
    similar = [row["lead_key"] for row in await database.rows("similar_leads", provider_key, source)]
    return f"did you mean {' or '.join(similar)}?" if similar else "keys look like nevada:1106-22"
