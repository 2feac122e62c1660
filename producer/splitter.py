"""One object's bytes become the rows of its table.

    chunks → decompress → blocks of one size → line encoding → whole lines → header, then records → events

The blocks make everything after them independent of how the object arrived in chunks: the same bytes always give the
same events. Memory stays flat: a block, one record (``max_row_bytes``), and the events of one block.
"""

from __future__ import annotations

from collections.abc import Iterator

from leadstream.errors import BadRecordError
from producer.blocks import Blocks
from producer.columns import Column
from producer.decompress import Decompressor
from producer.dialect import FormatOptions
from producer.encoding import Text
from producer.file_kind import refuse_other_kinds
from producer.header import HeaderReader, Table
from producer.records import Records
from producer.split_events import Damaged, Event, Header, Row, Rows, Summary

__all__ = ["Column", "Damaged", "Event", "FormatOptions", "Header", "Row", "Rows", "Splitter", "Summary"]

BLOCK_BYTES = 262_144
MAX_ROW_BYTES = 1_048_576


class Splitter:
    """Push parser of one file: ``feed`` every chunk, then ``finish``; both give events lazily, in file order.

    Use up each iterator before the next call: a compressed chunk may hold many rows, and they are made as they are
    asked for. ``summary`` is there when :meth:`finish` is used up. ``name`` is the object's key, for messages only.
    """

    def __init__(
        self, options: FormatOptions | None = None, *, name: str = "the file", max_row_bytes: int = MAX_ROW_BYTES
    ) -> None:
        self._options = options or FormatOptions()
        self._name = name
        self._max_row_bytes = max_row_bytes
        self._decompressor = Decompressor(name)
        self._blocks = Blocks(BLOCK_BYTES)
        self._half_character = False
        self._reader: HeaderReader | None = None
        self._table: Table | None = None
        self._records: Records | None = None
        self._pending = b""
        self._long_line_head: bytes | None = None
        self._long_line_bytes = 0
        self._summary: Summary | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """What the next bytes of the object, in any number, add.

        Raises:
            BadRecordError: the file as a whole cannot be used: ``binary``, ``no_table``, ``undecodable`` (its header,
                or the encoding is another), ``corrupt_archive``, ``archive_bomb``, ``archive_members``. Rows may have
                been given out before.
        """
        for piece in self._decompressor.feed(chunk):
            for block in self._blocks.add(piece):
                yield from self._take(block, final=False)

    def finish(self) -> Iterator[Event]:
        """What is left when the object has ended.

        Raises:
            BadRecordError: as :meth:`feed`, and ``empty`` or ``header_only``.
        """
        for piece in self._decompressor.finish():
            for block in self._blocks.add(piece):
                yield from self._take(block, final=False)
        yield from self._take(self._blocks.rest(), final=True)
        self._summary = self._sum_up()

    @property
    def summary(self) -> Summary:
        """What was in the file, once :meth:`finish` is used up."""
        if self._summary is None:
            raise RuntimeError("the summary is asked for before finish() was used up")
        return self._summary

    def _take(self, block: bytes, *, final: bool) -> Iterator[Event]:
        if self._reader is None:
            refuse_other_kinds(block, self._name, self._options.encoding)
            text = Text(block, self._options.encoding, self._name)
            self._reader = HeaderReader(self._options, text, self._name, self._max_row_bytes)
            block = block[text.bom_length :]
        block, self._half_character = self._reader.text.to_lines_encoding(block, final=final)
        data = self._pending + block
        self._pending = b""
        if self._long_line_head is not None:
            data, damaged = self._pass_long_line(data, final)
            if damaged is None:
                return
            yield damaged
        end = len(data) if final else _whole_lines(data)
        lines, part = data[:end], data[end:]
        if self._records is None:
            self._table, lines = self._reader.read(lines, final=final)
            if self._table is None:
                self._reader.refuse_long_line(_content_length(part))
                self._pending = lines + part
                return
            yield self._table.header
            self._records = Records(self._reader.text, self._table, self._max_row_bytes)
        part_is_long = _content_length(part) > self._max_row_bytes
        yield from self._split(self._records, lines, last=final or part_is_long, final=final)
        if part_is_long:
            self._long_line_head = part[: self._max_row_bytes]
            self._long_line_bytes = len(part)
            if part.endswith(b"\r"):  # it may be half of a CRLF
                self._long_line_bytes -= 1
                self._pending = b"\r"
        else:
            self._pending += part

    def _split(self, records: Records, lines: bytes, *, last: bool, final: bool) -> Iterator[Event]:
        """Split whole lines; those that are too long stand between the others as walls."""
        truncated = final and (self._decompressor.truncated or self._half_character)
        if len(lines) > self._max_row_bytes:
            start = at = 0
            for line in lines.splitlines(keepends=True):
                length = _content_length(line)
                if length > self._max_row_bytes:
                    yield from records.split(lines[start:at], last=True)[0]
                    yield records.too_long(line[: self._max_row_bytes], length)
                    start = at + len(line)
                at += len(line)
            lines = lines[start:]
        events, self._pending = records.split(lines, last=last, truncated=truncated)
        yield from events or (Rows((), 0, ()),)  # who reads a file without rows must have its turn, too

    def _pass_long_line(self, data: bytes, final: bool) -> tuple[bytes, Event | None]:
        """What follows the long line and its damaged row, or nothing when it has not ended yet."""
        if self._records is None or self._long_line_head is None:
            raise RuntimeError("no long line is being passed")
        ends = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
        end = min(ends, default=len(data))
        if not final and (not ends or data[end:] == b"\r"):
            self._long_line_bytes += end
            self._pending = data[end:]
            return b"", None
        damaged = self._records.too_long(self._long_line_head, self._long_line_bytes + end)
        self._long_line_head = None
        return data[end + (2 if data[end : end + 2] == b"\r\n" else 1) :], damaged

    def _nothing_to_read(self) -> BadRecordError:
        if self._decompressor.truncated:
            return BadRecordError(
                f"{self._name}: the {self._decompressor.compression} stream ends before its first row",
                code="corrupt_archive",
                hint="ask the vendor to send the file again",
            )
        what = "has only blank lines" if self._decompressor.bytes_out else "is empty"
        return BadRecordError(f"{self._name}: the file {what}", code="empty", hint="ask the vendor for the full file")

    def _sum_up(self) -> Summary:
        records, table, reader, stream = self._records, self._table, self._reader, self._decompressor
        if records is None or table is None or reader is None:
            raise self._nothing_to_read()
        if not records.rows + records.damaged:
            if stream.truncated:
                raise self._nothing_to_read()
            raise BadRecordError(
                f"{self._name}: the file has a header and no rows",
                code="header_only",
                hint="ask the vendor for the rows",
            )
        reason = ""
        if stream.truncated:
            reason = f"the {stream.compression} stream stops before its end"
        elif self._half_character:
            reason = "the file ends inside a character"
        elif (damage := records.last_damage) and damage.code in ("too_few_cells", "unclosed_quote"):
            reason = f"last row: {damage.message}"
        return Summary(
            rows=records.rows,
            damaged=records.damaged,
            blank_rows=records.blank_rows,
            fallback_rows=records.fallback_rows,
            lines=records.next_line - 1,
            bytes_in=stream.bytes_in,
            bytes_out=stream.bytes_out,
            compression=stream.compression,
            encoding=reader.text.name,
            delimiter=table.dialect.delimiter,
            cut_off=bool(reason),
            cut_off_reason=reason,
        )


def _whole_lines(data: bytes) -> int:
    """Length of the lines that have ended; a CR at the very end may be half of a CRLF."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, max(len(data) - 1, 0))) + 1


def _content_length(line: bytes) -> int:
    """Length without the line end."""
    return len(line) - (2 if line.endswith(b"\r\n") else 1 if line.endswith((b"\n", b"\r")) else 0)
