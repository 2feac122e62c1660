"""Tasks that never outlive what started them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def beside(coroutine: Coroutine[Any, Any, Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """A task that runs beside the body; what ends the body ends it, and its failure matters to who awaits it only."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        await given_up(task)


async def given_up(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; its outcome is nobody's concern."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
