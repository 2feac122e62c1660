"""How much a new column looks like a lost one: by its name, and by what stands in it. Pure, and fit to be shown.

A column of phone numbers is a phone column whatever its name. What a cell *is* is told by its shape alone; that costs
nothing, and a suggestion is looked at by people before it becomes a mapping.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

from leadstream.text import clean_header

DOMINANT_SHARE = 0.8
"""Share of a column's cells that must be of one kind for the column to be of it."""
SUBSET_NAME_FACTOR = 0.8
"""What a name is worth whose words are all in the other: ``Zip`` and ``Zip Code``."""
TELLING_CHARACTERS = 4
TELLING_CELLS = 5
"""Cells shorter than that (flags, codes, small numbers), or fewer different ones, come back in any column."""
SAME_CELLS_SHARE = 0.5
"""From this share on, the cells of the rows before stand in a new column again: no chance, and no need for kinds."""
SAME_CELLS_WEIGHT = 0.7
TEXT_WEIGHT = 0.4
FEW_WORDS = 3

_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA GU HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK "
    "OR PA PR RI SC SD TN TX UT VT VA VI WA WV WI WY"
)


@dataclass(frozen=True)
class _Kind:
    """How a cell of this kind is written, and what it says (0 to 1) that a column is full of such cells."""

    pattern: re.Pattern[str]
    weight: float


def _kind(pattern: str, weight: float) -> _Kind:
    return _Kind(re.compile(pattern, re.IGNORECASE), weight)


KINDS: Mapping[str, _Kind] = {
    "email": _kind(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", 0.7),
    "url": _kind(r"(https?://\S+|(?:[a-z\d-]+\.)+[a-z]{2,}(/\S*)?)", 0.7),
    "phone": _kind(r"(\+?1[\s.-]*)?\(?[2-9]\d\d\)?[\s./-]*\d{3}[\s.-]*\d{4}(\s*(x|ext)\.?\s*\d+)?", 0.7),
    "date": _kind(
        r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[\s-][a-z]{3,9}\.?[\s,-]+\d{2,4}|[a-z]{3,9}\.? \d{1,2},? \d{4})"
        r"([T\s]\d{1,2}:\d\d.*)?",
        0.7,
    ),
    "zip": _kind(r"\d{5}(-?\d{4})?", 0.6),
    "state": _kind(f"({'|'.join(_STATES.split())})", 0.6),
    "integer": _kind(r"-?(\d+|\d{1,3}(,\d{3})+)(\.0+)?", 0.4),
}
"""Kinds of cells by the names of the transforms that read them, the most telling first."""


@dataclass(frozen=True)
class Likeness:
    """How alike two columns are, in percent; ``values`` is ``None`` when the cells say nothing either way."""

    name: int
    values: int | None
    percent: int


def likenesses(
    lost: str, kind: str | None, earlier: Sequence[str], candidates: Mapping[str, Sequence[str]]
) -> dict[str, Likeness]:
    """How alike the column ``lost`` and each of ``candidates`` are.

    ``kind`` (of ``KINDS``) is what the mapping takes the lost column's cells for, ``earlier`` are its cells in rows
    before, the values of ``candidates`` the cells in the new file; each may be missing. Cells are cleaned, none empty.
    """
    again = {name: _same_cells(earlier, cells) for name, cells in candidates.items()}
    found_again = max(again.values(), default=0.0) >= SAME_CELLS_SHARE
    kind = kind or _dominant_kind(earlier)
    result = {}
    for name, cells in candidates.items():
        by_values: float | None = None
        weight = 0.0
        if not cells:
            pass
        elif found_again:
            by_values, weight = again[name], SAME_CELLS_WEIGHT
        elif kind is not None:
            by_values, weight = _share(KINDS[kind], cells), KINDS[kind].weight
        elif earlier:
            by_values, weight = _same_shapes(earlier, cells), TEXT_WEIGHT
        by_name = _name_likeness(lost, name)
        together = by_name * (1 - weight) + (by_values or 0.0) * weight
        values = None if by_values is None else round(by_values * 100)
        result[name] = Likeness(round(by_name * 100), values, round(together * 100))
    return result


def _name_likeness(one: str, other: str) -> float:
    one, other = clean_header(one), clean_header(other)
    return max(fuzz.ratio(one, other), SUBSET_NAME_FACTOR * fuzz.token_set_ratio(one, other)) / 100


def _share(kind: _Kind, cells: Sequence[str]) -> float:
    return sum(kind.pattern.fullmatch(cell) is not None for cell in cells) / len(cells)


def _dominant_kind(cells: Sequence[str]) -> str | None:
    if not cells:
        return None
    return next((name for name, kind in KINDS.items() if _share(kind, cells) >= DOMINANT_SHARE), None)


def _same_cells(earlier: Sequence[str], cells: Sequence[str]) -> float:
    """Share of the different cells of one column that stand in the other again, however they are punctuated."""
    one, other = _telling(earlier), _telling(cells)
    fewest = min(len(one), len(other))
    return len(one & other) / fewest if fewest >= TELLING_CELLS else 0.0


def _telling(cells: Sequence[str]) -> set[str]:
    plain = {re.sub(r"[\W_]+", "", cell.casefold()) for cell in cells}
    return {cell for cell in plain if len(cell) >= TELLING_CHARACTERS}


def _same_shapes(earlier: Sequence[str], cells: Sequence[str]) -> float:
    """Intersection of two columns' histograms of rough shapes (Swain & Ballard 1991), each made to sum up to 1."""
    one, other = Counter(map(_shape, earlier)), Counter(map(_shape, cells))
    return sum(min(one[shape] / len(earlier), other[shape] / len(cells)) for shape in one)


def _shape(cell: str) -> tuple[bool, bool, int]:
    words = cell.count(" ") + 1
    size = words if words < FEW_WORDS else FEW_WORDS
    return any(c.isdigit() for c in cell), any(c.isalpha() for c in cell), size
