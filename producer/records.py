"""Whole lines of a file become rows; what is damaged costs its own line and not its neighbours'.

Parsing is Python's csv reader over many lines at once; lines without quotes need none. A quote that is opened and
never closed makes that reader swallow the lines that follow. Such a record is known by what it does: it takes several
lines and has the wrong number of cells, or grows past the limit, or its quote closes in the middle of a cell while a
good row stands hidden inside it. Then only its first line is damaged, and parsing starts anew at the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from operator import attrgetter

from producer.dialect import END
from producer.encoding import Lines, Text, count_line_ends
from producer.header import Table
from producer.split_events import DamageCode, Damaged, Rows

MAX_WRAPPED_LINES = 16
"""A record with the wrong number of cells is taken for one damaged row only up to this many lines."""
WINDOW_LINES = 256
"""Lines parsed at once, and rows given out at once."""
FIRST_WINDOW_LINES = 32
"""Lines parsed at once after a runaway quote; doubles while all goes well. Keeps hostile files from costing n² time."""
PARSES_OF_A_LINE = 64
SPARE_PARSES = 100_000
"""Lines that are parsed again and again, because quotes run away in a wide table, may cost a block that much on average
(and some more). After that every line of the block is a record of its own."""

_line_num = attrgetter("line_num")


class Records:
    """Turns lines into rows and counts them. Give it lines in file order, each once, and again what it gives back."""

    def __init__(self, text: Text, table: Table, max_row_bytes: int) -> None:
        self._text = text
        self._dialect = table.dialect
        self._width = len(table.header.columns)
        self._max_row_bytes = max_row_bytes
        self._wraps = False
        """Whether records of several lines were among the last that were parsed: most likely there are more."""
        self._next_row = 1
        self.next_line = table.first_line
        self.rows = 0
        self.damaged = 0
        self.blank_rows = 0
        self.fallback_rows = 0
        self.last_damage: Damaged | None = None
        """The last record of the file so far, when it is damaged."""

    def split(self, data: bytes, *, last: bool = False, truncated: bool = False) -> tuple[list[Rows | Damaged], bytes]:
        """Parse whole lines; gives the events and the bytes of a record that is not complete yet, to be given again.

        ``last``: nothing of these records comes after this (end of file, or a line that is too long); nothing is
        given back. ``truncated``: the stream was cut, so a last line without an end is not whole.
        """
        if (blank := count_line_ends(data)) is not None:
            self.next_line += blank
            return [], b""
        lines = self._text.decode(data)
        if data and not data.endswith((b"\n", b"\r")):
            lines.text[-1] += "\n"
        else:
            truncated = False
        cut_line = len(lines.text) - 1 if truncated else -1
        clean = not (truncated or lines.undecodable or b"\0" in data)
        events: list[Rows | Damaged] = []
        at, window, count = 0, WINDOW_LINES, len(lines.text)
        parses_left = PARSES_OF_A_LINE * count + SPARE_PARSES
        while at < count:
            stop = min(at + window, count) if parses_left > 0 else at + 1
            parses_left -= stop - at
            records, ends, tail = self._parse(lines.text[at:stop])
            open_at = at + (ends[-1] if ends else 0)
            if records and not (clean and self._take_all(records, ends, lines, at, open_at, events)):
                runaway = self._take_each(records, ends, lines, at, cut_line, events)
                if runaway >= 0:
                    self._drop_first_line(lines, runaway, events)
                    at, window = runaway + 1, FIRST_WINDOW_LINES
                    continue
            if tail == [END]:
                at, window = stop, min(window * 2, WINDOW_LINES)
            elif parses_left <= 0 or self._never_closes(tail, lines, open_at, stop):
                self._drop_first_line(lines, open_at, events)
                at, window = open_at + 1, FIRST_WINDOW_LINES
            elif stop < count:
                at, window = open_at, max(window, stop - open_at) * 2
            elif not last:
                self.next_line += open_at
                return events, b"".join(lines.raw[open_at:])
            elif stop - open_at > MAX_WRAPPED_LINES or self._hides_a_row(lines.text[open_at:stop]):
                self._drop_first_line(lines, open_at, events)
                at, window = open_at + 1, FIRST_WINDOW_LINES
            else:
                cells = [*tail[:-1], tail[-1].removesuffix(END).rstrip("\r\n")]
                why = "a quoted cell is still open where the file ends, or where a line is too long to be read"
                self._add_damaged("unclosed_quote", why, lines, open_at, stop, cells, events)
                at = stop
        self.next_line += count
        return events, b""

    def too_long(self, head: bytes, length: int) -> Damaged:
        """A physical line of ``length`` bytes, of which ``head`` are the first ``max_row_bytes``."""
        text = self._text.decode(head)
        cells = self._dialect.first_record(text.text)[0]
        why = f"the row is {length:,} bytes long, more than the {self._max_row_bytes:,} allowed"
        damaged = Damaged(self._next_row, self.next_line, self._text.own_bytes(head), "row_too_long", why, cells)
        self._next_row += 1
        self.next_line += 1
        self.damaged += 1
        self.last_damage = None
        return damaged

    def _parse(self, text: list[str]) -> tuple[Sequence[list[str]], Sequence[int], list[str]]:
        """The complete records of some lines, after how many lines each ends, and the rest.

        That is ``[END]``, or the record that is still open, with ``END`` in its last cell.
        """
        if not self._wraps and (records := self._dialect.records_of(text)) is not None:
            return records, range(1, len(records) + 1), [END]
        reader = self._dialect.reader(chain(text, (END,)))
        # the reader's line number is asked after each record: zip goes from left to right
        found, ends = zip(*zip(reader, map(_line_num, repeat(reader)), strict=False), strict=True)
        self._wraps = len(found) <= len(text)
        return found[:-1], ends[:-1], found[-1]

    def _take_all(
        self,
        records: Sequence[list[str]],
        ends: Sequence[int],
        lines: Lines,
        at: int,
        stop: int,
        events: list[Rows | Damaged],
    ) -> bool:
        """The common case without a Python step a row: every record is good. False: something needs a closer look."""
        if set(map(len, records)) != {self._width} or not all(map(any, records)):
            return False
        first_line = self.next_line + at
        starts: Sequence[int] = range(first_line, first_line + len(records))
        if ends[-1] != len(records):
            if lines.fallback or sum(map(len, lines.raw[at:stop])) > self._max_row_bytes:
                return False
            if not self._dialect.is_strict(lines.text[at:stop]):
                return False
            starts = [first_line, *(first_line + end for end in ends[:-1])]
        self._add_rows(records, starts, events)
        if lines.fallback:
            self.fallback_rows += sum(at <= line < stop for line in lines.fallback)
        return True

    def _take_each(
        self,
        records: Sequence[list[str]],
        ends: Sequence[int],
        lines: Lines,
        at: int,
        cut_line: int,
        events: list[Rows | Damaged],
    ) -> int:
        """Record by record; gives the line a runaway quote starts in, or -1 when there is none."""
        good: list[list[str]] = []
        good_lines: list[int] = []

        def close_good() -> None:
            if good:
                self._add_rows(good.copy(), good_lines.copy(), events)
                good.clear()
                good_lines.clear()

        start = at
        for cells, end in zip(records, ends, strict=True):
            stop = at + end
            if stop - start > 1 and self._runs_away(cells, lines, start, stop):
                close_good()
                return start
            if not any(cells) or (len(cells) != self._width and not b"".join(lines.raw[start:stop]).strip()):
                self.blank_rows += bool(lines.raw[start].strip(b" \r\n"))
            elif trouble := self._trouble(cells, lines, start, stop, cut_line):
                close_good()
                self._add_damaged(*trouble, lines, start, stop, cells, events)
            else:
                good.append(cells)
                good_lines.append(self.next_line + start)
                self.fallback_rows += bool(lines.fallback) and not lines.fallback.isdisjoint(range(start, stop))
            start = stop
        close_good()
        return -1

    def _trouble(
        self, cells: list[str], lines: Lines, start: int, stop: int, cut_line: int
    ) -> tuple[DamageCode, str] | None:
        if any(b"\0" in line for line in lines.raw[start:stop]):
            return "nul_byte", "the row holds a NUL byte"
        if lines.undecodable and not lines.undecodable.isdisjoint(range(start, stop)):
            return "undecodable", f"the row holds bytes that are not {self._text.expected}"
        if len(cells) != self._width:
            code: DamageCode = "too_few_cells" if len(cells) < self._width else "too_many_cells"
            return code, f"the row has {len(cells)} cells, the header has {self._width}"
        if stop - 1 == cut_line:
            return "cut_off", "the compressed stream ends inside this row"
        return None

    def _runs_away(self, cells: list[str], lines: Lines, start: int, stop: int) -> bool:
        """Whether a complete record of several lines is one line with a runaway quote and its neighbours."""
        if sum(map(len, lines.raw[start:stop])) > self._max_row_bytes:
            return True
        text = lines.text[start:stop]
        if not self._dialect.is_strict(text):
            return len(cells) != self._width or self._hides_a_row(text)
        return len(cells) != self._width and (stop - start > MAX_WRAPPED_LINES or self._hides_a_row(text, sound=True))

    def _never_closes(self, tail: list[str], lines: Lines, start: int, stop: int) -> bool:
        """Whether a record that is still open can no longer come out right, whatever follows."""
        if sum(map(len, lines.raw[start:stop])) > self._max_row_bytes:
            return True
        return stop - start > MAX_WRAPPED_LINES and len(tail) > self._width

    def _hides_a_row(self, text: list[str], *, sound: bool = False) -> bool:
        """Whether a good row starts in one of the lines after the first.

        ``sound``: not with an odd number of quotes, as the last line of a quoted cell has.
        """
        for skipped in range(1, min(len(text), MAX_WRAPPED_LINES + 1)):
            cells, taken = self._dialect.first_record(text[skipped:])
            if taken and len(cells) == self._width and any(cells):
                own = "".join(text[skipped : skipped + taken])
                if not sound or self._dialect.count_quotes(own) % 2 == 0:
                    return True
        return False

    def _drop_first_line(self, lines: Lines, at: int, events: list[Rows | Damaged]) -> None:
        cells = self._dialect.first_record(lines.text[at : at + 1])[0]
        why = "a quote is opened in this line and the row it makes with the next lines does not fit the header"
        self._add_damaged("unclosed_quote", why, lines, at, at + 1, cells, events)

    def _add_rows(self, cells: Sequence[list[str]], line_numbers: Sequence[int], events: list[Rows | Damaged]) -> None:
        events.append(Rows(cells, self._next_row, line_numbers))
        self._next_row += len(cells)
        self.rows += len(cells)
        self.last_damage = None

    def _add_damaged(
        self,
        code: DamageCode,
        why: str,
        lines: Lines,
        start: int,
        stop: int,
        cells: list[str],
        events: list[Rows | Damaged],
    ) -> None:
        raw = self._text.own_bytes(b"".join(lines.raw[start:stop]).rstrip(b"\r\n"))
        self.last_damage = Damaged(self._next_row, self.next_line + start, raw, code, why, cells)
        events.append(self.last_damage)
        self._next_row += 1
        self.damaged += 1
