"""Reading an object through a proxy that breaks off, and then answers with what was not asked for."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aioboto3
import pytest

from leadstream.errors import BadRecordError, TransientError
from leadstream.settings import S3Settings
from leadstream.stack.supervisor import Stack
from producer.arrivals import Arrival
from producer.s3_input import S3Input
from tests.faults.s3_proxy import S3Proxy

DATA = bytes(range(256)) * 1_000


@pytest.fixture
async def reading(stack: Stack) -> AsyncIterator[tuple[S3Proxy, S3Input, Arrival, Any]]:
    """A proxy that is set to break off midway, a reader behind it, an object, and a client that needs no proxy."""
    own = stack.environment
    session = aioboto3.Session(own["S3_ACCESS_KEY_ID"], own["S3_SECRET_ACCESS_KEY"], region_name="us-east-1")
    async with (
        S3Proxy(own["S3_ENDPOINT_URL"]) as proxy,
        session.client("s3", endpoint_url=own["S3_ENDPOINT_URL"]) as s3,
        S3Input(
            S3Settings(
                bucket="landing",
                endpoint_url=proxy.url,
                access_key_id=own["S3_ACCESS_KEY_ID"],
                secret_access_key=own["S3_SECRET_ACCESS_KEY"],
            )
        ) as reader,
    ):
        key = f"proxied/{uuid.uuid4().hex}"
        answer = await s3.put_object(Bucket="landing", Key=key, Body=DATA)
        proxy.break_after = len(DATA) // 2
        etag = answer["ETag"].strip('"')
        yield proxy, reader, Arrival("landing", key, etag, None, datetime.now(UTC), len(DATA)), s3


async def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    reading: tuple[S3Proxy, S3Input, Arrival, Any],
) -> None:
    """Every byte comes once."""
    proxy, reader, arrival, _s3 = reading
    assert b"".join([chunk async for chunk in reader.read(arrival)]) == DATA
    assert proxy.breaks == 1


async def test_bytes_of_another_version_are_never_taken_for_the_rest_of_a_file(
    reading: tuple[S3Proxy, S3Input, Arrival, Any],
) -> None:
    """A store that overlooks If-Match: the file is read again from its start, since it stands there as it was."""
    proxy, reader, arrival, _s3 = reading
    proxy.foreign_answers = 1
    found = b""
    with pytest.raises(TransientError, match="other bytes"):
        async for chunk in reader.read(arrival):
            found += chunk
    assert DATA.startswith(found)
    assert b"".join([chunk async for chunk in reader.read(arrival)]) == DATA


async def test_an_object_that_is_replaced_while_it_is_read_ends_the_reading(
    reading: tuple[S3Proxy, S3Input, Arrival, Any],
) -> None:
    """Whether the store says so, or answers with the new bytes as if they were the rest."""
    proxy, reader, arrival, s3 = reading
    proxy.foreign_answers = 1

    async def replace() -> None:
        await s3.put_object(Bucket="landing", Key=arrival.key, Body=DATA[::-1])

    proxy.at_break = replace
    with pytest.raises(BadRecordError) as raised:
        async for _chunk in reader.read(arrival):
            pass
    assert raised.value.code == "overwritten"
