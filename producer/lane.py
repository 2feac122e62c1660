"""One lane of the producer: the sources whose name falls on one partition of the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable

from leadstream import metrics
from leadstream.errors import BadRecordError, FencedError, TransientError
from leadstream.health import HEALTH
from leadstream.lanes import lane_part
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.transaction import TransactionalProducer
from producer.arrivals import Arrival, first_sequence
from producer.context import ProducerContext
from producer.ledger import Ledger
from producer.split import LoadSplit, source_name

IDLE_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
ASK_AGAIN_SECONDS = 5.0

Name = tuple[str, str, str]
"""Bucket, key and version."""

log = get_logger("producer")


class ProducerLane:
    """Splits the arrivals of its sources, the oldest first, one at a time."""

    def __init__(self, context: ProducerContext, lane: int) -> None:
        self._context = context
        self._lane = lane
        self._part = lane_part(lane)
        self._ledger = Ledger()
        self._restored = False
        self._ended = False
        self._look_again = True
        self._pending: dict[Name, Arrival] = {}
        self._retry: dict[Name, tuple[float, float]] = {}
        self._wake = asyncio.Event()

    def offer(self, arrival: Arrival) -> bool:
        """Take note of an arrival; False when this lane has ended. Its waiters are told when its load is settled."""
        if self._ended:
            return False
        known = self._pending.get(_name(arrival))
        if known is not None:
            known.waiters += arrival.waiters
        elif arrival.waiters or not self._is_settled(arrival):
            self._pending[_name(arrival)] = arrival
            self._wake.set()
        return True

    def unannounced(self, listed: Iterable[Arrival]) -> list[Arrival]:
        """Which of the bucket's objects nobody has told of: neither a notice that waits nor the ledger knows them."""
        waiting = {(arrival.bucket, arrival.key, arrival.etag) for arrival in self._pending.values()}
        return [
            arrival
            for arrival in listed
            if (arrival.bucket, arrival.key, arrival.etag) not in waiting and self._ledger.find(arrival) is None
        ]

    @property
    def is_restored(self) -> bool:
        """Whether the ledger has been read, so that what it does not know is new."""
        return self._restored

    @property
    def pending(self) -> Collection[Arrival]:
        """What was offered and is not settled yet."""
        return self._pending.values()

    def look_again(self) -> None:
        """The sources have changed: loads that were held, or had no source, may go on now."""
        self._look_again = True
        self._wake.set()

    async def run(self, gate: asyncio.Lock) -> None:
        """Take over the lane, restore its ledger, split what arrives, until cancelled."""
        try:
            while True:
                await self._own(gate)
        finally:
            self._ended = True
            for arrival in self._pending.values():
                arrival.tell(settled=False)

    async def _own(self, gate: asyncio.Lock) -> None:
        HEALTH.expect(self._part)
        self._restored = False
        producer = TransactionalProducer(self._context.settings.kafka, f"leadstream-producer-{self._lane}")
        try:
            # The id first (it fences the lane's former owner), what the ledger says after.
            await forever(producer.start, what="Kafka")
            self._ledger = Ledger()
            await forever(
                lambda: self._ledger.restore(self._context.settings.kafka, self._lane, self._context.decoder),
                what="Kafka",
            )
            self._restored = True
            self._look_again = True
            self._settle_known()
            await self._work(gate, producer)
        except FencedError:
            raise
        except TransientError as exc:
            log.warning("lane_restarts", lane=self._lane, why=str(exc))
            metrics.LANE_RESTARTS.inc()
        finally:
            await asyncio.shield(producer.abort())

    async def _work(self, gate: asyncio.Lock, producer: TransactionalProducer) -> None:
        while True:
            if self._look_again:
                self._look_again = False
                await self._offer_unfinished()
            HEALTH.turned(self._part)
            arrival = self._next()
            if arrival is None:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wake.wait()
                continue
            name = _name(arrival)
            if not self._is_settled(arrival):
                try:
                    await LoadSplit(self._context, self._lane, gate, producer, self._ledger, arrival).run()
                except TransientError as exc:
                    # This file waits a while; the next ones need not.
                    self._put_off(name)
                    if producer.is_damaged:
                        raise
                    producer.discard()
                    source = source_name(self._context.catalog.match(arrival.key), arrival.key)
                    load_id = self._ledger.load_id_of(arrival)
                    log.warning("file_put_off", lane=self._lane, load_id=load_id, source=source, why=str(exc))
                    continue
            del self._pending[name]
            self._retry.pop(name, None)
            arrival.tell(settled=True)

    async def _offer_unfinished(self) -> None:
        """What the ledger knows to be unfinished needs no second notice: neither after a crash nor after a hold."""
        for entry in self._ledger.unfinished():
            version_id = entry.object_version if entry.object_version != entry.etag else None
            arrival = None
            try:
                arrival = await self._context.s3.head(entry.bucket, entry.object_key, version_id)
            except BadRecordError as exc:
                log.warning("unfinished_object_unreadable", load_id=entry.load_id, source=entry.source, why=str(exc))
            except TransientError as exc:  # the others of the lane do not wait for this one
                log.warning("unfinished_object_put_off", load_id=entry.load_id, source=entry.source, why=str(exc))
                asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self.look_again)
                continue
            if arrival is None or arrival.etag != entry.etag:
                if entry.status != "splitting":
                    continue
                # Gone, overwritten or unreadable: reading it says so, and the half-split load is ended.
                arrival = Arrival(
                    bucket=entry.bucket,
                    key=entry.object_key,
                    etag=entry.etag,
                    version_id=version_id,
                    last_modified=entry.last_modified,
                    size_bytes=1,
                )
            self.offer(arrival)

    def _next(self) -> Arrival | None:
        """The pending arrival that is oldest by its source's order, among those not put off.

        A load whose rows are partly sent comes to its end before another one of its source begins.
        """
        now = time.monotonic()
        match = self._context.catalog.match
        ready = []
        for name, arrival in self._pending.items():
            under_way = self._ledger.load_under_way(source_name(match(arrival.key), arrival.key))
            is_its_turn = under_way is None or under_way == self._ledger.load_id_of(arrival)
            if is_its_turn and self._retry.get(name, (0.0, 0.0))[0] <= now:
                ready.append(arrival)
        return min(ready, key=lambda a: (first_sequence(a, match(a.key)), a.last_modified, a.key), default=None)

    def _settle_known(self) -> None:
        """What was offered before the ledger was read, and turns out to be done: all of it at once."""
        for name, arrival in list(self._pending.items()):
            if self._is_settled(arrival):
                del self._pending[name]
                arrival.tell(settled=True)

    def _put_off(self, name: Name) -> None:
        _at, before = self._retry.get(name, (0.0, 0.0))
        delay = min(max(before * 2, FIRST_RETRY_SECONDS), LAST_RETRY_SECONDS)
        self._retry[name] = (time.monotonic() + delay, delay)

    def _is_settled(self, arrival: Arrival) -> bool:
        return self._restored and self._ledger.is_settled(arrival, self._context.catalog.match(arrival.key))


def _name(arrival: Arrival) -> Name:
    return arrival.bucket, arrival.key, arrival.version
