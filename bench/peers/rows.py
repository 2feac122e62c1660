"""The mapping of the sources, for contestants that run it: a raw message in, a change record or fields out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bench.peers.no_registry import Registry
from leadstream.partitioning import lead_key
from leadstream.settings import Settings
from leadstream.sources import load_sources
from processors.content import encode_body, hash_body
from processors.envelope import EnvelopeEncoder
from processors.progress import ActiveLoad, Change
from processors.raw_rows import RowReaders
from schemas import headers

VENDOR = "texas"
WARM_ROWS = 1_000
"""Are mapped before the clock starts: the processors, too, have mapped rows when theirs does."""


class RowMapper:
    """Makes the records that the processors make of new rows, row by row, without change detection."""

    def __init__(self) -> None:
        settings = Settings.load()
        self._settings = settings
        self._source = load_sources(settings.sources_dir)[VENDOR]
        self._readers: RowReaders | None = None
        self._envelopes = EnvelopeEncoder(VENDOR, 0, datetime.now(UTC))
        self._load: ActiveLoad | None = None

    async def prepare(self, value: bytes) -> None:
        """Fetch the schema of a raw message."""
        registry = Registry(self._settings.registry)
        self._readers = RowReaders(registry)
        await self._readers.prepare([value])
        await registry.close()

    def record(self, key: bytes, value: bytes, found: Sequence[tuple[str, bytes]]) -> bytes:
        """The change record of a new lead in Avro binary; the row's offset and the schema's id are not in it.

        ``found`` are the message's headers, which say where the row came from.
        """
        if self._readers is None:
            asyncio.run(self.prepare(value))
        assert self._readers is not None
        values = headers.to_dict(found)
        if self._load is None or self._load.load_id != values[headers.LOAD_ID]:
            self._load = ActiveLoad.from_headers(values, 0, 0)
        reader = self._readers.reader(self._source, value)
        body, _reasons = reader.bound.map(reader.cells(value))
        body_bytes = encode_body(body)
        change = Change(
            op="c",
            key=key,
            load=self._load,
            content_hash=hash_body(body_bytes),
            body=body,
            body_bytes=body_bytes,
            row_number=int(values[headers.ROW]),
            line_number=int(values[headers.LINE]),
            raw_offset=0,
            raw_schema_id=reader.schema_id,
            mapping_version=reader.mapping_version,
        )
        return self._envelopes.encode(lead_key(VENDOR, "").encode() + key, change) + body_bytes


def bind_mapping(header: list[str]) -> Any:
    """The source's mapping for this header."""
    from processors.mapping import compile_mapping

    return compile_mapping(load_sources(Settings.load().sources_dir)[VENDOR]).bind(header)
