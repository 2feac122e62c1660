"""``sources``: the vendors' YAML files, as the stages read them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.output import JsonOption, print_json, print_pairs, print_table
from leadstream.errors import LeadstreamError, MappingError
from leadstream.settings import Settings
from leadstream.sources import DEFAULTS_FILE_NAME, SourceConfig, read_in_part, read_sources, unread_files
from leadstream.text import did_you_mean

app = typer.Typer()


class UnknownSourceError(LeadstreamError):
    """There is no source of that name: wrong use, whichever command was given it."""


@app.callback()
def group() -> None:
    """The sources (one YAML file a vendor): sources list, sources show NAME, sources check, sources drift NAME."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Every source: where its files arrive and which mapping is in force.

    \b
    Examples:
      leadstream sources list
      leadstream sources list --json
    """
    sources_dir = session.start().sources_dir
    configs, errors = read_sources(sources_dir)
    for error in errors + unread_files(sources_dir):
        typer.echo(f"not usable: {error}", err=True)
    documents = [_document(config) for config in configs.values()]
    if as_json:
        print_json(documents)
        return
    print_table(
        ("source", "title", "prefix", "refresh", "fields", "mapping"),
        [(d["name"], d["title"], d["prefix"], d["refresh"], len(d["fields"]), d["version"]) for d in documents],
        empty="no sources yet → docs/onboarding.md says how to add one",
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")], as_json: JsonOption = False
) -> None:
    """One source: its key, the columns it needs, and which fields they fill.

    \b
    Examples:
      leadstream sources show nevada
      leadstream sources show nevada --json
    """
    document = _document(find_source(session.start(), name))
    if as_json:
        print_json(document)
    else:
        print_pairs(document, indent="")


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Everything that is wrong in the sources' files, with file, line and what to do. Exit code 1 if anything is.

    \b
    Examples:
      leadstream sources check
      leadstream sources check --json
    """
    errors = find_errors(session.start())
    if as_json:
        print_json([{"file": str(e.file), "line": e.line, "message": e.message, "hint": e.hint} for e in errors])
    else:
        for error in errors:
            typer.echo(str(error))
        if not errors:
            typer.echo("all sources can be used")
    if errors:
        raise typer.Exit(1)


def find_source(settings: Settings, name: str) -> SourceConfig:
    """The source called ``name``, whatever is wrong with the others.

    Raises:
        UnknownSourceError: there is none; suggests one.
        MappingError: its file, or the defaults, cannot be used.
    """
    configs, errors = read_sources(settings.sources_dir)
    if name in configs:
        return configs[name]
    errors += unread_files(settings.sources_dir)
    own = next((error for error in errors if error.file.stem in {name, Path(DEFAULTS_FILE_NAME).stem}), None)
    if own is not None:
        raise own
    raise unknown_source(name, configs)


def unknown_source(name: str, known: Collection[str]) -> UnknownSourceError:
    """That no source is called ``name``, with the one that may be meant, or those that there are."""
    best = did_you_mean(name, known)
    hint = f"did you mean {best}?" if best else f"known sources: {', '.join(known) or 'none yet'}"
    return UnknownSourceError(f"there is no source {name!r}", hint=hint)


def find_usable_source(settings: Settings, name: str) -> SourceConfig:
    """The source called ``name``, whose mapping the workers can use.

    Raises:
        UnknownSourceError: there is none; suggests one.
        MappingError: its file, or the defaults, cannot be used.
    """
    from processors.mapping import check_mapping

    config = find_source(settings, name)
    if errors := check_mapping(config):
        raise errors[0]
    return config


def find_errors(settings: Settings) -> list[MappingError]:
    """What is wrong with the sources' files, and with the mappings that they describe."""
    # The catalogue of transforms belongs to the processors; only this check needs it here.
    from processors.mapping import check_mapping

    configs, errors = read_sources(settings.sources_dir)
    parts = read_in_part(settings.sources_dir, configs)
    errors += [error for config in (*configs.values(), *parts) for error in check_mapping(config)]
    errors += unread_files(settings.sources_dir)
    # What is wrong in the defaults is wrong in every source: say it once.
    return sorted({str(error): error for error in errors}.values(), key=lambda error: (error.file, error.line))


def _document(config: SourceConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        "title": config.title,
        "prefix": config.prefix,
        "refresh": config.refresh,
        "max_shrink": config.max_shrink,
        "version": config.version,
        "key": [part.column for part in config.key],
        "required": list(config.required),
        "columns": list(config.columns),
        "fields": sorted({*config.fields, *(name for spec in config.groups for name in spec.into)}),
    }
