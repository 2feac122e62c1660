"""The raw topic of a source: its Avro schema made from the file's header, its row messages, its end markers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from leadstream.generated import function
from leadstream.record_batch import SIGNED_VARINTS, encoded_headers, record_body, sized
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


def row_encoder(prefix: bytes, columns: int, constant: Headers) -> Callable[[Sequence[str], str, str, str], bytes]:
    """A function from a row of ``columns`` cells, its key, row number and line number to the body of its record.

    The key is given as a text with a character a byte (Latin-1). The result is what ``record_body`` makes of the key,
    :func:`encode_row` with this ``prefix`` and :func:`row_headers`, in a third of the time: it is written out for its
    number of columns, and a record becomes text, lengths between its parts, in a single step. One character of that
    text is one byte.
    """
    cells = [f"cell_{at}" for at in range(columns)]
    text = "".join(f"{{length_of[len({cell})]}}{{{cell}}}" for cell in cells)
    body = (
        "{size_of[len(key)]}{key}{size_of[len(value) + prefix_size]}{prefix}{value}"
        "{before_row}{size_of[len(row_number)]}{row_number}{before_line}{size_of[len(line_number)]}{line_number}"
    )
    return function(
        "encode(row, key, row_number, line_number)",
        [
            f"{', '.join(cells)}, = row",
            "try:",
            f'    value = f"{text}"',
            "    if not (value.isascii() or ''.join(row).isascii()):",
            "        value = str(encode_row(b'', row), 'latin-1')",
            f'    return f"{body}".encode("latin-1")',
            "except IndexError:",  # something is so long that its length is in no table
            "    return long_body(row, key, row_number, line_number)",
        ],
        {
            "encode_row": encode_row,
            "length_of": _LENGTHS_AS_TEXT,
            "size_of": _SIZES_AS_TEXT,
            "prefix": str(prefix, "latin-1"),
            "prefix_size": len(prefix),
            "before_row": str(encoded_headers(constant, more=2) + sized(headers.ROW.encode()), "latin-1"),
            "before_line": str(sized(headers.LINE.encode()), "latin-1"),
            "long_body": functools.partial(_long_body, prefix, constant),
        },
    )


def _long_body(
    prefix: bytes, constant: Headers, row: Sequence[str], key: str, row_number: str, line_number: str
) -> bytes:
    place = encoded_headers(row_headers(constant, int(row_number), int(line_number)))
    return record_body(key.encode("latin-1"), encode_row(prefix, row), place)


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
_LENGTHS_AS_TEXT = tuple(str(length, "latin-1") for length in _LENGTHS)
_SIZES_AS_TEXT = tuple(str(size, "latin-1") for size in SIGNED_VARINTS)
