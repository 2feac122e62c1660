"""What may never stall: a sink that is told to stop, and the sinks beside one that was paused in a transaction."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

import sink.postgres_output
from leadstream.errors import TransientError
from leadstream.retry import forever
from sink.postgres_output import PostgresOutput
from sink.service import SinkService
from tests.integration.sink_world import PATIENCE_SECONDS, STOP_PATIENCE_SECONDS, World, batch

PAUSING_WRITER = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from aiokafka import TopicPartition
from schemas.records import schema_json
from sink import dead_letters
from sink.batch import Batch
from sink.postgres_output import PostgresOutput

BIG = "x" * 32_000_000  # more than the buffers of both ends take

async def pause_when_half_is_sent(connection):
    while not connection._transport.get_write_buffer_size():
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGSTOP)

async def main(what, dsn, topic):
    output, place = PostgresOutput(dsn), TopicPartition(topic, 0)
    batch = Batch(await output.offsets([place]), {place: 1})
    if what == "letter":
        message = SimpleNamespace(partition=0, offset=0, headers=[], key=b"", value=BIG.encode(), timestamp=0)
        batch.dead_letters.append(dead_letters.from_message(message))
    else:
        step = {field["name"]: field.get("default") for field in schema_json("load_step")["fields"]}
        step |= {"load_id": "load-1", "source": "acme", "step": "failed", "reason": BIG, "at": datetime.now(UTC)}
        batch.steps.append(step)
    pausing = asyncio.create_task(pause_when_half_is_sent(await output._connected()))
    await output.write(batch)

asyncio.run(main(*sys.argv[1:]))
"""
"""A sink that is stopped while it sends a message too big to leave at once, its offsets locked."""


WRITERS = (
    "SELECT state, wait_event FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'COPY|Receipts'"
    " AND application_name = 'leadstream sink'"
)


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


@pytest.mark.parametrize("what", ["letter", "step"])
async def test_a_process_paused_within_a_statement_does_not_hold_up_its_successor(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """In COPY and in a message that is half sent the server waits for ever by itself; who needs the lock ends that."""
    process = _pausing_writer(world, what)
    successor = PostgresOutput(world.dsn)
    monkeypatch.setattr(sink.postgres_output, "LOCK_TIMEOUT_MILLISECONDS", 500)
    try:
        _pid, status = await asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        (session,) = await world.sql(WRITERS)
        assert (session["state"], session["wait_event"]) == ("active", "ClientRead")
        its_batch = await batch(world, 0, world.lead(2))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await forever(lambda: successor.write(its_batch), what="Postgres")
        process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 1
    finally:
        process.kill()
        process.wait()
        await successor.close()
    assert (await world.sql("SELECT next_offset FROM sink_offsets")) == [{"next_offset": 1}]
    assert (await world.sql("SELECT company FROM leads")) == [{"company": "Sunny Days 2"}]
    assert not await world.sql("SELECT FROM dead_letters") + await world.sql("SELECT FROM loads")


async def test_a_writer_at_work_is_not_ended_however_long_another_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who waits for its client is; a slow statement comes to its end, and the one that waited goes on after it."""
    monkeypatch.setattr(sink.postgres_output, "LOCK_TIMEOUT_MILLISECONDS", 200)
    slow, other = PostgresOutput(world.dsn), PostgresOutput(world.dsn)
    place = TopicPartition(world.canonical, 0)
    await slow.offsets([place])
    connection = await slow._connected()
    async with connection.transaction():
        await slow._lock_offsets(connection, [place])
        working = asyncio.create_task(connection.execute("SELECT pg_sleep(4)"))
        for _ in range(3):
            with pytest.raises(TransientError, match="LockNotAvailable"):
                await other.offsets([place])
        assert not working.done()
        await working
    assert await other.offsets([place]) == {place: 0}
    await slow.close()
    await other.close()


def _pausing_writer(world: World, what: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PAUSING_WRITER, what, world.dsn, world.canonical])


async def test_no_plan_is_kept_from_when_the_tables_were_small(world: World) -> None:
    """After a few runs the server would keep one, and look for each of 10,000 leads in the whole table."""
    output, place = PostgresOutput(world.dsn), TopicPartition(world.canonical, 0)
    await output.offsets([place])
    for at in range(12):
        await output.write(await batch(world, at, world.lead(2 * at)))
    plans = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
    kept = {row["statement"]: tuple(row)[1:] for row in await (await output._connected()).fetch(plans)}
    (runs,) = [counts for statement, counts in kept.items() if "said last" in statement]
    assert runs == (0, 12)
    assert all(generic == 0 for statement, (generic, _custom) in kept.items() if "$1" in statement)
    await output.close()
