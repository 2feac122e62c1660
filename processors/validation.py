"""What a value of each canonical field must look like, whatever transforms made it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

from processors.transforms import KIND_NAMES, TransformError
from processors.transforms.address import STATE_CODES, ZIP
from processors.transforms.ages import GROUP_MONTHS
from processors.transforms.contact import EMAIL
from schemas.records import lead_body_schema

MAX_CAPACITY_CHILDREN = 100_000
MAX_AGE_MONTHS = 100 * 12
FIRST_DAY = datetime.date(1900, 1, 1)
LAST_DAY = datetime.date(2100, 12, 31)

Check = Callable[[Any], None]
"""Raises TransformError when a value must not pass."""

_PHONE = re.compile(r"\+[1-9]\d{6,14}(?:;ext=\d{1,9})?", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^\s/][^\s/.]*+\.[^\s/]++(?:/\S*+)?")
_AVRO_KINDS: dict[str, type] = {"string": str, "int": int, "boolean": bool, "date": datetime.date}
_MADE_GOOD_BY = {
    "state": "state",
    "zip": "zip",
    "email": "email",
    "phone": "phone",
    "phone2": "phone",
    "website_address": "url",
}
"""By field, the transform whose results need no second look."""


def canonical_kinds() -> dict[str, type]:
    """The Python type of every canonical field, from the Avro schema."""
    return {field["name"]: _kind(field["type"]) for field in lead_body_schema()["fields"]}


def check_for(field: str, kind: type, given: type, last_transform: str | None) -> Check | None:
    """What a value of ``field`` (of type ``kind``) is checked by; ``None`` when nothing can be wrong with it.

    ``given`` is the type that the last transform promises (``object``: none).
    """
    rule = _rule(field, kind) if _MADE_GOOD_BY.get(field, "") != last_transform else None
    if given is not object:
        return rule

    def check(value: Any) -> None:
        if type(value) is not kind:
            problem = f"is of type {type(value).__name__}, not {KIND_NAMES[kind]}"
            raise TransformError("wrong_type", problem)
        if rule is not None:
            rule(value)

    return check


def _kind(avro: Any) -> type:
    if isinstance(avro, list):
        return next(_kind(branch) for branch in avro if branch != "null")
    if isinstance(avro, dict):
        return list if avro["type"] == "array" else _AVRO_KINDS[str(avro.get("logicalType", avro["type"]))]
    return _AVRO_KINDS[avro]


def _rule(field: str, kind: type) -> Check | None:
    if kind is datetime.date:
        return _check_day
    if field == "capacity":
        return _whole_number_up_to(MAX_CAPACITY_CHILDREN)
    if kind is int:
        return _whole_number_up_to(MAX_AGE_MONTHS)
    if kind is list:
        return _check_age_groups
    if field == "state":
        return _check_state
    if field == "zip":
        return _looks_like(ZIP, "not_a_zip", "is neither ZIP nor ZIP+4")
    if field == "email":
        return _looks_like(EMAIL, "not_an_email", "is no e-mail address")
    if field in {"phone", "phone2"}:
        return _looks_like(_PHONE, "not_a_phone", "is not in E.164")
    if field == "website_address":
        return _looks_like(_WEB_ADDRESS, "not_a_url", "is no web address with its scheme")
    return None


def _check_day(value: datetime.date) -> None:
    if not FIRST_DAY <= value <= LAST_DAY:
        raise TransformError("out_of_range", f"lies before {FIRST_DAY.year} or after {LAST_DAY.year}")


def _check_state(value: str) -> None:
    if value not in STATE_CODES:
        raise TransformError("not_a_state", "is no two-letter USPS code")


def _check_age_groups(value: list[str]) -> None:
    if value != [group for group in GROUP_MONTHS if group in value]:
        raise TransformError("not_age_groups", f"holds something else than {', '.join(GROUP_MONTHS)}, in this order")


def _whole_number_up_to(limit: int) -> Check:
    def check(value: int) -> None:
        if not 0 <= value <= limit:
            raise TransformError("out_of_range", f"is below 0 or above {limit}")

    return check


def _looks_like(pattern: re.Pattern[str], code: str, problem: str) -> Check:
    fits = pattern.fullmatch

    def check(value: str) -> None:
        if fits(value) is None:
            raise TransformError(code, problem)

    return check
