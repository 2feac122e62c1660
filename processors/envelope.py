"""The bytes of a change record before the lead itself: what happened, and where it came from.

Most of it is the same for all rows of a load, and is encoded once a batch. In the order of ``schemas/lead.avsc``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from processors.progress import ActiveLoad, Change
from schemas.flat_records import encoded_long, encoded_string, encoded_strings

OPS = {"c": b"\x00", "u": b"\x02", "d": b"\x04"}
"""Position in the symbols of the enum ``Op``."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class EnvelopeEncoder:
    """For the changes of one source in one partition that are sent together, at ``now``."""

    def __init__(self, source: str, partition: int, now: datetime) -> None:
        self._source = _text(source)
        self._partition = encoded_long(partition)
        self._emitted_at = encoded_long((now - EPOCH) // MILLISECOND)
        self._load: ActiveLoad | None = None
        self._mapping_version = ""
        self._raw_schema_id = -1
        self._name = self._place = self._end = b""

    def encode(self, key: bytes, change: Change) -> bytes:
        """The envelope of ``change``; ``key`` is the lead's key in UTF-8."""
        if (
            change.load is not self._load
            or change.mapping_version != self._mapping_version
            or change.raw_schema_id != self._raw_schema_id
        ):
            self._follow(change)
        return b"".join(
            (
                encoded_string(key),
                self._source,
                OPS[change.op],
                encoded_strings(change.changed_fields()),
                encoded_string(change.content_hash),
                self._name,
                encoded_long(change.row_number),
                encoded_long(change.line_number),
                self._place,
                encoded_long(change.raw_offset),
                self._end,
            )
        )

    def _follow(self, change: Change) -> None:
        load = self._load = change.load
        self._mapping_version, self._raw_schema_id = change.mapping_version, change.raw_schema_id
        self._name = _text(load.load_id) + encoded_long(load.load_seq)
        place = (load.bucket, load.object_key, load.object_version, change.mapping_version)
        self._place = b"".join([*map(_text, place), encoded_long(change.raw_schema_id), self._partition])
        self._end = self._emitted_at + _text(load.replay_id)


def _text(value: str) -> bytes:
    return encoded_string(value.encode())
