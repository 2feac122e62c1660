"""What a lead was before: read back from leads.canonical by offset.

The topic is compacted, so the last record of each live lead is there for good, at the offset the state remembers.
That spares every worker a second copy of all leads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream import kafka
from leadstream.errors import TransientError
from processors.progress import NO_OFFSET, Change
from schemas.codec import Decoder
from schemas.records import lead_fields
from schemas.topics import CANONICAL

MAX_GAP_OFFSETS = 2_000
"""Up to this many records between two wanted ones are read over; beyond it, seeking is cheaper."""
POLL_TIMEOUT_MILLISECONDS = 1_000
MAX_EMPTY_POLLS = 30


async def add_previous(consumer: AIOKafkaConsumer, partition: int, changes: Iterable[Change], decoder: Decoder) -> None:
    """Fill in what the leads of ``changes`` were before, where their ``previous_offset`` says that they were.

    ``consumer`` is started and used for nothing but :func:`read_records`.

    Raises:
        TransientError: Kafka or the registry is away, or does not answer.
    """
    wanted = [change for change in changes if change.previous_offset > NO_OFFSET]
    if not wanted:
        return
    where = TopicPartition(CANONICAL, partition)
    found = await read_records(consumer, where, {change.previous_offset for change in wanted})
    for change in wanted:
        message = found.get(change.previous_offset)
        if message is not None:
            _schema_id, record = await decoder.decode(message.value)
            change.previous = {name: record.get(name) for name in lead_fields()}


async def read_records(consumer: AIOKafkaConsumer, where: TopicPartition, offsets: Collection[int]) -> dict[int, Any]:
    """The records at ``offsets`` of a partition, by offset; one that is gone is left out.

    Raises:
        TransientError: Kafka is away, or does not answer.
    """
    wanted = sorted(offsets)
    found: dict[int, Any] = {}
    at = 0
    empty = 0
    with kafka.errors_translated():
        if consumer.assignment() != {where}:
            consumer.assign([where])
        position = -MAX_GAP_OFFSETS - 1
        while at < len(wanted):
            if not position <= wanted[at] <= position + MAX_GAP_OFFSETS:
                consumer.seek(where, wanted[at])
            batches: dict[TopicPartition, list[Any]] = await consumer.getmany(
                timeout_ms=POLL_TIMEOUT_MILLISECONDS, max_records=MAX_GAP_OFFSETS
            )
            position = await consumer.position(where)
            for record in batches.get(where, ()):
                while at < len(wanted) and wanted[at] < record.offset:
                    at += 1  # compacted away
                if at < len(wanted) and wanted[at] == record.offset:
                    found[record.offset] = record
                    at += 1
            empty = 0 if batches else empty + 1
            if empty > MAX_EMPTY_POLLS:
                raise TransientError(f"{where.topic}-{where.partition}: no record came from offset {wanted[at]} on")
    return found
