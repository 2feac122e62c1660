"""Transforms to numbers, dates, yes or no, and values from a list; and the way into Python."""

from __future__ import annotations

import datetime
import functools
import importlib
import re
from typing import Annotated

import dateutil.parser
from pydantic import Field

from leadstream.masking import shape
from leadstream.source_config import names_a_day
from leadstream.text import clean
from processors.transforms.base import Apply, TransformError, transform
from processors.transforms.text import Otherwise, unmatched

CACHED_DATES = 16_384
LONGEST_DATE_CHARACTERS = 100
ANY_FORMAT = "any"
YES = ["yes", "y", "true", "t", "1", "x"]
NO = ["no", "n", "false", "f", "0"]

_NUMBER = re.compile(r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+))(?:\.0+)?(?:\s+[^\W\d_][^\d]*)?", re.ASCII)


@transform(gives=datetime.date)
def date(formats: str | Annotated[list[str], Field(min_length=1)]) -> Apply:
    """A day. One format or several, as in Python's `strptime`, tried in order; two-digit years are 1969-2068.

    The format `any` reads whatever names year, month and day, the month first in `1/2/2024`.
    With `date: "%m/%d/%Y"`, `7/31/2024` → 2024-07-31.
    """

    formats = [formats] if isinstance(formats, str) else formats
    for format_ in formats:
        if format_ != ANY_FORMAT and not names_a_day(format_):
            raise ValueError(f"{format_!r} names no day: give year, month and day, e.g. %m/%d/%Y")

    @functools.lru_cache(CACHED_DATES)
    def read(value: str) -> datetime.date:
        for format_ in formats if len(value) <= LONGEST_DATE_CHARACTERS else ():
            found = _any_date(value) if format_ == ANY_FORMAT else _formatted_date(value, format_)
            if found is not None:
                return found
        raise TransformError("not_a_date", f"is no date as {' or '.join(formats)} (looks like {shape(value)!r})")

    return read


@transform(gives=int)
def integer() -> Apply:
    """A whole number, with thousands commas, `.0` or a unit behind it.

    `1,234` → 1234, `12 children` → 12, `7.0` → 7.
    """
    return to_integer


@transform(gives=bool, takes_empty=True)
def boolean(true: list[str] = YES, false: list[str] = NO, empty: bool | None = None) -> Apply:
    """Yes or no, by the words that mean either (upper or lower case); `empty` is what an empty cell means.

    With `boolean: {true: [Accepts Subsidy], empty: false}`, `Accepts Subsidy` → true, an empty cell → false.
    """
    words = {word.casefold(): False for word in false} | {word.casefold(): True for word in true}

    def read(value: str | None) -> bool | None:
        if value is None:
            return empty
        answer = words.get(value.casefold())
        if answer is None:
            raise TransformError("not_a_boolean", f"is neither yes nor no (looks like {shape(value)!r})")
        return answer

    return read


@transform()
def value_map(values: Annotated[dict[str, str], Field(min_length=1)], otherwise: Otherwise = "keep") -> Apply:
    """Another word for each of the vendor's words (upper or lower case).

    A word that is not listed is kept; `otherwise: fail` fails the row, `null` leaves the field empty.
    With `value_map: {values: {CENTER: Center}}`, `Center` and `CENTER` → `Center`.
    """
    words = {(clean(word) or "").casefold(): meaning for word, meaning in values.items()}

    def read(value: str) -> str | None:
        meaning = words.get(value.casefold())
        return unmatched(value, otherwise, "is not in the list of values") if meaning is None else meaning

    return read


@transform(takes="anything", gives=object)
def function(name: str) -> Apply:
    """A function of your own, `package.module:function`, where YAML is not enough.

    It is called with the cleaned value (with `columns`, with one argument a column, `None` where empty), and gives
    the field's value, for a group a mapping of fields, or `None`. When it raises, the row fails. The same value must
    always give the same: a row that did not change since it was last mapped is not mapped again.
    """
    module_name, _, attribute = name.partition(":")
    try:
        call = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ValueError(f"{name!r} cannot be imported: {exc}") from exc
    if not callable(call):
        raise ValueError(f"{name!r} is no function")

    def run(value: object) -> object:
        arguments = value if isinstance(value, tuple) else (value,)
        try:
            return call(*arguments)
        except TransformError:
            raise
        except Exception as exc:  # a mistake in a vendor's function costs rows, not the lane
            raise TransformError("function_failed", f"{name} raised {type(exc).__name__}") from exc

    return run


def to_integer(value: str) -> int:
    """See :func:`integer`.

    Raises:
        TransformError: ``not_a_number``.
    """
    if value.isdecimal() and value.isascii() and len(value) < 19:
        return int(value)
    match = _NUMBER.fullmatch(value)
    if match is None or len(match[1]) > 18:
        raise TransformError("not_a_number", f"is no whole number (looks like {shape(value)!r})")
    return int(match[1].replace(",", ""))


def _formatted_date(value: str, format_: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(value, format_).date()
    except ValueError:
        return None


def _any_date(value: str) -> datetime.date | None:
    """A date that names its year, month and day: what is missing must not be filled in from today."""
    found = set()
    for default in (datetime.datetime(2000, 1, 1), datetime.datetime(2001, 2, 2)):
        try:
            # dateutil would name a word that it takes for a time zone in a warning, and so in the log
            found.add(dateutil.parser.parse(value, default=default, ignoretz=True).date())
        except (ValueError, OverflowError):
            return None
    return found.pop() if len(found) == 1 else None
