"""An arrival: one version of one object that may have to be split."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from leadstream.sources import SourceConfig

LOAD_ID_HEX_DIGITS = 16
SEQUENCE_PER_SECOND = 1000
"""Room for the files of one source that carry the same second."""
NO_VERSION = "null"
"""What S3 calls every object that was put while its bucket kept no versions."""


@dataclass
class Arrival:
    """An object as S3 knows it.

    ``waiters`` (if any) are told True once its load is settled, False when this process will not see to it after all.
    """

    bucket: str
    key: str
    etag: str
    version_id: str | None
    last_modified: datetime
    size_bytes: int
    waiters: list[asyncio.Future[bool]] = field(default_factory=list)

    @property
    def version(self) -> str:
        """What names these bytes at this key: the version id where the bucket keeps versions, else the ETag."""
        return self.version_id or self.etag

    def tell(self, settled: bool) -> None:
        """Tell the waiters."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(settled)
        self.waiters.clear()

    @property
    def load_id(self) -> str:
        """The load these bytes at this key are, however often they are announced."""
        return self.load_id_of(self.version)

    def load_id_of(self, version: str) -> str:
        """The load of another ``version`` text at the same key."""
        name = "\0".join((self.bucket, self.key, version))
        return hashlib.sha256(name.encode()).hexdigest()[:LOAD_ID_HEX_DIGITS]


def told_version(version_id: str | None) -> str | None:
    """The version id in what S3 tells of an object; None where it names no bytes."""
    return None if version_id == NO_VERSION else version_id


def first_sequence(arrival: Arrival, source: SourceConfig | None) -> int:
    """The lowest load_seq of the second this file belongs to: its object time, or the date in its key if asked for."""
    moment = arrival.last_modified
    dated = source.date_of(arrival.key) if source is not None else None
    if dated is not None:
        moment = datetime(dated.year, dated.month, dated.day, tzinfo=UTC)
    return int(moment.timestamp()) * SEQUENCE_PER_SECOND
