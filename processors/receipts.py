"""The Faust agent that folds the steps of ``leads.loads`` into one receipt a load and raises alerts.

What it has folded so far it reads back from ``leads.receipts`` by itself. A table of Faust's would have to be recovered
in every rebalance, and that does not always come to an end: it waited for ever for records that were thrown away, or
sought to an offset below 0 and ended the worker, when one rebalance followed another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import faust

from leadstream.changelog import read_partition
from leadstream.errors import BadRecordError
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.settings import KafkaSettings, settings
from processors.alert_output import new_alerts, send_alert, sent
from processors.last_words import ending_the_process
from schemas import records, topics
from schemas.codec import Decoder, Encoder
from schemas.receipts import fold
from schemas.registry import Registry
from schemas.replays import REPLAY_STEPS

logger = get_logger("processors")


class KnownReceipts:
    """The newest receipt of each load, as bytes, by partition and load id."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._generation: int | None = None
        self._partitions: dict[int, dict[bytes, bytes]] = {}

    async def of(self, partition: int, generation: int) -> dict[bytes, bytes]:
        """Those of a partition; read anew in each ``generation`` of the group: another member may have written there.

        Waits while Kafka is away.
        """
        if generation != self._generation:
            self._generation = generation
            self._partitions.clear()
        if partition not in self._partitions:
            self._partitions[partition] = await forever(lambda: self._read(partition), what="Kafka")
        return self._partitions[partition]

    async def _read(self, partition: int) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        async for batch in read_partition(self._kafka, topics.RECEIPTS, partition):
            known |= {record.key: record.value for record in batch}
        return {load_id: value for load_id, value in known.items() if value is not None}


def fold_receipts(app: faust.App, dead_letter_rate: Callable[[str], float | None]) -> None:
    """Define the agent. ``dead_letter_rate``: the limit that a source's YAML sets, if it does."""
    conf = settings()
    registry = Registry(conf.registry)
    decoder = Decoder(registry, records.parsed("receipt"))
    step_decoder = Decoder(registry, records.parsed("load_step"))
    encoders: dict[str, Encoder] = {}
    receipts = KnownReceipts(conf.kafka)

    async def encoder(topic: str, schema: str) -> Encoder:
        if topic not in encoders:
            register = functools.partial(registry.register, topics.value_subject(topic), records.schema_json(schema))
            encoders[topic] = Encoder(await forever(register, what="the registry"), records.parsed(schema))
        return encoders[topic]

    def raw_topic(name: str) -> Any:
        return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    alerts, output = raw_topic(topics.ALERTS), raw_topic(topics.RECEIPTS)

    async def receipt_before(known: dict[bytes, bytes], load_id: bytes) -> Any:
        if load_id not in known:
            return None
        try:
            _schema_id, receipt = await forever(lambda: decoder.decode(known[load_id]), what="the registry")
        except BadRecordError as exc:  # somebody else has written there
            logger.error("receipt_undecodable", why=exc.message)
            return None
        return receipt

    async def fold_step(event: Any) -> None:
        load_id, partition = event.key, event.message.partition
        try:
            _schema_id, step = await forever(lambda: step_decoder.decode(event.value or b""), what="the registry")
        except BadRecordError as exc:  # the sink keeps it among the dead letters
            logger.error("step_undecodable", why=exc.message)
            return
        if step["step"] in REPLAY_STEPS:
            return
        known = await receipts.of(partition, app.consumer_generation_id)
        before = await receipt_before(known, load_id)
        after = fold(before, step)
        # Before the receipt, which says what was told: an alert may be told twice, never not at all.
        for alert in new_alerts(before, after, step, dead_letter_rate(step["source"])):
            await send_alert(alerts, await encoder(topics.ALERTS, "alert"), alert)
        value = (await encoder(topics.RECEIPTS, "receipt")).encode(after)
        await sent(output, load_id, value, partition)
        known[load_id] = value

    @app.agent(raw_topic(topics.LOADS))
    async def fold_steps(steps: Any) -> None:
        """Each step of a load changes its receipt, and may be reason for an alert.

        A step counts as read whether its folding ends or raises; so what cannot go on ends the process, before that.
        """
        async for event in steps.events():
            with ending_the_process():
                await fold_step(event)
