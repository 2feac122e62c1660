"""What a process says of its own health, and how it is asked."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

import pytest

from leadstream import health, metrics, retry, web
from leadstream.errors import ConfigError, FencedError, TransientError
from leadstream.health import HEALTH, Health
from tests.system import free_port

HOST = "127.0.0.1"


class Clock:
    """Tells the time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judged(clock: Clock) -> Health:
    return Health(clock)


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def test_a_process_is_not_ready_before_each_of_its_parts_has_turned(judged: Health) -> None:
    """A lane that reads back its state for a minute is named, with how long it has taken."""
    assert judged.waits_for() == ["the first step of its start"]
    judged.expect("lane 0")
    judged.expect("lane 1")
    judged.turned("lane 1")
    assert judged.waits_for() == ["lane 0, starting for 0 s"]
    assert judged.waits_for(besides="lane 0") == []
    judged.turned("lane 0")
    assert judged.waits_for() == []


def test_a_part_that_has_not_turned_for_long_is_named_until_it_turns_or_is_given_away(
    judged: Health, clock: Clock
) -> None:
    """It may be stuck, or its dependency may be away without saying so."""
    judged.expect("lane 0")
    judged.turned("lane 0")
    clock.now += health.STALE_AFTER_SECONDS + 5
    judged.loop_turned()
    assert judged.waits_for() == ["lane 0, silent for 35 s"]
    judged.turned("lane 0")
    assert judged.waits_for() == []
    judged.expect("lane 0")
    judged.expect("lane 1")
    judged.turned("lane 1")
    judged.forget("lane 0")
    judged.turned("lane 0")  # it was given away in the middle of its turn
    clock.now += health.STALE_AFTER_SECONDS + 5
    judged.loop_turned()
    assert judged.waits_for() == ["lane 1, silent for 35 s"]


def test_the_longest_wait_for_each_dependency_is_told(judged: Health, clock: Clock) -> None:
    """Four lanes that wait for Kafka are one reason."""
    judged.expect("lane 0")
    judged.turned("lane 0")
    judged.outage_begins("a", "Kafka")
    clock.now += 7
    judged.outage_begins("b", "Kafka")
    assert judged.waits_for() == ["Kafka, away for 7 s"]
    judged.outage_ends("a")
    assert judged.outages() == {"Kafka": 0.0}
    judged.outage_ends("b")
    judged.outage_ends("b")
    assert judged.waits_for() == []


async def test_what_is_waited_for_is_told_and_forgotten_however_the_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """By success, by another error, by a cancellation, and by a step that works without coming to an end."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retry, "JITTER_SECONDS", 0.01)
    before = metrics.RETRIES.labels("the moon")._value.get()
    seen: list[dict[str, float]] = []
    went_on = asyncio.Event()

    def fails_once(then: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        tries = iter([True])

        async def step() -> None:
            if next(tries, False):
                raise TransientError("it is behind a cloud")
            seen.append(HEALTH.outages())
            await then()

        return step

    async def succeed() -> None:
        """Nothing more to do."""

    async def be_fenced() -> None:
        raise FencedError("somebody else looks at it")

    async def go_on() -> None:
        retry.working()
        seen.append(HEALTH.outages())
        went_on.set()
        await asyncio.sleep(60)

    await retry.forever(fails_once(succeed), what="the moon")
    with pytest.raises(FencedError):
        await retry.forever(fails_once(be_fenced), what="the moon")
    task = asyncio.create_task(retry.forever(fails_once(go_on), what="the moon"))
    await asyncio.wait_for(went_on.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ["the moon" in told for told in seen] == [True, True, True, False]
    assert "the moon" not in HEALTH.outages()
    assert metrics.RETRIES.labels("the moon")._value.get() - before == 3


async def test_a_stage_answers_while_its_loop_is_stuck_and_says_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches it must learn that a restart is needed; an answer that never comes says less."""
    monkeypatch.setattr(health, "STUCK_AFTER_SECONDS", 1.5)
    port = free_port(set())
    async with web.answering("sink", HOST, port):
        alive = await asyncio.to_thread(_get, port, "/healthz")
        asked = asyncio.get_running_loop().run_in_executor(None, lambda: (time.sleep(2.0), _get(port, "/healthz"))[1])
        await asyncio.sleep(0)
        time.sleep(3.0)  # noqa: ASYNC251 -- the loop is stuck, and that is the point
        stuck = await asked
        await asyncio.sleep(web.LOOP_TURN_SECONDS)
        alive_again = await asyncio.to_thread(_get, port, "/healthz")
    assert (alive[0], json.loads(alive[1])) == (200, {"stage": "sink", "alive": True, "stuck_seconds": 0.0})
    assert stuck[0] == 503 and json.loads(stuck[1])["alive"] is False and json.loads(stuck[1])["stuck_seconds"] > 1.5
    assert alive_again[0] == 200


async def test_only_three_paths_are_answered_and_no_version_is_told() -> None:
    """Who finds the port learns the stage's health and nothing of what runs it."""
    port = free_port(set())
    async with web.answering("sink", HOST, port):
        assert (await asyncio.to_thread(_get, port, "/"))[0] == 404
        assert (await asyncio.to_thread(_get, port, "/metrics/../etc"))[0] == 404
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{HOST}:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Server"].strip() == "leadstream"
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    with pytest.raises(OSError, match=r"refused"):
        await asyncio.to_thread(_get, port, "/healthz")


async def test_a_port_that_is_in_use_ends_the_stage_with_its_number() -> None:
    """A stage that could not be asked how it does would look as if it were down."""
    port = free_port(set())
    async with web.answering("sink", HOST, port):
        with pytest.raises(ConfigError, match=rf"{port}.*_HTTP_PORT"):
            async with web.answering("producer", HOST, port):
                """It does not come to that."""
    async with web.answering("sink", HOST, None):
        """Without a port nothing is opened."""
