"""The transform of opening hours."""

from __future__ import annotations

import functools
import itertools
import re

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform

CACHED_DAYS = 4_096
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CLOSED = "closed"
ALL_DAY = "24h"

_TIME = r"(\d{1,2})(?::(\d\d))?(?::\d\d)?\s*([AP])?\.?(?:M\.?)?"
_HOURS = re.compile(rf"{_TIME}\s*(?:-|–|—|TO)\s*{_TIME}", re.IGNORECASE | re.ASCII)
_ALL_DAY = re.compile(r"(?:OPEN\s*)?24\s*(?:H|HRS?|HOURS?)", re.IGNORECASE)


@transform(takes="cells", columns=7)
def weekly_schedule() -> Apply:
    """Opening hours by day out of seven columns, Monday to Sunday. Days without a word are left out.

    `7:30AM - 5:30PM` five times, then `CLOSED` twice → `Mon-Fri 07:30-17:30; Sat-Sun closed`.
    From midnight to midnight is `24h`.
    """
    return to_schedule


def to_schedule(cells: tuple[str | None, ...]) -> str | None:
    """See :func:`weekly_schedule`.

    Raises:
        TransformError: ``not_hours``.
    """
    days = zip(DAYS, (_hours(cell) if cell else None for cell in cells), strict=True)
    written = []
    for hours, same in itertools.groupby(days, key=lambda day: day[1]):
        names = [name for name, _ in same]
        if hours is not None:
            written.append(f"{names[0]}-{names[-1]} {hours}" if len(names) > 1 else f"{names[0]} {hours}")
    return "; ".join(written) or None


@functools.lru_cache(CACHED_DAYS)
def _hours(cell: str) -> str:
    if cell.casefold() == CLOSED:
        return CLOSED
    if _ALL_DAY.fullmatch(cell):
        return ALL_DAY
    match = _HOURS.fullmatch(cell)
    if match is None:
        raise _no_hours(cell)
    opens = _clock(match[1], match[2], match[3], cell)
    closes = _clock(match[4], match[5], match[6], cell)
    return ALL_DAY if opens == closes == "00:00" or (opens, closes) == ("00:00", "24:00") else f"{opens}-{closes}"


def _clock(hour_text: str, minute_text: str | None, half: str | None, cell: str) -> str:
    hour, minute = int(hour_text), int(minute_text or 0)
    if half is not None:
        if not 1 <= hour <= 12:
            raise _no_hours(cell)
        hour = hour % 12 + (12 if half.upper() == "P" else 0)
    if minute > 59 or hour > 24 or (hour == 24 and minute):
        raise _no_hours(cell)
    return f"{hour:02}:{minute:02}"


def _no_hours(cell: str) -> TransformError:
    return TransformError("not_hours", f"a day's cell holds no opening hours (looks like {shape(cell)!r})")
