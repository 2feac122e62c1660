"""How results are shown: one JSON document, or aligned text; times in UTC."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

UNWRAPPED_COLUMNS = 1_000
"""Width of what is written to a file or a pipe: lines are never cut there."""

SHORT_TEXT_CHARACTERS = 12

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
UnmaskedOption = Annotated[bool, typer.Option("--unmasked", help="Show phones, e-mails, names and addresses.")]


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
    """Rows under a header, numbers to the right; the sentence ``empty`` when there are none.

    On a terminal that is too narrow for the table, each row stands alone, a cell a line.
    """
    shown = list(rows)
    if not shown:
        typer.echo(empty)
        return
    made, out = table(columns, shown), console()
    if not fits(made, out):
        for number, row in enumerate(shown):
            typer.echo("\n" if number else "", nl=False)
            print_pairs({name: cell for name, cell in zip(columns, row, strict=True) if text(cell)}, indent="")
        return
    with out.capture() as printed:
        out.print(made)
    for line in printed.get().splitlines():
        typer.echo(line.rstrip())


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table for :mod:`rich`."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        cells = [row[index] for row in rows]
        numeric = all(isinstance(cell, int) or cell is None for cell in cells)
        # On a narrow terminal only sentences are wrapped: not times, names, ids and other short texts.
        short = all(
            len(text(c)) <= SHORT_TEXT_CHARACTERS or isinstance(c, datetime) or " " not in text(c) for c in cells
        )
        least = max(len(text(cell)) for cell in [name, *cells]) if short else None
        justify: Literal["left", "right"] = "right" if numeric else "left"
        made.add_column(name, justify=justify, no_wrap=short, overflow="fold", min_width=least)
    for row in rows:
        made.add_row(*map(text, row))
    return made


def fits(made: Table, out: Console) -> bool:
    """Whether a table can be shown without cutting what should not be wrapped."""
    return out.measure(made, options=out.options.update(width=UNWRAPPED_COLUMNS)).minimum <= out.width


def print_pairs(pairs: Mapping[str, Any], *, indent: str = "  ") -> None:
    """Names and values, aligned, one a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        # Here stand ids and sequence numbers too: no separators in numbers.
        lines = (str(value) if type(value) is int else text(value)).splitlines() or [""]
        typer.echo(f"{indent}{name:<{width}}  {lines[0]}".rstrip())
        for line in lines[1:]:
            typer.echo(f"{indent}{'':<{width}}  {line}")


def counted(count: int, noun: str) -> str:
    """So many of them, e.g. ``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)
