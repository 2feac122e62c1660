"""What a dead letter becomes in the table ``dead_letters``. Pure; never fails, whatever the headers hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from leadstream.metrics import UNKNOWN_SOURCE
from schemas.headers import CONNECT, LEADSTREAM, LetterEvent, to_dict

COLUMNS = (
    *("dead_letter_id", "source", "load_id", "load_seq", "row_number", "line_number"),
    *("bucket", "object_key", "object_version", "stage", "reasons", "reason_code", "message"),
    *("raw_topic", "raw_partition", "raw_offset", "mapping_version", "replay_id", "key", "value", "failed_at"),
)
_SOURCE, _STAGE, _CODE = (COLUMNS.index(name) for name in ("source", "stage", "reason_code"))
STAGE_WRITE = "WRITE"
"""The stage of what Postgres would not take; the other stages are those of schemas.headers."""
MAX_NAME_CHARACTERS = 200
"""Of texts that stand in an index, whose entries Postgres limits."""
MAX_TEXT_CHARACTERS = 10_000
NUL_STANDS_AS = "\N{REPLACEMENT CHARACTER}"
INTEGER_BITS = 32
BIGINT_BITS = 64

TRIED: frozenset[str] = frozenset({LetterEvent.FIXED, LetterEvent.FAILED_AGAIN})
"""Events of a row that was mapped again."""

Row = tuple[Any, ...]
Event = dict[str, Any]

_WHY: dict[str, str] = {
    LetterEvent.FIXED: "passes since replay {}",
    LetterEvent.OVERTAKEN: "a newer row or file has spoken since (seen by replay {})",
    LetterEvent.FORGOTTEN: "forgotten ({})",
}


def from_message(message: Any) -> Row:
    """The row of a message of ``leads.dlq`` (aiokafka's ConsumerRecord); what is missing or odd in it is null."""
    headers = to_dict(message.headers)
    reasons = _reasons(headers.get(LEADSTREAM + "reasons"))
    return (
        f"{message.partition}-{message.offset}",
        _text(headers.get(LEADSTREAM + "source"), MAX_NAME_CHARACTERS),
        _text(headers.get(LEADSTREAM + "load_id"), MAX_NAME_CHARACTERS),
        _number(headers.get(LEADSTREAM + "load_seq"), BIGINT_BITS),
        _number(headers.get(LEADSTREAM + "row"), BIGINT_BITS),
        _number(headers.get(LEADSTREAM + "line"), BIGINT_BITS),
        _text(headers.get(LEADSTREAM + "bucket")),
        _text(headers.get(LEADSTREAM + "key")),
        _text(headers.get(LEADSTREAM + "version")),
        _text(headers.get(CONNECT + "stage"), MAX_NAME_CHARACTERS),
        reasons,
        _text(headers.get(CONNECT + "exception.class.name"), MAX_NAME_CHARACTERS),
        _text(headers.get(CONNECT + "exception.message")),
        _text(headers.get(CONNECT + "topic")),
        _number(headers.get(CONNECT + "partition"), INTEGER_BITS),
        _number(headers.get(CONNECT + "offset"), BIGINT_BITS),
        _text(headers.get(LEADSTREAM + "mapping_version")),
        _text(headers.get(LEADSTREAM + "replay_id"), MAX_NAME_CHARACTERS) or "",
        message.key,
        message.value,
        _moment(message.timestamp),
    )


def from_write_failure(message: Any, record: dict[str, Any] | None, code: str, why: str) -> Row:
    """The row of a message that could not be written: undecodable (``record`` is None), or refused by Postgres."""
    place = record or {}
    return (
        f"{message.topic}-{message.partition}-{message.offset}",
        _text(place.get("source"), MAX_NAME_CHARACTERS),
        _text(place.get("load_id"), MAX_NAME_CHARACTERS),
        place.get("load_seq"),
        place.get("row_number"),
        place.get("line_number"),
        _text(place.get("bucket")),
        _text(place.get("object_key")),
        _text(place.get("object_version")),
        STAGE_WRITE,
        orjson.dumps([{"field": "", "code": code, "message": without_nul(why)}]).decode(),
        code,
        _text(why),
        message.topic,
        message.partition,
        message.offset,
        _text(place.get("mapping_version")),
        _text(place.get("replay_id"), MAX_NAME_CHARACTERS) or "",
        message.key,
        message.value,
        _moment(message.timestamp),
    )


def write_failures(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Source and code of those among the rows that :func:`from_write_failure` made."""
    for row in rows:
        if row[_STAGE] == STAGE_WRITE:
            yield row[_SOURCE] or UNKNOWN_SOURCE, row[_CODE]


def event_of(message: Any) -> Event | None:
    """What a message of ``leads.dlq`` tells of an earlier letter, for the query ``settle_letters``; None: it is one."""
    headers = to_dict(message.headers)
    event = headers.get(LEADSTREAM + "event")
    if event is None:
        return None
    replay_id = _text(headers.get(LEADSTREAM + "replay_id"), MAX_NAME_CHARACTERS)
    reasons = _reasons(headers.get(LEADSTREAM + "reasons"))
    return {
        "dead_letter_id": headers.get(LEADSTREAM + "letter"),
        "attempts": int(event in TRIED),
        "at": _moment(message.timestamp),
        "stage": _text(headers.get(CONNECT + "stage"), MAX_NAME_CHARACTERS),
        "reasons": orjson.loads(reasons) if reasons is not None else None,
        "reason_code": _text(headers.get(CONNECT + "exception.class.name"), MAX_NAME_CHARACTERS),
        "message": _text(headers.get(CONNECT + "exception.message")),
        "mapping_version": _text(headers.get(LEADSTREAM + "mapping_version")),
        "erased": event == LetterEvent.FORGOTTEN,
        "status_why": _WHY[event].format(replay_id) if event in _WHY else None,
    }


def without_nul(value: Any) -> Any:
    """``value`` with the NUL characters of its texts replaced, since Postgres has no place for them."""
    if isinstance(value, str):
        return value.replace("\0", NUL_STANDS_AS)
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(item) for name, item in value.items()}
    return value


def _text(value: str | None, max_characters: int = MAX_TEXT_CHARACTERS) -> str | None:
    return without_nul(value)[:max_characters] if value is not None else None


def _number(value: str | None, bits: int) -> int | None:
    try:
        number = int(value or "")
    except ValueError:
        return None
    return number if -(1 << (bits - 1)) <= number < 1 << (bits - 1) else None


def _reasons(value: str | None) -> str | None:
    try:
        return orjson.dumps(without_nul(orjson.loads(value or ""))).decode()
    except ValueError:
        return None


def _moment(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
