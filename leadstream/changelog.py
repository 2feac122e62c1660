"""Reading one partition from a start to where it ends now: how every stage restores what it knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from aiokafka import TopicPartition

from leadstream import kafka
from leadstream.settings import KafkaSettings

POLL_TIMEOUT_MILLISECONDS = 500
MAX_POLL_RECORDS = 2_000
"""A fetch may hold ten times as many, compressed."""


async def read_partition(
    settings: KafkaSettings, topic: str, partition: int, *, start: int = 0, end: int | None = None
) -> AsyncGenerator[list[Any], None]:
    """Yield the committed records of a partition in batches, from offset ``start`` up to ``end`` (exclusive).

    A ``start`` below 0 counts from the end. Without ``end`` it stops where the partition ended when the reading began.

    Raises:
        TransientError: Kafka is away.
    """
    where = TopicPartition(topic, partition)
    consumer = kafka.consumer(settings, group_id=None, fetch_max_wait_ms=100, max_poll_records=MAX_POLL_RECORDS)
    with kafka.errors_translated():
        try:
            await consumer.start()
            consumer.assign([where])
            stop = end if end is not None else (await consumer.end_offsets([where]))[where]
            first = (await consumer.beginning_offsets([where]))[where]
            consumer.seek(where, max(start if start >= 0 else stop + start, first))
            while await consumer.position(where) < stop:
                for records in (await consumer.getmany(timeout_ms=POLL_TIMEOUT_MILLISECONDS)).values():
                    if records[-1].offset >= stop:
                        records = [record for record in records if record.offset < stop]
                    if records:
                        yield records
        finally:
            await consumer.stop()


async def bounds(settings: KafkaSettings, topic: str, partition: int) -> tuple[int, int]:
    """Offset of a partition's first record, and the one after its last committed record.

    Raises:
        TransientError: Kafka is away.
    """
    where = TopicPartition(topic, partition)
    consumer = kafka.consumer(settings, group_id=None)
    with kafka.errors_translated():
        try:
            await consumer.start()
            consumer.assign([where])
            first = (await consumer.beginning_offsets([where]))[where]
            return first, (await consumer.end_offsets([where]))[where]
        finally:
            await consumer.stop()
