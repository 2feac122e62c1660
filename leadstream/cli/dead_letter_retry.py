"""``dlq retry``: dead letters go through today's mapping once more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    StatusFilter,
    check_known,
    chosen,
)
from leadstream.cli.dead_letter_settling import DryRun, Ids
from leadstream.cli.output import JsonOption, print_json
from leadstream.cli.replay_order import carry_out, exit_code, new_replay_id, order, print_receipt, replay_document
from leadstream.cli.replay_preview import Summary, previewed
from leadstream.cli.sources import find_usable_source
from leadstream.errors import LeadstreamError
from leadstream.settings import PostgresSettings, Settings

if TYPE_CHECKING:
    from processors.replay_state import Replay

MAX_LETTERS = 50_000
MAPPED_STAGES = frozenset({"DECODE", "MAP", "VALIDATE"})
"""Stages that a row has to pass again; what failed at the others never was a row of the raw topic."""
OTHER_WAYS = {
    "FILE": "mend the source's YAML, and the file is split again by itself",
    "SPLIT": "leadstream replay --source SOURCE --load ID --from-object splits the file again with today's YAML",
    "WRITE": "mend the database, then leadstream replay --source SOURCE --load ID",
}

ByPartition = dict[int, dict[int, set[int]]]
"""Raw partition → partition of leads.dlq → offsets."""


@dataclass
class _Selection:
    """Letters by source and raw partition, and why others were left out."""

    letters: dict[str, ByPartition] = field(default_factory=dict)
    count: int = 0
    settled: int = 0
    other_stages: Counter[str] = field(default_factory=Counter)


def retry(
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
    """Map the rows of dead letters again. Those that pass become leads and are resolved; the others stay, with one
    attempt more.

    Each is tried once: nothing is retried by itself. A row that a newer row or file has overtaken changes nothing, and
    its letter is resolved. The receipt is kept as that of a replay (leadstream replay list).

    \b
    Examples:
      leadstream dlq retry 2-17 2-18
      leadstream dlq retry --source oklahoma --reason phone_invalid --dry-run
      leadstream dlq retry --load 3f2a91c0d4e5b677
    """
    wanted = chosen(ids, Filters(source, load, stage, reason, since, status))
    settings = session.start()
    selected = session.run(_select(settings.postgres, wanted))
    if dry_run:
        documents = [_preview(settings, name, letters, as_json) for name, letters in sorted(selected.letters.items())]
        rows = []
    else:
        rows = [session.run(_retry(settings, name, letters)) for name, letters in sorted(selected.letters.items())]
        documents = [replay_document(row) for row in rows]
    if as_json:
        left_out = {"settled": selected.settled, **{stage.lower(): n for stage, n in selected.other_stages.items()}}
        print_json({"letters": selected.count, "left_out": left_out, "dry_run": dry_run, "retries": documents})
    else:
        for row in rows:
            print_receipt(row)
        _print_left_out(selected)
    raise typer.Exit(exit_code(rows))


async def _select(settings: PostgresSettings, wanted: Filters) -> _Selection:
    selected = _Selection()
    async with connect(settings) as database:
        await check_known(database, wanted)
        async with database.snapshot():
            async for row in database.stream("dead_letter_places", *wanted.arguments):
                if row["status"] != "open" and wanted.ids is not None:
                    selected.settled += 1
                elif row["stage"] not in MAPPED_STAGES or row["raw_partition"] is None:
                    selected.other_stages[row["stage"]] += 1
                else:
                    _add(selected, row)
    if selected.count > MAX_LETTERS:
        raise LeadstreamError(
            f"these are {selected.count:,} dead letters; a retry takes at most {MAX_LETTERS:,}",
            hint="narrow it with --load, --reason or --since, or map everything again with leadstream replay",
        )
    return selected


def _add(selected: _Selection, row: dict[str, Any]) -> None:
    partition, _, offset = row["dead_letter_id"].partition("-")
    of_source = selected.letters.setdefault(row["source"], {})
    of_source.setdefault(row["raw_partition"], {}).setdefault(int(partition), set()).add(int(offset))
    selected.count += 1


def _preview(settings: Settings, source: str, letters: ByPartition, as_json: bool) -> dict[str, Any]:
    from processors.replay_state import RETRY, Replay

    def make_replay() -> Replay:
        return Replay("preview", kind=RETRY)

    config = find_usable_source(settings, source)
    summary = Summary(keep_leads=as_json, unmasked=False)
    session.run(previewed(settings, config, make_replay, sorted(letters), summary, letters))
    if not as_json:
        typer.echo(f"a retry of dead letters of {source} with mapping {config.version} (nothing was sent)")
        summary.print()
    return {"source": source, "mapping_version": config.version, **summary.document()}


async def _retry(settings: Settings, source: str, letters: ByPartition) -> dict[str, Any]:
    rows = [
        {"raw_partition": raw_partition, "letter_partition": partition, "letter_offset": offset}
        for raw_partition, by_partition in sorted(letters.items())
        for partition, offsets in sorted(by_partition.items())
        for offset in sorted(offsets)
    ]
    return await carry_out(settings, order("retry", find_usable_source(settings, source), new_replay_id(), rows=rows))


def _print_left_out(selected: _Selection) -> None:
    if not selected.count:
        typer.echo("nothing to retry: no dead letter matches")
    if selected.settled:
        typer.echo(f"{selected.settled:,} {'is' if selected.settled == 1 else 'are'} settled already and left alone")
    for stage, count in sorted(selected.other_stages.items()):
        typer.echo(
            f"{count:,} failed at {stage}, before there was a row to map → {OTHER_WAYS.get(stage, 'see dlq show')}"
        )
