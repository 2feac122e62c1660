"""The two records of the row path in Avro binary, written out by hand: they are read and written once a row.

fastavro tries the branches of a union one after the other, which costs more than the mapping itself. The bytes are the
same (Avro 1.12 specification, "Binary encoding"); a type that is not known here goes through fastavro.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date
from typing import Any

from fastavro import parse_schema, schemaless_writer

from leadstream.errors import BadRecordError
from schemas.codec import FRAME_BYTES

EPOCH_DAY = date(1970, 1, 1).toordinal()
INT_LIMIT = 2**31
NULL_BRANCH = b"\x00"
VALUE_BRANCH = b"\x02"
SHORT_BYTES = 64

Write = Callable[[Any], bytes]

_SHORT_LENGTHS = tuple(bytes([length << 1]) for length in range(SHORT_BYTES))


def decode_cells(value: bytes, columns: int) -> list[str | None]:
    """The cells of a raw row, whose schema is a nullable string a column.

    Raises:
        BadRecordError: (code ``undecodable``) the bytes are not such a record.
    """
    cells: list[str | None] = []
    at = FRAME_BYTES
    try:
        for _ in range(columns):
            branch = value[at]
            at += 1
            if branch == 0:
                cells.append(None)
                continue
            size = value[at]
            at += 1
            if size > 0x7F:
                size &= 0x7F
                shift = 7
                while (byte := value[at]) > 0x7F:
                    size |= (byte & 0x7F) << shift
                    shift += 7
                    at += 1
                size |= byte << shift
                at += 1
            if branch != 2 or size & 1:  # another branch, or a negative length
                raise BadRecordError("the bytes are not a row", code="undecodable")
            end = at + (size >> 1)
            cells.append(str(value[at:end], "utf-8"))
            at = end
    except (IndexError, UnicodeDecodeError) as exc:
        raise BadRecordError(f"the bytes are not a row: {type(exc).__name__}", code="undecodable") from exc
    if at != len(value):
        raise BadRecordError("the bytes are not a row of this many columns", code="undecodable")
    return cells


def compile_encoder(schema: Any) -> Callable[[dict[str, Any]], bytes]:
    """A function from a record of ``schema`` to its bytes. It raises when a value does not fit its field."""
    writers = tuple((field["name"], *_writer(field["type"])) for field in schema["fields"])

    def encode(record: dict[str, Any]) -> bytes:
        parts = []
        for name, write, is_nullable in writers:
            value = record[name]
            parts.append(NULL_BRANCH if value is None and is_nullable else write(value))
        return b"".join(parts)

    return encode


def _writer(kind: Any) -> tuple[Write, bool]:
    """How a field of this type is written, and whether ``None`` is a zero byte."""
    if kind == {"type": "array", "items": "string"}:
        return _strings, False
    if isinstance(kind, list) and len(kind) == 2 and kind[0] == "null":
        for known, write in _nullable_writers():
            if kind[1] == known:
                return write, True
    return _by_fastavro(parse_schema(kind)), False


def _nullable_writers() -> list[tuple[Any, Write]]:
    return [
        ("string", _string),
        ("int", _int),
        ("boolean", _boolean),
        ({"type": "int", "logicalType": "date"}, _date),
    ]


def _string(value: str) -> bytes:
    data = value.encode()
    return VALUE_BRANCH + _length(len(data)) + data


def _boolean(value: bool) -> bytes:
    if type(value) is not bool:
        raise TypeError(f"{type(value).__name__} is no boolean")
    return b"\x02\x01" if value else b"\x02\x00"


def _int(value: int) -> bytes:
    if type(value) is not int or not -INT_LIMIT <= value < INT_LIMIT:
        raise TypeError(f"{type(value).__name__} is no int of 32 bits")
    return VALUE_BRANCH + varint(value << 1 if value >= 0 else ~(value << 1))


def _date(value: date) -> bytes:
    if type(value) is not date:
        raise TypeError(f"{type(value).__name__} is no date")
    return _int(value.toordinal() - EPOCH_DAY)


def _strings(values: list[str]) -> bytes:
    if type(values) is not list:
        raise TypeError(f"{type(values).__name__} is no list")
    if not values:
        return b"\x00"
    parts = [_length(len(values))]
    for value in values:
        data = value.encode()
        parts += _length(len(data)), data
    parts.append(b"\x00")
    return b"".join(parts)


def _by_fastavro(schema: Any) -> Write:
    def write(value: Any) -> bytes:
        buffer = io.BytesIO()
        schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    return write


def _length(length: int) -> bytes:
    return _SHORT_LENGTHS[length] if length < SHORT_BYTES else varint(length << 1)


def varint(number: int) -> bytes:
    """A whole number that is not negative: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
