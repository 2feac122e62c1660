"""The vendor files that land while faults happen, and the record of what was put where."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.raising import RAISES

FIRST_DAY = datetime.date(1990, 1, 1)
DAYS_BETWEEN_FILES = 10
YAML = """title: Faults
key: [{column: Id}]
required: [company]
date_in_key: {pattern: '\\d{4}-\\d{2}-\\d{2}', format: '%Y-%m-%d'}
fields:
  company: {column: Name, transforms: [{function: "tests.faults.raising:name"}]}
  license_number: Number
"""
"""Good cells come out as they are, so that the model of the mapping is: nothing."""
HEADER = "Id,Name,Number,Note"

Kind = Literal["good", "refused", "raising", "short", "huge"]
Content = tuple[str, str]
"""Company and licence number."""


@dataclass(frozen=True)
class Row:
    """One row: ``refused`` has no name, ``raising`` one that the mapping stumbles over, ``short`` lacks cells,
    ``huge`` is more than a message may be.
    """

    key: str
    content: Content
    kind: Kind = "good"

    @property
    def line(self) -> str:
        """As it stands in the file."""
        company, number = self.content
        if self.kind == "short":
            return f"{self.key},{company}"
        name = {"refused": "", "raising": RAISES}.get(self.kind, company)
        return f"{self.key},{name},{number},note"


@dataclass
class File:
    """A file as it was put."""

    source: str
    object_key: str
    rows: list[Row]
    etag: str = ""
    ends: set[str] = field(default_factory=lambda: {"done"})
    """How its load may end; empty: it need not even begin."""
    new_column: str = ""
    """A column that no file had before; it says nothing."""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ends = ("," + self.new_column, ",") if self.new_column else ("", "")
        rows = (row.line + (ends[1] if row.kind != "short" else "") for row in self.rows)
        return "\n".join([HEADER + ends[0], *rows, ""]).encode()


class Vendor:
    """Makes the files of one source: complete refreshes with changes, deletes, duplicates, bad and late ones."""

    def __init__(self, source: str, rng: random.Random, leads: int) -> None:
        self.source = source
        self._rng = rng
        self._standing: dict[str, Content] = {}
        self._made = 0
        self._days = 0
        self._late: set[int] = set()
        self._leads = leads
        self._numbers = iter(range(10**9))

    def next_file(self) -> File:
        """The next file; one in five is older than the newest one, one in seven says what the last one said."""
        self._made += 1
        if self._made > 1 and self._made % 5 == 0:
            return self._older_file()
        if self._made == 1 or self._made % 7:
            self._change()
        self._days += DAYS_BETWEEN_FILES
        return File(self.source, self._name(self._days), list(self._rows(self._standing)))

    def again(self, file: File) -> File:
        """Another file to put over ``file``, at the same key."""
        self._change()
        return File(self.source, file.object_key, list(self._rows(self._standing)))

    def _older_file(self) -> File:
        free = [day for day in range(self._days - DAYS_BETWEEN_FILES + 1, self._days) if day not in self._late]
        day = self._rng.choice(free)
        self._late.add(day)
        old = {key: (company, f"old {number}") for key, (company, number) in self._standing.items()}
        return File(self.source, self._name(day), list(self._rows(old)))

    def _change(self) -> None:
        for key in self._rng.sample(sorted(self._standing), len(self._standing) // 30):
            del self._standing[key]
        for key in self._rng.sample(sorted(self._standing), len(self._standing) // 4):
            self._standing[key] = (f"Provider {key}", self._number())
        while len(self._standing) < self._leads:
            key = f"K{next(self._numbers)}"
            self._standing[key] = (f"Provider {key}", self._number())

    def _rows(self, leads: dict[str, Content]) -> Iterator[Row]:
        """Never a short row last: such a file looks cut off, and its deletes are held."""
        last = next(reversed(leads))
        for key, content in leads.items():
            luck = self._rng.random() if key != last else 0.5
            if luck < 0.01:
                yield Row(key, (content[0], self._number()))  # the next row has the last word
            kind: Kind = "good"
            if luck > 0.99:
                kind = self._rng.choice(["refused", "raising", "short"])
            yield Row(key, content, kind)

    def _number(self) -> str:
        return f"n{self._rng.randrange(10**6)}"

    def _name(self, days: int) -> str:
        return f"{self.source}/{FIRST_DAY + datetime.timedelta(days=days)}.csv"
