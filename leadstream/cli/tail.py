"""``tail``: the canonical topic as it flows."""

from __future__ import annotations

import contextlib
import enum
import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from leadstream import kafka
from leadstream.cli import session
from leadstream.cli.messages import open_consumer, open_registry
from leadstream.cli.output import UnmaskedOption, json_line
from leadstream.cli.sources import find_source
from leadstream.cli.times import word_or_time
from leadstream.errors import ConfigError
from leadstream.masking import masked_lead
from leadstream.settings import Settings
from leadstream.text import hint_for
from schemas.codec import Decoder
from schemas.records import lead_fields
from schemas.topics import CANONICAL

POLL_TIMEOUT_MILLISECONDS = 500
GROUP_PREFIX = "leadstream-tail-"
"""Before every ``--group``: no tail can ever move the place of a stage or of a subscriber."""

Lead = dict[str, Any]
Wanted = Callable[[Lead], bool]


class Op(enum.StrEnum):
    """What a change record says."""

    INSERTED = "c"
    UPDATED = "u"
    DELETED = "d"


def tail(
    source: Annotated[str | None, typer.Option(help="Only leads of this source.")] = None,
    op: Annotated[
        list[Op] | None,
        typer.Option(help="Only inserts (c), updates (u) or deletes (d); repeatable."),
    ] = None,
    changed: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Only updates that change this field; repeatable: any of.")
    ] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="earliest|latest|TIME", help="Where to begin; TIME as 2026-01-31T08:00.")
    ] = "latest",
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the place under this name: the next time goes on there.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many leads.")] = None,
    unmasked: UnmaskedOption = False,
) -> None:
    """Changes of leads as JSON, one a line, as they happen. Ctrl-C ends it.

    Each line is a record of leads.canonical: op is c (inserted), u (updated) or d (deleted). Only committed
    records are shown. Personal data is masked, unless --unmasked.

    \b
    Examples:
      leadstream tail
      leadstream tail --from earliest --count 10
      leadstream tail --source texas --op u --op d --from 2026-01-31T08:00
      leadstream tail --changed phone --changed email --group call-center --unmasked
    """
    start = word_or_time(since, frozenset({"earliest", "latest"}), "--from")
    wanted = wanted_leads(source, frozenset(op or ()), frozenset(changed or ()))
    settings = session.start()
    if source is not None:
        find_source(settings, source)  # a misspelt one would be waited for in vain
    with contextlib.suppress(KeyboardInterrupt):
        session.run(_tail(settings, wanted, start, group, count, shown=_as_it_is if unmasked else masked_lead))


def wanted_leads(source: str | None, ops: frozenset[str], changed: frozenset[str]) -> Wanted:
    """Which change records are asked for: of one source, of these kinds, that change one of these fields.

    What is empty asks for nothing in particular.

    Raises:
        typer.BadParameter: a field is none of a lead's.
    """
    for name in sorted(changed - set(lead_fields())):
        raise typer.BadParameter(f"no field {name!r}: {hint_for(name, lead_fields())}", param_hint="--changed")
    return lambda lead: (
        (source is None or lead["source"] == source)
        and (not ops or lead["op"] in ops)
        and (not changed or not changed.isdisjoint(lead["changed_fields"]))
    )


async def _tail(
    settings: Settings,
    wanted: Wanted,
    start: str | datetime,
    group: str | None,
    count: int | None,
    *,
    shown: Callable[[Lead], Lead],
) -> None:
    left = count
    partitions = await _partitions(settings)
    group_id = GROUP_PREFIX + group if group is not None else None
    async with (
        open_registry(settings.registry) as registry,
        open_consumer(settings.kafka, group_id=group_id) as consumer,
    ):
        decoder = Decoder(registry)
        with kafka.errors_translated():
            consumer.assign(partitions)
            await _seek(consumer, start, group_id)
        while True:
            with kafka.errors_translated():
                batches = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MILLISECONDS)
            places: dict[TopicPartition, int] = {}
            try:
                for record in in_order(batches):
                    if record.value is not None:
                        _schema_id, lead = await decoder.decode(record.value)
                        if wanted(lead):
                            typer.echo(json_line(shown(lead)))
                            left = None if left is None else left - 1
                    places[TopicPartition(record.topic, record.partition)] = record.offset + 1
                    if left == 0:
                        return
            finally:
                # However this ends: what was shown is not shown again.
                if group_id is not None and places:
                    with kafka.errors_translated():
                        await consumer.commit(places)


def in_order(batches: dict[TopicPartition, list[ConsumerRecord]]) -> list[ConsumerRecord]:
    """The records of several partitions by time, those of one partition always in its order."""
    return list(heapq.merge(*batches.values(), key=lambda record: record.timestamp))


async def _partitions(settings: Settings) -> list[TopicPartition]:
    async with open_consumer(settings.kafka) as consumer:
        with kafka.errors_translated():
            known = await consumer.topics()
    if CANONICAL not in known:
        raise ConfigError(f"topic {CANONICAL} is not there", hint="start the stages (`leadstream up`)")
    async with open_consumer(settings.kafka, CANONICAL) as consumer:
        return sorted(consumer.assignment())


async def _seek(consumer: AIOKafkaConsumer, start: str | datetime, group_id: str | None) -> None:
    places = sorted(consumer.assignment())
    kept = {place: await consumer.committed(place) for place in places} if group_id is not None else {}
    for place, offset in kept.items():
        if offset is not None:
            consumer.seek(place, offset)
    new = [place for place in places if kept.get(place) is None]
    if not new:
        return
    if start == "earliest":
        await consumer.seek_to_beginning(*new)
    elif isinstance(start, datetime):
        found: dict[TopicPartition, Any] = await consumer.offsets_for_times(
            dict.fromkeys(new, int(start.timestamp() * 1000))
        )
        later = [place for place in new if found.get(place) is None]
        if later:
            await consumer.seek_to_end(*later)
        for place, offset in found.items():
            if offset is not None:
                consumer.seek(place, offset.offset)
    else:
        await consumer.seek_to_end(*new)
    if group_id is not None:
        # Kept at once: what comes while nobody looks is shown the next time.
        await consumer.commit({place: await consumer.position(place) for place in new})


def _as_it_is(lead: Lead) -> Lead:
    return lead
