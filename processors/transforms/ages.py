"""Transforms of the ages a provider serves. Ages are in months, both ends included."""

from __future__ import annotations

import re

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform
from processors.transforms.values import NO, YES

MONTHS_A_YEAR = 12
MAX_AGE_DIGITS = 4
GROUP_MONTHS: dict[str, tuple[int, int | None]] = {
    "infants": (0, 11),
    "toddlers": (12, 23),
    "preschool": (24, 59),
    "school_age": (60, 155),
}
"""Ages of a group where the vendor names none; 155 months is the last before the 13th birthday."""
AGE_PARTS = ("ages_served", "min_age", "max_age")

_STEMS = (
    ("infant", "infants"),
    ("toddler", "toddlers"),
    ("preschool", "preschool"),
    ("school", "school_age"),
)
# A number is read as a whole and from its first digit alone, so that a cell full of digits costs no n² time.
_NUMBER = r"(?<!\d)(\d++)"
_RANGE = re.compile(rf"{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}\s*(month|mo|year|yr)", re.IGNORECASE)
_OPEN_RANGE = re.compile(
    rf"{_NUMBER}\s*(month|mo|year|yr)s?\.?\s*(?:-|–|\+|and|or|&)?\s*(?:(?:older|up|above)\b|\+)"
    rf"|{_NUMBER}\+\s*(month|mo|year|yr)",
    re.IGNORECASE,
)

Parts = dict[str, list[str] | int | None]


@transform(takes="cells", gives=dict, parts=AGE_PARTS)
def age_labels() -> Apply:
    """`ages_served`, `min_age` and `max_age` out of labels, one a column, in any order.

    The ages are those the label names (months before years); without any, infants are 0-11 months, toddlers
    12-23, preschool 24-59, school age 60-155. An open end (`5 years-older`) leaves `max_age` empty.
    `Infants (0-11 months)` and `Preschool (24-48 months; 2-4 yrs.)` → infants and preschool, 0 to 48.
    """
    return _from_labels


@transform(takes="cells", gives=dict, parts=AGE_PARTS, columns=4)
def age_flags() -> Apply:
    """`ages_served`, `min_age` and `max_age` out of four yes-or-no columns.

    They stand for infants, toddlers, preschool and school age, in this order; their ages are those above.

    `N`, `Y`, `Y`, `N` → toddlers and preschool, 12 to 59 months.
    """
    return _from_flags


def _from_labels(cells: tuple[str | None, ...]) -> Parts:
    return _summed({_group(cell): _months(cell, _group(cell)) for cell in cells if cell})


def _from_flags(cells: tuple[str | None, ...]) -> Parts:
    served = {}
    for (group, months), cell in zip(GROUP_MONTHS.items(), cells, strict=True):
        word = (cell or "n").casefold()
        if word in YES:
            served[group] = months
        elif word not in NO:
            raise TransformError("not_a_boolean", f"is neither yes nor no (looks like {shape(word)!r})")
    return _summed(served)


def _summed(served: dict[str, tuple[int, int | None]]) -> Parts:
    oldest = [months[1] for months in served.values()]
    known = [months for months in oldest if months is not None]
    return {
        "ages_served": [group for group in GROUP_MONTHS if group in served],
        "min_age": min((months[0] for months in served.values()), default=None),
        "max_age": max(known) if known and len(known) == len(oldest) else None,
    }


def _group(label: str) -> str:
    word = re.sub(r"[^a-z]", "", label.casefold().partition("(")[0])
    for stem, group in _STEMS:
        if word.startswith(stem):
            return group
    raise TransformError("not_an_age_group", f"names no age group (looks like {shape(label)!r})")


def _months(label: str, group: str) -> tuple[int, int | None]:
    ranges = [(_in_months(m[1], m[3]), _number(m[2]), m[3]) for m in _RANGE.finditer(label)]
    ranges.sort(key=lambda found: found[2].lower().startswith("y"))
    if ranges:
        youngest, oldest, unit = ranges[0]
        # "2-4 years" lasts until the day before the fifth birthday.
        return youngest, oldest if unit.lower().startswith("m") else (oldest + 1) * MONTHS_A_YEAR - 1
    if match := _OPEN_RANGE.search(label):
        return _in_months(match[1] or match[3], match[2] or match[4]), None
    return GROUP_MONTHS[group]


def _in_months(number: str, unit: str) -> int:
    return _number(number) * (MONTHS_A_YEAR if unit.lower().startswith("y") else 1)


def _number(digits: str) -> int:
    if len(digits) > MAX_AGE_DIGITS:
        raise TransformError("not_an_age_group", f"names an age of {len(digits)} digits")
    return int(digits)
