"""What a replay must come to, told from all rows at once: no batches, no phases, no state packed into bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.replay_state import Replay, ReplayCounts
from tests.unit.changing import DAMAGED, File, meaning
from tests.unit.replaying import RowName


@dataclass(frozen=True)
class Row:
    """A row of a file, or the key that was read of a damaged one."""

    file: File
    number: int
    is_gone: bool = False
    """The raw topic does not hold it any more; a retry takes it from its letter."""

    @property
    def name(self) -> RowName:
        """What names it in its dead letter."""
        return self.file.load_id, self.number

    @property
    def order(self) -> tuple[int, int]:
        """Of two rows about a lead the one with the higher order has the last word."""
        return self.file.seq, self.number

    @property
    def cells(self) -> tuple[str, str]:
        """Key and name."""
        return self.file.rows[self.number - 1]


@dataclass
class Standing:
    """How a lead stands. ``company`` is ``None`` when it is deleted."""

    order: tuple[int, int]
    company: str | None


@dataclass
class Foretold:
    """What must come of it. ``leads``: each lead that a good row decides, with that row."""

    counts: ReplayCounts = field(default_factory=ReplayCounts)
    leads: dict[str, tuple[str, Row]] = field(default_factory=dict)
    companies: dict[str, set[str]] = field(default_factory=dict)
    """Of each lead that is mapped, what good rows make of it on the way."""
    freed: set[str] = field(default_factory=set)
    """Leads that a newer row than theirs names now, so that a deletion that is held is off."""
    rows: list[Row] = field(default_factory=list)
    settled: set[RowName] = field(default_factory=set)
    failed: set[RowName] = field(default_factory=set)
    """Rows that fail, and were no dead letters."""


def foretell(
    replay: Replay,
    rows: Sequence[Row],
    *,
    floor: int,
    meanings: Mapping[str, str | None],
    standing: Mapping[str, Standing],
    letters: set[RowName],
    reading: File | None,
    read: set[str],
    keys: set[str] | None,
) -> Foretold:
    """What a replay makes of rows of files that came to their end, in the order of the topic.

    ``reading`` is the load under way, ``read`` the keys that it has named; ``keys`` are those of a retry.
    """
    found, now = Foretold(), dict(standing)
    named = {row.cells[0] for row in rows if row.file.seq >= floor}
    fates: dict[tuple[str, str, bool], str] = {}

    def overtake(row: Row) -> None:
        found.counts.stale += 1
        if row.name in letters:
            found.settled.add(row.name)
            found.counts.overtaken += 1

    def map_again(row: Row) -> None:
        key, name = row.cells
        company, counts = meaning(meanings, name), found.counts
        if company is None:
            counts.failed_again += row.name in letters
            counts.dead_letters += row.name not in letters
            found.failed |= {row.name} - letters
            return
        if row.name in letters:
            found.settled.add(row.name)
            counts.fixed += 1
        place = (row.file.load_id, key, row.is_gone)
        counts.stale += place in fates
        counts.duplicates += place in fates
        before = now.get(key)
        is_there = before is not None and before.company is not None
        is_same = before is not None and before.company == company
        fates.setdefault(place, "unchanged" if is_same else "updated" if is_there else "inserted")
        if key in standing and row.order > standing[key].order and row.file.seq >= floor:
            found.freed.add(key)
        now[key] = Standing(row.order, company)
        found.leads[key] = (company, row)
        found.companies.setdefault(key, set()).add(company)

    old: list[Row] = []
    for row in rows:
        key, name = row.cells
        if name == DAMAGED or not replay.covers(row.file.load_id, row.file.seq) or not (keys is None or key in keys):
            continue
        found.rows.append(row)
        found.counts.rows += 1
        is_read = reading is not None and reading.seq > row.file.seq and key in read
        if row.file.seq < floor and (keys or not _stands(row, standing.get(key), key in named or is_read)):
            overtake(row)
        elif row.file.seq < floor:
            old.append(row)
        elif is_read or (key in now and row.order < now[key].order):
            overtake(row)
        else:
            map_again(row)
    for row in old:
        map_again(row)
    for fate in fates.values():
        setattr(found.counts, fate, getattr(found.counts, fate) + 1)
    return found


def _stands(row: Row, standing: Standing | None, is_named: bool) -> bool:
    """Whether a lead that no newer file names lives by this row; 0 is any row of a file that found it unchanged."""
    if standing is None or standing.company is None or is_named:
        return False
    return standing.order in {row.order, (row.file.seq, 0)}
