"""The mapping of the sources, for contestants that run it themselves: raw bytes in, a lead's bytes or fields out."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.peers.no_registry import Registry
from leadstream.settings import Settings
from leadstream.sources import load_sources
from processors.changes import encode_body
from processors.raw_rows import RowReaders

VENDOR = "texas"
WARM_ROWS = 1_000
"""Are mapped before the clock starts: the processors, too, have mapped rows when theirs does."""


class RowMapper:
    """Maps as the processors do, row by row, without change detection."""

    def __init__(self) -> None:
        settings = Settings.load()
        self._settings = settings
        self._source = load_sources(settings.sources_dir)[VENDOR]
        self._readers: RowReaders | None = None

    async def prepare(self, value: bytes) -> None:
        """Fetch the schema of a raw message."""
        registry = Registry(self._settings.registry)
        self._readers = RowReaders(registry)
        await self._readers.prepare([value])
        await registry.close()

    def encoded(self, value: bytes) -> bytes:
        """The lead's own fields in Avro binary."""
        if self._readers is None:
            asyncio.run(self.prepare(value))
        assert self._readers is not None
        reader = self._readers.reader(self._source, value)
        body, _reasons = reader.bound.map(reader.cells(value))
        return encode_body(body)


def bind_mapping(header: list[str]) -> Any:
    """The source's mapping for this header."""
    from processors.mapping import compile_mapping

    return compile_mapping(load_sources(Settings.load().sources_dir)[VENDOR]).bind(header)
