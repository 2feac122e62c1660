"""How texts are compared and cleaned, the same in every stage: cells, headers, names that people type."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

from rapidfuzz import fuzz, process

BASIC_PLANE_CODES = 0x10000
SUGGESTION_MIN_PERCENT = 60
PLACEHOLDERS = frozenset(
    {
        "N/A",
        "n/a",
        "N/a",
        "#N/A",
        "NULL",
        "Null",
        "null",
        "(null)",
        "NONE",
        "None",
        "none",
        "NaN",
        "nan",
        "NaT",
    }
    | {"-", "--", "---", "–", "—", ".", "?"}
)
"""Cells that say "nothing". Matched as they are written: ``Nan`` is a given name."""

_INVISIBLE = {
    code: None
    for code in range(BASIC_PLANE_CODES)
    if unicodedata.category(chr(code)) in {"Cc", "Cf"} and not chr(code).isspace()
}


def clean(cell: str | None) -> str | None:
    """A cell in one line, with single spaces and no control characters; ``None`` when it says nothing.

    No-break spaces count as spaces. Broken encodings (``â€™``) stay as the vendor sent them.
    """
    if not cell:
        return None
    is_plain = cell.isprintable() and "  " not in cell  # the only white space that is printable is the space
    text = cell.strip() if is_plain else " ".join(cell.translate(_INVISIBLE).split())
    return None if not text or text in PLACEHOLDERS else text


def clean_header(name: str) -> str:
    """What two column names are compared by: trimmed, inner white space collapsed, case folded."""
    return " ".join(name.split()).casefold()


def hint_for(word: str, known: Collection[str]) -> str:
    """What to do about a name that is not known."""
    best = did_you_mean(word, known)
    return f"did you mean {best!r}?" if best else f"known are: {', '.join(sorted(known))}"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``word``, or ``None`` when none comes near."""
    best = process.extractOne(
        word, list(known), scorer=fuzz.ratio, processor=str.casefold, score_cutoff=SUGGESTION_MIN_PERCENT
    )
    return None if best is None else best[0]
