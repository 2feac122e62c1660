"""A lead that is forgotten: the sink erases it when it comes to its delete, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from schemas.headers import LetterEvent, Stage, erasure_headers, letter_event_headers
from schemas.registry import Registry
from sink.lead_changes import Change, ChangeReader
from sink.postgres_output import PostgresOutput
from tests.integration.sink_world import World, batch, letter_headers

ERASURE = erasure_headers("forget-1")


async def _erasing(world: World, change: Change) -> Change:
    """The change as an erasure's message."""
    message: ConsumerRecord[Any, Any] = change.message
    registry = Registry(world.settings.registry)
    told = ConsumerRecord(
        **{name: getattr(message, name) for name in message.__dataclass_fields__} | {"headers": ERASURE}
    )
    read = await ChangeReader(registry).read(told)
    await registry.close()
    return read


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_what_came_before_an_erasure_goes_and_what_comes_after_begins_anew(
    world: World, one_by_one: bool
) -> None:
    """In one batch as in several, also when the person was let in again by an older file; other leads stay."""
    output = PostgresOutput(world.dsn)
    first = await batch(world, 0, world.lead(2, seq=5, phone="+17025550101"), world.lead(4, seq=5))
    second = await batch(
        world,
        2,
        world.lead(2, seq=6, op="u", phone="+17025550102"),
        world.lead(2, seq=6, op="d", phone=None, company=None),
        world.lead(2, "load-0", seq=3, phone="+17025550103"),
        world.lead(4, seq=6, op="u", company="B\0D" if one_by_one else "New"),
    )
    second.changes[1] = await _erasing(world, second.changes[1])
    assert [change.erases for change in second.changes] == [False, True, False, False]
    partitions = list(first.expected)
    await output.offsets(partitions)
    await output.write(first)
    await output.write(second)
    await output.close()
    leads = await world.sql("SELECT lead_key, phone, load_seq, first_seen_at, updated_at FROM leads ORDER BY lead_key")
    assert [(lead["lead_key"], lead["phone"], lead["load_seq"]) for lead in leads if lead["lead_key"] == "acme:2"] == [
        ("acme:2", "+17025550103", 3)
    ]
    assert leads[0]["first_seen_at"] == leads[0]["updated_at"]
    versions = await world.sql("SELECT phone, op, valid_to FROM lead_history WHERE lead_key = 'acme:2'")
    assert versions == [{"phone": "+17025550103", "op": "c", "valid_to": None}]
    counted = {row["load_id"]: row["applied"] for row in await world.sql("SELECT * FROM load_applied")}
    assert counted == {"load-0": 1, "load-1": 4 - one_by_one}


async def test_a_forgotten_letter_keeps_its_place_and_loses_its_content(world: World) -> None:
    """Whoever reads the topics from their beginning ends with the same: the place in Kafka is told, not the words."""
    told = letter_event_headers(
        LetterEvent.FORGOTTEN,
        source="acme",
        letter_partition=0,
        letter_offset=0,
        replay_id="forget-1",
        mapping_version="",
    )
    async with world.sink() as task:
        await world.send(world.dead_letters, b"2,Ann,775", headers=letter_headers(2, stage=Stage.SPLIT))
        await world.send(world.dead_letters, b"", headers=told)
        await world.until("SELECT status FROM dead_letters", "resolved", task)
    (letter,) = await world.sql("SELECT * FROM dead_letters")
    assert (letter["key"], letter["value"], letter["status_why"]) == (None, None, "forgotten (forget-1)")
    assert (letter["row_number"], letter["reason_code"], letter["attempts"]) == (2, "not_a_number", 0)
