"""A lane's transactional id on a real broker: what becomes of a process that was paused, and of who comes after it."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiokafka import TopicPartition

from leadstream import kafka
from leadstream.errors import FencedError
from leadstream.settings import KafkaSettings
from leadstream.stack.supervisor import Stack
from leadstream.transaction import TransactionalProducer
from schemas.topics import Topic

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def settings(stack: Stack) -> KafkaSettings:
    """The stack's Kafka."""
    return KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])


@pytest.mark.parametrize("paused", ["before it began", "before it delivered", "before it committed"])
async def test_whoever_is_paused_in_a_transaction_neither_stalls_its_successor_nor_itself(
    settings: KafkaSettings, paused: str
) -> None:
    """The successor commits and is read at once; the other is refused at once when it goes on, and leaves nothing."""
    name = f"pause{uuid.uuid4().hex[:8]}"
    await kafka.ensure_topics(settings, [Topic(name, 1, None)])
    zombie, successor = TransactionalProducer(settings, name), TransactionalProducer(settings, name)
    consumer = kafka.consumer(settings, group_id=None)
    place = TopicPartition(name, 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await zombie.start()
        await _commit(zombie, name, b"before")
        zombie.add(name, 0, b"key", b"zombie")
        if paused != "before it began":
            await zombie.begin()
        if paused == "before it committed":
            await zombie.deliver()

        await successor.start()
        await _commit(successor, name, b"successor")
        await consumer.start()
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        assert [(await consumer.getone()).value for _ in range(2)] == [b"before", b"successor"]

        with pytest.raises(FencedError):
            if paused == "before it began":
                await zombie.begin()
            await zombie.commit({place: 2}, name)
        await zombie.abort()
        await _commit(successor, name, b"after")
        assert (await consumer.getone()).value == b"after"
        await consumer.stop()
        await successor.close()


async def _commit(producer: TransactionalProducer, topic: str, value: bytes) -> None:
    producer.add(topic, 0, b"key", value)
    await producer.begin()
    await producer.commit()
