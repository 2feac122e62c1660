"""What a header is judged by: the header before it, the rows before it, the first rows under it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from leadstream.changelog import read_partition
from leadstream.errors import BadRecordError
from leadstream.settings import Settings
from leadstream.sources import SourceConfig, clean_header
from leadstream.text import clean
from producer.arrivals import Arrival
from producer.dialect import format_of
from producer.s3_input import S3Input
from producer.splitter import Event, Header, Rows, Splitter
from schemas import topics
from schemas.codec import Decoder
from schemas.registry import Registry

HEAD_ROWS = 200
EARLIER_ROWS = 2_000
"""Enough that a vendor's usual file is there as a whole: its leads come again in the new one."""


@dataclass(frozen=True)
class Head:
    """The beginning of a file."""

    columns: list[str]
    rows: list[list[str]]


def first_rows(events: Iterable[Event]) -> list[list[str]]:
    """The cells of the next good rows, at most ``HEAD_ROWS``."""
    cells = (cells for event in events if isinstance(event, Rows) for cells in event.cells)
    return list(itertools.islice(cells, HEAD_ROWS))


async def read_head(settings: Settings, s3: S3Input, arrival: Arrival, source: SourceConfig) -> Head:
    """Read no more of an object than its header and first rows.

    Raises:
        BadRecordError: it is no table, is empty, or is gone.
        TransientError: S3 is away.
    """
    splitter = Splitter(format_of(source), name=arrival.key, max_row_bytes=settings.producer.max_row_bytes)
    columns: list[str] = []
    rows: list[list[str]] = []
    async with contextlib.aclosing(s3.read(arrival)) as chunks:
        async for chunk in chunks:
            _take(splitter.feed(chunk), columns, rows)
            if len(rows) >= HEAD_ROWS:
                return Head(columns, rows[:HEAD_ROWS])
    _take(splitter.finish(), columns, rows)
    return Head(columns, rows[:HEAD_ROWS])


async def known_columns(registry: Registry, source: str) -> list[str] | None:
    """The header of the source's newest file that was split; None when there was none.

    Raises:
        TransientError: the registry is away.
    """
    latest = await registry.latest(topics.value_subject(topics.raw_topic(source)))
    return [field.get("header", field["name"]) for field in latest[1]["fields"]] if latest else None


async def earlier_cells(settings: Settings, registry: Registry, source: str) -> dict[str, list[str]]:
    """Cells of the newest rows of a source's raw topic by cleaned column name, cleaned, none empty.

    Raises:
        TransientError: Kafka or the registry is away.
    """
    decoder = Decoder(registry)
    topic = topics.raw_topic(source)
    lanes = settings.topics.lanes
    cells: dict[str, list[str]] = {}
    for lane in range(lanes):
        async for records in read_partition(settings.kafka, topic, lane, start=-(EARLIER_ROWS // lanes)):
            for record in records:
                if record.value is None:
                    continue
                with contextlib.suppress(BadRecordError):  # one row less to compare with
                    schema_id, row = await decoder.decode(record.value)
                    for field in (await registry.get(schema_id))["fields"]:
                        if (cell := clean(row[field["name"]])) is not None:
                            cells.setdefault(clean_header(field.get("header", field["name"])), []).append(cell)
    return cells


def _take(events: Iterable[Event], columns: list[str], rows: list[list[str]]) -> None:
    for event in events:
        if isinstance(event, Header):
            columns += [column.name for column in event.columns]
        elif isinstance(event, Rows):
            rows += event.cells
