"""From a file's first line to its header: what is skipped, what is blank, and where the table begins."""

from __future__ import annotations

from dataclasses import dataclass

from leadstream.errors import BadRecordError
from producer.columns import name_columns
from producer.dialect import SAMPLE_LINES, Dialect, FormatOptions, find_start
from producer.encoding import Text
from producer.file_kind import refuse_control_characters
from producer.split_events import Header


@dataclass(frozen=True)
class Table:
    """The header, the dialect of the rows, and the physical line (1 = first of the file) the first row may start in."""

    header: Header
    dialect: Dialect
    first_line: int


class HeaderReader:
    """Reads whole lines until the header is found. ``name`` is the object's key, for messages only."""

    def __init__(self, options: FormatOptions, text: Text, name: str, max_row_bytes: int) -> None:
        self._options = options
        self.text = text
        self._name = name
        self._max_row_bytes = max_row_bytes
        self._lines_to_skip = options.skip_lines
        self._lines_passed = 0

    def read(self, data: bytes, *, final: bool) -> tuple[Table | None, bytes]:
        """The table, if its header is in ``data`` (whole lines), and what is left of ``data``: its rows.

        Without a table, what is left is to be given again with more lines behind it.

        Raises:
            BadRecordError: ``no_table``, ``undecodable``, ``binary``.
        """
        lines = data.splitlines(keepends=True)
        lines = self._pass(lines, skipped := min(self._lines_to_skip, len(lines)))
        self._lines_to_skip -= skipped
        if self._lines_to_skip:
            return None, b""
        while lines:
            sample = self.text.decode(b"".join(lines[:SAMPLE_LINES]))
            start = find_start(sample.text, self._options, self._name)
            if start is None:
                lines = self._pass(lines, len(sample.raw))
                continue
            count = start.line_count
            cells = start.cells
            if not count:
                # an open quote in the header: it may close in lines that are still to come
                if not final and sum(map(len, lines)) <= self._max_row_bytes:
                    return None, b"".join(lines)
                count = 1
                cells = start.dialect.first_record(sample.text[start.line_index : start.line_index + 1])[0]
            own = range(start.line_index, start.line_index + count)
            refuse_control_characters("".join(sample.text[at] for at in own), self._name, start.dialect.delimiter)
            if not sample.undecodable.isdisjoint(own):
                raise BadRecordError(
                    f"{self._name}: the header is not {self.text.expected}",
                    code="undecodable",
                    hint="set format.encoding in the source's YAML",
                )
            header = Header(name_columns(cells), self._lines_passed + own.start + 1)
            lines = self._pass(lines, own.stop)
            return Table(header, start.dialect, self._lines_passed + 1), b"".join(lines)
        return None, b""

    def refuse_long_line(self, length: int) -> None:
        """Raise when a line before or in the header is longer than a row may be.

        Raises:
            BadRecordError: ``no_table``.
        """
        if length > self._max_row_bytes:
            raise BadRecordError(
                f"{self._name}: no header: a line among the first is longer than {self._max_row_bytes:,} bytes",
                code="no_table",
                hint="ask the vendor for a CSV file with line ends",
            )

    def _pass(self, lines: list[bytes], count: int) -> list[bytes]:
        self._lines_passed += count
        return lines[count:]
