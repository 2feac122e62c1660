"""Quix Streams' PostgreSQL sink: the same change records, decoded, upserted by key. No history, no offsets beside."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from quixstreams import Application
from quixstreams.sinks.base import SinkBatch
from quixstreams.sinks.community.postgresql import PostgreSQLSink

from bench.peers.no_registry import Registry
from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings
from schemas.codec import Decoder
from schemas.records import parsed


class TimedSink(PostgreSQLSink):
    """Remembers when it wrote last: closing the application is not the work."""

    wrote_at = 0.0

    def write(self, batch: SinkBatch) -> None:
        """Write, and look at the clock."""
        super().write(batch)
        self.wrote_at = time.monotonic()


def write(request: Request) -> Answer:
    """Write ``rows`` records of ``source`` into a new table; the clock runs from the first to the last write."""
    settings = Settings.load()
    app = Application(
        broker_address=settings.kafka.bootstrap_servers,
        consumer_group=f"bench-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    topic = app.topic(request["source"], key_deserializer="string", value_deserializer="bytes")
    dsn = urlsplit(settings.postgres.dsn.get_secret_value())
    sink = TimedSink(
        host=dsn.hostname or "",
        port=dsn.port or 5432,
        dbname=dsn.path.lstrip("/"),
        user=unquote(dsn.username or ""),
        password=unquote(dsn.password or ""),
        table_name=request["source"].replace(".", "_").replace("-", "_"),
        primary_key_columns="lead_key",
        upsert_on_primary_key=True,
    )
    decoder = Decoder(Registry(settings.registry), parsed("lead"))
    began_at: list[float] = []

    def decoded(value: bytes) -> dict[str, Any]:
        if not began_at:
            asyncio.run(decoder.decode(value))  # fetches the schema
            began_at.append(time.monotonic())
        found = decoder.decode_cached(value)
        assert found is not None
        return {name: _simple(item) for name, item in found[1].items()}

    app.dataframe(topic).apply(decoded).sink(sink)
    app.run(count=request["rows"], collect=False)
    return {"rows": request["rows"], "seconds": sink.wrote_at - began_at[0]}


def _simple(value: Any) -> Any:
    """The sink knows no dates."""
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


if __name__ == "__main__":
    serve(write)
