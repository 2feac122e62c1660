"""How long a one-row file takes from its notice to the row in ``leads``: on an idle system, and beside a big load."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioboto3
import asyncpg
from moto.server import ThreadedMotoServer

from bench.results import Figures, percentile
from bench.world import PARTIAL, PATIENCE_SECONDS, World
from leadstream.partitioning import lane_of
from leadstream.sample_vendors import Pools, vendor
from leadstream.samples import write_sample

SOURCE = "noticed"
LOOK_SECONDS = 0.003
PAUSE_SECONDS = 0.1
WARM_UP = 3


async def latency(here: World, folder: Path, notices: int, load_rows: int) -> tuple[Figures, Figures]:
    """p50, p99 and greatest in milliseconds, idle and while a file of ``load_rows`` rows of another source is loaded.

    The stages process and sink run; the producer is started anew to read a queue. The other source is one of another
    lane: within a lane the producer splits one file after the other.
    """
    busy = next(name for n in itertools.count() if _lane(here, name := f"busy-{n}") != _lane(here, SOURCE))
    here.add_source(SOURCE, "texas", **PARTIAL)
    here.add_source(busy, "texas")
    big = folder / "big.csv"
    await asyncio.to_thread(write_sample, "texas", big, load_rows, 800, damage=False)
    async with _notices(here) as announce:
        database = await asyncpg.connect(here.environment["POSTGRES_DSN"])
        one_row = _OneRowFiles(here, announce, database)
        for _ in range(WARM_UP):
            await one_row.milliseconds()
        idle = [await one_row.milliseconds() for _ in range(notices)]
        etag = await here.put(busy, big.read_bytes(), "big.csv")
        await announce(f"{busy}/big.csv")
        load = asyncio.create_task(here.load_done(busy, etag, "big.csv"))
        loaded = []
        while not load.done():
            loaded.append(await one_row.milliseconds())
        await load
        await database.close()
    return _figures(idle), _figures(loaded)


class _OneRowFiles:
    """Files of one new row, one after the other."""

    def __init__(self, here: World, announce: Any, database: asyncpg.Connection) -> None:
        self._here = here
        self._announce = announce
        self._database = database
        self._pools = Pools(1)
        self._number = 0

    async def milliseconds(self) -> float:
        """Put one there, announce it, wait for its row."""
        self._number += 1
        texas, name = vendor("texas"), f"{self._number}.csv"
        cells = texas.row(self._pools, self._number)
        await self._here.put(SOURCE, f"{texas.header}\r\n{','.join(cells)}".encode(), name)
        lead_key = f"{SOURCE}:{cells[texas.key_column]}"
        began_at = time.monotonic()
        await self._announce(f"{SOURCE}/{name}")
        while not await self._database.fetchval("select 1 from leads where lead_key = $1", lead_key):
            if time.monotonic() - began_at > PATIENCE_SECONDS:
                raise RuntimeError(f"{lead_key} is not there after {PATIENCE_SECONDS} s")
            self._here.check_alive()
            await asyncio.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began_at
        await asyncio.sleep(PAUSE_SECONDS)
        return seconds * 1000


@contextlib.asynccontextmanager
async def _notices(here: World) -> AsyncIterator[Any]:
    """A queue that the producer reads; gives a function that announces an object."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        session = aioboto3.Session("moto", "moto", region_name="us-east-1")
        async with session.client("sqs", endpoint_url=endpoint) as sqs:
            url = (await sqs.create_queue(QueueName="arrivals"))["QueueUrl"]

            async def announce(key: str) -> None:
                place = {"bucket": {"name": here.environment["S3_BUCKET"]}, "object": {"key": key}}
                notice = {"Records": [{"eventName": "ObjectCreated:Put", "s3": place}]}
                await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(notice))

            here.stop("produce")
            here.start(
                "produce", PRODUCER_ARRIVALS="sqs", PRODUCER_SQS_QUEUE_URL=url, PRODUCER_SQS_ENDPOINT_URL=endpoint
            )
            yield announce
            here.stop("produce")
    finally:
        await asyncio.to_thread(server.stop)


def _lane(here: World, source: str) -> int:
    return lane_of(source, here.lanes)


def _figures(milliseconds: list[float]) -> Figures:
    return {
        "p50": round(percentile(milliseconds, 0.5)),
        "p99": round(percentile(milliseconds, 0.99)),
        "max": round(max(milliseconds)),
        "notices": len(milliseconds),
    }
