"""What a lead was before: read back from leads.canonical by offset.

The topic is compacted, so the last record of each live lead is there for good, at the offset the state remembers.
That spares every worker a second copy of all leads.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream import kafka
from leadstream.errors import TransientError
from schemas.topics import CANONICAL

MAX_GAP_OFFSETS = 2_000
"""Up to this many records between two wanted ones are read over; beyond it, seeking is cheaper."""
POLL_TIMEOUT_MILLISECONDS = 1_000
MAX_EMPTY_POLLS = 30


async def read_values(consumer: AIOKafkaConsumer, partition: int, offsets: Collection[int]) -> dict[int, bytes]:
    """The values of the records at ``offsets`` of one partition of leads.canonical.

    ``consumer`` is started and used for nothing else. An offset whose record is gone is left out.

    Raises:
        TransientError: Kafka is away, or does not answer.
    """
    where = TopicPartition(CANONICAL, partition)
    wanted = sorted(offsets)
    found: dict[int, bytes] = {}
    at = 0
    empty = 0
    with kafka.errors_translated():
        if consumer.assignment() != {where}:
            consumer.assign([where])
        position = -MAX_GAP_OFFSETS - 1
        while at < len(wanted):
            if not position <= wanted[at] <= position + MAX_GAP_OFFSETS:
                consumer.seek(where, wanted[at])
            batches: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MILLISECONDS)
            position = await consumer.position(where)
            for record in batches.get(where, ()):
                while at < len(wanted) and wanted[at] < record.offset:
                    at += 1  # compacted away
                if at < len(wanted) and wanted[at] == record.offset:
                    found[record.offset] = record.value
                    at += 1
            empty = 0 if batches else empty + 1
            if empty > MAX_EMPTY_POLLS:
                raise TransientError(f"{CANONICAL}-{partition}: no record came from offset {wanted[at]} on")
    return found
