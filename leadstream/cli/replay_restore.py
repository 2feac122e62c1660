"""Loads whose rows the raw topic no longer holds: which they are, and their rows from their objects in S3."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from leadstream import kafka
from leadstream.changelog import bounds, read_partition
from leadstream.cli.database import Row, connect
from leadstream.cli.messages import open_registry
from leadstream.settings import Settings
from leadstream.sources import SourceConfig
from leadstream.transaction import TransactionalProducer
from schemas import topics

if TYPE_CHECKING:
    from processors.replay_run import Restored
    from producer.restore import RestoredLoad

ROWS_PER_TRANSACTION = 20_000


async def gone_loads(settings: Settings, config: SourceConfig, load_id: str, since_load_seq: int) -> list[Row]:
    """Loads in scope that are done and whose rows the raw topic holds no more, or not all; the oldest first.

    Left out is what cannot matter: a load that a newer complete one has overtaken, unless a live lead or an open
    dead letter stands as it said.

    Raises:
        TransientError: Kafka or Postgres is away.
    """
    since = await _held_since(settings, config.name)
    if since is None:
        return []
    async with connect(settings.postgres) as database:
        complete = config.refresh == "complete"
        return await database.rows("gone_loads", config.name, since, load_id or None, since_load_seq, complete)


async def restore(
    settings: Settings, config: SourceConfig, loads: Sequence[Row], replay_id: str
) -> AsyncGenerator[tuple[Row, int], None]:
    """Put the rows of loads on the raw topic once more, for one replay; gives each load and how many rows it has.

    When it ends before its time the rows it has put there mean nothing to anybody.

    Raises:
        BadRecordError: an object is gone, or was overwritten since.
        TransientError: Kafka, the registry or S3 is away.
    """
    producer = TransactionalProducer(settings.kafka, f"leadstream-restore-{replay_id}")
    topic = topics.raw_topic(config.name)
    await kafka.ensure_topics(
        settings.kafka, topics.source_topics(config.name, settings.topics.lanes, settings.topics.raw_retention_days)
    )
    try:
        await producer.start()
        for load in loads:
            count = pending = 0
            async with contextlib.aclosing(_rows(settings, config, _restored(load, replay_id))) as batches:
                async for batch in batches:
                    for row in batch:
                        producer.add(topic, row.partition, row.key, row.value, row.headers)
                    pending += len(batch)
                    if pending >= ROWS_PER_TRANSACTION:
                        await producer.begin()
                        await producer.commit()
                        count, pending = count + pending, 0
            await producer.begin()
            await producer.commit()
            yield load, count + pending
    finally:
        await producer.close()


def restored_messages(settings: Settings, config: SourceConfig, loads: Sequence[Row], replay_id: str) -> Restored:
    """For a dry run: gives by partition the messages that :func:`restore` would send, read from S3 each time."""
    from processors.open_letters import RawMessage

    async def messages(partition: int) -> AsyncGenerator[list[RawMessage], None]:
        for load in loads:
            async with contextlib.aclosing(_rows(settings, config, _restored(load, replay_id))) as batches:
                async for batch in batches:
                    yield [
                        RawMessage(topics.raw_topic(config.name), partition, -1, row.key, row.value, row.headers)
                        for row in batch
                        if row.partition == partition
                    ]

    return messages


async def _rows(settings: Settings, config: SourceConfig, load: RestoredLoad) -> AsyncGenerator[list[Any], None]:
    # The S3 library is slow to import.
    from producer.restore import restored_rows
    from producer.s3_input import S3Input

    async with S3Input(settings.s3) as s3, open_registry(settings.registry) as registry:
        rows = restored_rows(
            s3, registry, config, load, lanes=settings.topics.lanes, max_row_bytes=settings.producer.max_row_bytes
        )
        async with contextlib.aclosing(rows) as batches:
            async for batch in batches:
                if batch:
                    yield batch


def _restored(load: Row, replay_id: str) -> RestoredLoad:
    from producer.restore import RestoredLoad

    names = ("load_id", "load_seq", "bucket", "object_key", "object_version")
    return RestoredLoad(**{name: load[name] for name in names}, replay_id=replay_id)


async def _held_since(settings: Settings, source: str) -> datetime | None:
    """When the first rows were written that every partition of the raw topic still holds; None: nothing is gone."""
    topic = topics.raw_topic(source)
    moments = []
    for lane in range(settings.topics.lanes):
        first, end = await bounds(settings.kafka, topic, lane)
        if first == 0:
            continue
        async with contextlib.aclosing(read_partition(settings.kafka, topic, lane, start=first, end=end)) as batches:
            messages = await anext(batches, None)
        moments.append(datetime.fromtimestamp(messages[0].timestamp / 1000, UTC) if messages else datetime.now(UTC))
    return max(moments, default=None)
