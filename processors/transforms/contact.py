"""Transforms of how a lead is reached: phone, e-mail, web site."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import phonenumbers

from leadstream.masking import shape
from processors.transforms.base import Apply, TransformError, transform

REGION = "US"
LONGEST_PHONE_CHARACTERS = 250
"""What phonenumbers reads at most; to look for words in more takes n² time."""

# An area code starts with 2-9 in the North American plan; what starts otherwise is left to phonenumbers.
_PLAIN_NUMBER = re.compile(r"(?:\+?1[\s.-]*)?\(?([2-9]\d\d)\)?[\s./-]*(\d{3})[\s.-]*(\d{4})", re.ASCII)
_REMARK = re.compile(r"\s*\([A-Za-z ]+\)$")
_WORDS = re.compile(r"\d[\d\s().+-]*(?!x|ext)[^\W\d_]", re.IGNORECASE)
_TOLL_FREE = re.compile(r"[^\d+(]*(?:\+?1)?\W*8(?:00|33|44|55|66|77|88)\b")
_NEXT_NUMBER = re.compile(r"\s*(?:[/;,]|\bor\b|&)\s*(?=[+(]?\d{3})")
EMAIL = re.compile(r"[^@\s<>(),;:\"\\]+@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}")
_NAMED_EMAIL = re.compile(r"<([^<>]+)>")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}")


@transform()
def phone() -> Apply:
    """A phone number in E.164, an extension after `;ext=` (RFC 3966).

    Numbers without a country are American. A number counts when its length is possible in its country
    (fictional numbers pass); of several, the first is taken. The `.0` of a spreadsheet is left out.
    `(702) 555-0101 ext. 12` → `+17025550101;ext=12`, `7025550101.0` → `+17025550101`.
    """
    return to_phone


@transform()
def email() -> Apply:
    """An e-mail address in lower case; of several, the first.

    `mailto:Ada@Example.com` → `ada@example.com`.
    """
    return to_email


@transform()
def url() -> Apply:
    """A web address with its scheme, `https` when none is given.

    `www.Example.com/a` → `https://www.example.com/a`.
    """
    return to_url


def to_phone(value: str) -> str:
    """See :func:`phone`.

    Raises:
        TransformError: ``not_a_phone``.
    """
    if plain := _PLAIN_NUMBER.fullmatch(value):  # phonenumbers takes 50 µs; this form is nearly all there is
        return f"+1{plain[1]}{plain[2]}{plain[3]}"
    if value.endswith(".0") and value[:-2].isdecimal():
        return to_phone(value[:-2])  # phonenumbers would read the 0 as a digit of the number
    first = _NEXT_NUMBER.split(_REMARK.sub("", value), maxsplit=1)[0]
    if len(first) > LONGEST_PHONE_CHARACTERS or (_WORDS.search(first) and not _TOLL_FREE.match(first)):
        raise _no_phone(value)  # phonenumbers would read a name behind a number as its digits on a keypad
    try:
        number = phonenumbers.parse(first, REGION)
    except phonenumbers.NumberParseException as exc:
        raise _no_phone(value) from exc
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _no_phone(value)  # also a number without its area code, which E.164 cannot say
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{text};ext={number.extension}" if number.extension else text


def to_email(value: str) -> str:
    """See :func:`email`.

    Raises:
        TransformError: ``not_an_email``.
    """
    text = value.lower()
    if not EMAIL.fullmatch(text):
        first = next((part for part in re.split(r"[;,]", text) if "@" in part), "")
        if named := _NAMED_EMAIL.search(first):
            first = named[1]
        words = first.strip().removeprefix("mailto:").split()
        # A space inside an address is a slip of the hand: what stands before it may belong to it.
        text = words[0].strip(".") if words and all("@" in word for word in words) else ""
        if not EMAIL.fullmatch(text):
            raise TransformError("not_an_email", f"is no e-mail address (looks like {shape(value)!r})")
    return text


def to_url(value: str) -> str:
    """See :func:`url`.

    Raises:
        TransformError: ``not_a_url``.
    """
    text = value if "://" in value else f"https://{value}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not _HOST.fullmatch(host) or parts.scheme.lower() not in {"http", "https"} or " " in text:
        raise TransformError("not_a_url", f"is no web address (looks like {shape(value)!r})")
    place = f"{host}:{port}" if port else host
    return parts._replace(scheme=parts.scheme.lower(), netloc=place).geturl()


def _no_phone(value: str) -> TransformError:
    return TransformError("not_a_phone", f"is no possible phone number (looks like {shape(value)!r})")
