"""Sample files of any size in the formats of three vendors, and the next week's version of such a file.

Deterministic for a seed, written as a stream. What is returned says exactly what a run over the file must
come to.
"""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leadstream.errors import BadRecordError
from leadstream.sample_vendors import (
    FIRST_SERIAL,
    Cells,
    Pools,
    Vendor,
    VendorName,
    quoted,
    vendor,
    vendor_of_header,
)

LINE_END = "\r\n"
ROWS_PER_WRITE = 1_000
DAMAGED_SHARE = 0.002
"""Of the rows, for each kind of damage; at least one of each kind in a file of 10 rows and more."""
MIN_ROWS_FOR_DAMAGE = 10
CUT_OFF_CELLS = 14
COUNTED = ("inserted", "updated", "unchanged", "deleted", "damaged", "duplicates", "different_duplicates")
DAMAGES = ("too_few_cells", "too_many_cells", "no_phone")
BYTES_AS_TEXT = "latin-1"
"""Maps every byte to one character and back, so that a file passes through unharmed whatever its encoding."""


@dataclass(frozen=True)
class SampleInfo:
    """What was written: ``rows`` = ``good`` + ``len(damaged)``; ``damaged`` holds (row number, what).

    Row 1 is the first after the header. *What* is one of ``too_few_cells``, ``too_many_cells``, ``no_phone``,
    ``cut_off`` (the last row ends in an open quote).
    """

    rows: int
    good: int
    damaged: list[tuple[int, str]]


@dataclass(frozen=True)
class ChangeInfo:
    """What a complete refresh by the changed file must come to, after a load of the file it was made from.

    Of a file with damaged rows, ``deleted`` counts deletes that are held: such a row may be any lead's.
    ``rows`` = ``inserted`` + ``updated`` + ``unchanged`` + ``duplicates`` + ``damaged``.
    """

    rows: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    damaged: int
    duplicates: int = 0
    """Rows that a later row with their key overtakes."""
    different_duplicates: int = 0
    """Of them, those of leads whose rows differ. Each may cost a record of its own: a change is sent before it is known
    that the file says otherwise further down."""

    @property
    def changes(self) -> int:
        """Records that the load must send, tombstones aside; up to ``different_duplicates`` more are right, too."""
        return self.inserted + self.updated + self.deleted


def write_sample(name: VendorName, path: Path, rows: int, seed: int, *, damage: bool = True) -> SampleInfo:
    """Write ``rows`` invented rows in the format of vendor ``name``.

    With ``damage``, a small share of the rows goes wrong in ways that end in the dead letters; Oklahoma's
    last row is cut off inside a quote, much as in the vendor's own file (a load of a file that looks cut off
    holds its deletes). Texas's third row holds one byte of Windows-1252 in a UTF-8 file; it is good.
    """
    one, pools = vendor(name), Pools(seed)
    damaged = _choose_damage(one, pools, rows) if damage else {}
    _write(path, one, _sample_lines(one, pools, rows, damaged))
    return SampleInfo(rows, rows - len(damaged), sorted(damaged.items()))


def change_sample(
    path_in: Path,
    path_out: Path,
    *,
    seed: int,
    update: float = 0.01,
    delete: float = 0.01,
    insert: float = 0.01,
    duplicate: float = 0.0,
    reorder: bool = False,
) -> ChangeInfo:
    """Make the next week's file from a sample: shares of its leads get a new phone, leave, and are added.

    Damaged rows stay as they are, but for a cut-off last row, which leaves. Of rows with one key in ``path_in`` the
    last is the lead. ``duplicate``: share of the leads that stand in the new file two or three times, every other one
    of them with another new phone each time. ``reorder``: all rows change places; the file is held in memory for it.

    Raises:
        BadRecordError: ``path_in`` is not a sample file (code ``not_a_sample``).
    """
    one, last_rows, next_serial = _read_leads(path_in)
    pools = Pools(seed)
    change = _Change(one, pools, update=update, delete=delete, insert=insert, duplicate=duplicate)
    with _open_records(path_in) as records:
        next(records)
        lines: Iterable[str] = change.lines(records, last_rows, next_serial)
        if reorder:
            lines = list(lines)
            pools.random.shuffle(lines)
        _write(path_out, one, lines, encoding=BYTES_AS_TEXT)
    return change.info()


def _choose_damage(one: Vendor, pools: Pools, rows: int) -> dict[int, str]:
    damaged: dict[int, str] = {}
    if rows >= MIN_ROWS_FOR_DAMAGE:
        of_each = max(1, int(rows * DAMAGED_SHARE))
        # Rows 1 to 3 show the vendor's oddities; a damaged last row would make the whole file look cut off.
        numbers = pools.random.sample(range(4, rows), of_each * len(DAMAGES))
        damaged = {number: DAMAGES[i % len(DAMAGES)] for i, number in enumerate(numbers)}
    if one.name == "oklahoma" and rows > 1:
        damaged[rows] = "cut_off"
    return damaged


def _sample_lines(one: Vendor, pools: Pools, rows: int, damaged: dict[int, str]) -> Iterator[str]:
    for number in range(1, rows + 1):
        cells = one.row(pools, FIRST_SERIAL + number)
        if number in damaged:
            cells = _damage(one, cells, damaged[number])
        elif one.name == "texas" and number == 3:
            cells[2] = "Nobody\udc92s Nursery"  # 0x92 is ’ in Windows-1252 and nothing in UTF-8
        yield ",".join(cells)


def _damage(one: Vendor, cells: Cells, what: str) -> Cells:
    # It stays on one line: a line break in a row of the wrong length would make it two damaged rows.
    cells = [cell.replace(LINE_END, " ") for cell in cells]
    if what == "too_few_cells":
        return cells[: max(one.key_column + 1, one.columns // 2)]
    if what == "too_many_cells":
        return [*cells, "shifted", "by two"]
    if what == "cut_off":
        return [*cells[: CUT_OFF_CELLS - 1], cells[CUT_OFF_CELLS - 1].rstrip('"')]
    cells[one.phone_column] = ""
    return cells


def _write(path: Path, one: Vendor, lines: Iterable[str], *, encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, errors="surrogateescape", newline="") as file:
        file.write(one.header)
        held: list[str] = []
        for line in lines:
            held.append(line)
            if len(held) == ROWS_PER_WRITE:
                file.write(LINE_END + LINE_END.join(held))
                held.clear()
        if held:
            file.write(LINE_END + LINE_END.join(held))
        if one.ends_with_newline:
            file.write(LINE_END)


@contextlib.contextmanager
def _open_records(path: Path) -> Iterator[Iterator[tuple[str, Cells]]]:
    """The records of a file as (text without line end, cells)."""
    with path.open(encoding=BYTES_AS_TEXT, newline="") as file:
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in file:
                taken.append(line)
                yield line

        def records() -> Iterator[tuple[str, Cells]]:
            for cells in csv.reader(lines()):
                yield "".join(taken).removesuffix(LINE_END), cells
                taken.clear()

        yield records()


def _read_leads(path: Path) -> tuple[Vendor, dict[int, int], int]:
    """The vendor, the last row of each lead whose key stands there more than once (by serial), the next serial."""
    with _open_records(path) as records:
        header, _cells = next(records, ("", []))
        one = vendor_of_header(header)
        if one is None:
            raise BadRecordError(
                f"{path}: not a sample file", code="not_a_sample", hint="make one with leadstream samples"
            )
        seen: set[int] = set()
        last_rows: dict[int, int] = {}
        for number, (_text, cells) in enumerate(records):
            serial = one.serial_of(cells[one.key_column])
            if serial in seen and _is_good(one, cells):
                last_rows[serial] = number
            seen.add(serial)
    return one, last_rows, max(seen, default=FIRST_SERIAL) + 1


def _is_good(one: Vendor, cells: Cells) -> bool:
    return len(cells) == one.columns and bool(cells[one.phone_column])


class _Change:
    """One pass over a sample's records, counting what it does to them."""

    def __init__(
        self, one: Vendor, pools: Pools, *, update: float, delete: float, insert: float, duplicate: float
    ) -> None:
        self._vendor, self._pools = one, pools
        self._update, self._delete, self._insert, self._duplicate = update, delete, insert, duplicate
        self._counts: Counter[str] = Counter()

    def lines(self, records: Iterator[tuple[str, Cells]], last_rows: dict[int, int], next_serial: int) -> Iterator[str]:
        """The rows of the changed file; those that repeat a lead come last."""
        repeated: list[str] = []
        leads = 0
        for number, (text, cells) in enumerate(records):
            if not _is_good(self._vendor, cells):
                if text.count('"') % 2 == 0:  # else it is the cut-off row
                    self._counts["damaged"] += 1
                    yield text
                continue
            serial = self._vendor.serial_of(cells[self._vendor.key_column])
            if last_rows.get(serial, number) != number:
                continue  # a later row overtook it
            leads += 1
            chance = self._pools.random.random()
            if chance < self._delete:
                self._counts["deleted"] += 1
                continue
            is_updated = chance < self._delete + self._update
            first, *others = self._rows_of(text, cells, "updated" if is_updated else "unchanged")
            yield first
            repeated += others
        for serial in range(next_serial, next_serial + round(leads * self._insert)):
            line = ",".join(self._vendor.row(self._pools, serial)).encode().decode(BYTES_AS_TEXT)
            first, *others = self._rows_of(line, next(csv.reader([line])), "inserted")
            yield first
            repeated += others
        yield from repeated

    def info(self) -> ChangeInfo:
        """What was done, once all lines were taken."""
        counts = self._counts
        rows = sum(counts[name] for name in ("inserted", "updated", "unchanged", "duplicates", "damaged"))
        return ChangeInfo(rows=rows, **{name: counts[name] for name in COUNTED})

    def _rows_of(self, text: str, cells: Cells, fate: str) -> list[str]:
        """The rows of one lead that stays or comes; ``text`` and ``cells`` are its row as it is."""
        repeats, differ = 0, False
        if self._duplicate and self._pools.random.random() < self._duplicate:
            repeats, differ = self._pools.number(1, 2), self._pools.random.random() < 0.5
        if differ and fate == "unchanged":
            fate = "updated"  # none of its rows has the old phone
        self._counts[fate] += 1
        self._counts["duplicates"] += repeats
        self._counts["different_duplicates"] += repeats * differ
        phones = [cells[self._vendor.phone_column]]
        rows = []
        for _ in range(1 + repeats if differ else fate == "updated"):
            phones.append(self._other_phone(phones))
            rows.append(_with_cell(cells, self._vendor.phone_column, phones[-1]))
        return rows if differ else (rows or [text]) * (1 + repeats)

    def _other_phone(self, phones: list[str]) -> str:
        while (other := self._vendor.phone(self._pools)) in phones:
            pass
        return other


def _with_cell(cells: Cells, column: int, value: str) -> str:
    return ",".join(map(quoted, [*cells[:column], value, *cells[column + 1 :]]))
