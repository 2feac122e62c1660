"""A replay or retry in one partition: what was asked for, how far it is, what it counted.

It is kept as JSON in the partition's progress entry, which every transaction writes: so a worker that takes over goes
on where the last one ended, and counts nothing twice.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from processors.progress import Counts

RETRY = "retry"
REPLAY = "replay"


class Phase(enum.StrEnum):
    """What is being read."""

    WAITING = "waiting"
    """Not begun."""
    LETTERS = "letters"
    """Of a retry: letters whose rows the raw topic no longer holds, from the letters' own bytes."""
    ROWS = "rows"
    """The raw topic: rows that no newer complete file has overtaken."""
    STANDING = "standing"
    """Older rows, of leads that the newer files do not name and that stand as those rows said."""
    DONE = "done"


@dataclass
class ReplayCounts(Counts):
    """What became of the rows that were mapped again; ``dead_letters`` counts those that were none before."""

    fixed: int = 0
    failed_again: int = 0
    overtaken: int = 0


@dataclass
class Replay:
    """One replay (or retry) in one partition."""

    replay_id: str
    kind: str = REPLAY
    load_id: str = ""
    """Only rows of this load; empty: of every load."""
    since_load_seq: int = 0
    """Only rows of loads from this one on."""
    mapping_version: str = ""
    """The mapping that was previewed; empty: whichever is in use."""
    restored_loads: list[str] = field(default_factory=list)
    """Loads whose rows were put on the raw topic once more, for this replay; their first copies are passed over."""
    command_offset: int = 0
    """Where in its topic the command stands, which names the letters of a retry."""
    phase: Phase = Phase.WAITING
    next_offset: int = 0
    """Raw offset that is read next; with :attr:`Phase.LETTERS`, how many of the letters are done."""
    first_offset: int = 0
    """Raw offset of the first message that the topic still held when it began."""
    end_offset: int = 0
    """Raw offset up to which is read."""
    live_offset: int = 0
    """Raw offset that the live rows had come to when it began: what comes after it is mapped by today's mapping."""
    under_way: str = ""
    """The load that was under way when it began: it is left alone."""
    floor: int = -1
    """load_seq of the newest complete load when it began: rows of older ones are overtaken by it."""
    counts: ReplayCounts = field(default_factory=ReplayCounts)

    @classmethod
    def from_command(cls, command: dict[str, Any], offset: int) -> Replay:
        """What a ``replay`` or ``retry`` asks for: a record of ``command.avsc``, at ``offset`` of its topic."""
        return cls(
            replay_id=command["replay_id"],
            kind=command["kind"],
            load_id=command["load_id"],
            since_load_seq=command["since_load_seq"],
            mapping_version=command["mapping_version"],
            restored_loads=list(command["restored_loads"]),
            command_offset=offset,
        )

    def begin(self, *, floor: int, live_offset: int, first_offset: int, end_offset: int, under_way: str) -> None:
        """Fix what is read: everything that is there now."""
        self.floor = floor
        self.live_offset = live_offset
        self.first_offset = first_offset
        self.end_offset = end_offset
        self.under_way = under_way
        self.enter(Phase.LETTERS if self.kind == RETRY else Phase.ROWS)

    def enter(self, phase: Phase) -> None:
        """Begin a phase, from its start."""
        self.phase = phase
        self.next_offset = 0 if phase is Phase.LETTERS else self.first_offset

    def covers(self, load_id: str, load_seq: int) -> bool:
        """Whether rows of a load were asked for."""
        return self.load_id in {"", load_id} and load_seq >= self.since_load_seq

    @property
    def scope(self) -> str:
        """What was asked for, for people."""
        if self.kind == RETRY:
            return "dead letters"
        if self.load_id:
            return f"load {self.load_id}"
        return f"loads from {self.since_load_seq} on" if self.since_load_seq else "every load"


def to_json(replays: Sequence[Replay]) -> str:
    """The replays of a partition as they are kept; empty when there are none."""
    return orjson.dumps([asdict(replay) for replay in replays]).decode() if replays else ""


def from_json(text: str) -> list[Replay]:
    """:func:`to_json` turned round."""
    found = []
    for document in orjson.loads(text) if text else []:
        document["phase"] = Phase(document["phase"])
        document["counts"] = ReplayCounts(**document["counts"])
        found.append(Replay(**document))
    return found
