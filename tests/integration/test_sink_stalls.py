"""What may never stall: a sink that is told to stop, and the sinks beside one that was paused in a transaction."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from sink.service import SinkService
from tests.integration.sink_world import STOP_PATIENCE_SECONDS, World


async def test_a_sink_that_is_told_to_stop_as_its_commit_ends_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment is a wrong one for being told to stop: not the one in which Kafka has just answered."""
    commit = AIOKafkaConsumer.commit

    async def commit_and_be_told_to_stop(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        await commit(consumer, offsets)
        if not told.done():
            told.set_result(task.cancel())

    monkeypatch.setattr(AIOKafkaConsumer, "commit", commit_and_be_told_to_stop)
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(SinkService(world.settings).run())
    await world.send_leads(world.lead(2))
    async with asyncio.timeout(STOP_PATIENCE_SECONDS):
        await told
    done, _ = await asyncio.wait([task], timeout=STOP_PATIENCE_SECONDS)
    task.cancel()
    assert done, "it was told to stop and goes on"
    assert task.cancelled()
