"""How a file parts its cells, and where its table begins: configured, or found from the first lines."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from leadstream.errors import BadRecordError, ConfigError
from leadstream.sources import SourceConfig

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = (",", ";", "\t", "|")
QUOTECHAR = '"'
SAMPLE_LINES = 200
MAX_HEADER_LINES = 16
MISFIT_MIN_ROWS = 8
"""From this many sampled rows on, a header that fewer than a tenth of them fit is not their header."""

END = "\uffff"
"""A noncharacter of Unicode, put after the last line: it comes back as a record of its own, or inside an open cell."""

# Python's csv refuses cells above 128 KiB by default; rows are bounded by max_row_bytes instead.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True)
class FormatOptions:
    """What a source says about its files; what is None is found from the bytes. Compression is always found."""

    delimiter: str | None = None
    quotechar: str | None = None
    encoding: str | None = None
    skip_lines: int = 0
    escapechar: str | None = None

    def __post_init__(self) -> None:
        for name in ("delimiter", "quotechar", "escapechar"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in "\r\n"):
                raise ConfigError(f"format.{name} must be one character, not {value!r}", hint="mend the source's YAML")


@dataclass(frozen=True)
class Dialect:
    """RFC 4180 with these special characters, read as leniently as Python's csv module does."""

    delimiter: str
    quotechar: str
    escapechar: str | None = None

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> Reader:
        """A csv reader over lines that keep their line ends."""
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quotechar, escapechar=self.escapechar, strict=strict
        )

    def first_record(self, lines: Sequence[str]) -> tuple[list[str], int]:
        """The first record and how many lines it takes; 0 when its last cell is still open after the last line."""
        reader = self.reader(chain(lines, (END,)))
        cells = next(reader)
        if reader.line_num > len(lines):
            return [*cells[:-1], cells[-1].removesuffix(END).rstrip("\r\n")], 0
        return cells, reader.line_num

    def records_of(self, lines: Sequence[str]) -> list[list[str]] | None:
        """What :meth:`reader` makes of lines that are one record each; None when a record takes several lines.

        A line without a quote needs no csv reader: it only has to be cut, which is several times faster.
        """
        quote, delimiter = self.quotechar, self.delimiter
        if self.escapechar is not None:
            parsed = list(self.reader(chain(lines, (END,))))
            return parsed[:-1] if len(parsed) == len(lines) + 1 else None
        quoted = [line for line in lines if quote in line]
        parsed = list(self.reader(chain(quoted, (END,))))
        if len(parsed) != len(quoted) + 1:
            return None
        of_quoted = iter(parsed)
        return [next(of_quoted) if quote in line else line.rstrip("\r\n").split(delimiter) for line in lines]

    def count_quotes(self, text: str) -> int:
        """How many quote characters there are, those left out that are escaped."""
        if self.escapechar is not None:
            text = re.sub(re.escape(self.escapechar) + ".", "", text, flags=re.DOTALL)
        return text.count(self.quotechar)

    def is_strict(self, lines: Iterable[str]) -> bool:
        """Whether every closing quote is followed by a delimiter or a line end."""
        try:
            for _cells in self.reader(lines, strict=True):
                pass
        except csv.Error:
            return False
        return True


@dataclass(frozen=True)
class Start:
    """Where the header stands in the sampled lines (index and how many lines), its cells, and the dialect."""

    dialect: Dialect
    cells: list[str]
    line_index: int
    line_count: int


def format_of(source: SourceConfig | None) -> FormatOptions:
    """What a source's YAML says about its files; nothing for a file without a source."""
    if source is None:
        return FormatOptions()
    wanted = source.format
    return FormatOptions(
        delimiter=wanted.delimiter,
        quotechar=wanted.quotechar,
        encoding=wanted.encoding,
        skip_lines=wanted.skip_lines,
        escapechar=wanted.escapechar,
    )


def find_start(lines: Sequence[str], options: FormatOptions, name: str) -> Start | None:
    """The header among a file's first lines, and the dialect; None when all of them are blank.

    ``line_count`` is 0 when the header's last cell is still open at the end of the lines. Of the delimiters under which
    the header has two cells or more, the one wins that most sampled rows agree with, then the one that makes more
    cells.

    Raises:
        BadRecordError: ``no_table``.
    """
    quotechar = options.quotechar or QUOTECHAR
    candidates = (options.delimiter,) if options.delimiter else DELIMITERS
    best: tuple[float, int] = (-1.0, 0)
    found: Start | None = None
    misfit: str | None = None
    for delimiter in candidates:
        start, widths = _try(Dialect(delimiter, quotechar, options.escapechar), lines[:SAMPLE_LINES])
        if start is None:
            return None
        width = len(start.cells)
        if width < 2 and not options.delimiter:
            continue
        share = widths[width] / widths.total() if widths else 0.0
        if widths.total() >= MISFIT_MIN_ROWS and share < 0.1:
            misfit = f"the first line has {width} cells, most rows have {widths.most_common(1)[0][0]}"
            continue
        if (share, width) > best:
            best, found = (share, width), start
    if found is None:
        raise BadRecordError(
            f"{name}: {misfit or 'no delimiter among , ; tab | parts the first line into columns'}",
            code="no_table",
            hint="if lines stand before the header, set format.skip_lines; for another delimiter or one column, "
            "set format.delimiter",
        )
    return found


def _try(dialect: Dialect, lines: Sequence[str]) -> tuple[Start | None, Counter[int]]:
    """The header under a dialect, and how many of the complete, non-empty records after it have which width."""
    header_at = 0
    while header_at < len(lines):
        cells, count = dialect.first_record(lines[header_at:])
        if count > MAX_HEADER_LINES or (count > 1 and not dialect.is_strict(lines[header_at : header_at + count])):
            # a quote that is never closed: the header is what its own line holds
            cells, count = dialect.first_record(lines[header_at : header_at + 1])[0], 1
        if any(map(str.strip, cells)):
            break
        header_at += max(count, 1)
    else:
        return None, Counter()
    rows = lines[header_at + count :] if count else ()
    records = list(dialect.reader(chain(rows, (END,))))
    return Start(dialect, cells, header_at, count), Counter(len(cells) for cells in records[:-1] if any(cells))
