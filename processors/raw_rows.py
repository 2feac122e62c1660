"""A raw message back to cells, and cells to a lead by the mapping that fits its header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leadstream.errors import BadRecordError, MappingError
from leadstream.sources import SourceConfig
from processors.mapping import CompiledMapping, compile_mapping
from processors.row_mapping import BoundMapping
from schemas.codec import FRAME_BYTES, schema_id_of
from schemas.flat_records import Cells, compile_cells
from schemas.registry import Registry

CELL_TYPE = ["null", "string"]
"""Of every column of a raw schema; see ``producer/raw_output.py``."""


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of one header of one source."""

    schema_id: int
    bound: BoundMapping
    mapping_version: str
    cells: Callable[[bytes], Cells]
    """The cells of a raw message, in the order of its header; those that the mapping does not use are ``None``. Raises
    BadRecordError (code ``undecodable``)."""


class RowReaders:
    """The readers of all headers seen so far, made again when a source's YAML changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._mappings: dict[str, tuple[str, CompiledMapping]] = {}
        self._readers: dict[tuple[str, str, int], RowReader] = {}
        self._headers: dict[int, list[str]] = {}

    async def prepare(self, values: Sequence[bytes]) -> None:
        """Make ready for these messages: fetch the schemas that are not known yet.

        Raises:
            TransientError: the registry is away.
        """
        for frame in {value[:FRAME_BYTES] for value in values}:
            try:
                schema_id = schema_id_of(frame)
                if schema_id in self._headers:
                    continue
                schema = await self._registry.get(schema_id)
                if any(field["type"] != CELL_TYPE for field in schema["fields"]):
                    continue
                self._headers[schema_id] = [field.get("header", field["name"]) for field in schema["fields"]]
            except (BadRecordError, KeyError, TypeError):
                continue  # reader() says so, for each row

    def reader(self, source: SourceConfig, value: bytes) -> RowReader:
        """The reader for a raw message of ``source``; :meth:`prepare` was called with it.

        Raises:
            BadRecordError: code ``undecodable``: no wire format, or a schema that the registry does not know.
        """
        schema_id = schema_id_of(value)
        known = self._readers.get((source.name, source.version, schema_id))
        if known is not None:
            return known
        if schema_id not in self._headers:
            raise BadRecordError(f"schema {schema_id} is not the schema of a row", code="undecodable")
        version, mapping = self._mapping(source)
        header = self._headers[schema_id]
        bound = mapping.bind(header)
        reader = RowReader(schema_id, bound, version, compile_cells(len(header), bound.used))
        self._readers[source.name, source.version, schema_id] = reader
        return reader

    def version(self, source: SourceConfig) -> str:
        """The version of the mapping in use; an older one than the source's while a live edit does not compile."""
        return self._mapping(source)[0]

    def _mapping(self, source: SourceConfig) -> tuple[str, CompiledMapping]:
        """The source's mapping and its version; the last that compiled, when a live edit does not."""
        known = self._mappings.get(source.name)
        if known is None or known[0] != source.version:
            try:
                known = self._mappings[source.name] = (source.version, compile_mapping(source))
            except MappingError:
                if known is None:
                    raise
        return known
