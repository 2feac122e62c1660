"""``schemas``: what stands in the schema registry."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from leadstream.cli import schema_check, session
from leadstream.cli.database import Row, connect
from leadstream.cli.messages import open_registry
from leadstream.cli.output import JsonOption, print_json, print_table
from leadstream.errors import LeadstreamError
from leadstream.settings import PostgresSettings, RegistrySettings, Settings
from leadstream.text import clean_header, did_you_mean
from schemas.difference import Change, Kind, changes
from schemas.records import JsonSchema
from schemas.registry import Registry
from schemas.topics import RAW_PREFIX, raw_topic, value_subject

app = typer.Typer()


@app.callback()
def group() -> None:
    """The schema registry: schemas list, schemas show SUBJECT, schemas diff SUBJECT, schemas check."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Every subject: its versions, the id of the newest, and which loads brought rows in its schemas.

    \b
    Examples:
      leadstream schemas list
      leadstream schemas list --json
    """
    settings = session.start()
    documents = session.run(_list(settings.registry))
    try:
        users = session.run(_users(settings.postgres))
    except LeadstreamError as exc:
        users = {}
        typer.echo(f"which loads use them is not known: {exc}", err=True)
    for document in documents:
        used = [users[place] for place in ((document["subject"], one) for one in document["ids"]) if place in users]
        newest = max(used, key=lambda user: user["load_seq"], default=None)
        document["loads"] = sum(user["loads"] for user in used)
        document["newest_load"] = newest["newest_load"] if newest else None
        document["newest_file"] = newest["newest_file"] if newest else None
    if as_json:
        print_json(documents)
        return
    print_table(
        ("subject", "versions", "newest id", "fields", "loads", "newest load", "its file"),
        [
            (
                d["subject"],
                d["versions"],
                d["id"],
                d["fields"],
                *((d["loads"], d["newest_load"], d["newest_file"]) if d["loads"] else (None, None, None)),
            )
            for d in documents
        ],
        empty="no schemas yet: they are registered when the first file arrives",
    )


@app.command()
def show(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="As schemas list shows it.")],
    version: Annotated[int | None, typer.Option(min=1, help="This version; without it, the newest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """A schema. Of a raw topic, each field's header is the vendor's own column name.

    \b
    Examples:
      leadstream schemas show leads.canonical-value
      leadstream schemas show leads.raw.nevada-value --version 1
    """
    document = session.run(_show(session.start().registry, subject, version))
    if as_json:
        print_json(document)
    else:
        typer.echo(json.dumps(document["schema"], indent=2, ensure_ascii=False))


@app.command()
def diff(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="As schemas list shows it.")],
    old: Annotated[
        int | None, typer.Option("--from", min=1, help="The older version; without it, the one before.")
    ] = None,
    new: Annotated[int | None, typer.Option("--to", min=1, help="The newer version; without it, the newest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What changed between two versions: fields added and removed, headers renamed, types, defaults, words.

    Of a column of a vendor that is gone it tells the likeliest new name, by the names and by the newest rows.

    \b
    Examples:
      leadstream schemas diff leads.raw.nevada-value
      leadstream schemas diff leads.raw.nevada-value --from 1 --to 3
      leadstream schemas diff leads.canonical-value --json
    """
    document = session.run(_diff(session.start(), subject, old, new))
    if as_json:
        print_json(document)
        return
    typer.echo(f"{subject}: version {document['from']} → {document['to']}")
    print_table(
        ("change", "field", "header", "what"),
        [
            (c["kind"], c["field"], c["header"] if c["header"] != c["field"] else "", c["detail"])
            for c in document["changes"]
        ],
        empty="no difference",
    )


app.command()(schema_check.check)


async def _list(settings: RegistrySettings) -> list[dict[str, Any]]:
    async with open_registry(settings) as registry:
        documents = []
        for subject in await registry.subjects():
            latest = await registry.latest(subject)
            if latest is None:
                continue
            schema_id, schema = latest
            versions = await registry.versions(subject)
            ids = [schema_id]
            if subject.startswith(RAW_PREFIX):
                found = [await registry.version(subject, number) for number in versions]
                ids = [version[0] for version in found if version is not None]
            documents.append(
                {
                    "subject": subject,
                    "versions": versions,
                    "id": schema_id,
                    "ids": ids,
                    "fields": len(schema.get("fields", [])),
                }
            )
        return documents


async def _users(settings: PostgresSettings) -> dict[tuple[str, int], Row]:
    async with connect(settings) as database:
        users = await database.rows("schema_users")
    return {(value_subject(raw_topic(user["source"])), user["raw_schema_id"]): user for user in users}


async def _show(settings: RegistrySettings, subject: str, version: int | None) -> dict[str, Any]:
    async with open_registry(settings) as registry:
        versions = await _versions(registry, subject)
        number = version or versions[-1]
        schema_id, schema = await _version(registry, subject, number, versions)
        return {"subject": subject, "version": number, "id": schema_id, "schema": schema}


async def _diff(settings: Settings, subject: str, old: int | None, new: int | None) -> dict[str, Any]:
    async with open_registry(settings.registry) as registry:
        versions = await _versions(registry, subject)
        newer = new or versions[-1]
        _newer_id, newer_schema = await _version(registry, subject, newer, versions)
        # Of a subject's first version, the one before is that version itself: no difference.
        older = old or max((number for number in versions if number < newer), default=newer)
        _older_id, older_schema = await _version(registry, subject, older, versions)
        found = changes(older_schema, newer_schema)
        if subject.startswith(RAW_PREFIX) and {Kind.ADDED, Kind.REMOVED} <= {change.kind for change in found}:
            found = with_likely_names(found, await _newest_cells(settings, registry, subject))
        return {
            "subject": subject,
            "from": older,
            "to": newer,
            "changes": [dataclasses.asdict(change) for change in found],
        }


def with_likely_names(found: Sequence[Change], cells: Mapping[str, Sequence[str]]) -> list[Change]:
    """The changes, with the likeliest new name of each column that is gone, as ``sources drift`` finds it.

    ``cells``: some of each column, by its cleaned name.
    """
    from producer.drift import suggest

    lost = {clean_header(change.header): None for change in found if change.kind is Kind.REMOVED}
    new = {change.header: cells.get(clean_header(change.header), ()) for change in found if change.kind is Kind.ADDED}
    suggestions = suggest(lost, new, {}, cells)
    result = []
    for change in found:
        likely = suggestions.get(clean_header(change.header)) if change.kind is Kind.REMOVED else None
        if likely is not None:
            detail = f"renamed to {likely.column!r}? {likely.likeness.percent} % alike"
            change = dataclasses.replace(change, detail=detail)
        result.append(change)
    return result


async def _newest_cells(settings: Settings, registry: Registry, subject: str) -> Mapping[str, Sequence[str]]:
    """Cells of the newest rows of a raw topic by cleaned column name; none when Kafka does not give them."""
    from producer.drift_input import earlier_cells

    with contextlib.suppress(LeadstreamError):  # the names alone tell much
        return await earlier_cells(settings, registry, subject.removeprefix(RAW_PREFIX).removesuffix("-value"))
    return {}


async def _versions(registry: Registry, subject: str) -> list[int]:
    versions = await registry.versions(subject)
    if not versions:
        known = did_you_mean(subject, await registry.subjects())
        hint = f"did you mean {known}?" if known else "leadstream schemas list"
        raise LeadstreamError(f"the registry has no subject {subject!r}", hint=hint)
    return versions


async def _version(registry: Registry, subject: str, number: int, versions: list[int]) -> tuple[int, JsonSchema]:
    found = await registry.version(subject, number)
    if found is None:
        hint = f"it has {', '.join(map(str, versions))}"
        raise LeadstreamError(f"subject {subject} has no version {number}", hint=hint)
    return found
