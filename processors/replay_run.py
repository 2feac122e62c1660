"""A replay under way in one partition: reads what it maps again, and gives the outcome batch by batch.

A worker writes each outcome in a transaction of its own, between batches of live rows; a dry run only looks at them.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from leadstream.changelog import bounds, read_partition
from leadstream.partitioning import lane_of
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceConfig
from processors.change_state import PartitionState
from processors.open_letters import OpenLetters, RawMessage
from processors.raw_rows import RowReaders
from processors.replay import ReplayChanges, ReplayMemory
from processors.replay_state import Phase, Replay
from schemas.topics import raw_topic

LETTERS_PER_BATCH = 500


Read = Callable[[int, int], AsyncGenerator[list[Any], None]]
"""Gives the raw messages from one offset up to another (exclusive), in batches."""

Restored = Callable[[int], AsyncGenerator[list[RawMessage], None]]
"""Gives rows of a partition that are not on the raw topic, in batches."""


class ReplayRun:
    """One replay of one partition; made by :func:`open_run`.

    Use: :meth:`next` and write what it gives, until ``replay.phase`` is done; :meth:`close`.
    """

    def __init__(
        self,
        state: PartitionState,
        replay: Replay,
        readers: RowReaders,
        read: Read,
        open_letters: OpenLetters,
        rows: Sequence[RawMessage] | None = None,
    ) -> None:
        """``rows`` are those that a retry is about."""
        self.state = state
        self.replay = replay
        self._readers = readers
        self._read_rows = read
        keys = {row.key for row in rows if row.key is not None} if rows is not None else None
        self._memory = ReplayMemory(open_letters, keys)
        gone = [row for row in rows or () if row.offset < replay.first_offset]
        self._old_rows = sorted(gone, key=lambda row: row.offset)
        self._batches: AsyncGenerator[list[Any], None] | None = None

    async def look_again(self, config: SourceConfig) -> None:
        """After a restart: remember what the rows said that were replayed before it.

        Raises:
            TransientError: Kafka or the registry is away.
        """
        replay = self.replay
        phase = replay.phase
        if phase is Phase.LETTERS:
            return
        replay.phase = Phase.ROWS
        end = replay.next_offset if phase is Phase.ROWS else replay.end_offset
        async for messages in self._read_rows(replay.first_offset, end):
            await self._prepare(messages)
            self._outcome(config).look_again(messages)
        if phase is Phase.STANDING:
            self._memory.active = None
        replay.phase = phase

    async def next(self, config: SourceConfig) -> ReplayChanges:
        """The outcome of the next batch.

        Raises:
            TransientError: Kafka or the registry is away.
        """
        outcome = self._outcome(config)
        if self._batches is None:
            self._batches = self._read()
        messages = await anext(self._batches, None)
        if messages is not None:
            await self._prepare(messages)
            outcome.take(messages)
            is_letters = self.replay.phase is Phase.LETTERS
            self.replay.next_offset = self.replay.next_offset + len(messages) if is_letters else messages[-1].offset + 1
            return outcome
        self._batches = None
        outcome.end_rows()
        if self.replay.phase is Phase.ROWS:
            outcome.settle_doubtful()
        if self.replay.phase is Phase.LETTERS:
            self.replay.enter(Phase.ROWS)
        elif self.replay.phase is Phase.ROWS and self._memory.keys is None and outcome.has_older_leads():
            self.replay.enter(Phase.STANDING)
        else:
            self.replay.phase = Phase.DONE
        return outcome

    async def close(self) -> None:
        """Let go of the connection."""
        batches, self._batches = self._batches, None
        if batches is not None:
            await batches.aclose()

    async def _read(self) -> AsyncGenerator[list[Any], None]:
        if self.replay.phase is Phase.LETTERS:
            for at in range(self.replay.next_offset, len(self._old_rows), LETTERS_PER_BATCH):
                yield self._old_rows[at : at + LETTERS_PER_BATCH]
            return
        async for messages in self._read_rows(self.replay.next_offset, self.replay.end_offset):
            yield messages

    def _outcome(self, config: SourceConfig) -> ReplayChanges:
        return ReplayChanges(self.state, config, self._readers, replay=self.replay, memory=self._memory)

    async def _prepare(self, messages: Sequence[Any]) -> None:
        values = [message.value for message in messages if message.value is not None]
        await forever(functools.partial(self._readers.prepare, values), what="the registry")


async def open_run(
    settings: Settings,
    config: SourceConfig,
    state: PartitionState,
    replay: Replay,
    readers: RowReaders,
    live_offset: int,
    rows: Sequence[RawMessage] | None = None,
    restored: Restored | None = None,
) -> ReplayRun:
    """Begin a replay, or go on where a worker before this one ended. ``live_offset``: up to where live rows were taken.

    ``restored``: of a dry run, rows that would be put on the raw topic for it.

    Raises:
        TransientError: Kafka or the registry is away.
    """
    kafka, topic, partition = settings.kafka, raw_topic(state.source), state.partition
    letter_partitions = {partition}
    if replay.restored_loads:
        letter_partitions.add(lane_of(state.source, settings.topics.lanes))  # where the producer's are
    letters = OpenLetters(state.source)
    await letters.read(kafka, letter_partitions)
    is_new = replay.phase is Phase.WAITING
    if is_new:
        first_offset, end_offset = await bounds(kafka, topic, partition)
        replay.begin(
            floor=state.newest_complete,
            live_offset=live_offset,
            first_offset=first_offset,
            end_offset=end_offset,
            under_way=state.load_under_way,
        )

    async def read(start: int, end: int) -> AsyncGenerator[list[Any], None]:
        async for messages in read_partition(kafka, topic, partition, start=start, end=end):
            yield messages
        if restored is not None:
            async for messages in restored(partition):
                yield messages

    run = ReplayRun(state, replay, readers, read, letters, rows)
    if not is_new:
        await run.look_again(config)
    return run
