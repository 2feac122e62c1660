"""Single messages of Kafka, read back and made readable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from leadstream import kafka
from leadstream.errors import BadRecordError, TransientError
from leadstream.masking import masked_cells, shape
from leadstream.settings import KafkaSettings, RegistrySettings
from schemas.codec import Decoder, schema_id_of
from schemas.registry import Registry

START_TIMEOUT_SECONDS = 10
READ_TIMEOUT_MILLISECONDS = 5_000
MAX_SHAPE_CHARACTERS = 2_000


@dataclass(frozen=True)
class Cells:
    """A row by the vendor's own column names."""

    schema_id: int
    columns: dict[str, str | None]


@contextlib.asynccontextmanager
async def open_registry(settings: RegistrySettings) -> AsyncIterator[Registry]:
    """A registry client that is closed again."""
    registry = Registry(settings)
    try:
        yield registry
    finally:
        await registry.close()


@contextlib.asynccontextmanager
async def open_consumer(
    settings: KafkaSettings, *topics: str, group_id: str | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed consumer, started; without a group, every partition of ``topics`` is its own.

    Raises:
        TransientError: Kafka is away.
        ConfigError: Kafka refuses us.
    """
    consumer = kafka.consumer(settings, *topics, group_id=group_id)
    try:
        with kafka.errors_translated():
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await consumer.start()
    except TimeoutError as exc:
        await consumer.stop()
        raise TransientError(
            f"Kafka at {settings.bootstrap_servers} does not answer",
            hint="start it (`leadstream up`), or check KAFKA_BOOTSTRAP_SERVERS",
        ) from exc
    except BaseException:
        await consumer.stop()
        raise
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_message(settings: KafkaSettings, topic: str, partition: int, offset: int) -> ConsumerRecord | None:
    """The message at this place; ``None`` when it is not there any more (retention) or never was."""
    place = TopicPartition(topic, partition)
    async with open_consumer(settings) as consumer:
        with kafka.errors_translated():
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not first <= offset < end:
                return None
            consumer.seek(place, offset)
            found = await consumer.getmany(place, timeout_ms=READ_TIMEOUT_MILLISECONDS, max_records=1)
    return next((record for record in found.get(place, []) if record.offset == offset), None)


async def cells_of(registry: Registry, value: bytes) -> Cells:
    """A raw message's value by the vendor's column names.

    Raises:
        BadRecordError: (code ``undecodable``) it is not a framed record.
    """
    schema = await registry.get(schema_id_of(value))
    schema_id, record = await Decoder(registry).decode(value)
    headers = {field["name"]: field.get("header", field["name"]) for field in schema["fields"]}
    return Cells(schema_id, {headers[name]: cell for name, cell in record.items()})


async def readable(registry: Registry, value: bytes | None) -> dict[str, Any]:
    """Bytes as a document: ``cells`` of a raw row, else ``text``, else ``hex``; and whether Avro it is or not."""
    if value is None:
        return {"format": "empty"}
    with contextlib.suppress(BadRecordError):
        return {"format": "avro", "cells": (await cells_of(registry, value)).columns}
    with contextlib.suppress(UnicodeDecodeError):
        return {"format": "text", "text": value.decode()}
    return {"format": "hex", "hex": value.hex()}


def masked_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`readable` gives, without what it says."""
    if "cells" in content:
        return {**content, "cells": masked_cells(content["cells"])}
    if "text" in content:
        return {**content, "text": shape(content["text"], MAX_SHAPE_CHARACTERS)}
    if "hex" in content:
        return {**content, "hex": f"({len(content['hex']) // 2:,} bytes)"}
    return dict(content)
