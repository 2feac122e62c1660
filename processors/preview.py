"""A replay without the sending: what it would change, lead by lead. The rows go through the very code of a replay."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from leadstream import kafka
from leadstream.forgotten import read_forgotten
from leadstream.partitioning import lead_key
from leadstream.settings import Settings
from leadstream.sources import SourceConfig
from processors.change_state import PartitionState
from processors.content import Body
from processors.lane_replays import letters_at
from processors.previous import add_previous
from processors.progress import NO_OFFSET, Change
from processors.raw_rows import RowReaders
from processors.replay import ReplayChanges
from processors.replay_run import Restored, open_run
from processors.replay_state import RETRY, Phase, Replay
from schemas.codec import Decoder
from schemas.headers import Reason
from schemas.registry import Registry


@dataclass(frozen=True)
class PreviewedChange:
    """A change record that a replay would send; ``before`` is None when the lead is not there."""

    lead_key: str
    op: str
    load_id: str
    row_number: int
    changed_fields: Sequence[str]
    before: Body | None
    after: Body


@dataclass(frozen=True)
class PreviewedFailure:
    """A row that would fail, and is no dead letter now."""

    lead_key: str
    reasons: Sequence[Reason]


@dataclass
class Preview:
    """What one batch of a replay would do."""

    changes: list[PreviewedChange] = field(default_factory=list)
    failures: list[PreviewedFailure] = field(default_factory=list)


async def preview(
    settings: Settings,
    source: SourceConfig,
    replay: Replay,
    partition: int,
    letters: Mapping[int, set[int]] | None = None,
    restored: Restored | None = None,
) -> AsyncIterator[Preview]:
    """Go through one partition and tell, batch by batch, what ``replay`` would do; its ``counts`` sum it up.

    ``source`` is the mapping to try; ``letters`` are those of a retry, as :func:`letters_at` takes them;
    ``restored`` gives the rows of loads that the raw topic no longer holds.

    Raises:
        TransientError: Kafka or the registry is away.
        MappingError: the mapping cannot be compiled.
    """
    registry = Registry(settings.registry)
    reader = kafka.consumer(settings.kafka, group_id=None)
    decoder = Decoder(registry)
    readers = RowReaders(registry)
    bodies: dict[int, Body] = {}
    with kafka.errors_translated():
        await reader.start()
    try:
        state = PartitionState(source.name, partition)
        state.forgotten = await read_forgotten(settings, decoder, partition)
        await state.restore(settings.kafka, decoder)
        rows = await letters_at(reader, letters or {}) if replay.kind == RETRY else None
        run = await open_run(settings, source, state, replay, readers, state.next_offset, rows, restored)
        made_up = itertools.count(NO_OFFSET - 1, -1)
        while replay.phase is not Phase.DONE:
            outcome = await run.next(source)
            await add_previous(reader, partition, outcome.changes, decoder)
            for change in outcome.changes:
                if change.previous_offset < NO_OFFSET:  # sent a moment ago, had this been a replay
                    change.previous = bodies[change.previous_offset]
            outcome.finish()
            found = Preview([_previewed(source.name, change) for change in outcome.changes], _failures(outcome))
            offsets = [next(made_up) for _change in outcome.changes]
            outcome.settle(iter(offsets))
            for change, offset in zip(outcome.changes, offsets, strict=True):
                if change.body is not None:
                    bodies[offset] = change.body
            yield found
        await run.close()
    finally:
        await reader.stop()
        await registry.close()


def _previewed(source: str, change: Change) -> PreviewedChange:
    return PreviewedChange(
        lead_key=lead_key(source, change.key.decode()),
        op=change.op,
        load_id=change.load.load_id,
        row_number=change.row_number,
        changed_fields=change.changed_fields(),
        before=change.previous if change.op == "u" else None,
        after=change.body or {},
    )


def _failures(outcome: ReplayChanges) -> list[PreviewedFailure]:
    return [
        PreviewedFailure(
            lead_key=lead_key(outcome.source.name, letter.message.key.decode()),
            reasons=letter.reasons,
        )
        for letter in outcome.dead_letters
    ]
