"""Message headers: of raw rows and of dead letters. One place, so that writers and readers cannot differ.

Numbers are decimal ASCII. Dead letters carry the headers of Kafka Connect's dead-letter queue (KIP-298,
``DeadLetterQueueReporter``) and, beside them, where the row came from and every reason it failed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

Headers = list[tuple[str, bytes]]

# raw rows
KIND = "kind"
LOAD_ID = "load_id"
LOAD_SEQ = "load_seq"
ROW = "row"
LINE = "line"
BUCKET = "bucket"
KEY = "key"
VERSION = "version"
OUTDATED = "outdated"
"""Versions of mappings, parted by a space, that the one by which the load was split has just replaced. Whoever has one
of them in use must not map the load yet. Absent: the mapping is that of the load before."""

# markers (raw messages without a value)
ROWS = "rows"
"""On an end marker: how many row messages of this load stand in this partition."""
STATUS = "status"
HOLD = "hold"
"""On an end marker: why leads that are absent from the file must not be deleted; absent: delete them."""
REFRESH = "refresh"
REPLAY_ID = "replay_id"
"""On a restored row: the replay it is for."""

MAX_DIGITS = 18
"""Of a number in a header: it fits 64 bits."""

CONNECT = "__connect.errors."
LEADSTREAM = "leadstream."
FORGOTTEN = LEADSTREAM + "forgotten"
"""On a delete record of leads.canonical (and its tombstone): the command by which the person was forgotten."""


class Kind(enum.StrEnum):
    """What a raw message is."""

    ROW = "row"
    SEEN = "seen"
    """No value: the key stood in a damaged row, so its lead is present in the file."""
    RESTORED = "restored"
    """A row that was put on the topic once more, for one replay; the live flow passes it over."""
    END = "end"
    """No value, in every partition: the load's rows end here."""


_PLACE = frozenset({LOAD_ID, BUCKET, KEY, VERSION})
_NUMBERS: dict[str, tuple[str, ...]] = {
    Kind.ROW: (LOAD_SEQ, ROW, LINE),
    Kind.SEEN: (LOAD_SEQ, ROW, LINE),
    Kind.RESTORED: (LOAD_SEQ, ROW, LINE),
    Kind.END: (LOAD_SEQ, ROWS),
}


class Stage(enum.StrEnum):
    """Where a row or a file failed."""

    FILE = "FILE"
    SPLIT = "SPLIT"
    DECODE = "DECODE"
    MAP = "MAP"
    VALIDATE = "VALIDATE"


class LetterEvent(enum.StrEnum):
    """What a replay or retry made of a dead letter; a record without value in the letter's own partition says so."""

    FIXED = "fixed"
    FAILED_AGAIN = "failed_again"
    OVERTAKEN = "overtaken"
    """A newer row (or a newer complete file) has spoken of the lead since."""
    FORGOTTEN = "forgotten"
    """Its person was forgotten; what the letter says is erased where it can be."""


@dataclass(frozen=True)
class Reason:
    """Why a row failed: the canonical field (or column) it is about, a stable code, and a sentence without values."""

    field: str
    code: str
    message: str


def _number(value: int) -> bytes:
    return str(value).encode()


def get(headers: Iterable[tuple[str, bytes]], name: str) -> str | None:
    """The value of the first header called ``name``, as text."""
    for key, value in headers:
        if key == name:
            return value.decode("utf-8", "replace")
    return None


def to_dict(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """All headers as text; of repeated names the last counts."""
    return {key: value.decode("utf-8", "replace") for key, value in headers}


def is_raw_message(values: Mapping[str, str]) -> bool:
    """Whether these headers (as :func:`to_dict` gives them) are those of a message that the producer wrote."""
    numbers = _NUMBERS.get(values.get(KIND, ""))
    return numbers is not None and values.keys() >= _PLACE and all(number(values, name) >= 0 for name in numbers)


def number(values: Mapping[str, str], name: str) -> int:
    """The number in a header (as :func:`to_dict` gives them); -1 when there is none."""
    text = values.get(name, "")
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else -1


def dead_letter_headers(
    *,
    stage: Stage,
    reasons: Sequence[Reason],
    source: str,
    load_id: str,
    load_seq: int,
    row_number: int,
    line_number: int,
    bucket: str,
    object_key: str,
    object_version: str,
    topic: str = "",
    partition: int = -1,
    offset: int = -1,
    mapping_version: str = "",
    class_name: str = "",
    replay_id: str = "",
) -> Headers:
    """Headers of a dead letter. ``row_number`` is 0 when the letter is about a whole file.

    ``topic``/``partition``/``offset`` are those of the raw message when there was one.
    """
    return [
        (CONNECT + "topic", topic.encode()),
        (CONNECT + "partition", _number(partition)),
        (CONNECT + "offset", _number(offset)),
        (CONNECT + "connector.name", b"leadstream"),
        (CONNECT + "task.id", b"0"),
        (CONNECT + "stage", stage.value.encode()),
        (CONNECT + "class.name", class_name.encode()),
        *_reason_headers(reasons),
        (LEADSTREAM + "source", source.encode()),
        (LEADSTREAM + "load_id", load_id.encode()),
        (LEADSTREAM + "load_seq", _number(load_seq)),
        (LEADSTREAM + "row", _number(row_number)),
        (LEADSTREAM + "line", _number(line_number)),
        (LEADSTREAM + "bucket", bucket.encode()),
        (LEADSTREAM + "key", object_key.encode()),
        (LEADSTREAM + "version", object_version.encode()),
        (LEADSTREAM + "mapping_version", mapping_version.encode()),
        (LEADSTREAM + "replay_id", replay_id.encode()),
    ]


def letter_event_headers(
    event: LetterEvent,
    *,
    source: str,
    letter_partition: int,
    letter_offset: int,
    replay_id: str,
    mapping_version: str,
    stage: Stage | None = None,
    reasons: Sequence[Reason] = (),
) -> Headers:
    """Headers of the record that tells what became of a letter; ``stage`` and ``reasons`` when it failed again."""
    told = [
        (LEADSTREAM + "event", event.value.encode()),
        (LEADSTREAM + "letter", f"{letter_partition}-{letter_offset}".encode()),
        (LEADSTREAM + "source", source.encode()),
        (LEADSTREAM + "replay_id", replay_id.encode()),
        (LEADSTREAM + "mapping_version", mapping_version.encode()),
    ]
    if stage is not None:
        told += [(CONNECT + "stage", stage.value.encode()), *_reason_headers(reasons)]
    return told


def erasure_headers(command_id: str) -> Headers:
    """Headers of a delete on leads.canonical by which a person is forgotten: whoever has copies erases them, too."""
    return [(FORGOTTEN, command_id.encode())]


def _reason_headers(reasons: Sequence[Reason]) -> Headers:
    message = "; ".join(f"{reason.field}: {reason.message}" if reason.field else reason.message for reason in reasons)
    return [
        (CONNECT + "exception.class.name", reasons[0].code.encode()),
        (CONNECT + "exception.message", message.encode()),
        (
            LEADSTREAM + "reasons",
            orjson.dumps([{"field": r.field, "code": r.code, "message": r.message} for r in reasons]),
        ),
    ]
