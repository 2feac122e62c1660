"""The transform of people's names."""

from __future__ import annotations

import re

from nameparser import HumanName

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform
from processors.transforms.text import to_title_case

LONGEST_NAME_CHARACTERS = 500
"""More takes the parser of names n² time."""

_SEPARATOR = re.compile(r"\s*(?:[&;,+/]|\band\b)\s*", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"([^\W\d_]{3,}) ([^\W\d_]{3,}(?:-[^\W\d_]+)?)")
_NO_NAME = re.compile(r"\b(?:SIR|MRS|MISS|DAME|REV|PROF|ESQ|PHD|III|VON|VAN|DER|DEL|SAN|BIN|IBN)\b", re.IGNORECASE)


@transform(gives=dict, parts=("first_name", "last_name"))
def person_name() -> Apply:
    """`first_name` and `last_name` of the first person in a cell.

    Of several people who share a cell, the first counts:

    - `ADA LEE & BO RAY`, `ADA LEE, BO RAY`: a whole name comes first: Ada Lee.
    - `ADA & BO LEE`: one family name: Ada Lee.
    - `ADA & BO LEE & RAY`, `ADA, BO LEE, RAY`, `ADA & BO, LEE & RAY`: given names, then family names in the same
      order: Ada Lee.
    - `LEE, ADA`: a comma alone means the family name comes first: Ada Lee.

    Middle names, titles (`Dr.`) and suffixes (`Jr.`) are left out.
    """
    return to_person


def to_person(value: str) -> dict[str, str | None]:
    """See :func:`person_name`.

    Raises:
        TransformError: ``not_a_name``.
    """
    if (plain := _PLAIN_NAME.fullmatch(value)) and not _NO_NAME.search(value):
        return _named(plain[1], plain[2])
    people = [part for part in _SEPARATOR.split(value) if part]
    if not any(character.isalpha() for character in value):
        raise TransformError("not_a_name", f"is no name (looks like {shape(value)!r})")
    if len(people) < 2:
        return _parsed(value)
    if len(people) == 2 and "," in value and not (" " in people[0] and " " in people[1]):
        return _parsed(value)
    if " " in people[0]:
        return _parsed(people[0])
    if len(people) == 2:
        return _named(people[0], _parsed(people[1])["last_name"])
    half, odd = divmod(len(people), 2)
    family = people[half].partition(" ")[2] if odd else people[half]
    return _named(people[0], family or None)


def _parsed(value: str) -> dict[str, str | None]:
    if len(value) > LONGEST_NAME_CHARACTERS:
        raise TransformError("not_a_name", f"is too long for a name (looks like {shape(value)!r})")
    name = HumanName(value)
    return _named(name.first or None, name.last or None)


def _named(first: str | None, last: str | None) -> dict[str, str | None]:
    return {
        "first_name": to_title_case(first) if first else None,
        "last_name": to_title_case(last) if last else None,
    }
