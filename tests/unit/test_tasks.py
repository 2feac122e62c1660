"""Tasks beside others: a chunk is read ahead, an answer is waited for meanwhile; none of them is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from leadstream.tasks import beside
from producer.s3_input import read_ahead


class _Source:
    """Chunks, how many were asked for, and whether it was closed; it may break at its end."""

    def __init__(self, *chunks: bytes, breaks: bool = False) -> None:
        self.asked = 0
        self.is_closed = False
        self._chunks = chunks
        self._breaks = breaks

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The chunks, each after a while."""
        try:
            for chunk in self._chunks:
                self.asked += 1
                await asyncio.sleep(0)
                yield chunk
            if self._breaks:
                raise OSError("gone")
        finally:
            self.is_closed = True


async def test_the_next_chunk_is_fetched_while_one_is_in_use() -> None:
    """One ahead, no more; all come, in order."""
    source = _Source(b"a", b"b", b"c", b"d")
    found, asked = [], []
    async for chunk in read_ahead(source.read()):
        found.append(chunk)
        for _ in range(10):
            await asyncio.sleep(0)
        asked.append(source.asked)
    assert found == [b"a", b"b", b"c", b"d"]
    assert asked == [2, 3, 4, 4]
    assert source.is_closed


async def test_what_breaks_breaks_after_what_came_before() -> None:
    """A chunk that was read is given out, though the next one cannot be."""
    source, found = _Source(b"a", b"b", breaks=True), []
    with pytest.raises(OSError, match="gone"):
        async for chunk in read_ahead(source.read()):
            found.append(chunk)
            await asyncio.sleep(0.01)
    assert found == [b"a", b"b"]


async def test_who_stops_reading_leaves_no_task() -> None:
    """The source is closed, and nothing reads on."""
    source, before = _Source(b"a", b"b", b"c"), asyncio.all_tasks()
    ahead = read_ahead(source.read())
    assert await anext(ahead) == b"a"
    assert len(asyncio.all_tasks() - before) == 1
    await ahead.aclose()
    assert source.is_closed
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("body_fails", [False, True])
async def test_a_task_ends_with_the_body_beside_it(body_fails: bool) -> None:
    """However the body ends; a task that has failed and was not asked fails nobody."""

    async def fails() -> None:
        raise OSError("nobody asks")

    async def body() -> None:
        async with beside(asyncio.sleep(3_600)) as waiting, beside(fails()) as failed:
            await asyncio.wait([failed])
            tasks.append(waiting)
            if body_fails:
                raise KeyError

    tasks: list[asyncio.Task[None]] = []
    if body_fails:
        with pytest.raises(KeyError):
            await body()
    else:
        await body()
    assert tasks[0].cancelled()
