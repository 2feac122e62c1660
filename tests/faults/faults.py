"""Every fault by name. Each happens to a running system while files land, and is over when its function returns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg

from tests.faults import notices, objects
from tests.faults.points import POINTS_OF
from tests.faults.proxy import (
    END_TRANSACTION,
    OFFSETS_OF_TRANSACTION,
    PRODUCE,
    Matches,
    kafka_request,
    postgres_commit,
)
from tests.faults.world import World, tiny_file

SESSION_SECONDS = 10
TRANSACTION_SECONDS = 60
BEYOND_SECONDS = 4
AWAY_SECONDS = 3
TRAP_TIMEOUT_SECONDS = 60
HOUR_SECONDS = 3_600
FIRST_PASSAGES = 6
STAGES = ("produce", "process", "sink")
STOPPED_WITHOUT_KAFKA = "stopped_without_kafka"
"""What a worker says last that is told to end while another fault keeps Kafka from it."""


@dataclass(frozen=True)
class Fault:
    """``target``: the parts it happens to; of a pair the targets differ. ``is_long``: longer than a minute.
    ``is_alone``: it cannot happen together with another one, since it waits for quiet.
    """

    name: str
    target: str
    run: Callable[[World], Awaitable[None]]
    is_long: bool = False
    is_alone: bool = False
    needs_disk: bool = False


async def killed_at(stage: str, point: str, world: World) -> None:
    """SIGKILL at a point."""
    await world.spring(stage, point, signal.SIGKILL, world.rng.randint(1, FIRST_PASSAGES))


async def zombie(stage: str, point: str, seconds: float, world: World) -> None:
    """SIGSTOP at a point for longer than it is waited for, while another one takes over; then SIGCONT."""
    second = f"{stage}-2"
    await world.spring(stage, point, signal.SIGSTOP, world.rng.randint(1, FIRST_PASSAGES))
    try:
        world.system.start(stage, second)
        await asyncio.sleep(seconds)
    finally:
        world.system.signal(stage, signal.SIGCONT)
    await asyncio.sleep(AWAY_SECONDS)
    await stop_stage(world, second)


async def zombies_past_the_transaction(world: World) -> None:
    """Both writers to Kafka at once, until the broker has aborted what they left open."""
    seconds = TRANSACTION_SECONDS + 2 * BEYOND_SECONDS
    await asyncio.gather(*(zombie(stage, "before commit", seconds, world) for stage in ("produce", "process")))


async def part_killed(part: str, world: World) -> None:
    """SIGKILL, some seconds without it, and a start with the data that it had."""
    await world.stack.kill_part(part)
    await asyncio.sleep(AWAY_SECONDS)
    await world.stack.restart_part(part)


async def registry_killed(world: World) -> None:
    """A file with a header that nobody has seen comes meanwhile."""
    file = world.vendors["faults-a"].next_file()
    file.new_column = f"Extra{len(world.files)}"
    await world.stack.kill_part("registry")
    await world.put(file)
    await asyncio.sleep(AWAY_SECONDS)
    await world.stack.restart_part("registry")


async def postgres_killed_after_commit(sinks: int, is_idle: bool, world: World) -> None:
    """Killed the moment a COMMIT was answered, before it is on the disk; three times."""
    names = [f"sink-{number}" for number in range(2, sinks + 1)]
    for name in names:
        world.system.start("sink", name)
    for _ in range(3):
        if is_idle:
            await world.settle()
        kill = functools.partial(world.stack.kill_part, "postgres")
        trap = world.postgres.set_trap(postgres_commit, "after", kill)
        if is_idle:
            await world.put(tiny_file(world))
        async with asyncio.timeout(TRAP_TIMEOUT_SECONDS):
            await trap.sprung.wait()
        await asyncio.sleep(1)
        await world.stack.restart_part("postgres")
        if not is_idle:
            await asyncio.sleep(AWAY_SECONDS)
    world.landing.set()
    for name in names:
        await stop_stage(world, name)


async def out_of_connections(world: World) -> None:
    """The sink loses its connection and there is none to be had."""
    held: list[asyncpg.Connection] = []
    async with world.connection() as master:
        try:
            for _ in range(2):
                with contextlib.suppress(asyncpg.TooManyConnectionsError):
                    while True:
                        held.append(await asyncpg.connect(world.stack.environment["POSTGRES_DSN"]))
                await master.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'leadstream sink'"
                )
                await asyncio.sleep(0.1)
            with contextlib.suppress(asyncpg.TooManyConnectionsError):
                while True:
                    held.append(await asyncpg.connect(world.stack.environment["POSTGRES_DSN"]))
            await asyncio.sleep(AWAY_SECONDS)
        finally:
            await asyncio.gather(*(connection.close() for connection in held))
    assert len(held) > 1, "there were no connections to take"


async def deadlock(world: World) -> None:
    """Somebody locks leads and then offsets; the sink does it the other way round, and is the one that is given up."""
    query = "select pid from pg_stat_activity where application_name = 'leadstream sink' and wait_event_type = 'Lock'"
    counted = "select deadlocks from pg_stat_database where datname = current_database()"
    async with world.connection() as other, world.connection() as watcher:
        before = await watcher.fetchval(counted)
        await other.execute("set deadlock_timeout = '100s'")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select 1 from leads for update")
        async with asyncio.timeout(TRAP_TIMEOUT_SECONDS):
            while not await watcher.fetch(query):  # noqa: ASYNC110 -- the server does not tell
                await asyncio.sleep(0.02)
            await other.execute("select 1 from sink_offsets for update")
        await transaction.rollback()
        await asyncio.sleep(1.5)  # the server counts a little later
        assert await watcher.fetchval(counted) > before, "there was no deadlock"


async def disk_full(world: World) -> None:
    """Postgres can write nothing: it fails, or even ends."""
    log = world.stack.parts["postgres"].log
    before = log.stat().st_size
    world.disk.fill()
    try:
        async with asyncio.timeout(TRAP_TIMEOUT_SECONDS):
            while b"No space left" not in log.read_bytes()[before:]:  # noqa: ASYNC110 -- a log does not tell
                await asyncio.sleep(0.2)
        await asyncio.sleep(AWAY_SECONDS)
    finally:
        world.disk.clear()
    await world.stack.restart_part("postgres")


async def kafka_trap(number: int, lost: str, world: World) -> None:
    """A connection is cut when a request is under way, and again two times."""
    await _traps(world, lambda: kafka_request(number), lost, is_kafka=True)


async def commit_trap(lost: str, world: World) -> None:
    """The same with Postgres and COMMIT."""
    await _traps(world, lambda: postgres_commit, lost, is_kafka=False)


async def kafka_stalled(world: World) -> None:
    """Connections stand and nothing goes through them, for longer than the group waits."""
    with world.kafka.stalled():
        await asyncio.sleep(SESSION_SECONDS + BEYOND_SECONDS)


async def postgres_stalled(world: World) -> None:
    """The same; for longer than the server lets a transaction be idle."""
    with world.postgres.stalled():
        await asyncio.sleep(15 + BEYOND_SECONDS)


async def slow_network(world: World) -> None:
    """Every message both ways takes its time, then every connection is cut at once."""
    for proxy in (world.kafka, world.postgres):
        proxy.delay_seconds = 0.03
    await asyncio.sleep(6)
    for proxy in (world.kafka, world.postgres):
        proxy.delay_seconds = 0.0
        proxy.cut_all()


async def rebalanced(stage: str, world: World) -> None:
    """One becomes four, and four one; the last one is not the first, and one of them is killed."""
    names = [f"{stage}-{number}" for number in (2, 3, 4)]
    for name in names:
        world.system.start(stage, name)
        await asyncio.sleep(1.5)
    world.system.kill_and_restart(stage)
    await asyncio.sleep(AWAY_SECONDS)
    for name in names:
        await stop_stage(world, name)
        await asyncio.sleep(0.5)


async def clock_off(stage: str, seconds: int, world: World) -> None:
    """A stage whose clock is wrong, while it works for some seconds and when it ends."""
    environment = await asyncio.to_thread(_other_time, seconds)
    await stop_stage(world, stage)
    world.system.start(stage, **environment)
    await asyncio.sleep(8)
    await stop_stage(world, stage)
    world.system.start(stage)


async def stop_stage(world: World, name: str) -> None:
    """Ask a stage to end; it does within some seconds."""
    code = await asyncio.to_thread(world.system.stop, name)
    without_kafka = code == 1 and STOPPED_WITHOUT_KAFKA in world.system.log(name).rstrip().splitlines()[-1]
    assert code in (0, -signal.SIGTERM) or without_kafka, f"{name} ended with {code}"


def _other_time(seconds: int) -> dict[str, str]:
    """The environment of a process whose time of day is so much off, and nothing else."""
    from libfaketime import get_reload_information  # installed on Linux alone

    found = {**get_reload_information()[1], "FAKETIME": f"{seconds:+d}s"}
    told = subprocess.run(["date", "+%s"], env=os.environ | found, capture_output=True, check=True).stdout
    assert abs(int(told) - time.time() - seconds) < 10, "no clock can be set off on this machine"
    return found


async def _traps(world: World, matches: Callable[[], Matches], lost: str, *, is_kafka: bool) -> None:
    proxy = world.kafka if is_kafka else world.postgres
    for _ in range(3):
        trap = proxy.set_trap(matches(), "answer" if lost == "answer" else "request")
        async with asyncio.timeout(TRAP_TIMEOUT_SECONDS):
            await trap.sprung.wait()
        await asyncio.sleep(world.rng.random())


def _faults() -> list[Fault]:
    part = functools.partial
    found = [
        Fault(f"{stage}: SIGKILL {point}", stage, part(killed_at, stage, point))
        for stage in STAGES
        for point in POINTS_OF[stage]
    ]
    found += [
        Fault(f"{stage}: SIGSTOP {point}, SIGCONT after its session", stage,
              part(zombie, stage, point, SESSION_SECONDS + BEYOND_SECONDS))
        for stage, point in (
            ("produce", "before commit"), ("process", "before commit"), ("process", "after send"),
            ("sink", "before COMMIT"), ("sink", "after copy"),
        )
    ]  # fmt: skip
    found += [
        Fault("produce, process: SIGSTOP before commit, SIGCONT after the transaction timeout", "produce process",
              zombies_past_the_transaction, is_long=True),
        *(Fault(f"{name}: SIGKILL, started again", name, part(part_killed, name))
          for name in ("kafka", "postgres", "s3")),
        Fault("registry: SIGKILL, a new header meanwhile", "registry", registry_killed),
        Fault("postgres: SIGKILL after COMMIT, busy", "postgres", part(postgres_killed_after_commit, 1, False)),
        Fault("postgres: SIGKILL after COMMIT, idle", "postgres", part(postgres_killed_after_commit, 1, True),
              is_alone=True),
        Fault("postgres: SIGKILL after COMMIT, two sinks", "postgres sink",
              part(postgres_killed_after_commit, 2, False)),
        Fault("postgres: out of connections", "postgres", out_of_connections),
        Fault("postgres: deadlock", "postgres", deadlock),
        Fault("postgres: disk full", "postgres", disk_full, needs_disk=True),
        *(
            Fault(f"kafka: {lost} of {name} lost", "kafka", part(kafka_trap, number, lost))
            for name, number in (
                ("EndTxn", END_TRANSACTION), ("TxnOffsetCommit", OFFSETS_OF_TRANSACTION), ("Produce", PRODUCE),
            )
            for lost in ("request", "answer")
        ),
        *(Fault(f"postgres: {lost} of COMMIT lost", "postgres", part(commit_trap, lost))
          for lost in ("request", "answer")),
        Fault("kafka: connections stall beyond the session", "kafka", kafka_stalled),
        Fault("postgres: connections stall", "postgres", postgres_stalled),
        Fault("network: slow, then all connections cut", "kafka postgres", slow_network),
        *(Fault(f"{stage}: rebalanced 1→4→1", stage, part(rebalanced, stage)) for stage in STAGES),
        *(
            Fault(f"{stage}: clock an hour {word}", stage, part(clock_off, stage, seconds))
            for stage in ("process", "sink")
            for word, seconds in (("ahead", HOUR_SECONDS), ("behind", -HOUR_SECONDS))
        ),
        Fault("s3: slow", "s3", objects.slow),
        Fault("s3: 503", "s3", objects.refusing),
        Fault("s3: breaks off midway", "s3", objects.broken_off),
        Fault("s3: another ETag midway", "s3", objects.foreign),
        Fault("file: overwritten while it is read", "s3", objects.overwritten, is_alone=True),
        Fault("file: a cell of 10 MB", "files", objects.big_cell),
        Fault("file: the first after poison in each raw partition", "files", objects.poisoned),
        Fault("notices: duplicated, reordered, late, missing", "produce", notices.disturbed, is_alone=True),
        *(Fault(f"produce: SIGKILL {point} of a notice", "produce", part(notices.killed, point), is_alone=True)
          for point in ("before delete", "after delete")),
    ]  # fmt: skip
    return found


FAULTS: dict[str, Fault] = {fault.name: fault for fault in reversed(_faults())}
