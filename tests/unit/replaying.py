"""Replays and retries in a lane without Kafka: lists instead of topics, one batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from processors.changes import BatchChanges
from processors.lane import event_headers, letter_headers
from processors.open_letters import OpenLetters, raw_message_of
from processors.raw_rows import RowReaders
from processors.replay import ReplayChanges
from processors.replay_run import ReplayRun
from processors.replay_state import RETRY, Phase, Replay, ReplayCounts
from schemas import headers
from schemas.headers import LEADSTREAM, Headers
from schemas.topics import DEAD_LETTERS
from tests.unit.changing import SOURCE, Lane, Message, Sent, source

Result = TypeVar("Result")
RowName = tuple[str, int]
"""load_id and row number."""


@dataclass(frozen=True)
class LetterRecord:
    """A record of leads.dlq: a letter, or what became of one."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str = DEAD_LETTERS
    partition: int = 0


@dataclass(kw_only=True)
class ReplayLane(Lane):
    """A lane that carries out one replay at a time, as :mod:`processors.lane_replays` does."""

    loop: asyncio.AbstractEventLoop
    letters: list[LetterRecord] = field(default_factory=list)
    forgotten: int = 0
    """Up to this offset the raw topic holds nothing any more."""
    retried: Sequence[LetterRecord] = ()
    """The letters that the retry under way is about."""
    finished: list[Replay] = field(default_factory=list)
    _run: ReplayRun | None = None
    _cut: int = 1_000

    @property
    def replay(self) -> Replay | None:
        """What is to be replayed, or is under way."""
        return self.state.replays[0] if self.state.replays else None

    def accept(self, replay: Replay, letters: Sequence[LetterRecord] = ()) -> None:
        """The command comes; ``letters``: those that a retry is about."""
        self.retried = letters
        self.state.replays.append(replay)
        self._write(self._outcome())

    def replay_batch(self, size: int) -> None:
        """One batch of up to ``size`` rows, committed."""
        outcome = self._next_of_replay(size)
        if outcome.replay.phase is Phase.DONE:
            self._end_replay()
        self._write(outcome)

    def lose_replay_batch(self, size: int) -> None:
        """A batch whose transaction is lost, and a successor."""
        self._next_of_replay(size)
        self.restart(size)

    def cancel(self) -> None:
        """An operator stops the replay."""
        self._end_replay()
        self._write(self._outcome())

    def restart(self, batch: int = 1_000) -> None:
        """As ever; the replay under way is opened anew by its next batch."""
        self._close_run()
        super().restart(batch)

    def close(self) -> None:
        """Nothing more comes."""
        self._close_run()

    def sent_by_lead(self) -> dict[str, list[Sent]]:
        """The change records of each lead."""
        found: dict[str, list[Sent]] = {}
        for record in self.sent:
            if record is not None:
                found.setdefault(record.key, []).append(record)
        return found

    def open_letters(self) -> dict[RowName, LetterRecord]:
        """The letters that no event has settled.

        Raises:
            AssertionError: two are about one row, or a letter is settled twice.
        """
        by_offset: dict[int, RowName] = {}
        for record in self.letters:
            values = headers.to_dict(record.headers)
            if LEADSTREAM + "event" not in values:
                name = (values[LEADSTREAM + "load_id"], int(values[LEADSTREAM + "row"]))
                assert name not in by_offset.values(), f"a second letter about {name}"
                by_offset[record.offset] = name
                continue
            partition, offset = values[LEADSTREAM + "letter"].split("-")
            assert partition == "0" and int(offset) in by_offset, f"{values} is about no open letter"
            if values[LEADSTREAM + "event"] != "failed_again":
                del by_offset[int(offset)]
        return {name: self.letters[offset] for offset, name in by_offset.items()}

    def _next_of_replay(self, size: int) -> ReplayChanges:
        self._cut = size
        if self._run is None:
            self._run = self._open_run()
        return self._wait(self._run.next(source()))

    def _open_run(self) -> ReplayRun:
        """What ``processors.replay_run.open_run`` does."""
        state, replay = self.state, self.state.replays[0]
        rows = [raw_message_of(letter) for letter in self.retried] if replay.kind == RETRY else None
        letters = OpenLetters(SOURCE)
        for record in self.letters:
            letters.take(record)
        is_new = replay.phase is Phase.WAITING
        if is_new:
            replay.begin(
                floor=state.newest_complete,
                live_offset=self.next_offset,
                first_offset=self.forgotten,
                end_offset=len(self.raw),
                under_way=state.load_under_way,
            )
        run = ReplayRun(state, replay, cast("RowReaders", self.readers), self._read, letters, rows)
        if not is_new:
            self._wait(run.look_again(source()))
        return run

    async def _read(self, start: int, end: int) -> AsyncGenerator[list[Message], None]:
        while start < end:
            yield (batch := self.raw[start : min(start + self._cut, end)])
            start += len(batch)

    def _end_replay(self) -> None:
        self._close_run()
        self.finished.append(self.state.replays.pop(0))

    def _close_run(self) -> None:
        if self._run is not None:
            self._wait(self._run.close())
            self._run = None

    def _write(self, outcome: BatchChanges) -> None:
        super()._write(outcome)
        replay_id = outcome.replay_id if isinstance(outcome, ReplayChanges) else ""
        for letter in outcome.dead_letters:
            self._send_letter(letter.message.key, letter.message.value, letter_headers(SOURCE, letter, replay_id))
        if isinstance(outcome, ReplayChanges):
            for settled in outcome.settled_letters:
                assert settled.place[0] == 0
                self._send_letter(None, None, event_headers(outcome, settled))

    def _send_letter(self, key: bytes | None, value: bytes | None, told: Headers) -> None:
        self.letters.append(LetterRecord(len(self.letters), key, value, told))

    def _wait(self, step: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(step)


def counts_of(replay: Replay) -> ReplayCounts:
    """What a replay counted, after a look at whether it adds up.

    Raises:
        AssertionError: it does not.
    """
    counts = replay.counts
    assert min(vars(counts).values()) >= 0, counts
    assert counts.rows == (
        counts.inserted
        + counts.updated
        + counts.unchanged
        + counts.stale
        + counts.dead_letters
        + counts.failed_again
    ), counts  # fmt: skip
    assert counts.deleted == counts.deletes_held == 0
    return counts
