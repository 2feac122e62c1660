"""Avro bytes as COPY rows: what fastavro reads from them stands in the rows, and what it refuses is refused."""

from __future__ import annotations

import io
import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from leadstream.errors import BadRecordError
from schemas.records import parsed, schema_json
from sink.copy_format import EPOCH, compile_cut, stream

SMALL: Any = {
    "type": "record",
    "name": "Small",
    "fields": [
        {"name": "key", "type": "string"},
        {"name": "source", "type": "string"},
        {"name": "op", "type": {"type": "enum", "name": "Op", "symbols": ["c", "u", "d"]}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "hash", "type": "bytes"},
        {"name": "texts", "type": {"type": "array", "items": "string"}},
        {"name": "aid", "type": ["null", "boolean"]},
        {"name": "age", "type": ["null", "int"]},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "name", "type": ["null", "string"]},
    ],
}
"""A field of each type that a lead has."""
REPEATING = ("source", "op", "at", "name")
TEXTS = st.one_of(st.text(max_size=4), st.sampled_from(["", "infants", "x" * 63, "x" * 64, "é" * 70, "y" * 9_000]))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "bytes": st.binary(max_size=9),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "date": st.dates(),
    "timestamp-millis": MOMENTS,
    "array": st.lists(TEXTS, max_size=3),
    "enum": st.sampled_from("cud"),
}


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, list):
        return st.none() | _values(kind[1])
    return VALUES[_name(kind)]


def _name(kind: Any) -> str:
    kind = kind[1] if isinstance(kind, list) else kind
    name: str = kind if isinstance(kind, str) else kind.get("logicalType", kind["type"])
    return name


def _records(schema: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({field["name"]: _values(field["type"]) for field in schema["fields"]})


def _encoded(schema: Any, record: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, parse_schema(schema), record)
    return buffer.getvalue()


def _cut(schema: Any, repeating: tuple[str, ...] = ()) -> Any:
    return compile_cut(schema, [[field["name"]] for field in schema["fields"]], repeating)


def _python(kind: Any, field: bytes) -> Any:
    """What Postgres understands by a COPY field; bytes that are no text raise a UnicodeDecodeError."""
    (size,), data = struct.unpack_from(">i", field), field[4:]
    if size == -1:
        assert isinstance(kind, list)
        assert not data
        return None
    assert size == len(data)
    name = _name(kind)
    if name in {"string", "enum"}:
        return data.decode()
    if name == "array":
        return _texts(data)
    number = int.from_bytes(data, signed=True)
    if name == "date":
        return EPOCH.date() + timedelta(days=number)
    if name == "timestamp-millis":
        return EPOCH + timedelta(microseconds=number)
    return {"bytes": data, "boolean": data == b"\1"}.get(name, number)


def _texts(data: bytes) -> list[str]:
    dimensions, has_null, oid = struct.unpack_from(">iii", data)
    assert (has_null, oid) == (0, 25)
    if dimensions == 0:
        assert len(data) == 12
        return []
    count, first = struct.unpack_from(">ii", data, 12)
    assert (dimensions, first) == (1, 1)
    texts, at = [], 20
    for _ in range(count):
        (size,) = struct.unpack_from(">i", data, at)
        texts.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    assert at == len(data)
    return texts


@given(_records(schema_json("lead")))
def test_a_lead_says_in_a_copy_row_what_it_says_in_avro(record: dict[str, Any]) -> None:
    """Every field, whatever is in it: short and long, null, negative, far back in time."""
    fields = _cut(schema_json("lead"))(_encoded(parsed("lead"), record), 0)
    schema = schema_json("lead")["fields"]
    for kind, field in zip(schema, fields, strict=True):
        assert _python(kind["type"], field) == record[kind["name"]], kind["name"]


@given(st.data())
def test_damaged_bytes_are_read_as_fastavro_reads_them_or_refused(data: st.DataObject) -> None:
    """By the sink or, where a text is not UTF-8, by Postgres: what fastavro refuses never becomes a lead."""
    value = bytearray(_encoded(SMALL, data.draw(_records(SMALL))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value)))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    damaged = bytes(value)
    buffer = io.BytesIO(damaged)
    try:
        read: Any = schemaless_reader(buffer, parse_schema(SMALL), None)
        expected = list(read.values()) if buffer.tell() == len(damaged) else None
    except Exception:
        expected = None
    try:
        fields = _cut(SMALL)(damaged, 0)
        cut = [_python(kind["type"], field) for kind, field in zip(SMALL["fields"], fields, strict=True)]
    except BadRecordError as exc:
        assert exc.code == "undecodable"
        assert expected is None or _encoded(SMALL, dict(read)) != damaged, "bytes as a writer writes them"
    except UnicodeDecodeError:
        assert expected is None
    else:
        assert cut == expected


@given(st.lists(_records(SMALL), min_size=2, max_size=5), st.data())
def test_what_is_kept_of_one_record_changes_nothing_in_the_next(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Fields that repeat are read once; not even a record that is cut off leaves anything behind."""
    cut = _cut(SMALL, REPEATING)
    for record in records:
        for name in REPEATING:
            record[name] = data.draw(st.sampled_from([records[0][name], record[name]]))
        value = _encoded(SMALL, record)
        with pytest.raises(BadRecordError):
            cut(value[: data.draw(st.integers(0, len(value) - 1))], 0)
        assert cut(value, 0) == _cut(SMALL)(value, 0)


def test_an_array_in_blocks_is_read_block_by_block() -> None:
    """Avro lets a writer cut an array into blocks, and say their size: fastavro does not, others do."""
    schema = {"type": "record", "name": "Blocks", "fields": [{"name": "texts", "type": SMALL["fields"][5]["type"]}]}
    (field,) = _cut(schema)(b"\x02\x02a" + b"\x01\x04\x02b" + b"\x00", 0)
    assert _python(SMALL["fields"][5]["type"], field) == ["a", "b"]


@pytest.mark.parametrize("days", [date.min.toordinal() - 719_164, date.max.toordinal() - 719_162, 2**31 - 1])
def test_a_day_that_python_does_not_know_is_refused(days: int) -> None:
    """Whoever reads the table by Python would fail on it."""
    schema = {"type": "record", "name": "Days", "fields": [{"name": "day", "type": "int"}]}
    value = _encoded(schema, {"day": days})
    schema["fields"] = [{"name": "day", "type": {"type": "int", "logicalType": "date"}}]
    with pytest.raises(BadRecordError):
        _cut(schema)(value, 0)


async def test_rows_come_with_what_copy_wants_around_them() -> None:
    """Signature, flags and extension before them, a count of -1 after them."""
    rows = [b"\0\0"] * 1_001
    parts = [part async for part in stream(rows)]
    assert b"".join(parts) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\0" * 1_001 + b"\xff\xff"
