"""Partitions in which nothing happens cost a lane next to nothing.

aiokafka names every partition in every fetch, and the broker in its answer (it has no fetch sessions, KIP-227); and
it keeps one fetch a broker in flight, so a poll may not wait long for idle partitions while others are busy. So one
that has given nothing for a while is paused, and a second consumer waits there with a long poll: when something comes,
the partition is resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream import kafka
from leadstream.settings import KafkaSettings

IDLE_AFTER_SECONDS = 2.0
LONG_POLL_SECONDS = 2.0
BOTH_READ_SECONDS = LONG_POLL_SECONDS + 1.0
"""A long poll that is under way does not know a partition that has just become idle; until it ends, both consumers read
it, else what comes there in the meantime would wait for that."""
SMALLEST_FETCH_BYTES = 1
"""The broker gives the first batch of one partition whatever its size: enough to know that something is there."""


class IdlePartitions:
    """The partitions of ``consumer`` that are not read because nothing is there to be read."""

    def __init__(self, settings: KafkaSettings, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._watch = kafka.consumer(
            settings,
            group_id=None,
            fetch_max_wait_ms=int(LONG_POLL_SECONDS * 1_000),
            max_partition_fetch_bytes=SMALLEST_FETCH_BYTES,
        )
        self._heard_at: dict[TopicPartition, float] = {}
        """The partitions that are read, and when they last gave something."""
        self._watched_since: dict[TopicPartition, float] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: aiokafka's own; Kafka is away, or refuses us.
        """
        await self._watch.start()

    def assign(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """These are the consumer's partitions from now on, and none of them is idle yet."""
        self._watch.assign(list(next_offsets))
        for where, offset in next_offsets.items():
            self._watch.seek(where, offset)  # else it would ask the broker for one
        self._watch.pause(*next_offsets)
        self._watched_since.clear()
        self._heard_at.clear()
        self.heard(next_offsets)
        if self._watching is None:
            self._watching = asyncio.create_task(self._wake())

    def heard(self, partitions: Iterable[TopicPartition]) -> None:
        """Something came of these just now."""
        for where in partitions:
            self._heard_at[where] = time.monotonic()
            if self._watched_since.pop(where, None) is not None:
                self._watch.pause(where)

    def rest(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Read no more of where nothing came for a while. ``next_offsets``: what has not been taken yet.

        Raises:
            KafkaError: aiokafka's own; the idle partitions cannot be watched.
        """
        if self._watching is not None and self._watching.done():
            self._watching.result()
        now = time.monotonic()
        for where, heard_at in list(self._heard_at.items()):
            if now - heard_at < IDLE_AFTER_SECONDS:
                continue
            if where not in self._watched_since:
                self._watched_since[where] = now
                self._watch.seek(where, next_offsets[where])
                self._watch.resume(where)
            elif now - self._watched_since[where] >= BOTH_READ_SECONDS:
                del self._heard_at[where]
                self._consumer.pause(where)

    async def stop(self) -> None:
        """Let go of the connection."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._watch.stop()

    async def _wake(self) -> None:
        while True:
            # One record says enough, and the rest of its batch need not be looked at.
            for where in await self._watch.getmany(timeout_ms=int(LONG_POLL_SECONDS * 1_000), max_records=1):
                self._consumer.resume(where)
                self.heard([where])
