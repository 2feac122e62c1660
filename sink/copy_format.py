"""Rows of a binary COPY, made from Avro bytes without Python values in between.

A text is the same UTF-8 in both, behind another length; a number is written another way. A function is generated for a
schema, so that a record costs one call. What it does not look at (whether a text is UTF-8 and without NUL) Postgres
does, and refuses the row. Sources: Avro 1.12 specification, "Binary encoding"; PostgreSQL's documentation, "COPY",
"Binary Format", and the ``recv`` functions of its types.
"""

from __future__ import annotations

import itertools
import struct
import textwrap
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any

from leadstream.errors import BadRecordError

ROWS_PER_CHUNK = 500
NULL = struct.pack(">i", -1)
EMPTY_TEXT = struct.pack(">i", 0)
TEXT_OID = 25
MAX_KNOWN_ARRAYS = 1_000
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which Postgres counts days and microseconds."""

Cut = Callable[[bytes, int], tuple[bytes, ...]]

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_DAY_MILLISECONDS = 24 * 60 * 60 * 1000
_UNIX_DAY = date(1970, 1, 1).toordinal()
_EPOCH_DAY = EPOCH.toordinal() - _UNIX_DAY
_DAYS = range(date.min.toordinal() - _UNIX_DAY, date.max.toordinal() - _UNIX_DAY + 1)
"""Those that Python knows, from 1970."""
_MILLISECONDS = range(_DAYS.start * _DAY_MILLISECONDS, _DAYS.stop * _DAY_MILLISECONDS)
_SHORT_LENGTHS = tuple(struct.pack(">i", size >> 1) if size % 2 == 0 else None for size in range(128))
"""By Avro's byte for it; an odd one is a negative length."""

_known_arrays = {b"\0": struct.pack(">iiii", 12, 0, 0, TEXT_OID)}
"""By their bytes in Avro, where these have one zero, the last: age groups come in few combinations."""
_array = struct.Struct(">iiiiii").pack
_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_length = struct.Struct(">i").pack

_TEXT = """
size = data[at]
at += 1
if size < 128:
    end = at + (size >> 1)
    {name} = SHORT_LENGTHS[size] + data[at:end]
else:
    size, at = size_at(data, at - 1)
    end = at + size
    {name} = length(size) + data[at:end]
at = end
"""
_NUMBER = """
low = data[at]
if low < 128:
    at += 1
    value = (low >> 1) ^ -(low & 1)
else:
    value, at = number(data, at)
"""
_CUTS = {
    "string": _TEXT,
    "bytes": _TEXT,
    "int": _NUMBER + "{name} = int4(4, value)",
    "long": _NUMBER + "{name} = int8(8, value)",
    "date": _NUMBER + "{name} = day(value)",
    "timestamp-millis": _NUMBER + "{name} = moment(value)",
    "boolean": "{name} = BOOLEANS[data[at]]\nat += 1",
    "array": "{name}, at = texts(data, at)",
    "enum": "{name} = symbols_{name}[data[at]]\nat += 1",
}
"""How a field of each type is read from ``data`` at ``at``, by logical type where it has one."""
_NULLABLE = """
branch = data[at]
at += 1
if branch == 2:
{lines}
elif branch == 0:
    {name} = NULL
else:
    raise ValueError
"""
_REPEATING = """
global seen_{run}, kept_{run}
if data.startswith(seen_{run}, at):
    at += len(seen_{run})
else:
    start = at
{cuts}
    if at <= len(data):
        seen_{run}, kept_{run} = data[start:at], ({names},)
{names}, = kept_{run}
"""
_FUNCTION = """
def cut(data, at):
{cuts}
    if at != len(data):
        raise ValueError
    return ({groups},)
"""


def compile_cut(schema: Any, groups: Sequence[Sequence[str]], repeating: Collection[str]) -> Cut:
    """A function that cuts a record of ``schema`` (a record of flat fields), which stands in ``data`` from ``at`` on.

    It gives the COPY fields of each group of names, one behind the other. Fields that are ``repeating``, the same in
    one record after another, are compared with those of the record before as bytes, and read only where they differ.

    Raises (what is returned):
        BadRecordError: (code ``undecodable``) the bytes are not such a record.
    """
    known: dict[str, Any] = dict(_NAMES)
    cuts: list[str] = []
    for run, (is_repeating, fields) in enumerate(itertools.groupby(schema["fields"], lambda f: f["name"] in repeating)):
        run_fields = list(fields)
        lines = "\n".join(_source(field, known) for field in run_fields)
        if is_repeating:
            known |= {f"seen_{run}": (), f"kept_{run}": ()}  # () is what no bytes start with
            names = ", ".join(f"f_{field['name']}" for field in run_fields)
            lines = _REPEATING.strip().format(run=run, cuts=textwrap.indent(lines, "    "), names=names)
        cuts.append(lines)
    joined = ", ".join(f"b''.join(({', '.join(f'f_{name}' for name in names)},))" for names in groups)
    source = _FUNCTION.format(cuts=textwrap.indent("\n".join(cuts), "    "), groups=joined)
    exec(source, known)
    cut_bytes: Cut = known["cut"]

    def cut_or_refuse(data: bytes, at: int) -> tuple[bytes, ...]:
        try:
            return cut_bytes(data, at)
        except (LookupError, TypeError, ValueError, struct.error) as exc:
            raise BadRecordError(f"the bytes are not a record: {type(exc).__name__}", code="undecodable") from exc

    return cut_or_refuse


def text(value: str) -> bytes:
    """The COPY field of a text."""
    data = value.encode()
    return _length(len(data)) + data


async def stream(rows: Sequence[bytes]) -> AsyncIterator[bytes]:
    """What COPY takes for ``rows``, each a field count (2 bytes) and its fields."""
    yield _HEADER
    for start in range(0, len(rows), ROWS_PER_CHUNK):
        yield b"".join(rows[start : start + ROWS_PER_CHUNK])
    yield _TRAILER


def _source(field: Any, known: dict[str, Any]) -> str:
    """The lines that read one field; what they call beyond :data:`_NAMES` is put into ``known``."""
    kind, name = field["type"], f"f_{field['name']}"
    inner = kind[1] if isinstance(kind, list) else kind
    if isinstance(inner, dict) and inner["type"] == "enum":
        known[f"symbols_{name}"] = {at << 1: text(symbol) for at, symbol in enumerate(inner["symbols"])}
    lines = _CUTS[inner if isinstance(inner, str) else inner.get("logicalType", inner["type"])].strip()
    if isinstance(kind, list):
        lines = _NULLABLE.strip().replace("{lines}", textwrap.indent(lines, "    "))
    return lines.replace("{name}", name)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of any length at ``at``, and where it ends."""
    low = shift = 0
    while (byte := data[at]) > 127:
        low |= (byte & 127) << shift
        shift += 7
        at += 1
    low |= byte << shift
    return (low >> 1) ^ -(low & 1), at + 1


def _size(data: bytes, at: int) -> tuple[int, int]:
    size, at = _number(data, at)
    if size < 0:
        raise ValueError
    return size, at


def _day(value: int) -> bytes:
    if value not in _DAYS:
        raise ValueError
    return _int4(4, value - _EPOCH_DAY)


def _moment(value: int) -> bytes:
    if value not in _MILLISECONDS:
        raise ValueError
    return _int8(8, (value - _EPOCH_DAY * _DAY_MILLISECONDS) * 1000)


def _texts(data: bytes, at: int) -> tuple[bytes, int]:
    """An array of texts at ``at``, and where it ends. A block with a negative count has its size in bytes before it."""
    end = data.find(0, at) + 1
    known = _known_arrays.get(data[at:end])
    if known is not None:
        return known, end
    start = at
    items: list[bytes] = []
    count, at = _number(data, at)
    while count:
        if count < 0:
            _block_size, at = _size(data, at)
        for _ in range(abs(count)):
            size, at = _size(data, at)
            items += _length(size), data[at : at + size]
            at += size
        count, at = _number(data, at)
    joined = b"".join(items)
    field = _array(20 + len(joined), 1, 0, TEXT_OID, len(items) // 2, 1) + joined
    if at == end and len(_known_arrays) < MAX_KNOWN_ARRAYS:
        _known_arrays[data[start:end]] = field
    return field, at


_NAMES = {
    "NULL": NULL,
    "BOOLEANS": (b"\0\0\0\1\0", b"\0\0\0\1\1"),
    "SHORT_LENGTHS": _SHORT_LENGTHS,
    "int4": _int4,
    "int8": _int8,
    "length": _length,
    "number": _number,
    "size_at": _size,
    "day": _day,
    "moment": _moment,
    "texts": _texts,
}
"""What a generated function calls."""
