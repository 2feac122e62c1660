"""Record batches as Kafka stores them (message format v2), put together from bytes that are ready.

The format is that of https://kafka.apache.org/documentation/#recordbatch. aiokafka's builder takes a record's headers
as a list and encodes each of them anew; here, what is the same in all records of a load is encoded once, and a batch is
joined, compressed and summed up in a step each. Numbers in records are encoded as Avro's are.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

import cramjam
from aiokafka.record.util import calc_crc32c

from schemas.flat_records import encoded_long, encoded_string

MAX_BATCH_BYTES = 1_000_000
"""Before compression: what a broker's own ``message.max.bytes`` lets pass. A larger record has a batch of its own."""
ZSTD_LEVEL = 1
"""A third of what level 3 costs, and hardly larger."""
MOST_PRESSED = 32
"""Records that would become smaller than this part of themselves stay as they are: readers limit what they fetch by its
compressed size, and rows of a few letters over and over must not become gigabytes in their memory."""
KNOWN = 8_192
"""Lengths and places below this are ready in a table."""

_START = struct.Struct(">qi")
"""Offset of the first record, which the broker sets, and the length of what follows."""
_AFTER_LENGTH = struct.Struct(">ibI")
"""The leader's epoch, the version of the format, the checksum of what follows."""
_SUMMED_UP = struct.Struct(">hiqqqhii")
"""Attributes, place of the last record, least and greatest time, the producer's id, epoch and sequence, records."""
_HEADER_BYTES = _START.size + _AFTER_LENGTH.size + _SUMMED_UP.size
_MAGIC = 2
_ZSTD = 4
_TRANSACTIONAL = 0x10

SIGNED_VARINTS = tuple(map(encoded_long, range(KNOWN)))
_NO_BYTES = encoded_long(-1)
# a record begins with its attributes (none), its time and place, the last two counted from the batch's first record
_STARTS = tuple(b"\0\0" + place for place in SIGNED_VARINTS)


def sized(data: bytes | None) -> bytes:
    """A key or value as it stands in a record: its length, then itself; ``None`` is not the same as empty."""
    return _NO_BYTES if data is None else encoded_string(data)


def encoded_headers(headers: Sequence[tuple[str, bytes]], more: int = 0) -> bytes:
    """Headers as they stand in a record, in which ``more`` of them follow."""
    parts = [encoded_long(len(headers) + more)]
    for name, value in headers:
        parts += sized(name.encode()), sized(value)
    return b"".join(parts)


def record_body(key: bytes | None, value: bytes | None, headers: bytes) -> bytes:
    """What of a record does not depend on its batch: key, value and :func:`encoded_headers`."""
    return sized(key) + sized(value) + headers


class RecordBatch:
    """One batch of a transaction; for aiokafka's ``send_batch``, which uses it as it uses its ``BatchBuilder``.

    All its records have the time at which it was made. ``compress`` it by zstd, where that makes it smaller.
    """

    def __init__(self, *, compress: bool = True) -> None:
        self._compress = compress
        self._milliseconds = int(time.time() * 1000)
        self._parts: list[bytes] = []
        self._count = 0
        self._size = _HEADER_BYTES
        self._state = (-1, -1, 0)
        self._records = b""
        self._attributes = _TRANSACTIONAL
        self._closed = False

    def extend(self, bodies: Sequence[bytes]) -> Sequence[bytes]:
        """Take in records (see :func:`record_body`), in their order; gives those for which there is no room."""
        if self._closed:
            return bodies
        parts, count, size = self._parts, self._count, self._size
        for body in bodies:
            start = _STARTS[count] if count < KNOWN else b"\0\0" + encoded_long(count)
            length = len(start) + len(body)
            told_length = SIGNED_VARINTS[length] if length < KNOWN else encoded_long(length)
            larger = size + len(told_length) + length
            if larger > MAX_BATCH_BYTES and count:
                break
            parts += told_length, start, body
            count += 1
            size = larger
        taken = count - self._count
        self._count, self._size = count, size
        return bodies[taken:]

    def record_count(self) -> int:
        """How many records there are."""
        return self._count

    def size(self) -> int:
        """Bytes, before compression."""
        return self._size

    def close(self) -> None:
        """Nothing is added any more."""
        self._closed = True

    def closed(self) -> bool:
        """Whether nothing is added any more."""
        return self._closed

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._state = (producer_id, producer_epoch, base_sequence)

    def press(self) -> None:
        """Join and compress the records: a full batch takes some milliseconds, in which other threads may work."""
        self._closed = True
        if not self._records:
            self._records = b"".join(self._parts)
            self._parts.clear()
            if self._compress:
                compressed = bytes(cramjam.zstd.compress(self._records, level=ZSTD_LEVEL))
                if len(self._records) // MOST_PRESSED <= len(compressed) < len(self._records):
                    self._records, self._attributes = compressed, _TRANSACTIONAL | _ZSTD

    def _build(self) -> bytes:
        """The batch as it is sent; a second time, when it is sent again, the same."""
        self.press()
        times = (self._milliseconds, self._milliseconds)
        summed_up = (
            _SUMMED_UP.pack(self._attributes, self._count - 1, *times, *self._state, self._count) + self._records
        )
        length = _AFTER_LENGTH.size + len(summed_up)
        return _START.pack(0, length) + _AFTER_LENGTH.pack(-1, _MAGIC, calc_crc32c(summed_up)) + summed_up
