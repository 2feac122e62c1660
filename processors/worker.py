"""The Faust app: ``faust -A processors worker``.

Faust gives the worker its life (start, stop, supervision, command line), folds the receipts and raises alerts: an
agent, a few messages a load (``processors.receipts``). The row path runs inside it as a service, on its own
transactional clients, because Faust's streams handle one message at a time (measured: docs/architecture.md) and its
exactly-once mode has open defects (faust-streaming issues 177, 323, 517).
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
from typing import Any, cast

import faust
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver

from leadstream import kafka, log, web
from leadstream.errors import FatalError, LeadstreamError, TransientError
from leadstream.health import HEALTH
from leadstream.kafka_login import connection_options
from leadstream.retry import forever
from leadstream.settings import KafkaSettings, log_format, settings
from processors.last_words import ending_the_process
from processors.receipts import fold_receipts
from processors.service import RowPath
from processors.standstill import CHECK_SECONDS, LIMIT_CHECKS, Standstill
from schemas import topics

APP_ID = "leadstream-receipts"
FETCH_MAX_WAIT_MILLISECONDS = 100
SESSION_TIMEOUT_SECONDS = 10.0
HEARTBEAT_INTERVAL_SECONDS = 1.0
REBALANCE_TIMEOUT_SECONDS = 20.0
KAFKA_ANSWERS_WITHIN_SECONDS = 10.0
HEALTH_PART = "receipts"
STOP_SECONDS = 8.0
"""Less than the 10 s that container engines give before they kill."""

logger = log.get_logger("processors")


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, reading committed records only, and putting back what Faust would throw away.

    Outside its exactly-once mode Faust reads uncommitted ones: a receipt would count steps of aborted transactions.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these two; aiokafka reads them when the consumer starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MILLISECONDS
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[Any], timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        """What Faust will take of what was fetched; the rest is put back.

        A fetch that is under way when a rebalance begins goes on into the new assignment. Faust has emptied the set
        of partitions that it waits for, which aiokafka takes for all partitions; and Faust throws away what comes
        before it resumes the flow, while for aiokafka it has been read: those steps would never be folded.
        """
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        taken = {}
        for partition, found in fetched.items():
            if self.consumer.flow_active and partition in active_partitions:
                taken[partition] = found
            else:
                consumer.seek(partition, found[0].offset)
        return taken


class CommittedConsumer(driver.Consumer):
    """See :class:`CommittedConsumerThread`."""

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """See :class:`CommittedConsumerThread`."""

    Consumer = CommittedConsumer


class PlainWorker(faust.Worker):
    """Faust's worker without its spinner, whose control characters are out of place in a log file, and without its
    own way of logging: lines look the same in all stages.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None

    def _setup_logging(self) -> None:
        """``leadstream.log`` has."""

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        """On a signal, stop as Faust does, or without its leave: without Kafka its clients wait for minutes.

        There is nothing to tidy up: what was not committed is aborted by the lanes' next owners.
        """
        patience = threading.Timer(STOP_SECONDS, _leave)
        patience.daemon = True
        patience.start()
        super()._schedule_shutdown(number)


class ReceiptsApp(faust.App):
    """Faust's app with a consumer of committed records, the row path, and topics that are made before it subscribes.

    Faust passes over a topic that does not exist when it subscribes.
    """

    row_path: RowPath

    def _new_transport(self) -> CommittedTransport:
        return CommittedTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Make every shared topic, start the row path, then start as Faust does.

        The row path does not wait for Faust's own consumer group: after a crash that takes a session timeout.
        """
        with ending_the_process():
            conf = settings()
            await self.add_async_context(web.answering("processors", conf.http_host, conf.processor.http_port))
            wanted = topics.shared_topics(conf.topics.lanes)
            await forever(lambda: kafka.ensure_topics(conf.kafka, wanted), what="Kafka")
            await forever(lambda: _check_group(conf.kafka), what="Kafka")
        self.add_future(self._run_row_path())
        self.add_future(self._watch_faust(conf.kafka))
        await super().on_first_start()

    async def _run_row_path(self) -> None:
        with ending_the_process():
            await self.row_path.run()

    async def _watch_faust(self, conf: KafkaSettings) -> None:
        """End the process when Faust does not come back to its work although Kafka is there.

        What it has missed is still on Kafka, and a new process goes on from what was committed.
        """
        standstill, tables = Standstill(), cast(Any, self.tables)
        HEALTH.expect(HEALTH_PART)
        with ending_the_process():
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                at_work, generation = tables.actives_ready, self.consumer_generation_id
                if at_work:
                    HEALTH.turned(HEALTH_PART)
                others_wait = bool(HEALTH.waits_for(besides=HEALTH_PART))
                stands = standstill.check(at_work=at_work, others_wait=others_wait, generation=generation)
                if stands and await _kafka_answers(conf):
                    seconds = round(CHECK_SECONDS * LIMIT_CHECKS)
                    logger.error("receipts_stuck", seconds=seconds)
                    raise FatalError(
                        f"Faust has not come back to the receipts and alerts for {seconds} s, while Kafka answers",
                        hint="start this worker again (a supervisor does): it goes on from what was committed",
                    )


@functools.cache
def faust_app() -> faust.App:
    """The app of this process; ends the process with one line when its settings or mappings cannot be used."""
    log.configure(log_format(), stage="processors")
    try:
        conf = settings()
        credentials = _credentials(conf.kafka)
        row_path = RowPath(conf)
    except LeadstreamError as exc:
        log.last_words(str(exc))
        sys.exit(1)
    datadir = conf.home.absolute() / "faust"  # else it is made in the working directory
    datadir.mkdir(parents=True, exist_ok=True)
    app = ReceiptsApp(
        APP_ID,
        datadir=str(datadir),
        broker=[f"kafka://{server}" for server in conf.kafka.bootstrap_servers.split(",")],
        broker_credentials=credentials,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=SESSION_TIMEOUT_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_INTERVAL_SECONDS,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_SECONDS,
        stream_wait_empty=True,
        Worker=PlainWorker,
        web_enabled=conf.processor.web_port is not None,
        web_port=conf.processor.web_port or 6066,
    )
    app.row_path = row_path
    fold_receipts(app, row_path.dead_letter_rate)
    return app


async def _check_group(conf: KafkaSettings) -> None:
    """Faust waits without a word for a group that it may not join: ask first."""
    consumer = kafka.consumer(conf, group_id=APP_ID)
    with kafka.errors_translated():
        try:
            await consumer.start()
            await consumer.committed(TopicPartition(topics.LOADS, 0))
        finally:
            await consumer.stop()


async def _kafka_answers(conf: KafkaSettings) -> bool:
    asking = asyncio.create_task(_check_group(conf))
    await asyncio.wait({asking}, timeout=KAFKA_ANSWERS_WITHIN_SECONDS)
    if not asking.done():
        asking.cancel()
        return False
    try:
        asking.result()
    except TransientError:
        return False
    return True


def _leave() -> None:
    log.get_logger("processors").warning("stopped_without_kafka", seconds=STOP_SECONDS)
    os._exit(1)


def _credentials(conf: KafkaSettings) -> Any:
    options = connection_options(conf)
    context = options["ssl_context"]
    if conf.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
