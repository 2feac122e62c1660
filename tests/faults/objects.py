"""Faults of S3, and of the files in it."""

from __future__ import annotations

import asyncio

from tests.faults.files import Row
from tests.faults.world import POISONED, World, tiny_file

BREAK_AFTER_BYTES = 8_000
BIG_CELL_BYTES = 10 * 1024 * 1024
TIMEOUT_SECONDS = 60
LEADS = 500


async def slow(world: World) -> None:
    """A file takes seconds to read."""
    world.s3_proxy.bytes_per_second = 8_000
    await asyncio.sleep(6)
    world.s3_proxy.bytes_per_second = None


async def refusing(world: World) -> None:
    """Every request is answered by 503."""
    before = world.s3_proxy.refused
    world.s3_proxy.refuses = True
    await asyncio.sleep(5)
    world.s3_proxy.refuses = False
    assert world.s3_proxy.refused > before, "nobody asked"


async def broken_off(world: World) -> None:
    """The connection breaks off in the middle of a file; three times."""
    for _ in range(3):
        await _break(world)


async def foreign(world: World) -> None:
    """Who reads on after a break is given bytes of another version, with its ETag."""
    world.s3_proxy.foreign_answers = 1
    await _break(world)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while world.s3_proxy.foreign_answers:  # noqa: ASYNC110 -- the proxy counts
            await asyncio.sleep(0.1)


async def overwritten(world: World) -> None:
    """A file is put over another one while that is being read: each is its own load."""
    await world.settle()
    vendor = world.vendors["faults-b"]
    first = vendor.next_file()
    first.ends = {"failed"}
    second = vendor.again(first)

    async def overwrite() -> None:
        await world.upload(second)

    world.s3_proxy.at_break = overwrite
    world.s3_proxy.break_after = BREAK_AFTER_BYTES
    before = world.s3_proxy.breaks
    await world.put(first)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while world.s3_proxy.breaks == before:  # noqa: ASYNC110 -- the proxy counts
            await asyncio.sleep(0.1)
    world.s3_proxy.at_break = None
    world.landing.set()


async def big_cell(world: World) -> None:
    """One row is bigger than a message may be: it costs that row."""
    file = tiny_file(world, LEADS)
    file.rows.insert(LEADS // 2, Row(f"huge{len(world.files)}", ("x" * BIG_CELL_BYTES, "n0"), "huge"))
    await world.put(file)


async def poisoned(world: World) -> None:
    """What stands first in every partition of a raw topic is no row; the rows after it are taken."""
    await world.put(tiny_file(world, LEADS, POISONED))


async def _break(world: World) -> None:
    before = world.s3_proxy.breaks
    world.s3_proxy.break_after = BREAK_AFTER_BYTES
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while world.s3_proxy.breaks == before:  # noqa: ASYNC110 -- the proxy counts
            await asyncio.sleep(0.1)
