"""A replay under way in one partition: reads what it maps again, and gives the outcome batch by batch.

A worker writes each outcome in a transaction of its own, between batches of live rows; a dry run only looks at them.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from leadstream.changelog import bounds, read_partition
from leadstream.partitioning import lane_of
from leadstream.retry import forever
from leadstream.settings import KafkaSettings
from leadstream.sources import SourceConfig
from processors.change_state import PartitionState
from processors.open_letters import OpenLetters, RawMessage
from processors.raw_rows import RowReaders
from processors.replay import ReplayChanges, ReplayMemory
from processors.replay_state import Phase, Replay
from schemas.topics import raw_topic

LETTERS_PER_BATCH = 500


class ReplayRun:
    """One replay of one partition. ``letters`` are the rows that a retry is about.

    Use: :meth:`start`; :meth:`next` and write what it gives, until ``replay.phase`` is done; :meth:`close`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        state: PartitionState,
        replay: Replay,
        readers: RowReaders,
        letters: Sequence[RawMessage] | None = None,
    ) -> None:
        self.replay = replay
        self._settings = settings
        self.state = state
        self._readers = readers
        self._memory = ReplayMemory(OpenLetters(state.source))
        self._letters = letters or ()
        if letters is not None:
            self._memory.keys = {letter.key for letter in letters if letter.key is not None}
        self._old_letters: list[RawMessage] = []
        self._batches: AsyncGenerator[list[Any], None] | None = None

    async def start(self, config: SourceConfig, live_offset: int, lanes: int) -> None:
        """Begin, or go on where a worker before this one ended. ``live_offset``: up to where live rows were taken.

        Raises:
            TransientError: Kafka or the registry is away.
        """
        replay, state = self.replay, self.state
        partitions = {state.partition}
        if replay.restored_loads:
            partitions.add(lane_of(state.source, lanes))  # where the producer's letters of this source are
        await self._memory.letters.read(self._settings, partitions)
        if replay.phase is Phase.WAITING:
            first_offset, end_offset = await bounds(self._settings, raw_topic(state.source), state.partition)
            replay.begin(
                floor=state.newest_complete,
                live_offset=live_offset,
                first_offset=first_offset,
                end_offset=end_offset,
                under_way=state.active.load_id if state.active else state.resume_load,
            )
        else:
            await self._look_again(config)
        gone = [letter for letter in self._letters if letter.offset < replay.first_offset]
        self._old_letters = sorted(gone, key=lambda letter: letter.offset)

    async def next(self, config: SourceConfig) -> ReplayChanges:
        """The outcome of the next batch.

        Raises:
            TransientError: Kafka or the registry is away.
        """
        outcome = self._outcome(config)
        if self._batches is None:
            self._batches = self._read(self.replay.next_offset, self.replay.end_offset)
        messages = await anext(self._batches, None)
        if messages is not None:
            await self._prepare(messages)
            outcome.take(messages)
            is_letters = self.replay.phase is Phase.LETTERS
            self.replay.next_offset = self.replay.next_offset + len(messages) if is_letters else messages[-1].offset + 1
            return outcome
        self._batches = None
        outcome.end_rows()
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

    async def _read(self, start: int, end: int) -> AsyncGenerator[list[Any], None]:
        if self.replay.phase is Phase.LETTERS:
            for at in range(start, len(self._old_letters), LETTERS_PER_BATCH):
                yield self._old_letters[at : at + LETTERS_PER_BATCH]
            return
        topic = raw_topic(self.state.source)
        async for messages in read_partition(self._settings, topic, self.state.partition, start=start, end=end):
            yield messages

    async def _look_again(self, config: SourceConfig) -> None:
        """Remember what the rows said that were replayed before a restart."""
        replay = self.replay
        phase, next_offset = replay.phase, replay.next_offset
        if phase is Phase.LETTERS:
            return
        replay.phase = Phase.ROWS
        end = next_offset if phase is Phase.ROWS else replay.end_offset
        async for messages in self._read(replay.first_offset, end):
            await self._prepare(messages)
            self._outcome(config).look_again(messages)
        if phase is Phase.STANDING:
            self._memory.active = None
        replay.phase = phase

    def _outcome(self, config: SourceConfig) -> ReplayChanges:
        return ReplayChanges(self.state, config, self._readers, replay=self.replay, memory=self._memory)

    async def _prepare(self, messages: Sequence[Any]) -> None:
        values = [message.value for message in messages if message.value is not None]
        await forever(functools.partial(self._readers.prepare, values), what="the registry")
