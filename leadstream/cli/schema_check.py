"""``schemas check``: whether readers survive the schemas of this checkout, before they are let loose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.messages import open_registry
from leadstream.cli.output import JsonOption, print_json
from leadstream.errors import LeadstreamError
from leadstream.settings import Settings
from schemas.compatibility import obstacles
from schemas.difference import changes
from schemas.records import JsonSchema, schema_json
from schemas.releases import released, schema_names
from schemas.topics import STATE_PREFIX, shared_topics

HOW_TO_MEND = (
    "add fields with a default, remove only fields that have one, keep names and types; "
    "add symbols only to an enum that has a default"
)


def check(
    offline: Annotated[
        bool, typer.Option("--offline", help="Compare with schemas/released/ instead of the registry.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Would old and new readers both survive the schemas of this checkout? Exit code 1 when one would break.

    Each schemas/*.avsc is compared, in both directions, with every version of its subjects in the registry
    (the level FULL_TRANSITIVE), or with every released version in schemas/released/.

    \b
    Examples:
      leadstream schemas check
      leadstream schemas check --offline
      leadstream schemas check --offline --json
    """
    documents = offline_findings() if offline else session.run(_registry_findings(session.start()))
    if as_json:
        print_json(documents)
    else:
        for document in documents:
            typer.echo(f"{document['schema']} ({document['against']}): {_verdict(document)}")
            for problem in document["problems"]:
                typer.echo(f"  {problem}")
    broken = [document["schema"] for document in documents if document["problems"]]
    if broken:
        raise LeadstreamError(f"readers would break: {', '.join(dict.fromkeys(broken))}", hint=HOW_TO_MEND)


def offline_findings() -> list[dict[str, Any]]:
    """Each schema of the checkout against its released versions; one that is gone breaks its readers."""
    releases = released()
    findings = [finding(name, "released", read(name), releases.get(name, {})) for name in schema_names()]
    for name in releases.keys() - set(schema_names()):
        gone = f"schemas/{name}.avsc is gone, but readers were made for it"
        findings.append({"schema": name, "against": "released", "versions": [], "changes": 0, "problems": [gone]})
    return findings


def finding(name: str, against: str, new: JsonSchema, versions: Mapping[int, JsonSchema]) -> dict[str, Any]:
    """What is to be said of a schema: how it differs from the newest of ``versions``, and whom it would break."""
    problems = obstacles(new, new)
    for number, old in versions.items() if not problems else ():
        problems += [f"readers of version {number}, new records: {why}" for why in obstacles(new, old)]
        problems += [f"new readers, records of version {number}: {why}" for why in obstacles(old, new)]
    differences = changes(list(versions.values())[-1], new) if versions and not problems else []
    return {
        "schema": name,
        "against": against,
        "versions": list(versions),
        "changes": len(differences),
        "problems": problems,
    }


def read(name: str) -> JsonSchema:
    """The schema of the checkout.

    Raises:
        LeadstreamError: its file is no JSON.
    """
    try:
        return schema_json(name)
    except ValueError as exc:
        raise LeadstreamError(f"schemas/{name}.avsc is no JSON: {exc}", hint="mend the file") from exc


async def _registry_findings(settings: Settings) -> list[dict[str, Any]]:
    async with open_registry(settings.registry) as registry:
        subjects = {topic.subject: topic.schema for topic in shared_topics(settings.topics.lanes) if topic.schema}
        states = [subject for subject in await registry.subjects() if subject.startswith(STATE_PREFIX)]
        subjects |= dict.fromkeys(states, "lead_state")
        findings = []
        for subject, name in subjects.items():
            versions = {}
            for number in await registry.versions(subject):
                registered = await registry.version(subject, number)
                if registered is not None:
                    versions[number] = registered[1]
            findings.append(finding(name, subject, read(name), versions))
    return findings


def _verdict(document: Mapping[str, Any]) -> str:
    if document["problems"]:
        return "BREAKS readers"
    if not document["versions"]:
        return "ok, new"
    if document["changes"]:
        return f"ok, changes since version {document['versions'][-1]}: {document['changes']}"
    return f"ok, as version {document['versions'][-1]}"
