"""Arrivals announced by SQS, against moto's server: in every shape, twice, for files of any source."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioboto3
import pytest
from moto.server import ThreadedMotoServer

from leadstream.samples import write_sample
from tests.system import System


@pytest.fixture
async def queue(system: System) -> AsyncIterator[tuple[Any, str]]:
    """A queue, and the producer listening to it instead of polling."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = aioboto3.Session("moto", "moto", region_name="us-east-1")
    async with session.client("sqs", endpoint_url=endpoint) as sqs:
        url = (await sqs.create_queue(QueueName="arrivals"))["QueueUrl"]
        system.stop("produce")
        system.start(
            "produce",
            PRODUCER_ARRIVALS="sqs",
            PRODUCER_SQS_QUEUE_URL=url,
            PRODUCER_SQS_ENDPOINT_URL=endpoint,
            PRODUCER_SQS_VISIBILITY_TIMEOUT_SECONDS="6",
            PRODUCER_ROWS_PER_TRANSACTION="500",
        )
        yield sqs, url
        system.stop("produce")
        system.start("produce")
    await asyncio.to_thread(server.stop)


def _native(key: str) -> dict[str, Any]:
    s3 = {"bucket": {"name": "landing"}, "object": {"key": key.replace(" ", "+")}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}


async def _messages_left(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


async def test_notices_in_every_shape_and_twice_split_each_file_once_and_leave_the_queue_empty(
    system: System, queue: tuple[Any, str], tmp_path: Path
) -> None:
    """Native, SNS, EventBridge, a test event, duplicates: one load a file, every message deleted after its commit."""
    sqs, url = queue
    system.add_source("announced", "texas")
    write_sample("texas", tmp_path / "t.csv", rows=4_000, seed=30, damage=False)
    data = (tmp_path / "t.csv").read_bytes()
    names = ("a 1.csv", "b.csv", "c.csv")
    etags = {name: await system.put("announced", data + b"\r\n" * i, name) for i, name in enumerate(names)}
    detail = {"bucket": {"name": "landing"}, "object": {"key": "announced/c.csv"}}
    bodies = [
        {"Service": "Amazon S3", "Event": "s3:TestEvent"},
        _native("announced/a 1.csv"),
        {"Type": "Notification", "Message": json.dumps(_native("announced/b.csv"))},
        {"source": "aws.s3", "detail-type": "Object Created", "detail": detail},
        _native("announced/a 1.csv"),
        _native("announced/gone.csv"),
    ]
    for body in bodies:
        await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    loads = [await system.finished("announced", etag, 60, name=name) for name, etag in etags.items()]
    assert [load["status"] for load in loads] == ["done"] * 3
    assert sum(load["inserted"] for load in loads) == 4_000
    assert sum(load["rows"] for load in loads) == 12_000
    for _ in range(100):
        if await _messages_left(sqs, url) == 0:
            break
        await asyncio.sleep(0.1)
    assert await _messages_left(sqs, url) == 0
    assert len(await system.sql("select 1 from loads where source = 'announced'")) == 3


async def test_a_message_stays_in_the_queue_until_its_file_is_committed_whoever_is_killed_meanwhile(
    system: System, queue: tuple[Any, str], tmp_path: Path
) -> None:
    """Deleted only after the commit: a producer killed in between leaves the message for the next one."""
    sqs, url = queue
    system.add_source("big-notice", "texas")
    write_sample("texas", tmp_path / "t.csv", rows=20_000, seed=31, damage=False)
    etag = await system.put("big-notice", (tmp_path / "t.csv").read_bytes())
    await sqs.send_message(QueueUrl=url, MessageBody=json.dumps(_native("big-notice/file.csv")))
    await system.until("select 1 from loads where source = 'big-notice'", 60)
    assert await _messages_left(sqs, url) == 1
    system.kill_and_restart("produce")
    load = await system.finished("big-notice", etag, 90)
    assert (load["status"], load["inserted"]) == ("done", 20_000)
    for _ in range(100):
        if await _messages_left(sqs, url) == 0:
            break
        await asyncio.sleep(0.1)
    assert await _messages_left(sqs, url) == 0
