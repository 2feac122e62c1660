"""The file of an export: its columns, and how they are written as CSV or Parquet, some rows at a time."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from leadstream.cli.database import Row
from schemas.records import lead_fields, schema_json

Format = Literal["csv", "parquet"]
Write = Callable[[Sequence[Row]], None]

LIST_SEPARATOR = ";"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection")."""

_NUMBER = re.compile(r"[+-]\d+(\.\d+)?")


def columns(*, changes: bool) -> tuple[str, ...]:
    """Names of the columns, in order; a file of changes begins with ``op``."""
    return (
        *(("op",) if changes else ()),
        *("lead_key", "source"),
        *lead_fields(),
        *("first_seen_at", "updated_at", "load_id"),
    )


@contextlib.contextmanager
def open_file(path: Path, file_format: Format, names: Sequence[str]) -> Iterator[Write]:
    """A new file at ``path``; what is yielded appends rows to it, of which it takes the columns ``names``."""
    with (_open_csv if file_format == "csv" else _open_parquet)(path, names) as write:
        yield write


def harmless(text: str) -> str:
    """A text that no spreadsheet runs: what looks like a formula is led by an apostrophe.

    Plain numbers, a phone such as +17025550123 too, are no formulas and stay as they are.
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _NUMBER.fullmatch(text) else text


@contextlib.contextmanager
def _open_csv(path: Path, names: Sequence[str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)  # RFC 4180: commas, CRLF, quotes where needed
        writer.writerow(names)
        yield lambda rows: writer.writerows([_cell(row[name]) for name in names] for row in rows)


@contextlib.contextmanager
def _open_parquet(path: Path, names: Sequence[str]) -> Iterator[Write]:
    # Slow to import; no other command needs it.
    import pyarrow as pa
    from pyarrow import parquet

    body = {field["name"]: _arrow_type(field["type"]) for field in schema_json("lead")["fields"]}
    envelope = {"op": pa.string(), **dict.fromkeys(("first_seen_at", "updated_at"), pa.timestamp("ms", tz="UTC"))}
    schema = pa.schema([(name, (body | envelope)[name]) for name in names])
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(list(rows), schema=schema))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, date | int):
        return str(value)
    return harmless(LIST_SEPARATOR.join(value) if isinstance(value, list) else str(value))


def _arrow_type(avro: Any) -> Any:
    """The Arrow type of a field of lead.avsc."""
    import pyarrow as pa

    if isinstance(avro, list):  # ["null", type]: every column may be empty
        return _arrow_type(avro[-1])
    if isinstance(avro, str):
        names = {"string": pa.string(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64()}
        return names.get(avro, pa.binary())
    if avro["type"] == "array":
        return pa.list_(_arrow_type(avro["items"]))
    logical = {"date": pa.date32(), "timestamp-millis": pa.timestamp("ms", tz="UTC")}
    return logical.get(avro.get("logicalType"), pa.string())
