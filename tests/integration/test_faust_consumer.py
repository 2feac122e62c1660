"""What Faust is given of what its consumer fetched, on a real broker."""

from __future__ import annotations

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from leadstream import kafka
from leadstream.settings import KafkaSettings
from leadstream.stack.supervisor import Stack
from processors.worker import CommittedConsumerThread
from schemas.topics import Topic

RECORDS = 5
FETCH_SECONDS = 10.0
UNDER_WAY_SECONDS = 0.3


@pytest.mark.parametrize(("flow_resumed", "still_wanted"), [(False, False), (False, True), (True, False)])
async def test_what_a_fetch_from_before_a_rebalance_reads_after_it_is_not_lost(
    stack: Stack, flow_resumed: bool, still_wanted: bool
) -> None:
    """Faust throws away what it has not asked for, or gets too early; those steps would never be folded."""
    settings = KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    steps = TopicPartition(f"steps-{uuid.uuid4().hex[:8]}", 0)
    await kafka.ensure_topics(settings, [Topic(steps.topic, 1, None)])
    async with kafka.producer(settings) as producer:
        for number in range(RECORDS):
            await producer.send_and_wait(steps.topic, b"%d" % number)
    faust = SimpleNamespace(flow_active=True)
    thread: Any = CommittedConsumerThread.__new__(CommittedConsumerThread)
    thread.consumer = faust
    wanted = {steps}
    async with kafka.consumer(settings, group_id=None) as consumer:
        consumer.assign([steps])
        await consumer.seek_to_end(steps)
        under_way = asyncio.create_task(thread._fetch_records(consumer, wanted, FETCH_SECONDS, 100))
        await asyncio.sleep(UNDER_WAY_SECONDS)
        # As Faust does it: no flow, no partitions; then it seeks to where the group has committed.
        faust.flow_active = flow_resumed
        if not still_wanted:
            wanted.clear()
        consumer.seek(steps, 0)
        assert await under_way == {}
        faust.flow_active = True
        wanted.add(steps)
        found = await thread._fetch_records(consumer, wanted, FETCH_SECONDS, 100)
        assert [record.offset for record in found[steps]] == list(range(RECORDS))
