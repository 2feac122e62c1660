"""``dlq export``: dead letters as CSV, with the vendor's own columns as sent, to go back to the vendor."""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import Database, Row, connect
from leadstream.cli.dead_letter_filters import (
    Filters,
    LoadFilter,
    ReasonFilter,
    SinceFilter,
    SourceFilter,
    StageFilter,
    StatusFilter,
)
from leadstream.cli.export_file import harmless
from leadstream.cli.messages import MAX_SHAPE_CHARACTERS, cells_of, open_registry
from leadstream.cli.output import UnmaskedOption
from leadstream.errors import BadRecordError
from leadstream.masking import masked_cells, shape
from leadstream.settings import Settings
from schemas.registry import Registry

STANDARD_OUTPUT = Path("-")

REASON_COLUMNS = ("dlq_id", "dlq_file", "dlq_row", "dlq_line", "dlq_stage", "dlq_reason", "dlq_message", "dlq_text")
"""Before the vendor's columns. ``dlq_text``: the row as it was sent, when it could not be split into cells."""

STAGES_WITH_CELLS = frozenset({"DECODE", "MAP", "VALIDATE"})
STAGES_WITH_TEXT = frozenset({"FILE", "SPLIT", "DECODE"})
"""What failed at WRITE is a lead of ours, nothing that the vendor sent."""


def export(
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FILE|-", dir_okay=False, allow_dash=True, help="Where to; - is standard output."),
    ],
    source: SourceFilter = None,
    load: LoadFilter = None,
    stage: StageFilter = None,
    reason: ReasonFilter = None,
    since: SinceFilter = None,
    status: StatusFilter = None,
    unmasked: UnmaskedOption = False,
) -> None:
    """Dead letters as CSV, for the vendor: each row in its own columns, and why it failed. The cells are as they were
    sent with --unmasked alone; without it letters are shown as a, digits as 9.

    \b
    Examples:
      leadstream dlq export --source oklahoma --to oklahoma-failed.csv --unmasked
      leadstream dlq export --load 3f2a91c0d4e5b677 --to -
      leadstream dlq export --source texas --reason too_few_cells --since 2026-01-31 --to failed.csv
    """
    if not to.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {to.parent}", param_hint="--to")
    wanted = Filters(source, load, stage, reason, since, status)
    settings = session.start()
    with _opened(to) as file:
        count = session.run(_export(settings, wanted, file, unmasked=unmasked))
    masked = "" if unmasked else ", cells masked: --unmasked for the rows as they were sent"
    typer.echo(f"{count:,} dead letter{'' if count == 1 else 's'} → {to}{masked}", err=True)


def header_of(columns: Sequence[str]) -> list[str]:
    """The header of the file; the vendor's own ``columns`` keep their names."""
    ours = []
    for name in REASON_COLUMNS:
        while name in columns:
            name += "_"
        ours.append(name)
    return [harmless(name) for name in (*ours, *columns)]


def line_of(
    letter: Row, columns: Sequence[str], cells: Mapping[str, str | None] | None, *, unmasked: bool
) -> list[str]:
    """A dead letter under :func:`header_of`; ``cells`` by the vendor's column names, None when it has none."""
    with_text = cells is None and letter["stage"] in STAGES_WITH_TEXT and letter["value"] is not None
    # What is no UTF-8 stays visible, byte by byte.
    text = letter["value"].decode("utf-8", "backslashreplace").rstrip("\r\n") if with_text else ""
    if not unmasked:
        text, cells = shape(text, MAX_SHAPE_CHARACTERS), masked_cells(cells or {})
    values = [
        letter["dead_letter_id"],
        letter["object_key"],
        letter["row_number"],
        letter["line_number"],
        letter["stage"],
        ", ".join(dict.fromkeys(one["code"] for one in letter["reasons"] or ())) or letter["reason_code"],
        letter["message"],
        text,
        *((cells or {}).get(column) for column in columns),
    ]
    return [harmless("" if value is None else str(value)) for value in values]


async def _export(settings: Settings, wanted: Filters, file: IO[str], *, unmasked: bool) -> int:
    count = 0
    async with (
        connect(settings.postgres) as database,
        open_registry(settings.registry) as registry,
        database.snapshot(),
    ):
        columns = await _columns(database, registry, wanted)
        writer = csv.writer(file)
        writer.writerow(header_of(columns))
        async for letter in database.stream("dead_letter_contents", *wanted.arguments):
            writer.writerow(line_of(letter, columns, await _cells(registry, letter), unmasked=unmasked))
            count += 1
    return count


async def _columns(database: Database, registry: Registry, wanted: Filters) -> list[str]:
    """The columns of every header under which a wanted row was sent, each once, in the vendor's order."""
    columns: dict[str, None] = {}
    for row in await database.rows("dead_letter_schemas", *wanted.arguments):
        with contextlib.suppress(BadRecordError):  # bytes that only look like a frame
            schema: dict[str, Any] = await registry.get(int.from_bytes(row["schema_id"]))
            columns |= dict.fromkeys(field.get("header", field["name"]) for field in schema["fields"])
    return list(columns)


async def _cells(registry: Registry, letter: Row) -> dict[str, str | None] | None:
    if letter["stage"] in STAGES_WITH_CELLS and letter["value"] is not None:
        with contextlib.suppress(BadRecordError):
            return (await cells_of(registry, letter["value"])).columns
    return None


@contextlib.contextmanager
def _opened(to: Path) -> Iterator[IO[str]]:
    """Where the file is written: whole or not at all, and for its owner alone, because it holds personal data."""
    if to == STANDARD_OUTPUT:
        yield sys.stdout
        return
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=to.parent, prefix=f".{to.name}.", delete=False
    ) as file:
        try:
            yield file
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(to)
