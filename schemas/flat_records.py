"""Records of the row path in Avro binary, read and written by functions that are generated for their schema.

fastavro tries the branches of a union one after the other, which costs more than the mapping itself; a loop over
columns costs twice what the same steps do when they stand one after another. The bytes are the same (Avro 1.12
specification, "Binary encoding"); a type that is not known here goes through fastavro.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Collection
from datetime import date
from typing import Any

from fastavro import parse_schema, schemaless_writer

from leadstream.errors import BadRecordError
from leadstream.generated import function
from schemas.codec import FRAME_BYTES

EPOCH_DAY = date(1970, 1, 1).toordinal()
INT_LIMIT = 2**31
NULL_BRANCH = b"\x00"
VALUE_BRANCH = b"\x02"
SHORT_BYTES = 64
CACHED_VALUES = 65_536
CACHED_LISTS = 4_096
LONGEST_SHIFT = 63

Cells = list[str | None]
Write = Callable[[Any], bytes]

_TWO_BYTES = 1 << 14
"""Of a number, the two bytes that say its lowest 14 bits are ready: when they are its last, and when more follow."""
_LAST = tuple(bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(_TWO_BYTES))
_GO_ON = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(_TWO_BYTES))
_SHORT_SIZES = tuple(0 if byte > 0x7F or byte & 1 else byte >> 1 for byte in range(256))
"""By the byte after the branch; 0: the length has more bytes, or is none."""
_SHORT_TEXTS = tuple(VALUE_BRANCH + _LAST[length << 1] for length in range(SHORT_BYTES))


def compile_cells(columns: int, wanted: Collection[int]) -> Callable[[bytes], Cells]:
    """A function from a raw message, whose schema is a nullable string a column, to its cells.

    Only the columns in ``wanted`` are read; the others are ``None``. It raises BadRecordError (code ``undecodable``)
    when the bytes are not such a record.
    """
    steps: list[str] = []
    following = 0
    for at in sorted(wanted):
        steps += _passing(at - following)
        steps += _cell(f"cells[{at}] = data[at:end].decode()")
        following = at + 1
    steps += _passing(columns - following)
    return function(
        "read_cells(data)",
        [
            f"cells = [None] * {columns}",
            f"at = {FRAME_BYTES}",
            "try:",
            *[f"    {step}" for step in steps or ["pass"]],
            "except (IndexError, UnicodeDecodeError) as exc: raise no_row(type(exc).__name__) from exc",
            "if at != len(data): raise no_row('there are bytes left over, or too few')",
            "return cells",
        ],
        {"short_size": _SHORT_SIZES, "long_size": _long_size, "no_row": _no_row},
    )


def compile_encoder(schema: Any) -> Callable[[dict[str, Any]], bytes]:
    """A function from a record of ``schema`` to its bytes. It raises when a value does not fit its field."""
    steps: list[str] = []
    names: dict[str, Any] = {"NULL": NULL_BRANCH, "short_texts": _SHORT_TEXTS, "long_text": _long_text}
    for at, field in enumerate(schema["fields"]):
        steps.append(f"value = record[{field['name']!r}]")
        if field["type"] == ["null", "string"]:
            steps += [
                "if value is None: add(NULL)",
                "else:",
                "    text = value.encode()",
                "    size = len(text)",
                f"    add(short_texts[size] if size < {SHORT_BYTES} else long_text(size))",
                "    add(text)",
            ]
            continue
        names[f"write_{at}"], is_nullable = _writer(field["type"])
        steps.append(f"add(NULL if value is None else write_{at}(value))" if is_nullable else f"add(write_{at}(value))")
    return function("encode(record)", ["parts = []", "add = parts.append", *steps, "return b''.join(parts)"], names)


def encoded_string(data: bytes) -> bytes:
    """A string, given in UTF-8, or bytes."""
    return varint(len(data) << 1) + data


def encoded_long(number: int) -> bytes:
    """A whole number of up to 64 bits."""
    return varint(number << 1 if number >= 0 else ~(number << 1))


def _passing(columns: int) -> list[str]:
    """Steps over columns that are not read."""
    return [f"for _ in range({columns}):", *[f"    {step}" for step in _cell("pass")]] if columns else []


def _cell(take: str) -> list[str]:
    """Steps over one cell, which ``take`` finds between ``at`` and ``end``."""
    return [
        "if data[at] == 2:",
        "    size = short_size[data[at + 1]]",
        "    if size: at += 2",
        "    else: size, at = long_size(data, at + 1)",
        "    end = at + size",
        f"    {take}",
        "    at = end",
        "elif data[at] == 0: at += 1",
        "else: raise no_row('a cell is neither null nor text')",
    ]


def _long_size(data: bytes, at: int) -> tuple[int, int]:
    """The length of a string, and where it begins."""
    size = shift = 0
    while (byte := data[at]) > 0x7F:
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > LONGEST_SHIFT:
            raise _no_row("a length of more than 64 bits")
    size |= byte << shift
    if size & 1:
        raise _no_row("a negative length")
    return size >> 1, at + 1


def _no_row(why: str) -> BadRecordError:
    return BadRecordError(f"the bytes are not a row: {why}", code="undecodable")


def _writer(kind: Any) -> tuple[Write, bool]:
    """How a field of this type is written, and whether ``None`` is a zero byte."""
    if kind == {"type": "array", "items": "string"}:
        return encoded_strings, False
    if isinstance(kind, list) and len(kind) == 2 and kind[0] == "null":
        for known, write in _nullable_writers():
            if kind[1] == known:
                return write, True
    return _by_fastavro(parse_schema(kind)), False


def _nullable_writers() -> list[tuple[Any, Write]]:
    return [
        ("int", _int),
        ("boolean", _boolean),
        ({"type": "int", "logicalType": "date"}, _date),
    ]


def _long_text(size: int) -> bytes:
    return VALUE_BRANCH + varint(size << 1)


def _boolean(value: bool) -> bytes:
    if type(value) is not bool:
        raise TypeError(f"{type(value).__name__} is no boolean")
    return b"\x02\x01" if value else b"\x02\x00"


@functools.lru_cache(CACHED_VALUES, typed=True)  # capacities and ages repeat
def _int(value: int) -> bytes:
    if type(value) is not int or not -INT_LIMIT <= value < INT_LIMIT:
        raise TypeError(f"{type(value).__name__} is no int of 32 bits")
    return VALUE_BRANCH + encoded_long(value)


@functools.lru_cache(CACHED_VALUES, typed=True)
def _date(value: date) -> bytes:
    if type(value) is not date:
        raise TypeError(f"{type(value).__name__} is no date")
    return VALUE_BRANCH + encoded_long(value.toordinal() - EPOCH_DAY)


def encoded_strings(values: list[str]) -> bytes:
    """An array of strings."""
    if type(values) is not list:
        raise TypeError(f"{type(values).__name__} is no list")
    return _strings(tuple(values)) if values else NULL_BRANCH


@functools.lru_cache(CACHED_LISTS)  # sets of age groups and of changed fields repeat
def _strings(values: tuple[str, ...]) -> bytes:
    return b"".join([encoded_long(len(values)), *[encoded_string(value.encode()) for value in values], NULL_BRANCH])


def _by_fastavro(schema: Any) -> Write:
    def write(value: Any) -> bytes:
        buffer = io.BytesIO()
        schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    return write


def varint(number: int) -> bytes:
    """A whole number that is not negative: seven bits a byte, the lowest first."""
    if number < _TWO_BYTES:
        return _LAST[number]
    return _GO_ON[number & _TWO_BYTES - 1] + varint(number >> 14)
