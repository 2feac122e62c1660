"""Quix Streams with the same mapping function, at least once, its defaults otherwise. No change detection."""

from __future__ import annotations

import time
import uuid

from quixstreams import Application

from bench.peers.rows import RowMapper
from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


def work(request: Request) -> Answer:
    """Map ``rows`` messages from ``source`` to ``topic``; the clock starts at the first of them."""
    app = Application(
        broker_address=Settings.load().kafka.bootstrap_servers,
        consumer_group=f"bench-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    raw = app.topic(request["source"], key_deserializer="bytes", value_deserializer="bytes")
    out = app.topic(request["topic"], key_serializer="bytes", value_serializer="bytes")
    mapper = RowMapper()
    began_at: list[float] = []

    def mapped(value: bytes | None) -> list[bytes]:
        if not began_at:
            began_at.append(time.monotonic())
        return [mapper.encoded(value)] if value is not None else []

    app.dataframe(raw).apply(mapped, expand=True).to_topic(out)
    app.run(count=request["rows"], collect=False)
    return {"rows": request["rows"], "seconds": time.monotonic() - began_at[0]}


if __name__ == "__main__":
    serve(work)
