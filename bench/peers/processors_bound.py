"""Bound of the processors: the same messages copied by transactions of aiokafka, a poll each, nothing looked at."""

from __future__ import annotations

import asyncio
import time

from aiokafka import TopicPartition

from bench.peers.serve import Answer, Request, serve
from leadstream import kafka
from leadstream.record_batch import encoded_headers, record_body
from leadstream.settings import Settings
from leadstream.transaction import TransactionalProducer
from schemas.topics import MAX_RAW_BYTES

NO_HEADERS = encoded_headers(())


async def copy(request: Request) -> Answer:
    """Copy ``rows`` messages from ``source`` to ``topic``."""
    settings = Settings.load()
    partitions = [TopicPartition(request["source"], lane) for lane in range(settings.topics.lanes)]
    consumer = kafka.consumer(
        settings.kafka,
        group_id=request["topic"],
        max_poll_records=settings.processor.max_poll_records,
        max_partition_fetch_bytes=MAX_RAW_BYTES,
    )
    producer = TransactionalProducer(settings.kafka, request["topic"])
    await producer.start()
    await consumer.start()
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    rows, began_at = 0, time.monotonic()
    while rows < request["rows"]:
        batches = await consumer.getmany(timeout_ms=200)
        if not batches:
            continue
        for where, records in batches.items():
            copies = [record_body(record.key, record.value, NO_HEADERS) for record in records]
            producer.add_all(request["topic"], where.partition, copies)
            rows += sum(record.value is not None for record in records)
        await producer.begin()
        await producer.commit({where: records[-1].offset + 1 for where, records in batches.items()}, request["topic"])
    seconds = time.monotonic() - began_at
    await consumer.stop()
    await producer.close()
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    serve(lambda request: asyncio.run(copy(request)))
