"""Bound of the producer: the same messages, ready-made, through aiokafka's ``send_batch``; no transaction."""

from __future__ import annotations

import asyncio
import csv
import functools
import time
from pathlib import Path

from bench.peers.serve import Answer, Request, serve
from leadstream import kafka
from leadstream.partitioning import lane_of, lead_key
from leadstream.settings import Settings
from producer.raw_output import encode_row, load_headers, row_headers
from schemas.codec import frame
from schemas.headers import Headers, Kind

BATCH_BYTES = 512 * 1024
ROWS_AT_ONCE = 20_000

Message = tuple[int, bytes, bytes, Headers]


@functools.lru_cache(1)
def messages(path: str, source: str, lanes: int) -> list[Message]:
    """Partition, key, value and headers of every row, as the producer makes them."""
    constant = load_headers(Kind.ROW, "0123456789abcdef", 1_700_000_000_000, "landing", f"{source}/file.csv", "0" * 32)
    with Path(path).open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [
            (
                lane_of(lead_key(source, row[0]), lanes),
                row[0].encode(),
                encode_row(frame(7), row),
                row_headers(constant, number, number + 1),
            )
            for number, row in enumerate(rows, 1)
        ]


async def send(request: Request) -> Answer:
    """Pack and send every message, and wait for the brokers."""
    settings = Settings.load()
    ready = messages(request["path"], request["source"], settings.topics.lanes)
    producer = kafka.producer(settings.kafka, max_batch_size=BATCH_BYTES, linger_ms=0)
    await producer.start()
    began_at = time.monotonic()
    for start in range(0, len(ready), ROWS_AT_ONCE):
        open_batches = {lane: producer.create_batch() for lane in range(settings.topics.lanes)}
        futures = []
        for lane, key, value, headers in ready[start : start + ROWS_AT_ONCE]:
            batch = open_batches[lane]
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                futures.append(await producer.send_batch(batch, request["topic"], partition=lane))
                batch = open_batches[lane] = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        futures += [await producer.send_batch(b, request["topic"], partition=lane) for lane, b in open_batches.items()]
        await asyncio.gather(*futures)
    seconds = time.monotonic() - began_at
    await producer.stop()
    return {"rows": len(ready), "seconds": seconds}


if __name__ == "__main__":
    serve(lambda request: asyncio.run(send(request)))
