"""Transforms of addresses: state, ZIP, a street with its unit, a whole address in one cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

import usaddress

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform
from processors.transforms.text import to_title_case

STATE_NAMES = {
    "ALABAMA": "AL",
    "ALASKA": "AK",
    "AMERICAN SAMOA": "AS",
    "ARIZONA": "AZ",
    "ARKANSAS": "AR",
    "CALIFORNIA": "CA",
    "COLORADO": "CO",
    "CONNECTICUT": "CT",
    "DELAWARE": "DE",
    "DISTRICT OF COLUMBIA": "DC",
    "FLORIDA": "FL",
    "GEORGIA": "GA",
    "GUAM": "GU",
    "HAWAII": "HI",
    "IDAHO": "ID",
    "ILLINOIS": "IL",
    "INDIANA": "IN",
    "IOWA": "IA",
    "KANSAS": "KS",
    "KENTUCKY": "KY",
    "LOUISIANA": "LA",
    "MAINE": "ME",
    "MARYLAND": "MD",
    "MASSACHUSETTS": "MA",
    "MICHIGAN": "MI",
    "MINNESOTA": "MN",
    "MISSISSIPPI": "MS",
    "MISSOURI": "MO",
    "MONTANA": "MT",
    "NEBRASKA": "NE",
    "NEVADA": "NV",
    "NEW HAMPSHIRE": "NH",
    "NEW JERSEY": "NJ",
    "NEW MEXICO": "NM",
    "NEW YORK": "NY",
    "NORTH CAROLINA": "NC",
    "NORTH DAKOTA": "ND",
    "NORTHERN MARIANA ISLANDS": "MP",
    "OHIO": "OH",
    "OKLAHOMA": "OK",
    "OREGON": "OR",
    "PENNSYLVANIA": "PA",
    "PUERTO RICO": "PR",
    "RHODE ISLAND": "RI",
    "SOUTH CAROLINA": "SC",
    "SOUTH DAKOTA": "SD",
    "TENNESSEE": "TN",
    "TEXAS": "TX",
    "UTAH": "UT",
    "VERMONT": "VT",
    "VIRGIN ISLANDS": "VI",
    "VIRGINIA": "VA",
    "WASHINGTON": "WA",
    "WEST VIRGINIA": "WV",
    "WISCONSIN": "WI",
    "WYOMING": "WY",
}
"""States and territories by name (USPS Publication 28, appendix B)."""
STATE_CODES = frozenset(STATE_NAMES.values())
ZIP = re.compile(r"\d{5}(?:-\d{4})?", re.ASCII)
ADDRESS_PARTS = ("address1", "address2", "city", "state", "zip")

LONGEST_TAIL_CHARACTERS = 100
LONGEST_UNITS_CHARACTERS = 200
"""Units and state stand at an address's end: only so much of it is looked at, whatever a cell holds."""
LONGEST_FRONT_CHARACTERS = 500

_ZIP_PLUS_4 = re.compile(r"(\d{3,5})(?:\.0)?(?:[\s-]?(\d{4}))?", re.ASCII)
_TAIL = re.compile(
    rf"[\s,]+(?P<state>[A-Z]{{2}}|{'|'.join(STATE_NAMES)})\.?"
    r"(?:[\s,]+(?P<zip>\d{5}(?:-?\d{4})?))?(?:[\s,]+USA?)?$",
    re.IGNORECASE | re.ASCII,
)
# Possessive and atomic throughout (`++`, `(?>…)`): what could be read in two ways would be tried in 2^n.
_ONE_UNIT = (
    r"(?>(?:(?:SUITE|STE|UNIT|APARTMENT|APT|BUILDING|BLDG|ROOM|RM|SPACE|SPC|FLOOR|FL|LOT|TRAILER|TRLR)\b"
    r"\.?+\s*+\#?+\s*+|\#\s*+)"
    r"(?:[A-Z]?-?\d\w*+(?:-++\w++)*+|[A-Z])"
    r"(?:(?:-*+\s*+(?:&|,|\bAND\b)|\s*+-)\s*+(?:[A-Z]?\d\w*+(?:-++\w++)*+|[A-Z]\b))*+-*+)"
)
_UNITS = re.compile(rf"[\s,]+(?P<units>{_ONE_UNIT}(?:[\s,]++{_ONE_UNIT})*+)$", re.IGNORECASE)


@transform()
def state() -> Apply:
    """The two-letter USPS code of a state, by code or name. `nevada`, `Nv.` → `NV`."""
    return to_state


@transform()
def zip_() -> Apply:
    """A ZIP or ZIP+4 as text; zeros that a spreadsheet dropped come back.

    `2134` → `02134`, `890271234` → `89027-1234`.
    """
    return to_zip


@transform(gives=dict, parts=("address1", "address2"))
def street_address() -> Apply:
    """`address1` and `address2` out of a street with its suite, unit, building or `#`.

    `401 FM 685 STE 104` → `401 FM 685` and `Ste 104`.
    """
    return to_street


@transform(gives=dict, parts=ADDRESS_PARTS)
def full_address(cities: list[str] | None = None) -> Apply:
    """`address1`, `address2`, `city`, `state` and `zip` out of an address in one cell.

    Where no comma parts street and city, `cities` tells where the city begins (the longest that fits is taken); for
    other places `usaddress` guesses.
    `88 S. ELM AVE., STE 160 LAS VEGAS, NV 89123` → `88 S. Elm Ave.`, `Ste 160`, `Las Vegas`, `NV`, `89123`.
    """
    known: dict[str, list[str]] = {}  # by last word, the longest first
    for city in sorted((" ".join(city.upper().split()) for city in cities or ()), key=len, reverse=True):
        known.setdefault(city.rpartition(" ")[2], []).append(city)

    def read(value: str) -> dict[str, str | None]:
        tail = _TAIL.search(value, len(value) - LONGEST_TAIL_CHARACTERS)
        if tail is None or (code := _state_code(tail["state"])) is None:
            raise TransformError("not_an_address", f"does not end in a state and ZIP (looks like {shape(value)!r})")
        front = value[: tail.start()]
        street, city = _known_city(front, known) or _guess_city(front, value)
        zip_code = to_zip(tail["zip"]) if tail["zip"] else None
        return to_street(street) | {"city": to_title_case(city), "state": code, "zip": zip_code}

    return read


def to_state(value: str) -> str:
    """See :func:`state`.

    Raises:
        TransformError: ``not_a_state``.
    """
    code = value if value in STATE_CODES else _state_code(value)
    if code is None:
        raise TransformError("not_a_state", f"is no state of the USA (looks like {shape(value)!r})")
    return code


def to_zip(value: str) -> str:
    """See :func:`zip_`.

    Raises:
        TransformError: ``not_a_zip``.
    """
    if len(value) == 5 and value.isdecimal() and value.isascii():
        return value
    match = _ZIP_PLUS_4.fullmatch(value)
    if match is None or (match[2] and len(match[1]) < 5 and "-" not in value):
        raise TransformError("not_a_zip", f"is no ZIP (looks like {shape(value)!r})")
    five = match[1].zfill(5)
    return f"{five}-{match[2]}" if match[2] else five


def to_street(value: str) -> dict[str, str | None]:
    """See :func:`street_address`."""
    value = value.strip(" ,")
    match = _UNITS.search(value, len(value) - LONGEST_UNITS_CHARACTERS)
    street, units = (value[: match.start()], match["units"]) if match else (value, None)
    if match is None and "," in value:
        street, _, units = value.partition(",")
    return {
        "address1": to_title_case(street.strip(" ,")) or None,
        "address2": to_title_case(units.strip(" ,")) or None if units else None,
    }


def _state_code(text: str) -> str | None:
    bare = text.replace(".", "").upper()
    return bare if bare in STATE_CODES else STATE_NAMES.get(bare)


def _known_city(front: str, known: dict[str, list[str]]) -> tuple[str, str] | None:
    words = f" {front.upper().replace(',', ' ')}"
    for city in known.get(words.rpartition(" ")[2], ()):
        if words.endswith(f" {city}"):
            return front[: -len(city)], front[-len(city) :]
    return None


def _guess_city(front: str, value: str) -> tuple[str, str]:
    street, comma, last = front.rpartition(",")
    last = last.strip()
    if comma and last and not any(character.isdigit() for character in last):
        return street, last
    words: Sequence[tuple[str, str]] = usaddress.parse(front) if len(front) <= LONGEST_FRONT_CHARACTERS else ()
    first = next((index for index, (_, label) in enumerate(words) if label == "PlaceName"), None)
    if first is None or any(label != "PlaceName" for _, label in words[first:]):
        hint = "name it under `cities`"
        raise TransformError(
            "no_city", f"it cannot be told where the city begins; {hint} (looks like {shape(value)!r})"
        )
    city = " ".join(word for word, _ in words[first:])
    return " ".join(word for word, _ in words[:first]), city.strip(" ,")
