"""What the row path writes by itself, a record a row, is what fastavro would write."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from fastavro import schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from processors.change_state import LeadEntry
from processors.envelope import EnvelopeEncoder
from processors.progress import ActiveLoad, Change
from schemas import records

NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
LONGS = st.integers(-(2**63), 2**63 - 1)
HASHES = st.binary(min_size=8, max_size=8)


@given(HASHES, LONGS, LONGS, LONGS, st.booleans(), st.text(max_size=70), st.booleans())
def test_an_entry_of_the_state_has_the_bytes_that_fastavro_gives_it(
    content_hash: bytes,
    load_seq: int,
    row_number: int,
    offset: int,
    deleted: bool,
    held_by: str,
    has_duplicates: bool,
) -> None:
    """A restart reads them back with fastavro; the fields of progress have their defaults."""
    entry = LeadEntry(content_hash, load_seq, row_number, offset, deleted, held_by, has_duplicates)
    schema = records.parsed("lead_state")
    read: Any = schemaless_reader(io.BytesIO(entry.encoded()), schema, None)
    defaults = {field["name"]: field["default"] for field in schema["fields"] if "default" in field}
    known = {name: value for name, value in entry._asdict().items() if name != "fingerprint"}
    assert read == defaults | known
    assert entry.encoded() == _by_fastavro(schema, read)


@given(
    st.text(max_size=70),
    st.sampled_from("cud"),
    HASHES,
    *([st.text(max_size=70)] * 6),
    *([st.integers(0, 2**63 - 1)] * 4),
    st.integers(0, 2**31 - 1),
)
def test_an_envelope_has_the_bytes_that_fastavro_gives_it(
    key: str,
    op: str,
    content_hash: bytes,
    load_id: str,
    bucket: str,
    object_key: str,
    object_version: str,
    replay_id: str,
    mapping_version: str,
    load_seq: int,
    row_number: int,
    line_number: int,
    raw_offset: int,
    raw_schema_id: int,
) -> None:
    """Also for the second change of a load, and for one of another load after it."""
    encoder = EnvelopeEncoder("acme", 3, NOW)
    for name in (load_id, load_id, load_id + "x"):
        load = ActiveLoad(name, load_seq, bucket, object_key, object_version, 0, False, replay_id)
        change = Change(
            op, b"", load, content_hash, {"company": "B", "city": "C"}, b"", row_number, line_number, raw_offset,
            raw_schema_id, mapping_version, previous={"company": "A", "city": "C"},
        )  # fmt: skip
        expected = {
            "lead_key": key,
            "source": "acme",
            "op": op,
            "changed_fields": ["company"] if op == "u" else [],
            "content_hash": content_hash,
            "load_id": name,
            "load_seq": load_seq,
            "row_number": row_number,
            "line_number": line_number,
            "bucket": bucket,
            "object_key": object_key,
            "object_version": object_version,
            "mapping_version": mapping_version,
            "raw_schema_id": raw_schema_id,
            "raw_partition": 3,
            "raw_offset": raw_offset,
            "emitted_at": NOW,
            "replay_id": replay_id,
        }
        assert encoder.encode(key.encode(), change) == _by_fastavro(records.lead_envelope_schema(), expected)


def _by_fastavro(schema: Any, record: Any) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, schema, record)
    return buffer.getvalue()
