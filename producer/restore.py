"""The rows of an object that was split before, once more: for a replay whose rows the raw topic no longer holds.

They are marked for that replay alone; the live flow passes them over.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from leadstream.errors import BadRecordError, LeadstreamError
from leadstream.sources import SourceConfig
from producer.arrivals import Arrival
from producer.dialect import format_of
from producer.raw_output import load_headers, raw_schema, row_headers
from producer.row_messages import RowMessages
from producer.s3_input import S3Input
from producer.splitter import Event, Header, Rows, Splitter
from schemas import topics
from schemas.codec import frame
from schemas.headers import REPLAY_ID, Headers, Kind
from schemas.registry import Registry


@dataclass(frozen=True)
class RestoredLoad:
    """A load whose object is to be split again, and the replay it is for."""

    load_id: str
    load_seq: int
    bucket: str
    object_key: str
    object_version: str
    replay_id: str


@dataclass(frozen=True)
class RestoredRow:
    """A message for the raw topic of its source."""

    partition: int
    key: bytes
    value: bytes
    headers: Headers


async def restored_rows(
    s3: S3Input, registry: Registry, source: SourceConfig, load: RestoredLoad, *, lanes: int, max_row_bytes: int
) -> AsyncGenerator[list[RestoredRow], None]:
    """The rows of a load that name a lead, by today's ``format`` and ``key``, chunk by chunk; others are left out.

    Raises:
        BadRecordError: the object is gone, was overwritten since, or is no table.
        TransientError: S3 or the registry is away.
    """
    arrival = await _object(s3, load)
    splitter = Splitter(format_of(source), name=load.object_key, max_row_bytes=max_row_bytes)
    place = load_headers(Kind.RESTORED, load.load_id, load.load_seq, load.bucket, load.object_key, load.object_version)
    constant = [*place, (REPLAY_ID, load.replay_id.encode())]
    messages: RowMessages | None = None

    async def rows(events: Iterable[Event]) -> list[RestoredRow]:
        nonlocal messages
        found: list[RestoredRow] = []
        for event in events:
            if isinstance(event, Header):
                schema = raw_schema(source.name, event.columns)
                prefix = frame(await registry.register(topics.value_subject(topics.raw_topic(source.name)), schema))
                key_of = source.compile_key([column.name for column in event.columns])
                messages = RowMessages(source.name, lanes, key_of, prefix, len(event.columns), constant)
            elif isinstance(event, Rows) and messages is not None:
                for row in event:
                    if key := messages.key_of(row.cells):
                        where = row_headers(constant, row.row_number, row.line_number)
                        found.append(RestoredRow(messages.lane_of(key), key.encode(), messages.value_of(row), where))
        return found

    async with contextlib.aclosing(s3.read(arrival)) as chunks:
        async for chunk in chunks:
            yield await rows(splitter.feed(chunk))
    yield await rows(splitter.finish())


async def _object(s3: S3Input, load: RestoredLoad) -> Arrival:
    """The very bytes that the load was split from: by ETag, or by version where the bucket keeps versions."""
    arrival = await s3.head(load.bucket, load.object_key)
    if arrival is not None and arrival.etag == load.object_version:
        return arrival
    with contextlib.suppress(LeadstreamError):  # a bucket without versions does not know the word
        arrival = await s3.head(load.bucket, load.object_key, load.object_version)
        if arrival is not None:
            return arrival
    raise BadRecordError(
        f"s3://{load.bucket}/{load.object_key} no longer holds what load {load.load_id} was split from",
        code="overwritten",
        hint="replay without this load; buckets that keep versions can bring back every load",
    )
