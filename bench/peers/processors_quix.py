"""Quix Streams with the same mapping function, at least once, its defaults otherwise. No change detection."""

from __future__ import annotations

import time
import uuid

from quixstreams import Application

from bench.peers.rows import WARM_ROWS, RowMapper
from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


def work(request: Request) -> Answer:
    """Map ``rows`` messages from ``source`` to ``topic``; gives when the first after some to warm up was taken.

    When the last one was there is read from the broker's clock: closing the application is not the work.
    """
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
    taken, began_at = 0, 0.0

    def mapped(value: bytes | None, key: bytes, _timestamp: int, headers: list[tuple[str, bytes]]) -> list[bytes]:
        nonlocal taken, began_at
        if value is None:
            return []
        if taken == WARM_ROWS:
            began_at = time.time()
        taken += 1
        return [mapper.record(key, value, headers)]

    app.dataframe(raw).apply(mapped, expand=True, metadata=True).to_topic(out)
    app.run(count=request["rows"], collect=False)
    return {"rows": taken - WARM_ROWS, "began_at": began_at}


if __name__ == "__main__":
    serve(work)
