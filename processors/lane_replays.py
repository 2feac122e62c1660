"""The replays of one lane: asked for by commands, carried out one after the other, between batches of live rows."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from leadstream.errors import TransientError
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceConfig
from processors.change_state import PartitionState
from processors.changes import BatchChanges
from processors.open_letters import RawMessage, raw_message_of
from processors.previous import read_records
from processors.progress import ActiveLoad, Counts, EndedLoad
from processors.raw_rows import RowReaders
from processors.replay_run import ReplayRun, open_run
from processors.replay_state import RETRY, Phase, Replay
from schemas import topics
from schemas.codec import Decoder

MAPPING_PATIENCE_SECONDS = 20.0
"""How long a replay waits until this worker has the mapping that was previewed."""

log = get_logger("processors")


class LaneReplays:
    """Takes commands into a partition's state, and gives the outcomes of what they ask for, batch by batch."""

    def __init__(
        self,
        settings: Settings,
        lane: int,
        readers: RowReaders,
        decoder: Decoder,
        config_of: Callable[[str], SourceConfig],
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._readers = readers
        self._decoder = decoder
        self._config_of = config_of
        self._runs: dict[str, ReplayRun] = {}
        self._deadlines: dict[str, float] = {}

    @property
    def is_at_work(self) -> bool:
        """Whether a replay is under way: then live rows are not waited for."""
        return bool(self._runs)

    async def clear(self) -> None:
        """Forget what is under way; the states say how to go on."""
        runs, self._runs = self._runs, {}
        for run in runs.values():
            await run.close()

    def accept(self, state: PartitionState, command: dict[str, Any], offset: int) -> BatchChanges:
        """Take a ``replay`` or ``retry`` into the state."""
        outcome = self._outcome(state)
        replay = Replay.from_command(command, offset)
        if all(known.replay_id != replay.replay_id for known in state.replays):
            state.replays.append(replay)
            outcome.ended.append(_step("replaying", replay, outcome.source.version))
        return outcome

    async def cancel(self, state: PartitionState, replay_id: str) -> BatchChanges:
        """Stop a replay; what it has sent stays."""
        outcome = self._outcome(state)
        for replay in [replay for replay in state.replays if replay.replay_id == replay_id]:
            await self._end(state, replay, outcome, "cancelled", "as asked")
        return outcome

    async def next(
        self, states: Mapping[str, PartitionState], live_offsets: Mapping[TopicPartition, int], reader: AIOKafkaConsumer
    ) -> list[BatchChanges]:
        """The next outcome of each source's first replay. ``reader`` is used as in :mod:`processors.previous`.

        Raises:
            TransientError: Kafka or the registry is away.
        """
        for source, run in list(self._runs.items()):
            if states.get(source) is not run.state:  # its YAML was away for a while
                await self._runs.pop(source).close()
        outcomes = []
        for state in [state for state in states.values() if state.replays]:
            live_offset = live_offsets[TopicPartition(topics.raw_topic(state.source), self._lane)]
            outcome = await self._next(state, live_offset, reader)
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes

    async def _next(self, state: PartitionState, live_offset: int, reader: AIOKafkaConsumer) -> BatchChanges | None:
        replay, config = state.replays[0], self._config_of(state.source)
        run = self._runs.get(state.source)
        if run is None:
            if replay.phase is Phase.WAITING and replay.mapping_version not in {"", config.version}:
                return await self._wait_for_mapping(state, replay)
            rows = await self._rows(replay, reader) if replay.kind == RETRY else None
            run = await open_run(self._settings, config, state, replay, self._readers, live_offset, rows)
            self._runs[state.source] = run
            log.info("replay_begins", lane=self._lane, source=state.source, replay_id=replay.replay_id)
        outcome = await run.next(config)
        if replay.phase is Phase.DONE:
            await self._end(state, replay, outcome, "replayed")
        return outcome

    async def _wait_for_mapping(self, state: PartitionState, replay: Replay) -> BatchChanges | None:
        """The mapping was edited a moment ago: it may be that this worker has not read it yet."""
        deadline = self._deadlines.setdefault(replay.replay_id, time.monotonic() + MAPPING_PATIENCE_SECONDS)
        if time.monotonic() < deadline:
            return None
        outcome = self._outcome(state)
        why = "the workers have another mapping than the one that was previewed: give them the same sources first"
        await self._end(state, replay, outcome, "cancelled", why)
        return outcome

    async def _rows(self, replay: Replay, reader: AIOKafkaConsumer) -> list[RawMessage]:
        """The rows of this partition that a retry is about, from their letters."""
        commands = TopicPartition(topics.COMMANDS, self._lane)
        found = await read_records(reader, commands, {replay.command_offset})
        if replay.command_offset not in found:
            raise TransientError(f"{topics.COMMANDS}-{self._lane}: the command of retry {replay.replay_id} is gone")
        decode = functools.partial(self._decoder.decode, found[replay.command_offset].value)
        _schema_id, command = await forever(decode, what="the registry")
        wanted: dict[int, set[int]] = {}
        for row in command["rows"]:
            if row["raw_partition"] == self._lane:
                wanted.setdefault(row["letter_partition"], set()).add(row["letter_offset"])
        return await letters_at(reader, wanted)

    async def _end(
        self, state: PartitionState, replay: Replay, outcome: BatchChanges, step: str, reason: str = ""
    ) -> None:
        if state.replays[0] is replay and state.source in self._runs:
            await self._runs.pop(state.source).close()
        state.replays.remove(replay)
        self._deadlines.pop(replay.replay_id, None)
        outcome.ended.append(_step(step, replay, outcome.source.version, reason))
        log.info(f"replay_{'ends' if step == 'replayed' else step}", lane=self._lane, source=state.source,
                 replay_id=replay.replay_id, rows=replay.counts.rows, sent=replay.counts.sent)  # fmt: skip

    def _outcome(self, state: PartitionState) -> BatchChanges:
        return BatchChanges(state, self._config_of(state.source), self._readers)


async def letters_at(reader: AIOKafkaConsumer, offsets: Mapping[int, set[int]]) -> list[RawMessage]:
    """The rows that letters are about, by partition and offsets in ``leads.dlq``; those of files are left out.

    Raises:
        TransientError: Kafka is away.
    """
    found = []
    for partition, wanted in sorted(offsets.items()):
        letters = await read_records(reader, TopicPartition(topics.DEAD_LETTERS, partition), wanted)
        found += [raw_message_of(letters[offset]) for offset in sorted(letters)]
    return [message for message in found if message.topic and message.key is not None]


def _step(step: str, replay: Replay, mapping_version: str, reason: str = "") -> EndedLoad:
    place = ActiveLoad(
        load_id=replay.replay_id,
        load_seq=0,
        bucket="",
        object_key="",
        object_version="",
        first_offset=0,
        is_stale=False,
    )
    counts: Counts = replay.counts
    return EndedLoad(place, counts, reason, mapping_version, step, replay.kind, (replay.scope,))
