"""The sink's loop: poll → decode → deliver → commit. The numbers are those of docs/architecture.md."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Coroutine
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from leadstream import kafka, metrics
from leadstream.errors import BadRecordError, ConfigError, FencedError
from leadstream.health import HEALTH
from leadstream.log import get_logger
from leadstream.retry import forever, working
from leadstream.settings import Settings
from schemas.codec import Decoder
from schemas.records import parsed
from schemas.registry import Registry
from schemas.topics import CANONICAL, DEAD_LETTERS, LOADS
from sink import dead_letters
from sink.batch import Batch
from sink.lead_changes import ChangeReader
from sink.load_report import show_loads
from sink.postgres_output import PostgresOutput

GROUP_ID = "leadstream-sink"
TOPICS = (CANONICAL, LOADS, DEAD_LETTERS)
POLL_TIMEOUT_MILLISECONDS = 500
MAX_PARTITION_FETCH_BYTES = 1024 * 1024
"""Compressed, some 10,000 changes."""
SESSION_TIMEOUT_MILLISECONDS = 10_000
HEARTBEAT_INTERVAL_MILLISECONDS = 1_000
MAX_POLL_INTERVAL_MILLISECONDS = 24 * 60 * 60 * 1000
"""While Postgres is away nothing is polled, and that is no reason to lose the partitions; heartbeats go on."""
HANDOVER_SECONDS = 5.0
"""How long a rebalance waits for the batch in hand. Longer is not needed: who is late is fenced."""
COMMIT_TIMEOUT_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 1.0
PART = f"group {GROUP_ID}"
LOADS_REPORT_INTERVAL_SECONDS = 5.0
RECORDS_AT_ONCE = 100
"""Are decoded before the write under way gets its turn."""
FIRST_RECORDS = 2_000
"""Are decoded at once while Postgres has nothing to do."""

log = get_logger("sink")


class SinkLoop:
    """One membership in the sinks' group.

    Postgres says where each partition is to be read on. Kafka's own offsets are committed for tools that show lag.
    """

    def __init__(self, settings: Settings, registry: Registry, output: PostgresOutput) -> None:
        self._max_records = settings.sink.max_batch_records
        self._kafka_settings = settings.kafka
        self._output = output
        self._leads = ChangeReader(registry)
        self._steps = Decoder(registry, parsed("load_step"))
        self._positions: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._lag = metrics.LagReport()
        self._reports_loads = settings.sink.http_port is not None
        self._loads_report_due = 0.0
        self._generation = 0
        """Grows with each rebalance: what was polled before it is not written after it."""
        self._placed_generation = 0
        self._batch_in_hand = asyncio.Lock()

    async def run(self) -> None:
        """Work until cancelled; a batch in hand is rolled back, and written by whoever takes over.

        Raises:
            FencedError: another sink has written to one of our partitions, or Postgres was away; join the group again.
            TransientError: Kafka is away.
            FatalError: the work cannot go on.
        """
        consumer = kafka.consumer(
            self._kafka_settings,
            group_id=GROUP_ID,
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            session_timeout_ms=SESSION_TIMEOUT_MILLISECONDS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MILLISECONDS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MILLISECONDS,
        )
        self._positions = {}
        HEALTH.expect(PART)
        try:
            with kafka.errors_translated():
                await consumer.start()
                consumer.subscribe(list(TOPICS), listener=_Listener(self, consumer))
                await self._work(consumer)
        finally:
            self._lag.clear()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                    await consumer.stop()

    async def _work(self, consumer: AIOKafkaConsumer) -> None:
        """Poll and decode a batch while Postgres writes the one before it."""
        async with _Writing() as writing:
            while True:
                # 9. Poll
                generation = self._generation
                max_records = self._max_records if writing.is_under_way else min(self._max_records, FIRST_RECORDS)
                polled = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MILLISECONDS, max_records=max_records)
                if generation != self._generation or generation != self._placed_generation:
                    await writing.ended()
                    async with self._batch_in_hand:
                        await self._take_places(consumer)
                elif polled:
                    # 10. Decode
                    batch = await forever(functools.partial(self._decode, polled), what="the registry")
                    await writing.ended()
                    writing.start(self._write(consumer, batch, generation))
                else:
                    await writing.ended()
                    await forever(self._output.flush, what="Postgres")
                    await self._report_loads()
                if generation == self._generation == self._placed_generation and kafka.is_member(consumer):
                    HEALTH.turned(PART)
                    working()
                    unwritten = {where: at - self._written[where] for where, at in self._positions.items()}
                    await self._lag.show(consumer, self._positions, unwritten)

    async def _write(self, consumer: AIOKafkaConsumer, batch: Batch, generation: int) -> None:
        async with self._batch_in_hand:
            if generation != self._generation:
                return  # the partitions were given away: who has them now reads this batch again
            # 11. Deliver, in one database transaction with the offsets
            begun_at = time.monotonic()
            try:
                await forever(lambda: self._deliver(batch, generation), what="Postgres")
            except FencedError:
                metrics.failed()
                raise
            metrics.committed(time.monotonic() - begun_at)
            metrics.RECORDS_WRITTEN.labels(CANONICAL).inc(len(batch.changes))
            metrics.RECORDS_WRITTEN.labels(LOADS).inc(len(batch.steps))
            metrics.RECORDS_WRITTEN.labels(DEAD_LETTERS).inc(len(batch.dead_letters) + len(batch.letter_events))
            self._written |= batch.following
            await self._report_loads()
        # 12. Commit: the transaction has; Kafka is told for the tools that show lag
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                await consumer.commit(batch.following)

    async def _take_places(self, consumer: AIOKafkaConsumer) -> None:
        """After a rebalance: read each partition from where Postgres has it."""
        generation = self._generation
        partitions = consumer.assignment()
        offsets = await forever(lambda: self._output.offsets(partitions), what="Postgres") if partitions else {}
        with contextlib.suppress(IllegalStateError):  # a rebalance came in between: the next step sees it
            ends = await consumer.end_offsets(list(offsets))
            for partition, offset in offsets.items():
                if offset > ends[partition]:
                    raise ConfigError(
                        f"Postgres has {partition.topic}[{partition.partition}] up to offset {offset}, "
                        f"but Kafka ends at {ends[partition]}",
                        hint="this database was filled from another Kafka cluster: use a new database, "
                        "or the cluster it belongs to",
                    )
                consumer.seek(partition, offset)
            consumer.resume(*partitions)
            self._positions = offsets
            self._written = dict(offsets)
            metrics.LANES.set(len(offsets))
            metrics.REBALANCES.inc()
            self._placed_generation = generation
            log.info("partitions_assigned", partitions=len(offsets))

    async def _decode(self, polled: dict[TopicPartition, list[Any]]) -> Batch:
        batch = Batch()
        for partition in sorted(polled):
            messages = polled[partition]
            batch.expected[partition] = self._positions[partition]
            batch.following[partition] = messages[-1].offset + 1
            for number, message in enumerate(messages):
                if number % RECORDS_AT_ONCE == 0:
                    await asyncio.sleep(0)  # the batch before is being written
                if message.topic == DEAD_LETTERS:
                    event = dead_letters.event_of(message)
                    if event is not None:
                        batch.letter_events.append(event)
                    else:
                        batch.dead_letters.append(dead_letters.from_message(message))
                elif message.value is not None:  # a tombstone follows the delete it stands for
                    await self._add(batch, message)
        self._positions |= batch.following
        return batch

    async def _add(self, batch: Batch, message: Any) -> None:
        try:
            if message.topic == CANONICAL:
                batch.changes.append(await self._leads.read(message))
            else:
                _schema_id, step = await self._steps.decode(message.value)
                batch.steps.append(step)
        except BadRecordError as exc:
            place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            log.error("record_undecodable", **place, why=exc.message)
            batch.dead_letters.append(dead_letters.from_write_failure(message, None, exc.code, exc.message))

    async def _report_loads(self) -> None:
        """Where the loads stand, for the metrics; in turn with the batches, since there is one connection."""
        if not self._reports_loads or time.monotonic() < self._loads_report_due:
            return
        show_loads(await forever(self._output.load_summary, what="Postgres"))
        self._loads_report_due = time.monotonic() + LOADS_REPORT_INTERVAL_SECONDS

    async def _deliver(self, batch: Batch, generation: int) -> None:
        if generation != self._generation:
            raise FencedError("the partitions were given away while Postgres was away")
        await self._output.write(batch)


class _Writing:
    """The write that is under way while the next batch is decoded, if any; given up when its block is left."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        while self._task is not None and not self._task.done():
            # A library may swallow a cancellation (aiokafka does while it waits for an answer): say it again.
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_AGAIN_SECONDS)
        if self._task is not None and not self._task.cancelled():
            self._task.exception()  # looked at: who leaves the block has a reason of its own

    @property
    def is_under_way(self) -> bool:
        """Whether there is one."""
        return self._task is not None and not self._task.done()

    def start(self, write: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(write)

    async def ended(self) -> None:
        """Wait for it; raises what it raised. Who waits may be told to stop: then the write is not told by that."""
        if self._task is not None:
            await asyncio.wait([self._task])
            task, self._task = self._task, None
            task.result()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, loop: SinkLoop, consumer: AIOKafkaConsumer) -> None:
        self._loop = loop
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANDOVER_SECONDS), self._loop._batch_in_hand:
                self._loop._generation += 1
                return
        self._loop._generation += 1

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._loop._generation += 1
        self._consumer.pause(*assigned)  # until it is known where to read on
