"""Arrivals announced by SQS, against moto's server: in every shape, twice, late or never, for files of any source."""

from __future__ import annotations

import asyncio
import json
import uuid
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


async def _emptied(sqs: Any, url: str) -> None:
    for _ in range(300):
        if await _messages_left(sqs, url) == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("messages are left in the queue")


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
    await _emptied(sqs, url)
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
    await _emptied(sqs, url)


class _Bucket:
    """A bucket and a queue of moto's, and producers that look at both."""

    def __init__(self, system: System, s3: Any, sqs: Any, environment: dict[str, str]) -> None:
        self.system, self.s3, self.sqs = system, s3, sqs
        self.name = environment["S3_BUCKET"]
        self.url = environment["PRODUCER_SQS_QUEUE_URL"]
        self._environment = environment
        self._producers = ["produce"]

    async def keep_versions(self) -> None:
        """From now on."""
        on = {"Status": "Enabled"}
        await self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=on)

    def listen(self, arrivals: str, *names: str) -> None:
        """Start producers anew: they poll, or listen to the queue and look at the bucket each second."""
        self.stop()
        self._producers = ["produce", *names]
        for name in self._producers:
            self.system.start("produce", name, **self._environment, PRODUCER_ARRIVALS=arrivals)

    def stop(self) -> None:
        """End the producers."""
        for name in self._producers:
            self.system.stop(name)

    async def put(self, key: str, data: bytes) -> dict[str, str]:
        """Upload a file without telling anybody; gives what S3 calls it."""
        put: dict[str, str] = await self.s3.put_object(Bucket=self.name, Key=key, Body=data)
        return put

    async def tell(self, key: str, put: dict[str, str]) -> None:
        """Send the notice of an upload, and wait until a producer is done with it."""
        notice = _native(key)
        notice["Records"][0]["s3"]["bucket"]["name"] = self.name
        if "VersionId" in put:
            notice["Records"][0]["s3"]["object"]["versionId"] = put["VersionId"]
        await self.sqs.send_message(QueueUrl=self.url, MessageBody=json.dumps(notice))
        await _emptied(self.sqs, self.url)

    async def looked(self) -> None:
        """Wait until each producer has looked at the bucket, from beginning to end, and found nothing new."""
        before = {name: len(self._looks(name)) for name in self._producers}
        for _ in range(600):
            looks = [self._looks(name)[before[name] + 1 :] for name in self._producers]
            if all(looks):
                # What is known costs no request.
                assert all("unannounced=0" in look[-1] for look in looks)
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the producers do not look at the bucket")

    def _looks(self, name: str) -> list[str]:
        return [line for line in self.system.log(name).splitlines() if "bucket_reconciled" in line]


@pytest.fixture
async def bucket(system: System) -> AsyncIterator[_Bucket]:
    """See above."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = aioboto3.Session("moto", "moto", region_name="us-east-1")
    name = f"bucket-{uuid.uuid4().hex}"
    async with session.client("sqs", endpoint_url=endpoint) as sqs, session.client("s3", endpoint_url=endpoint) as s3:
        await s3.create_bucket(Bucket=name)
        environment = {
            "S3_BUCKET": name,
            "S3_ENDPOINT_URL": endpoint,
            "S3_ACCESS_KEY_ID": "moto",
            "S3_SECRET_ACCESS_KEY": "moto",
            "PRODUCER_SQS_QUEUE_URL": (await sqs.create_queue(QueueName="arrivals"))["QueueUrl"],
            "PRODUCER_SQS_ENDPOINT_URL": endpoint,
            "PRODUCER_SQS_VISIBILITY_TIMEOUT_SECONDS": "6",
            "PRODUCER_RECONCILE_INTERVAL_SECONDS": "1",
        }
        made = _Bucket(system, s3, sqs, environment)
        yield made
        made.stop()
        system.start("produce")
    await asyncio.to_thread(server.stop)


def _version(put: dict[str, str]) -> str:
    return put.get("VersionId") or put["ETag"].strip('"')


async def _loads(system: System, key: str) -> list[tuple[str, str]]:
    """Version and status of every load of an object, in the order of their age."""
    rows = await system.sql("select object_version, status from loads where object_key = $1 order by load_seq", key)
    return [(row["object_version"], row["status"]) for row in rows]


@pytest.mark.parametrize("versions", [True, False], ids=["with versions", "without versions"])
async def test_a_file_whose_notice_never_comes_is_found_and_is_the_load_that_a_late_notice_names(
    bucket: _Bucket, tmp_path: Path, versions: bool
) -> None:
    """Found by listing first or told of first, overwritten or not, by two producers: each file is split once."""
    system = bucket.system
    source = f"silent-{'versions' if versions else 'plain'}"
    system.add_source(source, "texas")
    write_sample("texas", tmp_path / "t.csv", rows=200, seed=33, damage=False)
    data = (tmp_path / "t.csv").read_bytes()
    if versions:
        await bucket.keep_versions()
    bucket.listen("sqs", "second-producer")

    found = f"{source}/never told of.csv"
    put = await bucket.put(found, data)
    load = await system.finished_at(found, _version(put), 60)
    assert (load["status"], load["inserted"]) == ("done", 200)
    await bucket.tell(found, put)

    told = f"{source}/told of.csv"
    put_told = await bucket.put(told, data + b"\r\n")
    await bucket.tell(told, put_told)
    await system.finished_at(told, _version(put_told), 60)
    await bucket.looked()

    first = await bucket.put(f"{source}/twice.csv", data + b"\r\n" * 2)
    await asyncio.sleep(1.1)  # S3 tells the age of an object in whole seconds
    second = await bucket.put(f"{source}/twice.csv", data + b"\r\n" * 3)
    await system.finished_at(f"{source}/twice.csv", _version(second), 60)
    await bucket.tell(f"{source}/twice.csv", first)
    if versions:
        await system.finished_at(f"{source}/twice.csv", _version(first), 60)
    await bucket.looked()

    assert await _loads(system, found) == [(_version(put), "done")]
    assert await _loads(system, told) == [(_version(put_told), "done")]
    twice = await _loads(system, f"{source}/twice.csv")
    assert len(twice) == len(set(twice)) and twice[-1] == (_version(second), "done")
    assert len(await system.leads(source)) == 200


async def test_whoever_changes_between_polling_and_a_queue_loads_nothing_again(bucket: _Bucket, tmp_path: Path) -> None:
    """In a bucket with versions, where a listing does not tell them and a notice does."""
    system = bucket.system
    system.add_source("changing", "texas")
    write_sample("texas", tmp_path / "t.csv", rows=50, seed=34, damage=False)
    data = (tmp_path / "t.csv").read_bytes()
    await bucket.keep_versions()
    bucket.listen("poll")
    polled = await bucket.put("changing/polled.csv", data)
    etag = polled["ETag"].strip('"')
    await system.finished_at("changing/polled.csv", etag, 60)

    bucket.listen("sqs")
    await bucket.looked()
    await bucket.tell("changing/polled.csv", polled)
    told = await bucket.put("changing/told.csv", data + b"\r\n")
    await bucket.tell("changing/told.csv", told)
    await system.finished_at("changing/told.csv", told["VersionId"], 60)

    bucket.listen("poll")
    last = await bucket.put("changing/last.csv", data + b"\r\n" * 2)
    await system.finished_at("changing/last.csv", last["ETag"].strip('"'), 60)
    assert await _loads(system, "changing/polled.csv") == [(etag, "done")]
    assert await _loads(system, "changing/told.csv") == [(told["VersionId"], "done")]
