"""Faults of the notices that tell a producer of files: a queue of moto's, and a sender that cannot be relied on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import aioboto3
from moto.server import ThreadedMotoServer

from tests.faults.files import File
from tests.faults.world import World

VISIBILITY_SECONDS = 6
RECONCILE_SECONDS = 15
"""Long enough for the notices to come first."""
FILES_PER_SOURCE = 3
QUEUE_TIMEOUT_SECONDS = 60
LOOK_TIMEOUT_SECONDS = 120


async def disturbed(world: World) -> None:
    """Of each source three files: the newest is told of first, the oldest last, all twice, and one never."""
    async with _queue(world) as (sqs, url):
        files = []
        for vendor in world.vendors.values():
            files += [vendor.next_file() for _ in range(FILES_PER_SOURCE)]
        for file in files:
            await world.upload(file)
        missing = files[1]
        for file in reversed(files):
            if file is not missing:
                for _ in range(2):
                    await _send(sqs, url, file)
                await asyncio.sleep(0.2)
        await _emptied(sqs, url)
        await world.settle()  # the producer still listens to the queue: it has to find the missing one by itself


async def killed(point: str, world: World) -> None:
    """Before a message is deleted, or when it was."""
    async with _queue(world) as (sqs, url):
        springing = asyncio.create_task(world.spring("produce", point, signal.SIGKILL, 1))
        for vendor in world.vendors.values():
            file = vendor.next_file()
            await world.upload(file)
            await _send(sqs, url, file)
        await springing
        await _emptied(sqs, url)


@contextlib.asynccontextmanager
async def _queue(world: World) -> AsyncIterator[tuple[Any, str]]:
    """The producer listens to a queue, and looks at the bucket now and then; afterwards it polls again."""
    await world.pause()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = aioboto3.Session("moto", "moto", region_name="us-east-1")
    try:
        async with session.client("sqs", endpoint_url=endpoint) as sqs:
            url = (await sqs.create_queue(QueueName="arrivals"))["QueueUrl"]
            await asyncio.to_thread(world.system.stop, "produce")
            looks = _looks(world)
            world.system.start(
                "produce",
                PRODUCER_ARRIVALS="sqs",
                PRODUCER_SQS_QUEUE_URL=url,
                PRODUCER_SQS_ENDPOINT_URL=endpoint,
                PRODUCER_SQS_VISIBILITY_TIMEOUT_SECONDS=str(VISIBILITY_SECONDS),
                PRODUCER_RECONCILE_INTERVAL_SECONDS=str(RECONCILE_SECONDS),
            )
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                while _looks(world) == looks:  # noqa: ASYNC110
                    await asyncio.sleep(0.3)
            yield sqs, url
    finally:
        await asyncio.to_thread(world.system.stop, "produce")
        world.system.start("produce")
        await asyncio.to_thread(server.stop)
        world.landing.set()


def _looks(world: World) -> int:
    """How often the producer has looked at the bucket."""
    return world.system.log("produce").count("bucket_reconciled")


async def _send(sqs: Any, url: str, file: File) -> None:
    s3 = {"bucket": {"name": "landing"}, "object": {"key": file.object_key}}
    body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}
    await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))


async def _emptied(sqs: Any, url: str) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    async with asyncio.timeout(QUEUE_TIMEOUT_SECONDS):
        while True:
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
            if sum(int(answer["Attributes"][name]) for name in names) == 0:
                return
            await asyncio.sleep(0.3)
