"""The stages at work, once a test session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leadstream.stack.supervisor import Stack
from sink.migrate import migrate
from tests.system import STAGES, System


@pytest.fixture(scope="session")
async def system(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The stages on the running stack; each test makes sources of its own."""
    await asyncio.to_thread(migrate, stack.environment["POSTGRES_DSN"])
    running = System(stack.environment, tmp_path_factory.mktemp("system"))
    for stage in STAGES:
        running.start(stage)
    yield running
    running.stop_all()
