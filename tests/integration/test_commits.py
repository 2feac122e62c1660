"""A load's commits on a real broker, each on its way while the next transaction fills."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from leadstream import kafka
from leadstream.errors import FencedError
from leadstream.settings import KafkaSettings
from leadstream.stack.supervisor import Stack
from leadstream.transaction import TransactionalProducer
from producer.arrivals import Arrival
from producer.commits import Commits, Tally
from producer.ledger import Ledger, LedgerEntry
from schemas.topics import Topic

PATIENCE_SECONDS = 20.0
NOW = datetime(2026, 1, 2, tzinfo=UTC)

TALLY = Tally("made-up", 0, {})


@dataclass
class Lane:
    """A lane at work on one load, with a topic of its own."""

    settings: KafkaSettings
    name: str
    gate: asyncio.Lock
    producer: TransactionalProducer
    ledger: Ledger
    commits: Commits
    entry: LedgerEntry

    def add(self, *values: bytes) -> LedgerEntry:
        """Put rows into the transaction that fills; gives the ledger entry that counts them."""
        for value in values:
            self.producer.add(self.name, 0, b"key", value)
        self.entry = self.entry.changed(NOW, rows=self.entry.rows + len(values))
        return self.entry

    async def outcome(self, rows: int) -> tuple[list[bytes], int]:
        """What a read_committed reader sees, once it is that many ``rows``, and how many the ledger counts.

        A commit is answered before its last marker is written, so the reader is given time.
        """
        consumer, place = kafka.consumer(self.settings, group_id=None), TopicPartition(self.name, 0)
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            seen: list[bytes] = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(seen) < rows or await consumer.position(place) < (await consumer.end_offsets([place]))[place]:
                    seen += [record.value for record in (await consumer.getmany(timeout_ms=100)).get(place, [])]
        finally:
            await consumer.stop()
        arrival = Arrival(bucket="b", key="k", etag="e", version_id=None, last_modified=NOW, size_bytes=1)
        known = self.ledger.find(arrival)
        return seen, known.rows if known else 0


@pytest.fixture
async def lane(stack: Stack) -> AsyncIterator[Lane]:
    """A lane whose load has just begun."""
    settings = KafkaSettings(bootstrap_servers=stack.environment["KAFKA_BOOTSTRAP_SERVERS"])
    name = f"commits{uuid.uuid4().hex[:8]}"
    await kafka.ensure_topics(settings, [Topic(name, 1, None)])
    producer, gate, ledger = TransactionalProducer(settings, name), asyncio.Lock(), Ledger()
    arrival = Arrival(bucket="b", key="k", etag="e", version_id=None, last_modified=NOW, size_bytes=1)
    entry = LedgerEntry(ledger.load_id_of(arrival), "s", "b", "k", "e", "e", 1, "splitting", NOW, NOW, NOW)
    await producer.start()
    yield Lane(settings, name, gate, producer, ledger, Commits(gate, producer, ledger, entry), entry)
    await producer.abort()


async def test_what_is_added_while_a_commit_is_on_its_way_belongs_to_the_next_one(lane: Lane) -> None:
    """A transaction holds the rows that its ledger entry counts, no more: else a restart would send them twice."""
    await lane.gate.acquire()
    await lane.commits.start(lane.add(b"1", b"2"), TALLY)
    second = lane.add(b"3")
    await asyncio.sleep(0)
    assert await lane.outcome(0) == ([], 0)
    lane.gate.release()
    await lane.commits.end()
    assert await lane.outcome(2) == ([b"1", b"2"], 2)
    await lane.commits.start(second, TALLY)
    await lane.commits.end()
    assert await lane.outcome(3) == ([b"1", b"2", b"3"], 3)


async def test_the_next_commit_waits_for_the_one_before(lane: Lane) -> None:
    """However fast rows are split, at most two transactions are in memory, and they are committed in their order."""
    await lane.gate.acquire()
    await lane.commits.start(lane.add(b"1"), TALLY)
    second = asyncio.create_task(lane.commits.start(lane.add(b"2"), TALLY))
    await asyncio.sleep(0.1)
    assert not second.done()
    lane.gate.release()
    await second
    await lane.commits.end()
    assert await lane.outcome(2) == ([b"1", b"2"], 2)


async def test_a_commit_that_is_refused_is_told_to_whoever_comes_next(lane: Lane) -> None:
    """Another process has the lane: nothing of this one is seen, and the ledger in memory does not count it."""
    await lane.commits.start(lane.add(b"1"), TALLY)
    await lane.commits.end()
    successor = TransactionalProducer(lane.settings, lane.name)
    await successor.start()
    await lane.commits.start(lane.add(b"zombie"), TALLY)
    with pytest.raises(FencedError):
        await lane.commits.start(lane.add(b"zombie, too"), TALLY)
    with pytest.raises(FencedError):
        await lane.commits.end()
    assert lane.producer.is_damaged
    assert await lane.outcome(1) == ([b"1"], 1)
    await successor.close()


@pytest.mark.parametrize("by_waiter", [False, True])
async def test_a_lane_that_is_given_away_commits_nothing_afterwards(lane: Lane, by_waiter: bool) -> None:
    """The gate is held while lanes are given out; the commit that waits for it ends with its lane's task."""
    await lane.gate.acquire()
    await lane.commits.start(lane.add(b"late"), TALLY)
    if by_waiter:
        waiter = asyncio.create_task(lane.commits.end())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
    await lane.commits.cancel()
    lane.gate.release()
    await asyncio.sleep(0.1)
    assert await lane.outcome(0) == ([], 0)
