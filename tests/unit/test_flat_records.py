"""The row path's own Avro: the same bytes as fastavro's, and the same refusals."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from leadstream.errors import BadRecordError
from producer.raw_output import encode_row, raw_schema
from producer.splitter import Column
from schemas.codec import frame
from schemas.flat_records import compile_cells, compile_encoder
from schemas.records import lead_body_schema

FRAME = frame(7)
COLUMNS = [Column(name=f"C {at}", field=f"c{at}") for at in range(4)]
RAW = parse_schema(raw_schema("acme", COLUMNS))
READ = compile_cells(4, range(4))
TEXTS = st.one_of(st.text(max_size=5), st.integers(60, 70).map("é".__mul__), st.just("x" * 20_000))
VALUES = {
    "string": TEXTS,
    "int": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "date": st.dates(),
}


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, list):
        return st.none() | _values(kind[1])
    if isinstance(kind, dict):
        return st.lists(TEXTS, max_size=3) if kind["type"] == "array" else VALUES[kind["logicalType"]]
    return VALUES[kind]


BODIES = st.fixed_dictionaries({field["name"]: _values(field["type"]) for field in lead_body_schema()["fields"]})


def _by_fastavro(schema: Any, record: Any) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, schema, record)
    return buffer.getvalue()


@given(BODIES)
def test_a_lead_has_the_bytes_that_fastavro_gives_it(body: dict[str, Any]) -> None:
    """Byte for byte, whatever is in it: content hashes and readers depend on it."""
    assert compile_encoder(lead_body_schema())(body) == _by_fastavro(lead_body_schema(), body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"company": 7},
        {"company": b"bytes"},
        {"company": "\ud800"},
        {"capacity": "7"},
        {"capacity": True},
        {"capacity": 2**31},
        {"license_issued": "2020-01-01"},
        {"accepts_financial_aid": 1},
        {"ages_served": None},
        {"ages_served": [None]},
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(wrong: dict[str, Any]) -> None:
    """A mapping's mistake costs its row; it never becomes bytes that no reader understands."""
    body: dict[str, Any] = {field["name"]: None for field in lead_body_schema()["fields"]} | {"ages_served": []}
    encode = compile_encoder(lead_body_schema())
    encode(body)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        encode(body | wrong)


def test_a_type_that_is_not_known_goes_through_fastavro() -> None:
    """The canonical schema may grow by fields of any type."""
    types: list[Any] = ["double", ["null", "long"], ["null", {"type": "map", "values": "int"}]]
    fields = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(types)]
    schema = parse_schema({"type": "record", "name": "Other", "fields": fields})
    for record in ({"f0": 1.5, "f1": None, "f2": {"a": 1}}, {"f0": 0.0, "f1": 2**40, "f2": None}):
        assert compile_encoder(schema)(record) == _by_fastavro(schema, record)


@given(st.lists(st.none() | TEXTS, min_size=4, max_size=4))
def test_the_cells_of_a_row_are_those_that_fastavro_reads(cells: list[str | None]) -> None:
    """Null and empty, short and long, beyond ASCII; as fastavro wrote them and as the producer does."""
    value = FRAME + _by_fastavro(RAW, dict(zip(("c0", "c1", "c2", "c3"), cells, strict=True)))
    assert READ(value) == cells
    texts = [cell or "" for cell in cells]
    assert READ(encode_row(FRAME, texts)) == [text or None for text in texts]


@given(st.lists(st.none() | TEXTS, min_size=4, max_size=4), st.sets(st.integers(0, 3)))
def test_only_the_wanted_cells_are_read(cells: list[str | None], wanted: set[int]) -> None:
    """The others are passed over, in their right lengths."""
    value = FRAME + _by_fastavro(RAW, dict(zip(("c0", "c1", "c2", "c3"), cells, strict=True)))
    assert compile_cells(4, wanted)(value) == [cell if at in wanted else None for at, cell in enumerate(cells)]


@given(st.binary(max_size=24))
def test_bytes_are_read_as_fastavro_reads_them_or_refused(data: bytes) -> None:
    """Damaged bytes never become cells: what fastavro refuses, or reads only in part, is undecodable.

    A number written longer than it needs to be, which no writer does, may be refused as well.
    """
    try:
        buffer = io.BytesIO(data)
        expected = list(dict(schemaless_reader(buffer, RAW, None)).values())  # type: ignore[call-overload]
        whole = buffer.tell() == len(data)
    except Exception:
        whole = False
    if whole:
        try:
            assert READ(FRAME + data) == expected
        except BadRecordError:
            assert _by_fastavro(RAW, dict(zip(("c0", "c1", "c2", "c3"), expected, strict=True))) != data
    else:
        with pytest.raises(BadRecordError) as caught:
            READ(FRAME + data)
        assert caught.value.code == "undecodable"


def test_a_date_far_back_keeps_its_day() -> None:
    """Days before 1970 are negative numbers."""
    body: dict[str, Any] = {field["name"]: None for field in lead_body_schema()["fields"]} | {"ages_served": []}
    body["license_issued"] = date(1901, 2, 3)
    data = compile_encoder(lead_body_schema())(body)
    read: Any = schemaless_reader(io.BytesIO(data), lead_body_schema(), None)
    assert read["license_issued"] == date(1901, 2, 3)
