"""A new header, judged against what the mapping reads, before any row is sent. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from leadstream.sources import SourceConfig, clean_header
from leadstream.text import clean
from producer.likeness import KINDS, Likeness, likenesses

SUGGESTION_MINIMUM_PERCENT = 60
NO_HEADER = "the first line is a row, not a header: what stands in it is not shown"
SUGGESTION_LEAD_PERCENT = 3
"""Where two pairs are as near to each other as this, nobody can tell which is meant: suggest neither."""


@dataclass(frozen=True)
class Suggestion:
    """The new column that a lost one has most likely become."""

    column: str
    likeness: Likeness


@dataclass(frozen=True)
class Lost:
    """A column that the mapping reads and the header lacks; ``required``: without it no row may be mapped."""

    column: str
    required: bool
    suggestion: Suggestion | None

    def __str__(self) -> str:
        text = f"column {self.column!r} is gone"
        if self.suggestion is None:
            return text
        return f"{text} (renamed to {self.suggestion.column!r}? {self.suggestion.likeness.percent} %)"


@dataclass(frozen=True)
class Judgement:
    """What became of a header: the mapped columns it lost, and remarks on everything that is not as before."""

    lost: tuple[Lost, ...]
    notes: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether the load must wait until the mapping is mended."""
        return any(lost.required for lost in self.lost)

    @property
    def reason(self) -> str:
        """Why the load is held, for people; empty when it is not. Holds names of columns, never a value."""
        return "; ".join(str(lost) for lost in self.lost if lost.required)


def judge(
    source: SourceConfig,
    columns: Sequence[str],
    known: Sequence[str] | None,
    rows: Sequence[Sequence[str | None]] = (),
    earlier: Mapping[str, Sequence[str]] | None = None,
) -> Judgement:
    """Compare a header with the mapping, and with the header before it (``known``; None: there was none).

    ``rows`` are some rows under the header; ``earlier`` are cells of rows before, by cleaned column name, cleaned and
    none empty. Both only make the suggestions better.
    """
    present = {clean_header(column): column for column in columns}
    if _is_a_row(present, source, known):
        columns, rows, present = (), (), {}
    places = {column: at for at, column in reversed(list(enumerate(columns)))}
    before = {clean_header(column): column for column in known or ()}
    wanted = {clean_header(column): column for column in (*source.columns, *source.required_columns)}
    required = {clean_header(column) for column in source.required_columns}
    missing = [name for name in wanted if name not in present and (name in required or name in before)]
    suggestions = suggest(
        {name: _kind_of(source, name) for name in missing},
        {column: _cells(rows, places[column]) for name, column in present.items() if name not in wanted},
        before,
        earlier or {},
    )
    lost = {name: Lost(wanted[name], name in required, suggestions.get(name)) for name in missing}
    notes = [] if present else [NO_HEADER]
    if known is not None:
        notes += [f"new column {column!r}" for name, column in present.items() if name not in before]
        notes += [
            str(lost.get(name) or f"column {column!r} is gone")
            for name, column in before.items()
            if name not in present
        ]
    return Judgement(tuple(sorted(lost.values(), key=lambda one: one.column)), tuple(notes))


def suggest(
    missing: Mapping[str, str | None],
    unused: Mapping[str, Sequence[str]],
    before: Mapping[str, str],
    earlier: Mapping[str, Sequence[str]],
) -> dict[str, Suggestion]:
    """The best new column for each lost one (``missing``: its kind), the best pair first; each column once.

    ``unused``: the cells of the new columns; ``before``: the header before, by cleaned name; ``earlier``: as for
    :func:`judge`. Lost columns go by their cleaned names.
    """
    pairs = []
    for name, kind in missing.items():
        # A column that stood beside the lost one in the file before is another thing.
        candidates = {
            column: cells
            for column, cells in unused.items()
            if name not in before or clean_header(column) not in before
        }
        found = likenesses(name, kind, earlier.get(name, ()), candidates)
        pairs += [(likeness, name, column) for column, likeness in found.items()]
    pairs.sort(key=lambda pair: (-pair[0].percent, -pair[0].name, pair[1], pair[2]))
    sharing: dict[str, list[tuple[Likeness, str, str]]] = {}  # by lost and by new column, so the names are set apart
    for pair in pairs:
        sharing.setdefault(f"lost {pair[1]}", []).append(pair)
        sharing.setdefault(f"new {pair[2]}", []).append(pair)
    suggestions: dict[str, Suggestion] = {}
    taken: set[str] = set()
    for likeness, name, column in pairs:
        if likeness.percent < SUGGESTION_MINIMUM_PERCENT:
            break
        if name in suggestions or column in taken:
            continue
        rivals = (
            other_name not in suggestions
            and other_column not in taken
            and rival.percent > likeness.percent - SUGGESTION_LEAD_PERCENT
            for rival, other_name, other_column in chain(sharing[f"lost {name}"], sharing[f"new {column}"])
            if (other_name == name) != (other_column == column)
        )
        if not any(rivals):
            suggestions[name] = Suggestion(column, likeness)
            taken.add(column)
    return suggestions


def _is_a_row(present: Collection[str], source: SourceConfig, known: Sequence[str] | None) -> bool:
    """Whether what should be a header is a person's row: no name that we know, and an address or a day in it."""
    names = {clean_header(name) for name in (*source.columns, *source.required_columns, *(known or ()))}
    kinds = [KINDS[name].pattern for name in ("phone", "email", "date")]
    return names.isdisjoint(present) and any(kind.fullmatch(cell) for cell in present for kind in kinds)


def _cells(rows: Sequence[Sequence[str | None]], at: int) -> list[str]:
    return [cell for row in rows if (cell := clean(row[at])) is not None]


def _kind_of(source: SourceConfig, name: str) -> str | None:
    """What the mapping takes the whole cells of a column for, if it says so by the first thing it does to them."""
    for field, spec in source.fields.items():
        read_whole = (spec.column,) if spec.column is not None else spec.first_of or ()
        if name not in map(clean_header, read_whole):
            continue
        transforms = spec.transforms if spec.transforms is not None else source.transforms.get(field, ())
        first = transforms[0].name if transforms else field
        if first in KINDS:
            return first
    return None
