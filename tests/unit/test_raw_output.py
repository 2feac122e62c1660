"""Rows as Avro on the raw topic."""

from __future__ import annotations

import io

from fastavro import parse_schema, schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from leadstream.partitioning import lane_of
from producer.raw_output import encode_row, raw_schema
from producer.splitter import Column


@given(st.lists(st.text(max_size=300), min_size=1, max_size=40))
def test_a_row_reads_back_cell_for_cell_by_a_stranger(cells: list[str]) -> None:
    """fastavro reads what we wrote by hand; an empty cell is null."""
    columns = [Column(name=f"Column {i}", field=f"column_{i}") for i in range(len(cells))]
    schema = parse_schema(raw_schema("texas", columns))
    row = schemaless_reader(io.BytesIO(encode_row(b"", cells)), schema, None)
    assert isinstance(row, dict)
    assert list(row.values()) == [cell or None for cell in cells]


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
