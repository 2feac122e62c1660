"""Record batches put together by hand, beside those of aiokafka."""

from __future__ import annotations

import random
import time

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.record_batch import MAX_BATCH_BYTES, RecordBatch, encoded_headers, record_body

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]

NOW = 1_700_000_000.123
PRODUCER = (4_711, 3, 90)
"""Id, epoch and sequence."""

DATA = st.none() | st.binary(max_size=200) | st.binary(min_size=8_000, max_size=20_000)
HEADERS = st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=90)), max_size=4)
RECORDS = st.lists(st.tuples(DATA, DATA, HEADERS), min_size=1, max_size=12)


def _batch(records: list[Record], *, compress: bool) -> RecordBatch:
    batch = RecordBatch(compress=compress)
    assert not batch.extend([record_body(key, value, encoded_headers(headers)) for key, value, headers in records])
    batch._set_producer_state(*PRODUCER)
    return batch


def _read(data: bytes) -> list[Record]:
    batches, found = MemoryRecords(data), []
    while (batch := batches.next_batch()) is not None:
        assert batch.validate_crc()
        found += [(record.key, record.value, list(record.headers)) for record in batch]
    return found


@settings(deadline=None)
@given(RECORDS)
def test_the_bytes_are_those_of_aiokafkas_builder(records: list[Record]) -> None:
    """Not compressed, every byte is the same, checksum and all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: NOW)
        ours = _batch(records, compress=False)._build()
    builder = DefaultRecordBatchBuilder(2, 0, 1, -1, -1, 0, 100 * MAX_BATCH_BYTES)
    for place, (key, value, headers) in enumerate(records):
        assert builder.append(place, int(NOW * 1_000), key, value, headers)
    builder.set_producer_state(*PRODUCER)
    assert ours == bytes(builder.build())


@settings(deadline=None)
@given(RECORDS)
def test_compressed_records_are_read_by_a_stranger(records: list[Record]) -> None:
    """aiokafka reads them; a batch that is sent again is the same."""
    batch = _batch(records, compress=True)
    data = batch._build()
    assert _read(data) == records
    assert batch._build() == data
    assert batch.record_count() == len(records)


def test_more_than_8192_records_and_what_repeats_becomes_small() -> None:
    """Places beyond the table are written, too."""
    records: list[Record] = [(b"%d" % number, None, []) for number in range(20_000)]
    batch = _batch(records, compress=True)
    assert _read(batch._build()) == records
    assert len(batch._build()) < batch.size() / 2


def test_what_does_not_become_smaller_is_not_compressed() -> None:
    """Compression would make noise longer."""
    noise: list[Record] = [(None, random.Random(1).randbytes(5_000), [])]
    assert _batch(noise, compress=True)._build()[61:] == _batch(noise, compress=False)._build()[61:]
    assert _read(_batch(noise, compress=True)._build()) == noise


def test_what_would_become_tiny_is_not_compressed() -> None:
    """A reader that fetches so many compressed bytes must not be given gigabytes."""
    records: list[Record] = [(None, b"x" * 100_000, [])] * 8
    data = _batch(records, compress=True)._build()
    assert len(data) > 800_000
    assert _read(data) == records


def test_a_batch_that_was_pressed_takes_nothing_in() -> None:
    """What comes later is for another one."""
    batch = _batch([(b"key", b"value", [])], compress=True)
    batch.press()
    late = [record_body(b"late", None, encoded_headers(()))]
    assert batch.extend(late) == late
    assert _read(batch._build()) == [(b"key", b"value", [])]


def test_a_full_batch_gives_back_the_rest_and_a_record_that_is_too_large_has_one_of_its_own() -> None:
    """No record is lost or moved, whatever its size."""
    large, small = b"x" * MAX_BATCH_BYTES, b"y" * 300_000
    rest = bodies = [record_body(None, value, encoded_headers(())) for value in (small, small, large, small, large)]
    batches = []
    while rest:
        batches.append(RecordBatch(compress=False))
        rest = batches[-1].extend(rest)
    assert [batch.record_count() for batch in batches] == [2, 1, 1, 1]
    assert sum(batch.record_count() for batch in batches) == len(bodies)
    assert [value for batch in batches for _key, value, _headers in _read(batch._build())] == [
        small, small, large, small, large,
    ]  # fmt: skip
