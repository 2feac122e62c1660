"""What mapping rows once more changes. Pure, as :mod:`processors.changes` is, so a dry run and a replay are one code.

A replay goes through a partition's raw rows as if today's mapping had been there when they came, and sends what differs
from what stands. Order is kept as ever: a row that a newer row, or a newer complete file, has overtaken changes
nothing. Three things differ from the live flow: nothing is deleted, a dead letter that passes is settled, and one
that fails again is not written again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from processors.change_state import LeadEntry
from processors.changes import BatchChanges
from processors.open_letters import OpenLetters, Place, RowName
from processors.progress import ActiveLoad, Fate
from processors.replay_state import Phase, Replay
from schemas import headers
from schemas.headers import Kind, LetterEvent, Reason, Stage

ROW_KINDS = frozenset({Kind.ROW, Kind.RESTORED})


@dataclass
class ReplayMemory:
    """What one replay remembers from batch to batch; made anew from the rows after a restart."""

    letters: OpenLetters
    keys: set[bytes] | None = None
    """Of a retry: the keys of its letters' rows; ``None``: every key."""
    active: ActiveLoad | None = None
    named: set[bytes] = field(default_factory=set)
    """Keys that stand in files as new as the newest complete one."""
    doubtful: list[tuple[bytes, RowName]] = field(default_factory=list)
    """Keys and rows of letters about older rows that leads stand by: overtaken if a newer file names the lead."""


@dataclass(frozen=True)
class SettledLetter:
    """What became of a dead letter; with stage and reasons when it failed again."""

    place: Place
    event: LetterEvent
    mapping_version: str
    stage: Stage | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(kw_only=True)
class ReplayChanges(BatchChanges):
    """The outcome of consecutive messages of a replay; used as :class:`BatchChanges` is."""

    replay: Replay
    memory: ReplayMemory
    settled_letters: list[SettledLetter] = field(default_factory=list)

    @property
    def replay_id(self) -> str:
        """The replay that all of this is of."""
        return self.replay.replay_id

    def take(self, messages: Iterable[Any]) -> None:
        """Work through raw messages, in order. ``readers.prepare`` was called with their values."""
        for message in messages:
            values = headers.to_dict(message.headers)
            if headers.is_raw_message(values) and message.key is not None and self._is_of_this_replay(message, values):
                self._take_message(message, values)
        self._release_ready()

    def look_again(self, messages: Iterable[Any]) -> None:
        """After a restart: remember what messages said whose outcome was committed. Throw this outcome away then."""
        counts = replace(self.replay.counts)
        self.take(messages)
        self.replay.counts = counts
        if self.memory.active is not None:
            self.memory.active.counts = counts

    def end_rows(self) -> None:
        """No more rows come: send what waits for that."""
        if self.memory.active is not None:
            # Files newer than the newest complete one may come in any order: that they found a lead as it is counts.
            self._leave(self.memory.active, is_newest_word=self.memory.active.load_seq <= self.replay.floor)
            self.memory.active = None

    def settle_doubtful(self) -> None:
        """All keys that newer files name are known: settle the letters that these have overtaken."""
        for key, row in self.memory.doubtful:
            if key in self.memory.named:
                self._settle_letter(row, LetterEvent.OVERTAKEN, self.source.version)

    def has_older_leads(self) -> bool:
        """Whether leads stand as a row said that is older than the newest complete file, which does not name them."""
        live = ((key, self._known(key)) for key in self.state.live_keys() if key not in self.memory.named)
        return any(known is not None and known.load_seq < self.replay.floor for key, known in live)

    def _is_of_this_replay(self, message: Any, values: dict[str, str]) -> bool:
        replay, load_id = self.replay, values[headers.LOAD_ID]
        if load_id in replay.restored_loads:
            return values.get(headers.REPLAY_ID) == replay.replay_id
        is_taken = message.offset < replay.live_offset and load_id != replay.under_way
        return is_taken and values.get(headers.KIND) != Kind.RESTORED

    def _take_message(self, message: Any, values: dict[str, str]) -> None:
        replay, memory, key = self.replay, self.memory, message.key
        load_seq, is_row = int(values[headers.LOAD_SEQ]), values.get(headers.KIND) in ROW_KINDS
        is_wanted = is_row and replay.covers(values[headers.LOAD_ID], load_seq)
        is_wanted = is_wanted and (memory.keys is None or key in memory.keys)
        if replay.phase is Phase.STANDING:
            if is_wanted and self._stands(key, load_seq, int(values[headers.ROW])):
                replay.counts.rows -= 1  # it was counted as overtaken before
                replay.counts.stale -= 1
                self._take_row_message(message, values)
        elif load_seq < replay.floor:
            if is_wanted:
                row_number = int(values[headers.ROW])
                stands_for = key if self._stands(key, load_seq, row_number) else None
                self._pass_over((values[headers.LOAD_ID], row_number), stands_for)
        elif values.get(headers.KIND) != Kind.END:
            memory.named.add(key)
            if is_wanted:
                self._take_row_message(message, values)

    def _take_row_message(self, message: Any, values: dict[str, str]) -> None:
        load = self._load_of(message, values)
        self._take_row(message, load, int(values[headers.ROW]), int(values[headers.LINE]))

    def _stands(self, key: bytes, load_seq: int, row_number: int) -> bool:
        """Whether a lead stands as this older row said, and no newer file names it (as far as was read).

        Row 0: any row of a file that found the lead as it was.
        """
        known = self._known(key)
        return (
            load_seq < self.replay.floor
            and key not in self.memory.named
            and known is not None
            and not known.deleted
            and known.load_seq == load_seq
            and known.row_number in {0, row_number}
        )

    def _load_of(self, message: Any, values: dict[str, str]) -> ActiveLoad:
        active = self.memory.active
        if active is None or active.load_id != values[headers.LOAD_ID]:
            self.end_rows()
            active = ActiveLoad.from_headers(values, message.offset, newest_complete=-1)
            active.replay_id = self.replay.replay_id
            active.counts = self.replay.counts
            self.memory.active = active
        return active

    def _take_row(self, message: Any, load: ActiveLoad, row_number: int, line_number: int) -> bool:
        if self._is_overtaken(message.key, self._known(message.key), load.load_seq, row_number):
            self._pass_over((load.load_id, row_number))
            return True
        is_good = super()._take_row(message, load, row_number, line_number)
        if is_good:
            self._settle_letter(
                (load.load_id, row_number), LetterEvent.FIXED, self._reader_of(message.value).mapping_version
            )
        return is_good

    def _keep_out(self, key: bytes, load: ActiveLoad, row_number: int) -> bool:
        super()._keep_out(key, load, row_number)
        self._settle_letter((load.load_id, row_number), LetterEvent.OVERTAKEN, self.source.version)
        return False

    def _is_overtaken(self, key: bytes, known: LeadEntry | None, load_seq: int, row_number: int) -> bool:
        live, newest = self.state.active, self.state.newest_complete
        if live is not None and live.load_seq > load_seq and key in live.seen:
            return True
        if newest > max(load_seq, self.replay.floor):
            return True  # a complete file came meanwhile: what it found unchanged has no entry that says so
        return super()._is_overtaken(key, known, load_seq, row_number)

    def _pass_over(self, row: RowName, stands_for: bytes | None = None) -> None:
        """``stands_for``: the lead that stands by this row, as far as is known."""
        self.replay.counts.rows += 1
        self.replay.counts.stale += 1
        if stands_for is not None and self.memory.keys is None:
            if self.memory.letters.of(*row) is not None:
                self.memory.doubtful.append((stands_for, row))
            return
        self._settle_letter(row, LetterEvent.OVERTAKEN, self.source.version)

    def _settle_letter(self, row: RowName, event: LetterEvent, version: str) -> None:
        place = self.memory.letters.of(*row)
        if place is None:
            return
        self.memory.letters.settle(place)
        self.settled_letters.append(SettledLetter(place, event, version))
        if event is LetterEvent.FIXED:
            self.replay.counts.fixed += 1
        else:
            self.replay.counts.overtaken += 1

    def _fail_row(
        self, message: Any, load: ActiveLoad, row_number: int, stage: Stage, reasons: list[Reason], version: str
    ) -> bool:
        place = self.memory.letters.of(load.load_id, row_number)
        if place is None:
            return super()._fail_row(message, load, row_number, stage, reasons, version)
        self._name(message.key, load)
        self.replay.counts.failed_again += 1
        event = SettledLetter(place, LetterEvent.FAILED_AGAIN, version, stage, tuple(reasons))
        self.settled_letters.append(event)
        return False

    def _name(self, key: bytes, load: ActiveLoad) -> None:
        # A row that is mapped again is no news of its lead: a deletion that is held stays so.
        load.seen.setdefault(key, Fate.NAMED)
