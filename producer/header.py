"""From a file's first line to its header: what is skipped, what is blank, and where the table begins."""

from __future__ import annotations

from dataclasses import dataclass

from leadstream.errors import BadRecordError
from producer.columns import name_columns
from producer.dialect import SAMPLE_LINES, Dialect, FormatOptions, find_start
from producer.encoding import Text, count_line_ends
from producer.file_kind import refuse_control_characters
from producer.split_events import Header

MAX_COLUMNS = 4_096
MAX_HEADER_BYTES = 65_536
"""The header becomes an Avro schema of several times its size, which the registry must take as one Kafka message."""


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
        if not self._lines_to_skip and (blank := count_line_ends(data)) is not None:
            self._lines_passed += blank
            return None, b""
        lines = data.splitlines(keepends=True)
        at = min(self._lines_to_skip, len(lines))
        self._lines_to_skip -= at
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            sample = self.text.decode(b"".join(lines[at : at + SAMPLE_LINES]))
            start = find_start(sample.text, self._options, self._name)
            if start is None:
                at += len(sample.raw)
                continue
            count = start.line_count
            cells = start.cells
            if not count:
                # an open quote in the header: it may close in lines that are still to come
                if not final and sum(map(len, lines[at:])) <= self._max_row_bytes:
                    self._lines_passed += at
                    return None, b"".join(lines[at:])
                count = 1
                cells = start.dialect.first_record(sample.text[start.line_index : start.line_index + 1])[0]
            own = range(start.line_index, start.line_index + count)
            text = "".join(sample.text[own.start : own.stop])
            refuse_control_characters(text, self._name, start.dialect.delimiter)
            if not sample.undecodable.isdisjoint(own):
                raise BadRecordError(
                    f"{self._name}: the header is not {self.text.expected}",
                    code="undecodable",
                    hint="set format.encoding in the source's YAML",
                )
            self._refuse_wide_header(len(cells), len(text.encode(errors="surrogatepass")))
            before = self._lines_passed + at
            header = Header(name_columns(cells), before + own.start + 1)
            return Table(header, start.dialect, before + own.stop + 1), b"".join(lines[at + own.stop :])
        self._lines_passed += at
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

    def _refuse_wide_header(self, columns: int, size_bytes: int) -> None:
        if columns > MAX_COLUMNS or size_bytes > MAX_HEADER_BYTES:
            raise BadRecordError(
                f"{self._name}: the header has {columns:,} columns in {size_bytes:,} bytes; "
                f"a table may have {MAX_COLUMNS:,} in {MAX_HEADER_BYTES:,}",
                code="no_table",
                hint="if lines stand before the header, set format.skip_lines; else ask the vendor for the table alone",
            )
