"""``sources drift``: what the newest file of a source has that its mapping does not expect, and the patch for it."""

from __future__ import annotations

import difflib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import connect
from leadstream.cli.messages import open_registry
from leadstream.cli.output import JsonOption, print_json, print_table
from leadstream.cli.sources import find_source
from leadstream.errors import LeadstreamError
from leadstream.settings import Settings
from leadstream.source_patch import NamedColumn, named_columns, rename_columns
from leadstream.sources import SourceConfig, clean_header, read_trial

if TYPE_CHECKING:
    from producer.arrivals import Arrival
    from producer.drift import Judgement
    from producer.s3_input import S3Input


@dataclass(frozen=True)
class _Finding:
    """A file, what was found in it, and the load of it that is held (if one is)."""

    bucket: str
    key: str
    load_id: str | None
    judgement: Judgement


@dataclass(frozen=True)
class _Patch:
    """A source's YAML with the suggested names; ``by_hand``: places that must be changed by hand, with the new name."""

    file: Path
    before: str
    after: str
    by_hand: list[tuple[NamedColumn, str]]

    @property
    def diff(self) -> str:
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, fromfile=str(self.file), tofile=str(self.file)))


def drift(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write the suggested names into the source's YAML.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show, even with --apply.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What a vendor changed: columns that the mapping needs and the newest file lacks, their likeliest new names, and
    the patch for the source's YAML.

    Looked at is the newest load that is held, else the newest file in the bucket. Once the mapping is mended the held
    load goes on by itself: nothing is uploaded again. Exit code 1: a column is still missing.

    \b
    Examples:
      leadstream sources drift nevada
      leadstream sources drift nevada --apply
      leadstream sources drift nevada --json
    """
    settings = session.start()
    config = find_source(settings, source)
    finding = session.run(_find(settings, config))
    patch = _patch(settings, config, finding.judgement)
    applied = apply and not dry_run and patch.after != patch.before
    if applied:
        _write(patch.file, patch.after)
    if as_json:
        print_json(_document(config, finding, patch, applied=applied))
    else:
        _print(config, finding, patch, applied=applied)
    if _still_missing(finding.judgement, patch, applied=applied):
        raise typer.Exit(1)


async def _find(settings: Settings, config: SourceConfig) -> _Finding:
    # The S3 library is slow to import: only this command of its group pays for it.
    from producer.drift import judge
    from producer.drift_input import earlier_cells, known_columns, read_head
    from producer.s3_input import S3Input

    async with connect(settings.postgres) as database:
        held = await database.row("held_load", config.name)
    async with S3Input(settings.s3) as s3, open_registry(settings.registry) as registry:
        arrival = await s3.head(held["bucket"], held["object_key"]) if held else None
        if arrival is None:
            held, arrival = None, await _newest(s3, config)
        head = await read_head(settings, s3, arrival, config)
        known = await known_columns(registry, config.name)
        judgement = judge(config, head.columns, known, head.rows)
        if judgement.lost and known is not None:
            earlier = await earlier_cells(settings, registry, config.name)
            judgement = judge(config, head.columns, known, head.rows, earlier)
    return _Finding(arrival.bucket, arrival.key, held["load_id"] if held else None, judgement)


async def _newest(s3: S3Input, config: SourceConfig) -> Arrival:
    from producer.arrivals import first_sequence

    arrivals = [arrival async for page in s3.listing(config.prefix) for arrival in page]
    if not arrivals:
        raise LeadstreamError(
            f"no file of source {config.name!r} is in the bucket",
            hint=f"leadstream put FILE --source {config.name}",
        )
    return max(arrivals, key=lambda arrival: (first_sequence(arrival, config), arrival.last_modified, arrival.key))


def _patch(settings: Settings, config: SourceConfig, judgement: Judgement) -> _Patch:
    file = settings.sources_dir / f"{config.name}.yaml"
    before = file.read_bytes().decode()  # line ends stay what they are
    renames = {lost.column: lost.suggestion.column for lost in judgement.lost if lost.suggestion}
    after = rename_columns(before, renames)
    new_names = {clean_header(old): new for old, new in renames.items()}
    named = [
        (place, new_names.get(clean_header(place.column)))
        for place in named_columns(read_trial(file, settings.sources_dir, config.name, after))
    ]
    return _Patch(file, before, after, [(place, new) for place, new in named if new is not None])


def _still_missing(judgement: Judgement, patch: _Patch, *, applied: bool) -> bool:
    """Whether a column that the mapping needs is missing after what was done."""
    by_hand = {clean_header(place.column) for place, _new in patch.by_hand}
    mended = {lost.column for lost in judgement.lost if lost.suggestion and clean_header(lost.column) not in by_hand}
    return any(lost.required and not (applied and lost.column in mended) for lost in judgement.lost)


def _write(file: Path, text: str) -> None:
    """Replace a file in one step: the stages read it every second, and half a mapping is one, too."""
    target = file.resolve()
    new = target.with_suffix(".new")
    new.write_bytes(text.encode())
    shutil.copymode(target, new)
    new.replace(target)


def _document(config: SourceConfig, finding: _Finding, patch: _Patch, *, applied: bool) -> dict[str, Any]:
    return {
        "source": config.name,
        "bucket": finding.bucket,
        "key": finding.key,
        "load_id": finding.load_id,
        "fits": not finding.judgement.held,
        "notes": list(finding.judgement.notes),
        "lost": [
            {
                "column": lost.column,
                "required": lost.required,
                "suggestion": lost.suggestion
                and {
                    "column": lost.suggestion.column,
                    "name_percent": lost.suggestion.likeness.name,
                    "values_percent": lost.suggestion.likeness.values,
                    "percent": lost.suggestion.likeness.percent,
                },
            }
            for lost in finding.judgement.lost
        ],
        "file": str(patch.file),
        "patch": patch.diff,
        "by_hand": [
            {"file": str(place.file), "line": place.line, "path": _dotted(place), "column": place.column, "new": new}
            for place, new in patch.by_hand
        ],
        "applied": applied,
    }


def _print(config: SourceConfig, finding: _Finding, patch: _Patch, *, applied: bool) -> None:
    judgement = finding.judgement
    load = f" (load {finding.load_id}, held)" if finding.load_id else ""
    typer.echo(f"{finding.bucket}/{finding.key}{load}")
    for note in judgement.notes:
        typer.echo(f"  {note}")
    if not judgement.lost:
        typer.echo(f"nothing to do: {patch.file} fits this file")
        return
    print_table(
        ("lost column", "suggestion", "name", "values", "together"),
        [
            (
                lost.column if lost.required else f"{lost.column} (not required)",
                lost.suggestion.column if lost.suggestion else "none that stands out",
                _percent(lost.suggestion.likeness.name if lost.suggestion else None),
                _percent(lost.suggestion.likeness.values if lost.suggestion else None),
                _percent(lost.suggestion.likeness.percent if lost.suggestion else None),
            )
            for lost in judgement.lost
        ],
        empty="",
    )
    typer.echo("")
    if patch.diff:
        typer.echo(patch.diff)
    _print_by_hand(patch)
    for lost in judgement.lost:
        if lost.required and lost.suggestion is None:
            typer.echo(f"column {lost.column!r}: name its new column in {patch.file}, or take it out of the mapping")
    if applied:
        missing = _still_missing(judgement, patch, applied=True)
        then = "the held load goes on once the rest is mended" if missing else "the held load now goes on by itself"
        typer.echo(f"written: {patch.file}" + (f"; {then}" if finding.load_id else ""))
    elif patch.diff:
        typer.echo(f"leadstream sources drift {config.name} --apply writes this")


def _print_by_hand(patch: _Patch) -> None:
    if not patch.by_hand:
        return
    typer.echo("to be changed by hand:")
    for place, new in patch.by_hand:
        lines = patch.after.splitlines() if place.file == patch.file else place.file.read_text("utf-8").splitlines()
        typer.echo(f"  {place.file}:{place.line}: {lines[place.line - 1].strip()}")
        typer.echo(f"    {_dotted(place)}: {place.column!r} is now {new!r}")
    if any(place.file != patch.file for place, _new in patch.by_hand):
        typer.echo(f"  the defaults are those of every source: what concerns this one alone is said in {patch.file}")
    if any(place.file == patch.file for place, _new in patch.by_hand):
        typer.echo("  a name that is written over several lines: write it on one")


def _dotted(place: NamedColumn) -> str:
    return ".".join(map(str, place.path))


def _percent(value: int | None) -> str:
    return "" if value is None else f"{value} %"
