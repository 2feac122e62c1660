"""Who works on which lane: membership in a consumer group, one partition of the lane topic being one lane.

The group only says who *should* work on a lane. What makes two owners harmless is the lane's transactional id: a new
owner takes it over first (which aborts what the old one left open) and reads the lane's state after; the old
owner's next commit is refused. So no lease needs to be trusted, not even by a process that was paused for an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from leadstream import kafka, metrics
from leadstream.errors import FencedError, TransientError
from leadstream.health import HEALTH
from leadstream.log import get_logger
from leadstream.retry import forever, working
from leadstream.settings import KafkaSettings

SESSION_TIMEOUT_MILLISECONDS = 10_000
HEARTBEAT_INTERVAL_MILLISECONDS = 1_000
POLL_TIMEOUT_MILLISECONDS = 500
STOP_TIMEOUT_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 1.0
FENCED_PAUSE_SECONDS = 0.5

log = get_logger("lanes")


class Lane(Protocol):
    """The work of one lane."""

    async def run(self, gate: asyncio.Lock) -> None:
        """Take over the lane, then work until cancelled. Each unit of work holds ``gate``.

        Raises:
            FencedError: another process has the lane now.
        """


def lane_part(lane: int) -> str:
    """What a lane is called where it is told how the process does (``leadstream.health``)."""
    return f"lane {lane}"


class LaneGroup:
    """Runs a :class:`Lane` for each partition of ``topic`` that the group gives to this process."""

    def __init__(self, settings: KafkaSettings, topic: str, group_id: str, make_lane: Callable[[int], Lane]) -> None:
        self._settings = settings
        self._topic = topic
        self._group_id = group_id
        self._make_lane = make_lane
        self._membership: _Membership | None = None
        self._part = f"group {group_id}"
        HEALTH.expect(self._part)

    @property
    def owned(self) -> frozenset[int]:
        """Lanes this process works on now."""
        return frozenset(self._membership.running) if self._membership else frozenset()

    async def run(self) -> None:
        """Be a member until cancelled.

        Raises:
            FatalError: a lane cannot go on; all lanes are stopped first.
        """
        while True:
            try:
                await forever(self._be_member, what=f"group {self._group_id}")
            except FencedError as exc:
                log.warning("lane_fenced", group=self._group_id, why=str(exc))
                metrics.FENCED.inc()
                await asyncio.sleep(FENCED_PAUSE_SECONDS)

    async def _be_member(self) -> None:
        consumer = kafka.consumer(
            self._settings,
            group_id=self._group_id,
            session_timeout_ms=SESSION_TIMEOUT_MILLISECONDS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MILLISECONDS,
        )
        membership = self._membership = _Membership(self._group_id, self._make_lane, consumer)
        HEALTH.expect(self._part)
        with kafka.errors_translated():
            try:
                await consumer.start()
                consumer.subscribe([self._topic], listener=membership)
                while True:
                    # The lane topic is never read here (its partitions are paused): polling keeps the membership.
                    await consumer.getmany(timeout_ms=POLL_TIMEOUT_MILLISECONDS)
                    if membership.failed.done():
                        membership.failed.result()
                    if membership.joined and kafka.is_member(consumer):
                        HEALTH.turned(self._part)
                        working()
            finally:
                await membership.end()
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                        await consumer.stop()


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The lanes of one membership in the group. aiokafka swallows what a listener raises, so nothing here may."""

    def __init__(self, group_id: str, make_lane: Callable[[int], Lane], consumer: AIOKafkaConsumer) -> None:
        self.running: dict[int, tuple[asyncio.Task[None], asyncio.Lock]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.joined = False
        """Whether the group has said which lanes are ours, be it none."""
        self._group_id = group_id
        self._make_lane = make_lane
        self._consumer = consumer
        self._held: set[int] = set()
        self._ended = False

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait until no lane is in the middle of a transaction, and keep it so."""
        self.joined = False
        for lane, (_task, gate) in list(self.running.items()):
            if lane in self._held:
                continue
            await gate.acquire()
            if self.running.get(lane, (None, None))[1] is gate:
                self._held.add(lane)
            else:
                gate.release()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Go on with the lanes that are still ours, drop those that are not, start those that are new."""
        if self._ended:
            return
        self._consumer.pause(*assigned)
        lanes = {where.partition for where in assigned}
        await self._stop([lane for lane in self.running if lane not in lanes])
        for lane in self._held & self.running.keys():
            self.running[lane][1].release()
        self._held.clear()
        for lane in sorted(lanes - self.running.keys()):
            gate = asyncio.Lock()
            HEALTH.expect(lane_part(lane))
            task = asyncio.create_task(self._make_lane(lane).run(gate), name=f"{self._group_id}-{lane}")
            task.add_done_callback(self._on_done)
            self.running[lane] = (task, gate)
        self.joined = True
        metrics.REBALANCES.inc()
        metrics.LANES.set(len(lanes))
        log.info("lanes_assigned", group=self._group_id, lanes=sorted(lanes))

    async def end(self) -> None:
        """Stop every lane; from here on nothing is started."""
        self._ended = True
        await self._stop(list(self.running))

    async def _stop(self, lanes: Collection[int]) -> None:
        """All at once: a lane that cannot reach Kafka takes seconds to let go of its connections."""
        tasks = {self.running.pop(lane)[0] for lane in lanes}
        for lane in lanes:
            HEALTH.forget(lane_part(lane))
        self._held.difference_update(lanes)
        while tasks:
            for task in tasks:
                # A library may swallow a cancellation (aiokafka does while it closes a client): say it again.
                task.cancel()
            _done, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_SECONDS)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self.failed.done() or task not in [running for running, _gate in self.running.values()]:
            return
        error = None if task.cancelled() else task.exception()
        self.failed.set_exception(error or TransientError(f"{task.get_name()} ended by itself"))
