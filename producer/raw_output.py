"""The raw topic of a source: its Avro schema made from the file's header, its row messages, its end markers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from producer.splitter import Column
from schemas import headers
from schemas.flat_records import varint
from schemas.headers import Headers, Kind

RawSchema = dict[str, Any]

NULL_BRANCH = b"\x00"
STRING_BRANCH = b"\x02"
KNOWN_LENGTHS = 1_024
"""Cells of fewer bytes have their Avro length ready."""


def raw_schema(source: str, columns: Sequence[Column]) -> RawSchema:
    """The Avro schema of one header: a nullable string a column, the vendor's own header text kept beside it."""
    return {
        "type": "record",
        "name": "Row",
        "namespace": f"leadstream.raw.{source.replace('-', '_')}",
        "fields": [
            {"name": column.field, "type": ["null", "string"], "default": None, "header": column.name}
            for column in columns
        ],
    }


def row_encoder(prefix: bytes, columns: int) -> Callable[[Sequence[str]], bytes]:
    """A function from a row of ``columns`` cells to what :func:`encode_row` makes of it, in half the time.

    It is written out for its number of columns, so that a row of ASCII cells becomes text, lengths between the cells,
    in a single step. One character of that text is one byte.
    """
    cells = [f"cell_{at}" for at in range(columns)]
    text = "".join(f"{{length_of[len({cell})]}}{{{cell}}}" for cell in cells)
    lines = [
        "def encode(row):",
        f"    {', '.join(cells)}, = row",
        "    try:",
        f'        text = f"{text}"',
        "    except IndexError:",
        "        return encode_row(prefix, row)",
        "    if text.isascii() or ''.join(row).isascii():",
        "        return prefix + text.encode('latin-1')",
        "    return encode_row(prefix, row)",
    ]
    scope: dict[str, Any] = {"prefix": prefix, "length_of": _LENGTHS_AS_TEXT, "encode_row": encode_row}
    exec("\n".join(lines), scope)
    encode: Callable[[Sequence[str]], bytes] = scope["encode"]
    return encode


def encode_row(prefix: bytes, cells: Sequence[str]) -> bytes:
    """One row in Avro binary after its wire-format ``prefix``; an empty cell is null.

    Written out by hand because every field has the same type (union of null and string: branch index, then length
    and UTF-8 bytes; Avro 1.12 specification, "Binary encoding").
    """
    parts = [prefix]
    for cell in cells:
        data = cell.encode()
        size = len(data)
        parts += _LENGTHS[size] if size < KNOWN_LENGTHS else _length(size), data
    return b"".join(parts)


def row_headers(constant: Headers, row_number: int, line_number: int) -> Headers:
    """Headers of a row message: what is the same for the whole load, then its place in the file."""
    return [*constant, (headers.ROW, b"%d" % row_number), (headers.LINE, b"%d" % line_number)]


def load_headers(
    kind: Kind,
    load_id: str,
    load_seq: int,
    bucket: str,
    object_key: str,
    object_version: str,
    outdated: Sequence[str] = (),
) -> Headers:
    """The headers that every message of a load carries; ``outdated``: versions of mappings not to map it by."""
    constant = [
        (headers.KIND, kind.value.encode()),
        (headers.LOAD_ID, load_id.encode()),
        (headers.LOAD_SEQ, b"%d" % load_seq),
        (headers.BUCKET, bucket.encode()),
        (headers.KEY, object_key.encode()),
        (headers.VERSION, object_version.encode()),
    ]
    if outdated:
        constant.append((headers.OUTDATED, " ".join(outdated).encode()))
    return constant


def end_headers(constant: Headers, *, rows: int, status: str, refresh: str, hold: str) -> Headers:
    """Headers of an end marker; ``constant`` are those of :func:`load_headers` with kind ``end``."""
    marker = [
        *constant,
        (headers.ROWS, b"%d" % rows),
        (headers.STATUS, status.encode()),
        (headers.REFRESH, refresh.encode()),
    ]
    if hold:
        marker.append((headers.HOLD, hold.encode()))
    return marker


def _length(size: int) -> bytes:
    """What stands before a cell of ``size`` bytes."""
    return STRING_BRANCH + varint(size << 1) if size else NULL_BRANCH


_LENGTHS = tuple(_length(size) for size in range(KNOWN_LENGTHS))
_LENGTHS_AS_TEXT = tuple(length.decode("latin-1") for length in _LENGTHS)
