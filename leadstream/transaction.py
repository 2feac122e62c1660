"""A Kafka transaction over whole batches: everything in it is seen by read_committed readers, or nothing is.

Three properties of aiokafka 0.14 shape this file: ``commit_transaction`` succeeds even when an un-awaited send
failed, so every delivery is awaited before the commit; ``send()`` costs several times what ``send_batch()`` does,
so records are packed here (``leadstream.record_batch``); and after an error it is not known what the broker has, so the
producer is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation

from leadstream import kafka, metrics
from leadstream.record_batch import RecordBatch, encoded_headers, record_body
from leadstream.settings import KafkaSettings

TRANSACTION_TIMEOUT_MILLISECONDS = 60_000
STOP_TIMEOUT_SECONDS = 5.0
LARGE_BATCH_BYTES = 64 * 1024
"""From here on, a batch is compressed on another core."""

Packed = list[tuple[TopicPartition, RecordBatch]]
"""Records on their way into a transaction."""


class TransactionalProducer:
    """One stable transactional id, one transaction at a time.

    Starting it fences whoever used the id before and aborts what that one left open. Use::

        producer.add(topic, partition, key, value, headers)   # as often as needed
        await producer.begin()
        await producer.commit(offsets, group_id)              # or: await producer.abort()

    Whoever adds records while a transaction is under way says by ``pack`` which of them are in it::

        packed = producer.pack()
        ...                                                   # what is added from here on is for the next one
        await producer.begin()
        await producer.commit(packed=packed)

    After any error from ``deliver`` or ``commit`` call ``abort`` and do not use it again.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._open: dict[TopicPartition, RecordBatch] = {}
        self._full: Packed = []
        self._delivered: dict[TopicPartition, list[tuple[int, int]]] = {}
        self._topics: set[str] = set()
        self._begun_at = 0.0
        self.pending_bytes = 0
        self.is_damaged = False
        """Whether a transaction failed: what the broker has of it is not known."""

    async def start(self) -> None:
        """Connect and take over the transactional id.

        Raises:
            TransientError: Kafka is away.
            ConfigError: Kafka refuses the login or the transactional id.
        """
        producer = kafka.producer(
            self._settings,
            transactional_id=self.transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MILLISECONDS,
            linger_ms=0,
        )
        self._producer = producer
        with kafka.errors_translated():
            try:
                await producer.start()
            except BaseException:
                await self.close()
                raise

    async def begin(self) -> None:
        """Open a transaction; it takes in what was added since the last one."""
        with kafka.errors_translated(), self._failure_noted():
            self._begun_at = time.monotonic()
            await self._live.begin_transaction()

    def add(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Put one record into the transaction; nothing is sent before ``deliver`` or ``commit``."""
        self.add_all(topic, partition, [record_body(key, value, encoded_headers(headers))])

    def add_all(self, topic: str, partition: int, bodies: Sequence[bytes]) -> None:
        """As :meth:`add` for records of one partition, each as ``leadstream.record_batch.record_body`` makes it."""
        where = TopicPartition(topic, partition)
        while bodies:
            batch = self._open.get(where)
            if batch is None:
                batch = self._open[where] = RecordBatch(compress=self._settings.compression == "zstd")
            before = batch.size()
            bodies = batch.extend(bodies)
            self.pending_bytes += batch.size() - before
            if bodies:
                self._full.append((where, self._open.pop(where)))

    def discard(self) -> None:
        """Forget what was added and not yet delivered."""
        self.pack()

    def pack(self) -> Packed:
        """Take out what was added and not yet delivered, to give it to ``deliver`` or ``commit``."""
        packed = [*self._full, *self._open.items()]
        self._full, self._open = [], {}
        self.pending_bytes = 0
        return packed

    async def deliver(self, packed: Packed | None = None) -> None:
        """Send what was ``packed``, or all that was added, and wait until the brokers have it (not yet committed)."""
        batches = self.pack() if packed is None else packed
        with kafka.errors_translated(), self._failure_noted():
            # aiokafka knows every topic from its start, but forgets those that were not added when it next refreshes
            # its metadata: a batch that waits at that moment would have no leader until it expires, 40 s later.
            for topic in {where.topic for where, _batch in batches} - self._topics:
                await self._live.client.add_topic(topic)
                self._topics.add(topic)
            large = [batch for _where, batch in batches if batch.size() > LARGE_BATCH_BYTES]
            await asyncio.gather(*(asyncio.to_thread(batch.press) for batch in large))
            futures = [await self._live.send_batch(b, w.topic, partition=w.partition) for w, b in batches]
            results = await asyncio.gather(*futures, return_exceptions=True)
            for (where, batch), result in zip(batches, results, strict=True):
                if isinstance(result, BaseException):
                    raise result
                self._delivered.setdefault(where, []).append((result.offset, batch.record_count()))

    def offsets(self, topic: str, partition: int) -> list[int]:
        """Offsets of the records delivered to one partition in this transaction, in the order they were added."""
        ranges = self._delivered.get(TopicPartition(topic, partition), [])
        return [offset for base, count in ranges for offset in range(base, base + count)]

    async def commit(
        self,
        offsets: Mapping[TopicPartition, int] | None = None,
        group_id: str = "",
        packed: Packed | None = None,
    ) -> None:
        """Deliver what was ``packed``, or all that was added, add the consumed ``offsets`` of ``group_id``, commit.

        Raises:
            FencedError: another process took over the transactional id; nothing of this transaction is visible.
            TransientError: it is not known whether the commit took effect: abort, start anew, read the offsets.
        """
        await self.deliver(packed)
        with kafka.errors_translated(), self._failure_noted():
            if offsets:
                await self._live.send_offsets_to_transaction(dict(offsets), group_id)
            await self._live.commit_transaction()
        self._delivered = {}
        metrics.committed(time.monotonic() - self._begun_at)

    async def abort(self) -> None:
        """Give up the open transaction, if any, and the producer with it; never raises for Kafka being away."""
        producer = self._producer
        if producer is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                    await producer.abort_transaction()
        await self.close()

    async def close(self) -> None:
        """Let go of the connections. Waits a bounded time: a broker that is away must not hold us up."""
        producer, self._producer = self._producer, None
        self.discard()
        self._delivered = {}
        if producer is None:
            return
        # aiokafka keeps what a transaction failed of a second and third time, and asyncio logs what nobody asked for.
        waiters = [getattr(producer._txn_manager, "_transaction_waiter", None)]
        for batches in producer._message_accumulator._batches.values():
            waiters += [batch._drain_waiter for batch in batches]
        for waiter in waiters:
            if waiter is not None and waiter.done() and not waiter.cancelled():
                waiter.exception()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await producer.stop()
        except Exception:
            # stop() waits for pending batches, which need a broker; end the sender and the connections ourselves.
            with contextlib.suppress(Exception):
                await producer._sender.close()
            with contextlib.suppress(Exception):
                await producer.client.close()

    @contextlib.contextmanager
    def _failure_noted(self) -> Iterator[None]:
        """Remember a failure; and when aiokafka's sender has died, raise what it died of.

        Its calls then only say that there is no transaction, which would not tell a fenced producer from a busy broker.
        """
        try:
            yield
        except BaseException as exc:
            self.is_damaged = True
            if isinstance(exc, Exception):
                metrics.failed()
            task = self._live._sender.sender_task
            if isinstance(exc, IllegalOperation) and task is not None and task.done() and not task.cancelled():
                raise (task.exception() or exc) from exc
            raise

    @property
    def _live(self) -> Any:
        if self._producer is None:
            raise RuntimeError("the producer was not started or is closed")
        return self._producer
