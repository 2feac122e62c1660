"""Rows as Avro on the raw topic."""

from __future__ import annotations

import io

from fastavro import parse_schema, schemaless_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.partitioning import lane_of, lanes_of
from leadstream.record_batch import encoded_headers, record_body
from producer.raw_output import encode_row, load_headers, raw_schema, row_encoder, row_headers
from producer.splitter import Column
from schemas.headers import Kind

TEXTS = st.text(max_size=80) | st.text("ab é", min_size=1_000, max_size=1_100) | st.text("abc", max_size=2_000)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_a_row_reads_back_cell_for_cell_by_a_stranger(cells: list[str]) -> None:
    """fastavro reads what we wrote by hand; an empty cell is null."""
    columns = [Column(name=f"Column {i}", field=f"column_{i}") for i in range(len(cells))]
    schema = parse_schema(raw_schema("texas", columns))
    row = schemaless_reader(io.BytesIO(encode_row(b"", cells)), schema, None)
    assert isinstance(row, dict)
    assert list(row.values()) == [cell or None for cell in cells]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=12), TEXTS.filter(bool), st.integers(1, 10**12))
def test_both_ways_to_write_a_row_give_the_same_record(cells: list[str], key: str, row_number: int) -> None:
    """The one that is made for a header knows short and long lengths and ASCII; the rest it leaves to the other."""
    constant = load_headers(Kind.ROW, "load", 1, "landing", "texas/späť.csv", "etag")
    prefix, line_number = b"\0\0\0\x01\xff", row_number + 1
    encode = row_encoder(prefix, len(cells), constant)
    headers = encoded_headers(row_headers(constant, row_number, line_number))
    expected = record_body(key.encode(), encode_row(prefix, cells), headers)
    assert encode(cells, str(key.encode(), "latin-1"), str(row_number), str(line_number)) == expected


def test_the_schema_keeps_the_vendors_own_header() -> None:
    """`Phone#` cannot be the name of an Avro field; it is kept beside it."""
    schema = raw_schema("a-b", [Column(name="Phone#", field="Phone")])
    assert schema["fields"] == [{"name": "Phone", "type": ["null", "string"], "default": None, "header": "Phone#"}]
    assert schema["namespace"] == "leadstream.raw.a_b"


def test_a_lead_is_where_kafkas_own_partitioner_puts_its_key() -> None:
    """Values of the Java client: org.apache.kafka.common.utils.UtilsTest#testMurmur2."""
    hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    for key, value in hashes.items():
        assert lane_of(key, 1_000) == (value & 0x7FFFFFFF) % 1_000


@settings(deadline=None)
@given(st.lists(st.text(max_size=40)), st.integers(1, 256))
def test_many_keys_at_once_come_to_the_same_lanes_as_one_by_one(keys: list[str], lanes: int) -> None:
    """Keys of every length and none, the same key twice, no keys at all."""
    assert lanes_of([key.encode() for key in keys], lanes) == [lane_of(key, lanes) for key in keys]
