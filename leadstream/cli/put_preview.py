"""``put --dry-run``: what today's mapping makes of a file, on this machine alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from leadstream.cli.output import print_table, text
from leadstream.masking import masked_lead
from leadstream.settings import Settings
from leadstream.sources import SourceConfig

if TYPE_CHECKING:
    from producer.splitter import Event
    from schemas.headers import Reason

CHUNK_BYTES = 1024 * 1024
MAX_EXAMPLE_LINES = 3
JUDGED_ROWS = 200
MAX_SHOWN_CHARACTERS = 40
SHRINK_IS_NOT_KNOWN = "whether it has far fewer rows than before cannot be told here: that takes the loads before it"

Kind = tuple[str, str, str]
"""Stage, code and field of a failure's first reason."""


@dataclass
class FilePreview:
    """What was seen of a file so far."""

    rows: int = 0
    leads: int = 0
    keys: set[str] = field(default_factory=set)
    failures: Counter[Kind] = field(default_factory=Counter)
    lines: dict[Kind, list[int]] = field(default_factory=dict)
    filled: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Any] = field(default_factory=dict)
    """By canonical field, the first value that was seen, as it may be shown."""
    messages: dict[Kind, str] = field(default_factory=dict)
    """What the first failure of a kind says; never a value of the row."""
    held: str = ""
    deletes_held: str = ""
    """Why leads that are absent from the file would not be deleted, as far as the file alone tells."""
    notes: tuple[str, ...] = ()

    def fail(self, stage: str, reason: Reason, line: int) -> None:
        """Note a row that would go to the dead letters."""
        kind = (stage, reason.code, reason.field)
        self.failures[kind] += 1
        self.messages.setdefault(kind, reason.message)
        lines = self.lines.setdefault(kind, [])
        if len(lines) < MAX_EXAMPLE_LINES:
            lines.append(line)

    def document(self, file: Path, key: str, refresh: str) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "file": str(file),
            "key": key,
            "refresh": refresh,
            "held": self.held,
            "deletes_held": self.deletes_held,
            "notes": list(self.notes),
            "rows": self.rows,
            "leads": self.leads,
            "distinct_leads": len(self.keys),
            "failed": self.failures.total(),
            "failures": [
                {
                    "count": count,
                    **dict(zip(("stage", "code", "field"), kind, strict=True)),
                    "message": self.messages[kind],
                    "lines": self.lines[kind],
                }
                for kind, count in self.failures.most_common()
            ],
            "fields": [
                {"field": name, "filled": self.filled[name], "example": self.examples[name]}
                for name in sorted(self.filled)
            ],
        }


def preview_file(settings: Settings, config: SourceConfig, file: Path, *, unmasked: bool) -> FilePreview:
    """Split a file and map its rows, as the stages would, without them.

    Raises:
        BadRecordError: the file is no table.
        MappingError: the source's mapping cannot be used.
    """
    # The stages' own code is imported by the commands that need it alone: it takes a while.
    from processors.mapping import compile_mapping
    from producer.dialect import format_of
    from producer.drift import judge
    from producer.split_events import NO_KEY, singly
    from producer.splitter import Damaged, Header, Row, Splitter
    from schemas.headers import Reason

    mapping = compile_mapping(config)
    splitter = Splitter(format_of(config), name=file.name, max_row_bytes=settings.producer.max_row_bytes)
    found = FilePreview()
    columns: list[str] = []
    first: list[list[str]] = []
    unkeyed = 0
    for event in singly(_events(splitter, file)):
        if isinstance(event, Header):
            columns = [column.name for column in event.columns]
            bound, judgement = mapping.bind(columns), judge(config, columns, None)
            found.notes, found.held = judgement.notes, judgement.reason
            if not found.held:
                key_of = config.compile_key(columns)
            continue
        found.rows += 1
        if isinstance(event, Damaged):
            found.fail("SPLIT", Reason("", event.code, event.message), event.line_number)
            unkeyed += not found.held and event.key(len(columns), key_of) is None
        elif isinstance(event, Row):
            if len(first) < JUDGED_ROWS:
                first.append(event.cells)
            key = None if found.held else key_of(event.cells)
            if key is None:
                if not found.held:
                    found.fail("SPLIT", NO_KEY, event.line_number)
                    unkeyed += 1
                continue
            lead, reasons = bound.map([cell or None for cell in event.cells])
            if reasons:
                found.fail("VALIDATE", reasons[0], event.line_number)
                continue
            found.leads += 1
            found.keys.add(key)
            filled = [name for name, value in lead.items() if value not in (None, [])]
            found.filled.update(filled)
            if not found.examples.keys() >= set(filled):
                shown = lead if unmasked else masked_lead(lead)
                found.examples = {name: shown[name] for name in filled} | found.examples
    if found.held:
        judgement = judge(config, columns, None, first)
        found.notes, found.held = judgement.notes, judgement.reason
    elif config.refresh == "complete":
        found.deletes_held = "; ".join(splitter.summary.doubts(unkeyed))
    return found


def print_preview(document: dict[str, Any]) -> None:
    """For people."""
    typer.echo(f"{document['file']} → {document['key']} (nothing was sent)")
    for note in filter(None, [document["held"], *document["notes"]]):
        typer.echo(f"  {note}")
    if document["held"]:
        typer.echo(f"  {document['rows']:,} rows would be held, none of them mapped")
        return
    twice = document["leads"] - document["distinct_leads"]
    typer.echo(
        f"  {document['rows']:,} rows = {document['leads']:,} leads + {document['failed']:,} dead letters"
        + (f"; {twice:,} name a lead that another row names, too" if twice else "")
    )
    if document["deletes_held"]:
        typer.echo(f"  {document['deletes_held']}: deletes would be held")
    if document["refresh"] == "complete":
        typer.echo(f"  {SHRINK_IS_NOT_KNOWN}")
    if document["failures"]:
        typer.echo("\nwhy rows would fail")
        rows = [(f["count"], f["stage"], f["code"], f["field"], f["message"], f["lines"]) for f in document["failures"]]
        print_table(("rows", "stage", "code", "field", "e.g.", "lines"), rows, empty="")
    typer.echo("\nwhat the leads would have")
    shown = [
        (f["field"], f"{f['filled'] / document['leads']:.0%}", text(f["example"])[:MAX_SHOWN_CHARACTERS])
        for f in document["fields"]
    ]
    print_table(("field", "filled", "e.g."), shown, empty="  nothing")


def _events(splitter: Any, file: Path) -> Iterator[Event]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield from splitter.feed(chunk)
    yield from splitter.finish()
