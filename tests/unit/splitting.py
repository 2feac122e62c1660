"""What the splitter's tests share: splitting bytes in any pieces, and archives of every kind."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import zipfile
from collections.abc import Sequence

import pytest
import zstandard

from leadstream.errors import BadRecordError
from producer.split_events import SingleEvent, singly
from producer.splitter import Damaged, FormatOptions, Header, Row, Splitter, Summary

SMALL = b"Name,City,Phone\nBlue Door,Reno,702-555-0101\nRed Barn,Elko,702-555-0102\n"
SMALL_ROWS = [["Blue Door", "Reno", "702-555-0101"], ["Red Barn", "Elko", "702-555-0102"]]
BLANK = b'\r\n\t\v\f," '
"""What a row without content is made of."""
COMPRESSIONS = ("", "gzip", "bzip2", "zstd", "zip")


class OneWay(io.RawIOBase):
    """A sink that cannot seek, so that zipfile writes data descriptors as streaming writers do."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]  # zipfile writes bytes-like objects only
        self.data += piece
        return len(piece)


def split(
    data: bytes | Sequence[bytes], options: FormatOptions | None = None, *, max_row_bytes: int = 1_048_576
) -> tuple[list[SingleEvent], Summary]:
    """All events of a file given whole or in pieces, and its summary."""
    splitter = Splitter(options, name="a.csv", max_row_bytes=max_row_bytes)
    events: list[SingleEvent] = []
    for chunk in [data] if isinstance(data, bytes) else data:
        events.extend(singly(splitter.feed(chunk)))
    events.extend(singly(splitter.finish()))
    return events, splitter.summary


def rows_of(events: Sequence[SingleEvent]) -> list[list[str]]:
    """The cells of the good rows."""
    return [event.cells for event in events if isinstance(event, Row)]


def damage_of(events: Sequence[SingleEvent]) -> list[Damaged]:
    """The damaged rows."""
    return [event for event in events if isinstance(event, Damaged)]


def names_of(events: Sequence[SingleEvent]) -> list[str]:
    """The names in the header, which is the first event."""
    header = events[0]
    assert isinstance(header, Header)
    return [column.name for column in header.columns]


def assert_every_line_is_in_one_event(
    file: bytes, events: Sequence[SingleEvent], summary: Summary, max_row_bytes: int
) -> None:
    """Nothing lost, nothing twice: no gap in the row numbers, and lines between two events belong to the first.

    For files in UTF-8 that are parted by commas; what a blank row is made of may stand between.
    """
    header = events[0]
    assert isinstance(header, Header)
    records = [event for event in events if isinstance(event, Row | Damaged)]
    lines = file.splitlines(keepends=True)
    assert summary.lines == len(lines)
    assert [record.row_number for record in records] == list(range(1, len(records) + 1))
    starts = [record.line_number for record in records]
    assert starts == sorted(set(starts))
    assert not b"".join(lines[: header.line_number - 1]).strip(BLANK)
    for record, following in zip(records, [*starts[1:], len(lines) + 1], strict=True):
        own = b"".join(lines[record.line_number - 1 : following - 1])
        if isinstance(record, Damaged):
            assert own.startswith(record.raw[:max_row_bytes])
            left = own[len(record.raw) :]
            assert record.code == "row_too_long" or not left.strip(BLANK)
        else:
            assert len(record.cells) == len(header.columns)
            assert sum(map(len, record.cells)) <= len(own)


def zipped(members: dict[str, bytes], *, stream: bool = False, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive; ``stream``: written without seeking, so that sizes follow the data."""
    if stream:
        target = OneWay()
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return bytes(target.data)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return memory.getvalue()


def compressed(data: bytes, compression: str) -> bytes:
    """``data`` in one of COMPRESSIONS."""
    match compression:
        case "gzip":
            return gzip.compress(data)
        case "bzip2":
            return bz2.compress(data)
        case "zstd":
            return zstandard.compress(data)
        case "zip":
            return zipped({"a.csv": data})
    return data


def code_of(data: bytes, options: FormatOptions | None = None) -> str:
    """The code of the error that a file is refused with."""
    with pytest.raises(BadRecordError) as caught:
        split(data, options)
    assert "a.csv" in caught.value.message
    return caught.value.code


def many_rows(count: int) -> bytes:
    """A table of three columns that does not compress to nothing."""
    dice = random.Random(5)
    lines = [f"Door {dice.random()},City {n},702-555-01{n % 100:02}\n" for n in range(count)]
    return ("Name,City,Phone\n" + "".join(lines)).encode()
