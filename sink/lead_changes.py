"""Records of ``leads.canonical`` as the sink needs them: what orders them, and their COPY fields for the two tables."""

from __future__ import annotations

import io
import struct
from typing import Any, NamedTuple

from fastavro import schemaless_reader

from leadstream.errors import BadRecordError
from schemas import headers
from schemas.codec import FRAME_BYTES, Decoder, Encoder
from schemas.records import lead_fields, parsed, schema_json
from schemas.registry import Registry
from sink.copy_format import EMPTY_TEXT, Cut, compile_cut, text

SHARED = ("lead_key", "source", "load_id", "load_seq", "row_number", "mapping_version", *lead_fields())
"""Fields that stand in both tables."""
OF_HISTORY = ("op", "changed_fields", "replay_id")
OF_LEADS = (
    *("line_number", "bucket", "object_key", "object_version"),
    *("raw_schema_id", "raw_partition", "raw_offset", "content_hash"),
)
REPEATING = (
    *("source", "op", "changed_fields", "load_id", "load_seq", "bucket", "object_key", "object_version"),
    *("mapping_version", "raw_schema_id", "raw_partition", "emitted_at", "replay_id"),
)
"""Fields that are the same in most records of one load."""

Record = dict[str, Any]
Order = tuple[int, int]

_GROUPS = (
    *(("lead_key",), ("load_seq", "row_number"), ("load_id",), ("replay_id",), ("op",), ("emitted_at",)),
    *(SHARED, OF_HISTORY, OF_LEADS),
)
_DELETE = text("d")
_order = struct.Struct(">4xq4xq").unpack


class Change(NamedTuple):
    """A change record. The bytes are COPY fields: of ``emitted_at``, and of the groups of names above."""

    message: Any
    """The message it came in (aiokafka's ConsumerRecord)."""
    data: bytes
    """The record in today's schema, framed."""
    lead_key: str
    order: Order
    """(load_seq, row number), which never goes back for a lead."""
    counted_for: bytes
    """The load that sent it, or the replay; a COPY field, too."""
    is_delete: bool
    emitted_at: bytes
    shared: bytes
    of_history: bytes
    of_leads: bytes

    @property
    def erases(self) -> bool:
        """Whether it says that its lead is forgotten, whose rows are then erased; it counts for no load."""
        return bool(self.message.headers) and headers.get(self.message.headers, headers.FORGOTTEN) is not None

    def record(self) -> Record:
        """Its fields as Python values.

        Raises:
            BadRecordError: (code ``undecodable``) a text is not UTF-8.
        """
        try:
            record: Any = schemaless_reader(io.BytesIO(self.data[FRAME_BYTES:]), parsed("lead"), None)
        except ValueError as exc:
            raise BadRecordError(f"the bytes are not a record: {type(exc).__name__}", code="undecodable") from exc
        fields: Record = record
        return fields


class ChangeReader:
    """Reads the messages of ``leads.canonical``; each writer's schema is fetched once."""

    def __init__(self, registry: Registry) -> None:
        self._decoder = Decoder(registry, parsed("lead"))
        self._encoder = Encoder(0, parsed("lead"))
        self._cut: Cut = compile_cut(schema_json("lead"), _GROUPS, REPEATING)
        self._is_todays: dict[bytes, bool] = {}
        """By frame: whether records stand in today's schema; others are resolved to it."""

    async def read(self, message: Any) -> Change:
        """The change record in a message.

        Raises:
            BadRecordError: (code ``undecodable``) the bytes are not a framed record of a registered schema.
            TransientError: the registry is away.
        """
        data: bytes = message.value
        is_todays = self._is_todays.get(data[:FRAME_BYTES])
        if not is_todays:
            schema_id, record = await self._decoder.decode(data)
            if is_todays is None:
                self._is_todays[data[:FRAME_BYTES]] = self._decoder.is_readers(schema_id)
            data = self._encoder.encode(record)
        lead_key, order, load_id, replay_id, op, *rest = self._cut(data, FRAME_BYTES)
        try:
            key = str(lead_key[4:], "utf-8")
        except UnicodeDecodeError as exc:
            raise BadRecordError("the lead's key is no text", code="undecodable") from exc
        counted_for = load_id if replay_id == EMPTY_TEXT else replay_id
        return Change(message, data, key, _order(order), counted_for, op == _DELETE, *rest)
