"""What the splitter says about a file, in file order: one header, rows and damaged rows, and a summary of it all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from producer.columns import Column
from schemas.headers import Reason

DamageCode = Literal[
    "too_few_cells", "too_many_cells", "undecodable", "nul_byte", "row_too_long", "unclosed_quote", "cut_off"
]
NO_KEY = Reason("", "no_key", "the columns that make the key are empty or not of the expected form")


@dataclass(frozen=True, slots=True)
class Header:
    """The columns, and the physical line (1 = first of the file) the header starts in."""

    columns: tuple[Column, ...]
    line_number: int


class Row(NamedTuple):
    """A good row: exactly one cell a column.

    ``row_number``: 1 = first record after the header, damaged ones counted; ``line_number``: physical line it starts
    in.
    """

    cells: list[str]
    row_number: int
    line_number: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Good rows that follow one another: their cells, the number of the first, the line of each.

    There may be none: then it says no more than that a part of the file was read.
    """

    cells: Sequence[list[str]]
    first_row: int
    line_numbers: Sequence[int]

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self.cells, itertools.count(self.first_row), self.line_numbers)

    def after(self, row_number: int) -> Rows:
        """Those with a higher number; none, one or all."""
        passed = max(row_number - self.first_row + 1, 0)
        return Rows(self.cells[passed:], self.first_row + passed, self.line_numbers[passed:])


@dataclass(frozen=True, slots=True)
class Damaged:
    """A row that cannot be used: the file's own ``raw`` bytes (without the line end) and why.

    ``cells`` are what could still be read, so that a key may be found; fewer or more than columns. ``message`` holds no
    value of the row. ``cut_off``: all cells are there, but the compressed stream ends inside the last one.
    """

    row_number: int
    line_number: int
    raw: bytes
    code: DamageCode
    message: str
    cells: list[str] | None

    def key(self, columns: int, key_of: Callable[[Sequence[str]], str | None]) -> str | None:
        """The key of a row that was cut off behind the key's cells: its lead is in the file, so it stays."""
        return key_of(self.cells) if self.cells and len(self.cells) < columns else None


@dataclass(frozen=True, slots=True)
class Summary:
    """What was in the file: ``rows`` are the good ones, ``fallback_rows`` those of them read as Windows-1252.

    ``bytes_in`` is the object's size, ``bytes_out`` its size without compression. ``blank_rows`` had only empty cells
    and were passed over. ``cut_off``: the file ends in the middle; ``cut_off_reason`` says how that is known.
    """

    rows: int
    damaged: int
    blank_rows: int
    fallback_rows: int
    lines: int
    bytes_in: int
    bytes_out: int
    compression: str
    encoding: str
    delimiter: str
    cut_off: bool
    cut_off_reason: str

    def doubts(self, unkeyed: int) -> list[str]:
        """Why leads that are absent from this file may be in it all the same; ``unkeyed`` of its rows name no lead."""
        doubts = []
        if self.cut_off:
            doubts.append(f"the file looks cut off ({self.cut_off_reason})")
        if unkeyed:
            doubts.append(f"{'1 row names' if unkeyed == 1 else f'{unkeyed:,} rows name'} no lead")
        return doubts


Event = Header | Rows | Damaged
SingleEvent = Header | Row | Damaged


def singly(events: Iterable[Event]) -> Iterator[SingleEvent]:
    """The same events with each good row by itself."""
    for event in events:
        if isinstance(event, Rows):
            yield from event
        else:
            yield event
