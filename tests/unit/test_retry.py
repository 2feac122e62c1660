"""Waiting out what is away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import structlog

from leadstream import retry
from leadstream.errors import FatalError, FencedError, TransientError


class Step:
    """A step that fails with each of ``errors`` in turn, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        """Fail or work."""
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests not wait."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(retry, "JITTER_SECONDS", 0.001)


async def test_an_outage_is_waited_out_and_told_once() -> None:
    """However often the step fails, the log has one line when it begins and one when it is over."""
    with structlog.testing.capture_logs() as logs:
        assert await retry.forever(Step(*[TransientError("away")] * 5), what="Postgres") == "done"
    assert [(line["event"], line["what"]) for line in logs] == [("waiting", "Postgres"), ("recovered", "Postgres")]


async def test_a_step_that_works_says_nothing() -> None:
    """No line for what goes well."""
    with structlog.testing.capture_logs() as logs:
        assert await retry.forever(Step(), what="Postgres") == "done"
    assert logs == []


async def test_a_step_that_had_worked_begins_a_new_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long-running step that fails now and then waits briefly each time, and each outage is told."""
    monkeypatch.setattr(retry, "HEALTHY_AFTER_SECONDS", -1.0)
    with structlog.testing.capture_logs() as logs:
        await retry.forever(Step(*[TransientError("away")] * 3), what="group")
    assert [line["event"] for line in logs] == ["waiting"] * 3 + ["recovered"]


@pytest.mark.parametrize("error", [FencedError("taken over"), FatalError("broken"), ValueError("a bug")])
async def test_what_waiting_cannot_help_is_raised_at_once(error: Exception) -> None:
    """A fenced writer, a fatal error and a bug are not tried again."""
    step = Step(error, error)
    with pytest.raises(type(error)):
        await retry.forever(step, what="Kafka")
    assert len(step.errors) == 1


async def test_a_task_that_was_told_to_stop_begins_no_step_though_the_last_one_swallowed_it() -> None:
    """A library that swallows a cancellation does not make a service that goes on for ever."""
    steps = 0

    async def swallowing() -> None:
        nonlocal steps
        steps += 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise TransientError("away")

    task = asyncio.create_task(retry.forever(swallowing, what="Kafka"))
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    task.cancel()
    assert (bool(done), steps) == (True, 1)
    assert task.cancelled()
