"""Confluent wire format: a zero byte, the schema's id (4 bytes, big-endian), then Avro binary.

Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format
"""

from __future__ import annotations

import io
import struct
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException

from leadstream.errors import BadRecordError
from schemas.registry import Registry

FRAME_BYTES = 5
MAGIC_BYTE = 0

_FRAME = struct.Struct(">bI")

Record = dict[str, Any]


class Encoder:
    """Turns records of one schema into framed bytes; ``parsed_schema`` is as from ``parse_schema``."""

    def __init__(self, schema_id: int, parsed_schema: Any) -> None:
        self.schema_id = schema_id
        self.prefix = frame(schema_id)
        """What stands before the bytes of every record."""
        self._schema = parsed_schema

    def encode(self, record: Record) -> bytes:
        """The framed bytes.

        Raises:
            BadRecordError: (code ``unencodable``) the record does not fit the schema.
        """
        buffer = io.BytesIO()
        buffer.write(self.prefix)
        try:
            schemaless_writer(buffer, self._schema, record)
        # fastavro raises whatever the value's type leads to
        except Exception as exc:
            raise BadRecordError(
                f"the record does not fit its schema: {type(exc).__name__}", code="unencodable"
            ) from exc
        return buffer.getvalue()


class Decoder:
    """Turns framed bytes into records, reading each writer's schema from the registry once.

    With ``reader_schema`` (as from ``parse_schema``) records of other versions are resolved to it, so that
    fields a writer did not know have their defaults.
    """

    def __init__(self, registry: Registry, reader_schema: Any = None) -> None:
        self._registry = registry
        self._reader = reader_schema
        self._schemas: dict[int, tuple[Any, Any]] = {}

    async def decode(self, data: bytes) -> tuple[int, Record]:
        """Schema id and record.

        Raises:
            BadRecordError: (code ``undecodable``) the bytes are not a framed record of a registered schema.
            TransientError: the registry is away.
        """
        schema_id = schema_id_of(data)
        if schema_id not in self._schemas:
            self._schemas[schema_id] = self._parse(schema_id, await self._registry.get(schema_id))
        return schema_id, self._read(schema_id, data)

    def decode_cached(self, data: bytes) -> tuple[int, Record] | None:
        """As :meth:`decode`, without waiting; ``None`` when this writer's schema was not read yet.

        Raises:
            BadRecordError: (code ``undecodable``) the bytes are not a framed record of its schema.
        """
        schema_id = schema_id_of(data)
        return (schema_id, self._read(schema_id, data)) if schema_id in self._schemas else None

    def is_readers(self, schema_id: int) -> bool:
        """Whether records with this id, one of which was read, are laid out as the reader's schema has it."""
        return self._schemas[schema_id][1] is None

    def _parse(self, schema_id: int, document: Record) -> tuple[Any, Any]:
        try:
            writer = parse_schema(document)
        except SchemaParseException as exc:
            raise BadRecordError(f"schema {schema_id} is not Avro", code="undecodable") from exc
        return writer, None if writer == self._reader else self._reader

    def _read(self, schema_id: int, data: bytes) -> Record:
        writer, reader = self._schemas[schema_id]
        buffer = io.BytesIO(data)
        buffer.seek(FRAME_BYTES)
        try:
            record: Any = schemaless_reader(buffer, writer, reader)
        # fastavro raises whatever the bytes lead to: EOFError, IndexError, UnicodeDecodeError, …
        except Exception as exc:
            raise BadRecordError(
                f"the bytes are not a record of schema {schema_id}: {type(exc).__name__}", code="undecodable"
            ) from exc
        if buffer.tell() != len(data):
            raise BadRecordError(f"bytes stand after the record of schema {schema_id}", code="undecodable")
        fields: Record = record
        return fields


def frame(schema_id: int) -> bytes:
    """The prefix of a value of this schema."""
    return _FRAME.pack(MAGIC_BYTE, schema_id)


def schema_id_of(data: bytes) -> int:
    """The schema id in the prefix.

    Raises:
        BadRecordError: (code ``undecodable``) there is no such prefix.
    """
    if len(data) < FRAME_BYTES or data[0] != MAGIC_BYTE:
        raise BadRecordError("the value is not in Confluent wire format", code="undecodable")
    schema_id: int = _FRAME.unpack_from(data)[1]
    return schema_id
