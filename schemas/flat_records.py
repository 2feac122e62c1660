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

Cells = list[str | None]
Write = Callable[[Any], bytes]

_SHORT_LENGTHS = tuple(bytes([length << 1]) for length in range(SHORT_BYTES))
_SHORT_TEXTS = tuple(VALUE_BRANCH + length for length in _SHORT_LENGTHS)


def compile_cells(columns: int, wanted: Collection[int]) -> Callable[[bytes], Cells]:
    """A function from a raw message, whose schema is a nullable string a column, to its cells.

    Only the columns in ``wanted`` are read; the others are ``None``. It raises BadRecordError (code ``undecodable``)
    when the bytes are not such a record.
    """
    steps: list[str] = []
    following = 0
    for at in sorted(wanted):
        steps += _passing(at - following)
        steps += _cell(f"cells[{at}] = str(data[at:end], 'utf-8')")
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
        {"long_size": _long_size, "no_row": _no_row},
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
    return (_SHORT_LENGTHS[len(data)] if len(data) < SHORT_BYTES else varint(len(data) << 1)) + data


def encoded_long(number: int) -> bytes:
    """A whole number of up to 64 bits."""
    number = number << 1 if number >= 0 else ~(number << 1)
    if number < 0x80:
        return number.to_bytes(1, "big")
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x200000:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return varint(number)


def _passing(columns: int) -> list[str]:
    """Steps over columns that are not read."""
    return [f"for _ in range({columns}):", *[f"    {step}" for step in _cell("pass")]] if columns else []


def _cell(take: str) -> list[str]:
    """Steps over one cell, which ``take`` finds between ``at`` and ``end``."""
    return [
        "branch = data[at]",
        "if branch == 2:",
        "    size = data[at + 1]",
        "    if size > 127 or size & 1: size, at = long_size(data, at + 1)",
        "    else: at += 2",
        "    end = at + (size >> 1)",
        f"    {take}",
        "    at = end",
        "elif branch == 0: at += 1",
        "else: raise no_row('a cell is neither null nor text')",
    ]


def _long_size(data: bytes, at: int) -> tuple[int, int]:
    """Twice the length of a string, and where it begins."""
    size = shift = 0
    while (byte := data[at]) > 0x7F:
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    size |= byte << shift
    if size & 1:
        raise _no_row("a negative length")
    return size, at + 1


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
    if not values:
        return NULL_BRANCH
    return b"".join([encoded_long(len(values)), *[encoded_string(value.encode()) for value in values], NULL_BRANCH])


def _by_fastavro(schema: Any) -> Write:
    def write(value: Any) -> bytes:
        buffer = io.BytesIO()
        schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    return write


def varint(number: int) -> bytes:
    """A whole number that is not negative: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
