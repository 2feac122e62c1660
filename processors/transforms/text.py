"""Transforms of text: case, parts of a text, lines of a cell."""

from __future__ import annotations

import functools
import re
from typing import Literal

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform

CACHED_WORDS = 65_536
LONGEST_CACHED_WORD_CHARACTERS = 64

Otherwise = Literal["fail", "keep"] | None

_WORD = re.compile(r"[^\W_]+(?:(?:\.?['’]|\.)[^\W_]+)*\.?")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?(?P<possessive>['’]S)?\.?")
_ORDINAL = re.compile(r"\d+(?:ST|ND|RD|TH)")
_IRISH = re.compile(r"([OD])(['’])([^\W\d_]{3,})")
_SCOTTISH = re.compile(r"MC([^\W\d_]{3,})")
_VOWEL = re.compile(r"[AEIOUYÀ-Ý]")

_ALWAYS_UPPER = re.compile(r"ABC|I{2,3}|I?V|VI{1,3}|IX|USA?|UMC|Y[MW]CA|JCC|[NS]E|PO|OK|DBA|ISD")
_NO_ACRONYM = re.compile(
    r"ST|RD|ND|TH|MRS?|MS|JR|SR|DR|NG|LTD|BLDG|RM|FT|MT|PT|"
    # the street suffixes of USPS Publication 28, appendix C1, that have no vowel
    r"BLFS?|BLVD|BND|BR|BRG|BRKS?|CLB|CLF|CRK|CRST|CTRS?|CTS?|CVS?|DLS?|DM|DRS|FLDS?|FLS|FLTS?|FRDS?|FRGS?|FRKS?|"
    r"FRST|FRY|GDNS?|GLNS?|GRNS?|GRVS?|HBRS?|HLS?|HTS|HVN|HWY|JCTS?|KNLS?|LCKS?|LKS?|LN|LNDG|MDWS?|MLS?|MNRS?|MSN|"
    r"MTNS?|PKWY|PLN?S?|PLZ|PRTS?|RDGS?|RDS|RNCH|RPDS?|SHLS?|SHRS?|SMT|SPGS?|SQS?|STN|STRM|STS|TRCE|TRL|TRWY|VLGS?|"
    r"VLYS?|VWS?|WLS?"
)
_SMALL = re.compile(r"AND?|AS|AT|BY|FOR|FROM|IN|OF|ON|OR|THE|TO|WITH")


@transform()
def clean() -> Apply:
    """Nothing more than what every cell gets: one line, single spaces, no control characters.

    Each cell is cleaned before its first transform (unless that is `line`), and what says nothing (`N/A`, `NULL`,
    `-`, …) is empty. Broken encodings such as `â€™` are left alone.
    """
    return str


@transform()
def upper() -> Apply:
    """Upper case. `ab 12` → `AB 12`."""
    return str.upper


@transform()
def lower() -> Apply:
    """Lower case. `Ab` → `ab`."""
    return str.lower


@transform()
def title_case() -> Apply:
    """Title case for text that is all upper or all lower; mixed case is left as it is.

    Knows `LLC`, `NW`, `YMCA`, `L.L.C.`, `McCoy`, `O'Brien`, `Dee's`, `6th`, and writes `of`, `and`, `the` small.
    `MCCOY'S 6TH STREET SCHOOL OF ART LLC` → `McCoy's 6th Street School of Art LLC`.
    """
    return to_title_case


@transform(takes="raw")
def line(number: int) -> Apply:
    """One line of a cell that holds several (the first is 1); empty when there are fewer. Comes first.

    With `line: 2`, `Ada Example⏎Director` → `Director`.
    """
    if number < 1:
        raise ValueError("lines are counted from 1")

    def take(value: str) -> str | None:
        lines = value.splitlines()
        return lines[number - 1] if number <= len(lines) else None

    return take


@transform()
def regex(pattern: str, otherwise: Otherwise = "fail") -> Apply:
    """What group 1 of a regular expression matches (the whole match without groups).

    When nothing matches: `otherwise: fail` fails the row, `keep` keeps the value, `null` leaves the field empty.
    With `regex: "K[0-9]+$"`, `HOME - K123` → `K123`.
    """
    try:
        search = re.compile(pattern).search
    except re.error as exc:
        raise ValueError(f"is no regular expression: {exc}") from exc
    group = 1 if re.compile(pattern).groups else 0

    def take(value: str) -> str | None:
        match = search(value)
        if match is not None:
            return (match[group] or "").strip() or None
        return unmatched(value, otherwise, "does not match the pattern")

    return take


@transform()
def split(separator: str, take: int) -> Apply:
    """One of the parts between separators (the first is 1, the last is -1); empty when there are fewer.

    With `split: {separator: " - ", take: 2}`, `HOME - K123` → `K123`.
    """
    if take == 0 or not separator:
        raise ValueError("parts are counted from 1, or from the end from -1")

    def pick(value: str) -> str | None:
        parts = value.split(separator)
        index = take - 1 if take > 0 else len(parts) + take
        return parts[index].strip() or None if 0 <= index < len(parts) else None

    return pick


@transform(takes="anything", gives=None, takes_empty=True)
def default(value: bool | int | str) -> Apply:
    """This value where there is none. With `default: Director`, an empty cell → `Director`."""

    def fill(given: object) -> object:
        return value if given is None else given

    return fill


def unmatched(value: str, otherwise: Otherwise, problem: str) -> str | None:
    """What becomes of a value that nothing was said about."""
    if otherwise == "fail":
        raise TransformError("no_match", f"{problem} (looks like {shape(value)!r})")
    return value if otherwise == "keep" else None


def to_title_case(text: str) -> str:
    """``text`` in title case, see :func:`title_case`."""
    if not (text.isupper() or text.islower()):
        return text
    text = text.upper()
    plain = text.split(" ")
    if "".join(plain).isalnum() and "" not in plain:  # nothing but words: no need to look for them
        last = len(plain) - 1
        return " ".join([_word(word, 0 < index < last) for index, word in enumerate(plain)])
    words = list(_WORD.finditer(text))
    pieces, end = [], 0
    for index, word in enumerate(words):
        inside = 0 < index < len(words) - 1 and text[words[index - 1].end() : word.start()] in {" ", "-"}
        pieces += [text[end : word.start()], _word(word[0], inside)]
        end = word.end()
    return "".join(pieces) + text[end:]


def _word(word: str, inside: bool) -> str:
    if word.isdigit():
        return word
    return (
        _cached_title_word(word, inside) if len(word) <= LONGEST_CACHED_WORD_CHARACTERS else _title_word(word, inside)
    )


def _title_word(word: str, inside: bool) -> str:
    if inside and _SMALL.fullmatch(word):
        return word.lower()
    if match := _INITIALS.fullmatch(word):
        return word[:-1] + "s" if match["possessive"] else word
    bare = word.removesuffix(".")
    stem, apostrophe, ending = _possessive(bare)
    tail = word[len(bare) :]
    return _title_stem(stem) + apostrophe + ending + tail


_cached_title_word = functools.lru_cache(CACHED_WORDS)(_title_word)


def _possessive(word: str) -> tuple[str, str, str]:
    if len(word) > 2 and word[-1] == "S" and word[-2] in "'’":
        return word[:-2], word[-2], "s"
    return word, "", ""


def _title_stem(word: str) -> str:
    if any(character.isdigit() for character in word):
        return word.lower() if _ORDINAL.fullmatch(word) else word
    if _ALWAYS_UPPER.fullmatch(word) or _is_acronym(word):
        return word
    if match := _SCOTTISH.fullmatch(word):
        return f"Mc{match[1].capitalize()}"
    if match := _IRISH.fullmatch(word):
        return f"{match[1]}{match[2]}{match[3].capitalize()}"
    return word.capitalize()


def _is_acronym(word: str) -> bool:
    return 2 <= len(word) <= 4 and not _VOWEL.search(word) and not _NO_ACRONYM.fullmatch(word)
