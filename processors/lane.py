"""One lane of the row path: the same partition number of every source's raw topic.

The numbered steps are those of docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream import kafka, metrics
from leadstream.changelog import read_partition
from leadstream.errors import BadRecordError, FencedError, TransientError
from leadstream.forgotten import KINDS as FORGET_KINDS
from leadstream.forgotten import Forgotten, read_forgotten
from leadstream.health import HEALTH
from leadstream.lanes import lane_part
from leadstream.log import get_logger
from leadstream.partitioning import lane_of, lead_key
from leadstream.record_batch import encoded_headers, record_body
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceCatalog, SourceConfig
from leadstream.transaction import TransactionalProducer
from processors import breaker
from processors.change_state import PROGRESS_KEY, PartitionState
from processors.changes import BatchChanges
from processors.envelope import EnvelopeEncoder
from processors.forgetting import erase
from processors.idle import IdlePartitions
from processors.lane_replays import LaneReplays
from processors.mapping_guard import MappingGuard, by_load, live_messages
from processors.previous import add_previous
from processors.progress import DeadLetter, EndedLoad
from processors.raw_rows import RowReaders
from processors.replay import ReplayChanges, SettledLetter
from schemas import headers, topics
from schemas.codec import Decoder, Encoder, frame
from schemas.headers import dead_letter_headers, letter_event_headers

OFFSETS_GROUP_ID = "leadstream-processors"
"""Offsets are committed for this group; it has no members, the lanes' group has (see ``service``)."""
NO_HEADERS = encoded_headers(())
POLL_TIMEOUT_MILLISECONDS = 200
POLL_AGAIN_SECONDS = 0.3
MAX_PARTITION_FETCH_BYTES = 256 * 1024
"""aiokafka gives all it has of one partition before the next has its turn: a big file would hold up small ones of other
sources. This is some 4,000 rows, compressed. A message that is bigger comes all the same, alone."""

log = get_logger("processors")


@dataclass
class ProcessorContext:
    """What all lanes of one worker share."""

    settings: Settings
    catalog: SourceCatalog
    readers: RowReaders
    decoder: Decoder
    lead_schema_id: int
    step_encoder: Encoder
    state_encoders: dict[str, Encoder]


class ProcessorLane:
    """Maps the rows of one lane, one transaction a poll."""

    def __init__(self, context: ProcessorContext, lane: int) -> None:
        self._context = context
        self._lane = lane
        self._lag = metrics.LagReport()
        self._states: dict[str, PartitionState] = {}
        self._halted: dict[str, PartitionState] = {}
        """Sources whose rows are not read: too many of a load failed (``processors.breaker``)."""
        self._next_offsets: dict[TopicPartition, int] = {}
        self._waiting: dict[TopicPartition, float] = {}
        """Partitions that are not polled before a time: a load waits for its mapping there."""
        self._lead_prefix = frame(context.lead_schema_id)
        self._commands = TopicPartition(topics.COMMANDS, lane)
        self._forgotten = Forgotten()
        self._guard = MappingGuard(context.catalog, context.readers)
        self._replays = LaneReplays(context.settings, lane, context.readers, context.decoder, self._config)

    async def run(self, gate: asyncio.Lock) -> None:
        """Take over the lane, restore what it knows, map what comes, until cancelled."""
        kafka_settings = self._context.settings.kafka
        while True:
            HEALTH.expect(lane_part(self._lane))
            producer = TransactionalProducer(kafka_settings, f"leadstream-processors-{self._lane}")
            consumer = kafka.consumer(
                kafka_settings,
                group_id=OFFSETS_GROUP_ID,
                max_poll_records=self._context.settings.processor.max_poll_records,
                max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            )
            reader = kafka.consumer(kafka_settings, group_id=None)
            idle = IdlePartitions(kafka_settings, consumer)
            self._states.clear()
            self._halted.clear()
            self._next_offsets.clear()
            self._waiting.clear()
            try:
                # The id first (it fences the lane's former owner), offsets and state after.
                await forever(producer.start, what="Kafka")
                with kafka.errors_translated():
                    await consumer.start()
                    await reader.start()
                    await idle.start()
                    await self._work(gate, producer, consumer, idle, reader)
            except FencedError:
                raise
            except TransientError as exc:
                log.warning("lane_restarts", lane=self._lane, why=str(exc))
                metrics.LANE_RESTARTS.inc()
                await asyncio.sleep(0.5)
            finally:
                self._lag.clear()
                # Together, and in one shield: a second cancellation must not leave one of them open.
                closing = (self._replays.clear(), producer.abort(), _stop(idle), _stop(consumer), _stop(reader))
                await asyncio.shield(asyncio.gather(*closing))

    async def _work(
        self,
        gate: asyncio.Lock,
        producer: TransactionalProducer,
        consumer: AIOKafkaConsumer,
        idle: IdlePartitions,
        reader: AIOKafkaConsumer,
    ) -> None:
        while True:
            await self._follow_catalog(consumer, idle)
            self._look_after_waiting(consumer)
            idle.rest(self._next_offsets)
            HEALTH.turned(lane_part(self._lane))
            await self._lag.show(consumer, self._next_offsets)
            # 5. Poll rows.
            patience = 0 if self._replays.is_at_work else POLL_TIMEOUT_MILLISECONDS
            batches = await consumer.getmany(timeout_ms=patience) if self._next_offsets else {}
            if not batches:
                await asyncio.sleep(0 if self._next_offsets else 0.2)
            idle.heard(batches)
            commands = batches.pop(self._commands, [])
            ready = [(where, await self._ready(consumer, where, messages)) for where, messages in batches.items()]
            if runs := {where: messages for where, messages in ready if messages}:
                # 6. Validate, map, detect change.
                outcomes, taken = [], {}
                for where, messages in runs.items():
                    outcome, taken_here = await self._process(consumer, where, messages)
                    outcomes.append(outcome)
                    if taken_here:
                        taken[where] = taken_here
                await self._write(gate, producer, reader, outcomes, taken)
            for command in commands:
                await self._write(gate, producer, reader, await self._obey(command), {self._commands: [command]})
            if replayed := await self._replays.next(self._read_states(), self._next_offsets, reader):
                await self._write(gate, producer, reader, replayed, {})

    async def _write(
        self,
        gate: asyncio.Lock,
        producer: TransactionalProducer,
        reader: AIOKafkaConsumer,
        outcomes: list[BatchChanges],
        consumed: Mapping[TopicPartition, Sequence[Any]],
    ) -> None:
        """One transaction: what came of the messages in ``consumed``, and that they were consumed."""
        changes = [change for outcome in outcomes for change in outcome.changes]
        await add_previous(reader, self._lane, changes, self._context.decoder)
        for outcome in outcomes:
            outcome.finish()
        for where, messages in consumed.items():
            self._next_offsets[where] = messages[-1].offset + 1
        async with gate:
            # 7. Deliver the changes; the state remembers the offsets they got.
            await producer.begin()
            for outcome in outcomes:
                self._add_changes(producer, outcome)
            await producer.deliver()
            offsets = iter(producer.offsets(topics.CANONICAL, self._lane))
            for outcome in outcomes:
                self._add_state(producer, outcome, offsets)
                self._add_letters_and_steps(producer, outcome)
            # 8. Commit: changes, dead letters, state, steps and offsets, all or nothing.
            await producer.commit({where: self._next_offsets[where] for where in consumed}, OFFSETS_GROUP_ID)
        _count(outcomes, consumed)

    async def _follow_catalog(self, consumer: AIOKafkaConsumer, idle: IdlePartitions) -> None:
        """Start reading sources that are new or go on, stop reading those that are halted or whose YAML is gone."""
        configs = self._context.catalog.configs
        known = self._halted | self._states
        halted = {name for name in known.keys() & configs.keys() if known[name].is_halted(configs[name].version)}
        wanted = (configs.keys() & self._context.state_encoders.keys()) - halted
        read = self._read_states().keys()
        if wanted == read == self._states.keys():
            return
        for gone in self._states.keys() - (wanted & read):
            state = self._states.pop(gone)
            if state.is_rewound:
                self._halted[gone] = state
            self._next_offsets.pop(TopicPartition(topics.raw_topic(gone), self._lane), None)
        kafka_settings = self._context.settings.kafka
        if self._commands not in self._next_offsets:
            self._next_offsets[self._commands] = await consumer.committed(self._commands) or 0
            # To the end: whoever is forgotten by a command that is still to be carried out stays out already.
            self._forgotten = await read_forgotten(self._context.settings, self._context.decoder, self._lane)
        for source in sorted(wanted - self._states.keys()):
            where = TopicPartition(topics.raw_topic(source), self._lane)
            if source in self._halted:
                state = self._halted.pop(source)
            else:
                state = PartitionState(source, self._lane)
                state.forgotten = self._forgotten
                await state.restore(kafka_settings, self._context.decoder)
                if state.is_halted(configs[source].version):
                    state.rewind()
                    self._halted[source] = state
                    continue
            state.is_rewound = False
            next_offset = max(await consumer.committed(where) or 0, state.next_offset)
            await self._look_again(state, where, next_offset)
            self._states[source] = state
            self._next_offsets[where] = next_offset
        consumer.assign(list(self._next_offsets))
        beginnings = await consumer.beginning_offsets(list(self._next_offsets)) if self._next_offsets else {}
        for where, offset in self._next_offsets.items():
            consumer.seek(where, max(offset, beginnings[where]))
        idle.assign(self._next_offsets)
        log.info("lane_restored", lane=self._lane, sources=len(self._states),
                 leads=sum(len(state) for state in self._states.values()))  # fmt: skip

    def _read_states(self) -> dict[str, PartitionState]:
        """The states of the sources whose rows are read: of those that were halted just now they are not."""
        return {name: state for name, state in self._states.items() if not state.is_rewound}

    async def _look_again(self, state: PartitionState, where: TopicPartition, next_offset: int) -> None:
        """Read the load under way again from its first message up to ``next_offset``."""
        if state.resume_offset < 0:
            return
        kafka_settings = self._context.settings.kafka
        outcome = BatchChanges(state, self._config(state.source), self._context.readers)
        async for messages in read_partition(
            kafka_settings, where.topic, where.partition, start=state.resume_offset, end=next_offset
        ):
            await self._prepare(messages)
            outcome.source = await self._guard.wait(state, messages)
            outcome.look_again(messages)

    async def _process(
        self, consumer: AIOKafkaConsumer, where: TopicPartition, messages: Sequence[Any]
    ) -> tuple[BatchChanges, Sequence[Any]]:
        """What came of messages, and which of them were taken. The rest is polled again, but for a halted load's."""
        state = self._states[where.topic.removeprefix(topics.RAW_PREFIX)]
        outcome = BatchChanges(state, self._config(state.source), self._context.readers)
        for run in by_load(live_messages(messages)):
            outcome.source = await self._guard.wait(state, run)
            rest_from = outcome.take(run)
            if rest_from is not None:
                consumer.seek(where, rest_from.offset)
                messages = [message for message in messages if message.offset < rest_from.offset]
                break
        outcome = breaker.judged(outcome)
        return outcome, [] if outcome.state.is_rewound else messages

    async def _ready(self, consumer: AIOKafkaConsumer, where: TopicPartition, messages: list[Any]) -> Sequence[Any]:
        """The messages that are worked through now: none of a load that waits for its mapping, and of one load only
        where a batch may be thrown away. Those after them are polled again.
        """
        state = self._states[where.topic.removeprefix(topics.RAW_PREFIX)]
        await self._prepare(messages)
        at_once = 1 if self._config(state.source).hold_dead_letters else len(messages)
        for index, run in enumerate(by_load(live_messages(messages))):
            is_late = not self._guard.may_map(state, run)
            if is_late or index == at_once:
                consumer.seek(where, run[0].offset)
                if is_late:
                    consumer.pause(where)
                    self._waiting[where] = time.monotonic() + POLL_AGAIN_SECONDS
                return [message for message in messages if message.offset < run[0].offset]
        return messages

    def _look_after_waiting(self, consumer: AIOKafkaConsumer) -> None:
        """Poll partitions again that wait for a mapping; it is judged anew whether it is there."""
        now = time.monotonic()
        for where in [where for where, at in self._waiting.items() if at <= now]:
            del self._waiting[where]
            if where in consumer.assignment():
                consumer.resume(where)

    def _config(self, source: str) -> SourceConfig:
        config = self._context.catalog.configs.get(source)
        if config is None:
            raise TransientError(f"the YAML of source {source} is gone")  # the lane starts anew without it
        return config

    async def _prepare(self, messages: Sequence[Any]) -> None:
        values = [message.value for message in messages if message.value is not None]
        await forever(functools.partial(self._context.readers.prepare, values), what="the registry")

    async def _obey(self, message: Any) -> list[BatchChanges]:
        """What an operator's command changes; nothing when it is about a source that is not followed."""
        decode = functools.partial(self._context.decoder.decode, message.value or b"")
        try:
            _schema_id, command = await forever(decode, what="the registry")
        except BadRecordError as exc:
            log.error("command_undecodable", lane=self._lane, offset=message.offset, why=exc.message)
            return []
        if command["kind"] in FORGET_KINDS:
            self._forgotten.take(command, message.offset)
            states = [*self._states.values(), *self._halted.values()]
            outcomes = [BatchChanges(state, self._config(state.source), self._context.readers) for state in states]
            return [erase(outcome, command["command_id"], message.offset) for outcome in outcomes]
        state, kind = (self._states | self._halted).get(command["source"]), command["kind"]
        if state is not None and kind in {"replay", "retry"}:
            return [self._replays.accept(state, command, message.offset)]
        if state is not None and kind == "cancel":
            return [await self._replays.cancel(state, command["replay_id"])]
        if state is None or kind not in {"approve", "reject", "proceed"}:
            log.warning("command_passed_over", lane=self._lane, kind=kind, source=command["source"])
            return []
        outcome = BatchChanges(state, self._config(state.source), self._context.readers)
        if command["kind"] == "proceed":
            state.approved_load = command["load_id"]
        else:
            outcome.settle_held_deletes(command, message.offset)
        return [outcome]

    def _add_changes(self, producer: TransactionalProducer, outcome: BatchChanges) -> None:
        """Put the change records (and a tombstone after each delete) into the transaction."""
        envelopes = EnvelopeEncoder(outcome.source.name, self._lane, datetime.now(UTC))
        key_prefix = lead_key(outcome.source.name, "").encode()
        made: list[bytes] = []
        for change in outcome.changes:
            key = key_prefix + change.key
            told = encoded_headers(headers.erasure_headers(change.erased_by)) if change.erased_by else NO_HEADERS
            value = self._lead_prefix + envelopes.encode(key, change) + change.body_bytes
            made.append(record_body(key, value, told))
            if change.op == "d":
                made.append(record_body(key, None, told))
        producer.add_all(topics.CANONICAL, self._lane, made)

    def _add_state(self, producer: TransactionalProducer, outcome: BatchChanges, offsets: Iterator[int]) -> None:
        state = outcome.state
        encoder = self._context.state_encoders[state.source]
        entries = [
            record_body(key, encoder.prefix + entry.encoded(), NO_HEADERS)
            for key, entry in outcome.settle(offsets).items()
        ]
        entries += [record_body(key, None, NO_HEADERS) for key in outcome.erased]
        next_offset = self._next_offsets.get(TopicPartition(topics.raw_topic(state.source), self._lane), 0)
        progress = encoder.encode(state.progress_record(next_offset))
        entries.append(record_body(PROGRESS_KEY, progress, NO_HEADERS))
        producer.add_all(topics.state_topic(state.source), self._lane, entries)

    def _add_letters_and_steps(self, producer: TransactionalProducer, outcome: BatchChanges) -> None:
        replay_id = outcome.replay_id if isinstance(outcome, ReplayChanges) else ""
        for letter in outcome.dead_letters:
            producer.add(
                topics.DEAD_LETTERS, self._lane, letter.message.key, letter.message.value,
                letter_headers(outcome.source.name, letter, replay_id),
            )  # fmt: skip
        if isinstance(outcome, ReplayChanges):
            self._add_letter_events(producer, outcome)
        for ended in outcome.ended:
            step = _step(outcome.source.name, self._lane, self._context.settings.topics.lanes, ended)
            partition = lane_of(ended.load.load_id, self._context.settings.topics.lanes)
            producer.add(topics.LOADS, partition, ended.load.load_id.encode(), self._context.step_encoder.encode(step))

    def _add_letter_events(self, producer: TransactionalProducer, outcome: ReplayChanges) -> None:
        """Tell what became of letters: in the partition of each, so that whoever reads it has read the letter."""
        for settled in outcome.settled_letters:
            told = event_headers(outcome, settled)
            producer.add(topics.DEAD_LETTERS, settled.place[0], None, None, told)


def _count(outcomes: Sequence[BatchChanges], consumed: Mapping[TopicPartition, Sequence[Any]]) -> None:
    """Count what was committed."""
    for where, messages in consumed.items():
        if where.topic != topics.COMMANDS:
            metrics.RAW_MESSAGES.labels(where.topic.removeprefix(topics.RAW_PREFIX)).inc(len(messages))
    for outcome in outcomes:
        metrics.CHANGES.labels(outcome.source.name).inc(len(outcome.changes))
        codes = Counter(letter.reasons[0].code for letter in outcome.dead_letters)
        metrics.count_dead_letters(outcome.source.name, codes)


def letter_headers(source: str, letter: DeadLetter, replay_id: str) -> headers.Headers:
    """Headers of a row's record in leads.dlq; ``replay_id``: the replay in which it failed, if it was one."""
    message = letter.message
    values = headers.to_dict(message.headers)
    return dead_letter_headers(
        stage=letter.stage,
        reasons=letter.reasons,
        source=source,
        load_id=values.get(headers.LOAD_ID, ""),
        load_seq=max(headers.number(values, headers.LOAD_SEQ), 0),
        row_number=max(headers.number(values, headers.ROW), 0),
        line_number=max(headers.number(values, headers.LINE), 0),
        bucket=values.get(headers.BUCKET, ""),
        object_key=values.get(headers.KEY, ""),
        object_version=values.get(headers.VERSION, ""),
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        mapping_version=letter.mapping_version,
        class_name="processors.mapping",
        replay_id=replay_id,
    )


def event_headers(outcome: ReplayChanges, settled: SettledLetter) -> headers.Headers:
    """Headers of the record in leads.dlq that says what became of a letter."""
    partition, offset = settled.place
    return letter_event_headers(
        settled.event,
        source=outcome.source.name,
        letter_partition=partition,
        letter_offset=offset,
        replay_id=outcome.replay_id,
        mapping_version=settled.mapping_version,
        stage=settled.stage,
        reasons=settled.reasons,
    )


def _step(source: str, partition: int, partitions: int, ended: EndedLoad) -> dict[str, Any]:
    load = ended.load
    return {
        "load_id": load.load_id,
        "source": source,
        "bucket": load.bucket,
        "object_key": load.object_key,
        "object_version": load.object_version,
        "load_seq": load.load_seq,
        "step": ended.step,
        "command_id": ended.command_id,
        "partition": partition,
        "partitions": partitions,
        "reason": ended.reason,
        "notes": list(ended.notes),
        "mapping_version": ended.mapping_version,
        "at": datetime.now(UTC),
        **vars(ended.counts),
    }


async def _stop(consumer: AIOKafkaConsumer | IdlePartitions) -> None:
    try:
        async with asyncio.timeout(5.0):
            await consumer.stop()
    except Exception as exc:  # Kafka may be away; the process goes on without this connection
        log.debug("consumer_not_stopped", why=type(exc).__name__)
