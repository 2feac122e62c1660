"""The dead letters of a source that nothing has settled yet, by the row they are about.

``leads.dlq`` holds letters and, in the same partition as its letter, what a replay made of each later: fixed, failed
again, or overtaken by a newer row (``schemas.headers.LetterEvent``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from leadstream.changelog import read_partition
from leadstream.settings import KafkaSettings
from schemas import headers
from schemas.headers import CONNECT, LEADSTREAM, Headers, Kind, LetterEvent
from schemas.topics import DEAD_LETTERS

Place = tuple[int, int]
"""Partition and offset in leads.dlq."""
RowName = tuple[str, int]
"""load_id and row number."""

_PLACE_HEADERS = {
    headers.LOAD_ID: "load_id",
    headers.LOAD_SEQ: "load_seq",
    headers.ROW: "row",
    headers.LINE: "line",
    headers.BUCKET: "bucket",
    headers.KEY: "key",
    headers.VERSION: "version",
}
"""By the header of a raw row, the header of its letter."""


@dataclass(frozen=True)
class RawMessage:
    """A raw row as a consumer gives it, made from its letter."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class OpenLetters:
    """Letters by row; what a replay settles is taken out."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._places: dict[RowName, Place] = {}
        self._rows: dict[Place, RowName] = {}

    async def read(self, settings: KafkaSettings, partitions: Iterable[int]) -> None:
        """Read partitions of the dead letters to their ends.

        Raises:
            TransientError: Kafka is away.
        """
        for partition in partitions:
            async for messages in read_partition(settings, DEAD_LETTERS, partition):
                for message in messages:
                    self.take(message)

    def take(self, message: Any) -> None:
        """Take note of a record of leads.dlq."""
        values = headers.to_dict(message.headers)
        if values.get(LEADSTREAM + "source") != self._source:
            return
        event = values.get(LEADSTREAM + "event")
        if event is not None:
            if event != LetterEvent.FAILED_AGAIN:
                self.settle(_place(values.get(LEADSTREAM + "letter", "")))
            return
        row = (values.get(LEADSTREAM + "load_id", ""), int(values.get(LEADSTREAM + "row", "0")))
        if row[1]:
            place = (message.partition, message.offset)
            self._places[row] = place
            self._rows[place] = row

    def of(self, load_id: str, row_number: int) -> Place | None:
        """The letter about a row."""
        return self._places.get((load_id, row_number))

    def settle(self, place: Place) -> None:
        """Take out a letter that is settled."""
        row = self._rows.pop(place, None)
        if row is not None and self._places.get(row) == place:
            del self._places[row]


def raw_message_of(letter: Any) -> RawMessage:
    """The raw row that a letter is about (one that came from a raw topic, see ``raw_partition``)."""
    values = headers.to_dict(letter.headers)
    constant = [(headers.KIND, Kind.ROW.value.encode())]
    place = [(name, values.get(LEADSTREAM + kept, "").encode()) for name, kept in _PLACE_HEADERS.items()]
    return RawMessage(
        topic=values.get(CONNECT + "topic", ""),
        partition=int(values.get(CONNECT + "partition", "-1")),
        offset=int(values.get(CONNECT + "offset", "-1")),
        key=letter.key,
        value=letter.value,
        headers=constant + place,
    )


def _place(text: str) -> Place:
    partition, _, offset = text.partition("-")
    return int(partition or -1), int(offset or -1)
