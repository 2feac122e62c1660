"""What the tests of the sink share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

import sink.loop
import sink.service
from leadstream.stack.supervisor import Stack
from sink.migrate import migrate
from tests.integration.sink_world import World


@pytest.fixture
async def world(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """For a test of the sink: topics, a group and a database of its own."""
    name = f"sink{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(stack.environment["POSTGRES_DSN"])
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    dsn = urlunsplit(urlsplit(stack.environment["POSTGRES_DSN"])._replace(path=f"/{name}"))
    await asyncio.to_thread(migrate, dsn)
    here = World(stack, dsn, name)
    await here.start()
    monkeypatch.setattr(sink.loop, "CANONICAL", here.canonical)
    monkeypatch.setattr(sink.loop, "LOADS", here.loads)
    monkeypatch.setattr(sink.loop, "DEAD_LETTERS", here.dead_letters)
    monkeypatch.setattr(sink.loop, "TOPICS", (here.canonical, here.loads, here.dead_letters))
    monkeypatch.setattr(sink.loop, "GROUP_ID", here.group)
    monkeypatch.setattr(sink.service, "shared_topics", lambda _lanes: [])
    yield here
    await here.producer.stop()
