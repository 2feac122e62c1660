"""How long a one-row file takes from its notice to the row in ``leads``, on an idle system."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import aioboto3
import asyncpg
from moto.server import ThreadedMotoServer

from bench.refresh import SOURCE_SEEN_SECONDS
from bench.results import Figures, percentile
from bench.world import PATIENCE_SECONDS, World
from leadstream.sample_vendors import Pools, vendor

SOURCE = "noticed"
LOOK_SECONDS = 0.003
PAUSE_SECONDS = 0.1
WARM_UP = 3


async def latency(here: World, notices: int) -> Figures:
    """p50 and p99 in milliseconds; the stages process and sink run, the producer is started anew to read a queue."""
    here.add_source(SOURCE, "texas", **{"\nkey:": "\nrefresh: partial\nkey:"})
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        return await _with_queue(here, f"http://{host}:{port}", notices)
    finally:
        await asyncio.to_thread(server.stop)


async def _with_queue(here: World, endpoint: str, notices: int) -> Figures:
    session = aioboto3.Session("moto", "moto", region_name="us-east-1")
    async with session.client("sqs", endpoint_url=endpoint) as sqs:
        url = (await sqs.create_queue(QueueName="arrivals"))["QueueUrl"]
        here.stop("produce")
        here.start("produce", PRODUCER_ARRIVALS="sqs", PRODUCER_SQS_QUEUE_URL=url, PRODUCER_SQS_ENDPOINT_URL=endpoint)
        await asyncio.sleep(SOURCE_SEEN_SECONDS)
        database = await asyncpg.connect(here.environment["POSTGRES_DSN"])
        pools, texas, found = Pools(1), vendor("texas"), []
        for number in range(WARM_UP + notices):
            cells = texas.row(pools, number)
            await here.put(SOURCE, f"{texas.header}\r\n{','.join(cells)}".encode(), f"{number}.csv")
            place = {"bucket": {"name": here.environment["S3_BUCKET"]}, "object": {"key": f"{SOURCE}/{number}.csv"}}
            notice = {"Records": [{"eventName": "ObjectCreated:Put", "s3": place}]}
            began_at = time.monotonic()
            await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(notice))
            found.append(await _seen(database, f"{SOURCE}:{cells[texas.key_column]}", began_at))
            await asyncio.sleep(PAUSE_SECONDS)
        await database.close()
    milliseconds = [seconds * 1000 for seconds in found[WARM_UP:]]
    return {
        "notices": notices,
        "p50": round(percentile(milliseconds, 0.5)),
        "p99": round(percentile(milliseconds, 0.99)),
        "max": round(max(milliseconds)),
    }


async def _seen(database: asyncpg.Connection, lead_key: str, began_at: float) -> float:
    while not await database.fetchval("select 1 from leads where lead_key = $1", lead_key):
        if time.monotonic() - began_at > PATIENCE_SECONDS:
            raise RuntimeError(f"{lead_key} is not there after {PATIENCE_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - began_at
