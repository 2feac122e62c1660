"""What ``forget`` sends to Kafka, and how it knows that the processors and the sink have carried it out."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from leadstream import kafka
from leadstream.cli.database import Database
from leadstream.cli.holds import send_command
from leadstream.cli.messages import open_consumer, open_registry
from leadstream.errors import LeadstreamError
from leadstream.forgotten import Digester, Forgotten, read_forgotten
from leadstream.settings import Settings
from leadstream.transaction import TransactionalProducer
from schemas import topics
from schemas.codec import Decoder
from schemas.headers import LetterEvent, letter_event_headers

DONE_WITHIN_SECONDS = 120.0
POLL_SECONDS = 0.2
POLL_TIMEOUT_MILLISECONDS = 300
SINK_TOPICS = (topics.CANONICAL, topics.DEAD_LETTERS)


class Letter(NamedTuple):
    """A dead letter whose content is to be erased: ``<partition>-<offset>`` in leads.dlq, and its source."""

    dead_letter_id: str
    source: str


async def known_forgotten(settings: Settings) -> Forgotten:
    """Everybody who is to stay out now.

    Raises:
        ConfigError: they are known by digests of another secret than ours.
        TransientError: Kafka or the registry is away.
    """
    await kafka.ensure_topics(settings.kafka, topics.shared_topics(settings.topics.lanes))
    async with open_registry(settings.registry) as registry:
        return await read_forgotten(settings, Decoder(registry), lane=0)


async def send_order(settings: Settings, kind: str, digester: Digester, digests: Sequence[bytes]) -> str:
    """Have every lane forget those with the digests (or let them in again), and wait until it has; gives its id.

    Raises:
        LeadstreamError: the processors do not carry it out.
        TransientError: Kafka or the registry is away.
    """
    # The processors' own code is slow to import.
    from processors.lane import OFFSETS_GROUP_ID

    command_id = f"{kind}-{secrets.token_hex(6)}"
    command = {
        "command_id": command_id,
        "kind": kind,
        "source": "",
        "digests": list(digests),
        "digest_key": digester.check,
        "at": datetime.now(UTC),
    }
    offsets = await send_command(settings, command)
    deadline = time.monotonic() + DONE_WITHIN_SECONDS
    async with open_consumer(settings.kafka, group_id=OFFSETS_GROUP_ID) as consumer:
        for lane, offset in enumerate(offsets):
            with kafka.errors_translated():
                while (await consumer.committed(TopicPartition(topics.COMMANDS, lane)) or 0) <= offset:
                    _check("processors", deadline)
                    await asyncio.sleep(POLL_SECONDS)
    return command_id


async def erase_letters(settings: Settings, command_id: str, letters: Sequence[Letter]) -> None:
    """Tell the sink, and whoever reads leads.dlq, that the content of letters is to be erased.

    Raises:
        TransientError: Kafka is away.
    """
    if not letters:
        return
    producer = TransactionalProducer(settings.kafka, f"leadstream-commands-{command_id}")
    try:
        await producer.start()
        for letter in letters:
            partition, _, offset = letter.dead_letter_id.partition("-")
            told = letter_event_headers(
                LetterEvent.FORGOTTEN,
                source=letter.source,
                letter_partition=int(partition),
                letter_offset=int(offset),
                replay_id=command_id,
                mapping_version="",
            )
            producer.add(topics.DEAD_LETTERS, int(partition), None, None, told)
        await producer.begin()
        await producer.commit()
    finally:
        await producer.close()


async def sink_caught_up(settings: Settings, database: Database) -> None:
    """Wait until Postgres has every change and every letter that Kafka has now.

    Raises:
        LeadstreamError: the sink does not get there.
        TransientError: Kafka or Postgres is away.
    """
    deadline = time.monotonic() + DONE_WITHIN_SECONDS
    async with open_consumer(settings.kafka) as consumer:
        places = [TopicPartition(topic, lane) for topic in SINK_TOPICS for lane in range(settings.topics.lanes)]
        with kafka.errors_translated():
            consumer.assign(places)
            ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
            while behind := await _first_behind(consumer, ends, await _written(database)):
                _check(f"sink (at {behind.topic}, partition {behind.partition})", deadline)
                await asyncio.sleep(POLL_SECONDS)


async def _first_behind(
    consumer: Any, ends: dict[TopicPartition, int], written: dict[TopicPartition, int]
) -> TopicPartition | None:
    """A partition with a record before its end that is not written; what Kafka itself keeps there is none."""
    for place, end in ends.items():
        if written[place] >= end:
            continue
        consumer.seek(place, written[place])
        while await consumer.position(place) < end:
            records = (await consumer.getmany(place, timeout_ms=POLL_TIMEOUT_MILLISECONDS)).get(place, [])
            if records and records[0].offset < end:
                return place
    return None


async def _written(database: Database) -> dict[TopicPartition, int]:
    rows = await database.rows("written_offsets", list(SINK_TOPICS))
    found: defaultdict[TopicPartition, int] = defaultdict(int)
    return found | {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _check(who: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise LeadstreamError(
            f"the {who} has not carried it out within {DONE_WITHIN_SECONDS:.0f} s",
            hint="it is not lost: it will when it runs (leadstream status); then give the command again",
        )
