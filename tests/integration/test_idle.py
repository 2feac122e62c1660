"""Partitions in which nothing happens, on a real broker: they are not fetched, and nothing in them waits for that."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError

from leadstream import kafka
from leadstream.settings import KafkaSettings
from leadstream.stack.supervisor import Stack
from leadstream.transaction import TransactionalProducer
from processors import idle
from processors.idle import IdlePartitions
from schemas.topics import Topic

PATIENCE_SECONDS = 20.0
SOURCES = 5


class Reader:
    """Polls as a lane does, and remembers what it got."""

    def __init__(self, settings: KafkaSettings, places: list[TopicPartition]) -> None:
        self.consumer: AIOKafkaConsumer = kafka.consumer(settings, group_id=None)
        self.idle = IdlePartitions(settings, self.consumer)
        self.next_offsets = dict.fromkeys(places, 0)
        self.got: list[bytes] = []

    async def start(self) -> None:
        await self.consumer.start()
        await self.idle.start()
        self.consumer.assign(list(self.next_offsets))
        for place in self.next_offsets:
            self.consumer.seek(place, 0)
        self.idle.assign(self.next_offsets)

    async def read_until(self, holds: Callable[[], bool]) -> None:
        """Poll until something holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self.idle.rest(self.next_offsets)
                batches = await self.consumer.getmany(timeout_ms=50)
                self.idle.heard(batches)
                for place, messages in batches.items():
                    self.got += [message.value for message in messages]
                    self.next_offsets[place] = messages[-1].offset + 1


@pytest.fixture
async def settings(stack: Stack) -> KafkaSettings:
    """The stack's Kafka."""
    return KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])


@pytest.fixture
async def reader(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    """Of some topics with nothing in them."""
    monkeypatch.setattr(idle, "IDLE_AFTER_SECONDS", 0.5)
    names = [f"idle{uuid.uuid4().hex[:8]}" for _ in range(SOURCES)]
    await kafka.ensure_topics(settings, [Topic(name, 1, None) for name in names])
    reading = Reader(settings, [TopicPartition(name, 0) for name in names])
    await reading.start()
    yield reading
    await reading.idle.stop()
    await reading.consumer.stop()


async def test_what_comes_into_an_idle_partition_is_read_and_the_others_stay_idle(
    settings: KafkaSettings, reader: Reader
) -> None:
    """Also a second time, and when all but the last of what came was rolled back."""
    places = set(reader.next_offsets)
    await reader.read_until(lambda: reader.consumer.paused() == places)
    first, *others = sorted(places)
    producer = TransactionalProducer(settings, first.topic)
    await producer.start()
    for value in (b"one", b"two"):
        await _send(producer, first, b"rolled back", commit=False)
        await _send(producer, first, value)
        await reader.read_until(lambda wanted=value: reader.got[-1:] == [wanted])
        assert reader.consumer.paused() == set(others)
        await reader.read_until(lambda: reader.consumer.paused() == places)
    assert reader.got == [b"one", b"two"]
    await producer.close()


async def test_a_partition_is_read_until_the_long_poll_knows_it(settings: KafkaSettings, reader: Reader) -> None:
    """What comes just when it has become idle does not wait for the end of the poll that is under way."""
    first = min(reader.next_offsets)
    producer = TransactionalProducer(settings, first.topic)
    await producer.start()
    for value in (b"one", b"two"):
        await reader.read_until(lambda: first in reader.idle._watched_since)
        assert first not in reader.consumer.paused()
        await _send(producer, first, value)
        await reader.read_until(lambda wanted=value: reader.got[-1:] == [wanted])
        assert first not in reader.idle._watched_since
    assert reader.got == [b"one", b"two"]
    await producer.close()


async def test_a_partition_that_is_busy_stays_so_while_others_become_idle(
    settings: KafkaSettings, reader: Reader
) -> None:
    """Every message of it comes once, in order."""
    busy, *others = sorted(reader.next_offsets)
    producer = TransactionalProducer(settings, busy.topic)
    await producer.start()
    sent = []
    while reader.consumer.paused() != set(others):
        sent.append(str(len(sent)).encode())
        await _send(producer, busy, sent[-1])
        await reader.read_until(lambda: reader.got == sent)
    assert len(sent) > 1
    await producer.close()


async def test_who_polls_learns_that_idle_partitions_cannot_be_watched(reader: Reader) -> None:
    """Else what comes into them would never be read."""
    assert reader.idle._watching is not None
    await reader.idle._watch.stop()
    await asyncio.wait([reader.idle._watching], timeout=PATIENCE_SECONDS)
    with pytest.raises(ConsumerStoppedError):
        reader.idle.rest(reader.next_offsets)


async def _send(producer: TransactionalProducer, place: TopicPartition, value: bytes, *, commit: bool = True) -> None:
    await producer.begin()
    producer.add(place.topic, place.partition, b"key", value)
    await producer.deliver()
    if commit:
        await producer.commit()
    else:
        await producer.abort()
        await producer.start()
