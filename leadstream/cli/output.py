"""How results are shown: one JSON document, or aligned text; times in UTC, personal data masked where asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from leadstream.log import PERSONAL_FIELDS

UNWRAPPED_COLUMNS = 1_000
"""Width of what is written to a file or a pipe: lines are never cut there."""

SHORT_TEXT_CHARACTERS = 12

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def console(*, stderr: bool = False) -> Console:
    """Where text goes: as wide as the terminal, or never wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else UNWRAPPED_COLUMNS, highlight=False)


def print_json(document: object) -> None:
    """One JSON document on standard output. Times are ISO 8601 in UTC, bytes hexadecimal."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(document, default=_plain, option=options).decode())


def json_line(document: object) -> str:
    """A JSON document on one line."""
    options = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(document, default=_plain, option=options).decode()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows under a header, numbers to the right; the sentence ``empty`` when there are none."""
    shown = list(rows)
    if not shown:
        typer.echo(empty)
        return
    console().print(table(columns, shown))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table for :mod:`rich`."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = all(isinstance(cell, int) or cell is None for cell in cells)
        # On a narrow terminal only long texts are wrapped.
        short = numeric or max((len(text(cell)) for cell in cells), default=0) <= SHORT_TEXT_CHARACTERS
        made.add_column(name, justify="right" if numeric else "left", no_wrap=short, overflow="fold")
    for row in rows:
        made.add_row(*map(text, row))
    return made


def print_pairs(pairs: Mapping[str, Any], *, indent: str = "  ") -> None:
    """Names and values, aligned, one a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        # Here stand ids and sequence numbers too: no separators in numbers.
        lines = (str(value) if type(value) is int else text(value)).splitlines() or [""]
        typer.echo(f"{indent}{name:<{width}}  {lines[0]}".rstrip())
        for line in lines[1:]:
            typer.echo(f"{indent}{'':<{width}}  {line}")


def text(value: object) -> str:
    """A value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value)


def masked(value: str | None) -> str:
    """Personal data that may be seen by anybody: enough to recognise, not to reach.

    Of a phone the last two digits stay, of an e-mail and a name the first letter.
    """
    if not value:
        return ""
    if value.startswith("+"):
        return f"{value[:2]}········{value[-2:]}"
    name, at, domain = value.partition("@")
    return f"{name[0]}···{at}{domain}"


def masked_lead(lead: Mapping[str, Any]) -> dict[str, Any]:
    """A lead (or a part of one) whose personal data is :func:`masked`; what is empty stays so."""
    return {name: masked(value) if value and name in PERSONAL_FIELDS else value for name, value in lead.items()}


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)
