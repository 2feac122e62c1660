"""The raw topic of a source: its Avro schema made from the file's header, its row messages, its end markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from producer.splitter import Column
from schemas import headers
from schemas.flat_records import varint
from schemas.headers import Headers, Kind

RawSchema = dict[str, Any]

NULL_BRANCH = b"\x00"
STRING_BRANCH = b"\x02"


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


def encode_row(prefix: bytes, cells: Sequence[str]) -> bytes:
    """One row in Avro binary after its wire-format ``prefix``; an empty cell is null.

    Written out by hand because every field has the same type (union of null and string: branch index, then length
    and UTF-8 bytes; Avro 1.12 specification, "Binary encoding") and this runs once a row.
    """
    parts = [prefix]
    for cell in cells:
        if cell:
            data = cell.encode()
            size = len(data)
            if size < 64:
                parts.append(b"\x02%c" % (size << 1))
            else:
                parts.append(STRING_BRANCH + varint(size << 1))
            parts.append(data)
        else:
            parts.append(NULL_BRANCH)
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
