"""Waiting out what is away: the same step again, with exponential backoff, until it works."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from leadstream import metrics
from leadstream.errors import FencedError, TransientError
from leadstream.health import HEALTH
from leadstream.log import get_logger

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0
JITTER_SECONDS = 0.2
HEALTHY_AFTER_SECONDS = 30.0
"""A step that ran this long before it failed was working: its failure begins a new outage."""

Result = TypeVar("Result")

log = get_logger("retry")


async def forever(step: Callable[[], Awaitable[Result]], *, what: str) -> Result:
    """Do ``step`` again for as long as it raises a :class:`TransientError`; return what it returns.

    ``what`` names the part in the logs: ``waiting`` once an outage, ``recovered`` when it is over.
    A :class:`FencedError` is passed on at once: the same step would be fenced again. A task that was told to stop
    begins no step, even if a library swallowed the cancellation (aiokafka does while it closes a client).
    A step that goes on for as long as all is well says that it is by :func:`working`.
    """
    outage = _Outage(what)
    retrying = AsyncRetrying(retry=retry_if_exception(_can_be_waited_out), wait=outage.wait_seconds, reraise=True)

    async def timed() -> Result:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        outage.step_started_at = time.monotonic()
        token = _current.set(outage)
        try:
            return await step()
        finally:
            _current.reset(token)

    try:
        result: Result = await retrying(timed)
        outage.end()
        return result
    finally:
        HEALTH.outage_ends(outage)


def working() -> None:
    """To be called within a step of :func:`forever` that does not come to an end: the outage before it is over."""
    outage = _current.get()
    if outage is not None:
        outage.end()


class _Outage:
    def __init__(self, what: str) -> None:
        self.step_started_at = 0.0
        self._what = what
        self._since: float | None = None
        self._backoff = wait_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) + wait_random(0, JITTER_SECONDS)

    def wait_seconds(self, state: RetryCallState) -> float:
        now = time.monotonic()
        if now - self.step_started_at > HEALTHY_AFTER_SECONDS:
            self._since = None
            state.attempt_number = 1
        if self._since is None:
            self._since = now
            error = state.outcome.exception() if state.outcome else None
            log.warning("waiting", what=self._what, why=str(error))
            HEALTH.outage_begins(self, self._what)
        metrics.RETRIES.labels(self._what).inc()
        return self._backoff(state)

    def end(self) -> None:
        if self._since is not None:
            log.info("recovered", what=self._what, seconds=round(time.monotonic() - self._since, 1))
            HEALTH.outage_ends(self)
            self._since = None


_current: contextvars.ContextVar[_Outage | None] = contextvars.ContextVar("outage", default=None)


def _can_be_waited_out(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, FencedError)
