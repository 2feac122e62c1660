"""The producer process: arrivals in, lanes at work, until it is told to stop."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Mapping

from leadstream import kafka, metrics
from leadstream.errors import BadRecordError, TransientError
from leadstream.garbage import collect_rarely
from leadstream.lanes import LaneGroup
from leadstream.log import get_logger
from leadstream.partitioning import lane_of
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceCatalog
from producer.arrivals import Arrival
from producer.context import ProducerContext
from producer.lane import ProducerLane
from producer.s3_input import S3Input
from producer.split import source_name
from producer.sqs_arrivals import SqsArrivals
from schemas import records, topics
from schemas.codec import Decoder, Encoder
from schemas.registry import Registry

GROUP_ID = "leadstream-producer-lanes"
ASK_AGAIN_SECONDS = 30.0
PAUSE_PER_OBJECT_SECONDS = 0.0002
"""Ten times what it takes to look at one: however many lie in the bucket, looking for new ones stays cheap."""

log = get_logger("producer")


class ProducerService:
    """Splits every file that arrives in the bucket. Any number of these share the sources among them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalog = SourceCatalog(settings.sources_dir)
        self._lanes: dict[int, ProducerLane] = {}

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            ConfigError: wrong key, no bucket, no queue, or Kafka or the registry refuse us.
        """
        settings = self._settings
        registry = Registry(settings.registry)
        async with S3Input(settings.s3) as s3:
            # What is wrong with the settings is said before anything else is tried.
            await forever(s3.check, what="S3")
            wanted = topics.shared_topics(settings.topics.lanes)
            await forever(lambda: kafka.ensure_topics(settings.kafka, wanted), what="Kafka")

            async def encoder(topic: str, name: str) -> Encoder:
                schema = records.schema_json(name)
                subject = topics.value_subject(topic)
                schema_id = await forever(lambda: registry.register(subject, schema), what="the registry")
                return Encoder(schema_id, records.parsed(name))

            context = ProducerContext(
                settings=settings,
                s3=s3,
                registry=registry,
                catalog=self._catalog,
                decoder=Decoder(registry),
                ledger_encoder=await encoder(topics.LEDGER, "ledger_entry"),
                step_encoder=await encoder(topics.LOADS, "load_step"),
            )

            def make_lane(lane: int) -> ProducerLane:
                self._lanes[lane] = ProducerLane(context, lane)
                return self._lanes[lane]

            group = LaneGroup(settings.kafka, topics.LEDGER, GROUP_ID, make_lane)
            collect_rarely()
            log.info("producer_started", bucket=settings.s3.bucket, arrivals=settings.producer.arrivals)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(group.run())
                tasks.create_task(self._watch_sources())
                if settings.producer.arrivals == "sqs":
                    sqs = SqsArrivals(settings.producer, settings.s3, s3, lambda a: self._offer(group, a))
                    tasks.create_task(sqs.run())
                    if settings.producer.reconcile_interval_seconds:
                        tasks.create_task(self._reconcile(group, s3))
                else:
                    tasks.create_task(self._poll(group, s3))

    async def _poll(self, group: LaneGroup, s3: S3Input) -> None:
        while True:
            objects = await forever(lambda: self._offer_all(group, s3), what="S3")
            interval = self._settings.producer.poll_interval_seconds
            await asyncio.sleep(max(interval, objects * PAUSE_PER_OBJECT_SECONDS))

    async def _offer_all(self, group: LaneGroup, s3: S3Input) -> int:
        objects = 0
        async for page in s3.listing():
            objects += len(page)
            for arrival in page:
                self._offer(group, arrival)
        return objects

    async def _reconcile(self, group: LaneGroup, s3: S3Input) -> None:
        """A notice may never come: look at the bucket when lanes were taken over, and now and then."""
        interval = self._settings.producer.reconcile_interval_seconds
        looked: set[ProducerLane] = set()
        due_at = 0.0
        while True:
            await asyncio.sleep(1.0)
            ready = {number: self._lanes[number] for number in group.owned if self._lanes[number].is_restored}
            if not ready or (looked.issuperset(ready.values()) and time.monotonic() < due_at):
                continue
            look = functools.partial(self._unannounced, ready, s3)
            objects, unannounced = await forever(look, what="S3")
            again = await self._offer_unannounced(group, s3, unannounced)
            log.info("bucket_reconciled", objects=objects, unannounced=len(unannounced))
            looked = {lane for lane in ready.values() if lane.is_restored}  # one that began anew was not looked at
            due_at = time.monotonic() + (min(interval, ASK_AGAIN_SECONDS) if again else interval)

    async def _unannounced(self, lanes: Mapping[int, ProducerLane], s3: S3Input) -> tuple[int, list[Arrival]]:
        """How many objects there are, and those of ``lanes`` that no notice told of.

        What no source claims is left alone: the bucket may hold more than the queue is meant to announce.
        """
        objects = 0
        found: list[Arrival] = []
        async for page in s3.listing():
            objects += len(page)
            by_lane: dict[int, list[Arrival]] = {}
            for arrival in page:
                source = self._catalog.match(arrival.key)
                if source is not None:
                    by_lane.setdefault(lane_of(source.name, self._settings.topics.lanes), []).append(arrival)
            for number, arrivals in by_lane.items():
                if number in lanes and lanes[number].is_restored:
                    found += lanes[number].unannounced(arrivals)
        return objects, found

    async def _offer_unannounced(self, group: LaneGroup, s3: S3Input, unannounced: list[Arrival]) -> int:
        """Offer objects, the oldest first, under the version by which its notice would have named each; gives how many
        have to be asked for again.
        """
        again = 0
        for arrival in sorted(unannounced, key=lambda arrival: arrival.last_modified):
            found: Arrival | None = arrival
            try:
                found = await s3.head(arrival.bucket, arrival.key, with_version=True)
            except BadRecordError as exc:  # reading it will say the same, and its load fails with that
                log.warning("listed_object_unreadable", bucket=arrival.bucket, key=arrival.key, why=str(exc))
            except TransientError as exc:  # the others do not wait for this one
                log.warning("listed_object_put_off", bucket=arrival.bucket, key=arrival.key, why=str(exc))
                again += 1
                continue
            if found is not None:
                self._offer(group, found)
        return again

    async def _watch_sources(self) -> None:
        followed = self._catalog.configs
        while True:
            await asyncio.sleep(1.0)
            self._catalog.refresh()  # a load that began may have done so before us
            self._report_waiting_files()
            if self._catalog.configs is not followed:
                followed = self._catalog.configs
                log.info("sources_changed", sources=sorted(followed))
                for lane in self._lanes.values():
                    lane.look_again()

    def _report_waiting_files(self) -> None:
        waiting: dict[str, list[float]] = {}
        for lane in self._lanes.values():
            for arrival in lane.pending:
                source = self._catalog.match(arrival.key)
                name = source.name if source else metrics.UNKNOWN_SOURCE
                waiting.setdefault(name, []).append(arrival.last_modified.timestamp())
        metrics.FILES_WAITING.clear()
        metrics.OLDEST_FILE_WAITING.clear()
        for name, times in waiting.items():
            metrics.FILES_WAITING.labels(name).set(len(times))
            metrics.OLDEST_FILE_WAITING.labels(name).set(min(times))

    def _offer(self, group: LaneGroup, arrival: Arrival) -> bool:
        """Give an arrival to the lane of its source; False when another process has that lane."""
        source = source_name(self._catalog.match(arrival.key), arrival.key)
        lane = lane_of(source, self._settings.topics.lanes)
        if lane not in group.owned:
            return False
        return self._lanes[lane].offer(arrival)
