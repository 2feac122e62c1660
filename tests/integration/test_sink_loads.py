"""What becomes of a load in Postgres: its steps are folded there, and it is done when everything has arrived."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from schemas.headers import Stage
from sink.batch import Batch
from sink.postgres_output import PostgresOutput
from tests.integration.sink_world import LANES, World, batch, letter_headers


async def test_a_load_is_done_only_when_everything_sent_has_arrived(world: World) -> None:
    """Neither the steps nor the records alone make a load done, in whatever order they come."""
    async with world.sink() as task:
        await world.send_leads(world.lead(2), world.lead(3))
        await world.until("SELECT applied FROM load_applied", 2, task)
        await world.send_steps(*world.steps(4, inserted=3, dead_letters=1, sent=3))
        await world.until("SELECT applied FROM loads", 2, task)
        assert (await world.sql("SELECT status, finished_at FROM loads")) == [
            {"status": "processing", "finished_at": None}
        ]
        await world.send_leads(world.lead(4))
        await world.until("SELECT applied FROM loads", 3, task)
        assert (await world.sql("SELECT status FROM loads")) == [{"status": "processing"}]
        await world.send(world.dead_letters, b"1,2", headers=letter_headers(row_number=4))
        await world.until("SELECT status FROM loads", "done", task)
    (row,) = await world.sql("SELECT * FROM loads")
    assert (row["applied"], row["dead_letters_applied"], row["reason"]) == (3, 1, "")
    assert row["finished_at"] is not None


async def test_a_load_whose_sum_does_not_come_out_is_broken(world: World) -> None:
    """Rows without a fate make the load broken, with the difference, though everything sent has arrived."""
    async with world.sink() as task:
        await world.send_leads(world.lead(2))
        await world.send_steps(*world.steps(3, inserted=1, unchanged=1, sent=1))
        await world.until("SELECT status FROM loads", "broken", task)
    assert "difference 1" in (await world.sql("SELECT reason FROM loads"))[0]["reason"]


async def test_reading_the_topics_again_adds_nothing(world: World) -> None:
    """With the offsets set back, history, leads, dead letters and every load stay as they were."""
    await world.send_leads(*(world.lead(number) for number in range(10)))
    await world.send(world.dead_letters, b"x", headers=letter_headers(11))
    await world.send_steps(*world.steps(11, inserted=10, dead_letters=1, sent=10))
    held = [world.step("splitting", "load-2"), world.step("held", "load-2", reason="Phone# is gone")]
    await world.send_steps(*held, *world.steps(0, "load-2"))
    await world.send_steps(world.step("splitting", "load-3"), world.step("failed", "load-3", reason="is no table"))
    tables = ("leads", "lead_history", "dead_letters", "loads", "load_applied", "sink_offsets")
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM loads WHERE status = 'done'", 2, task)
        await world.until("SELECT status FROM loads WHERE load_id = 'load-3'", "failed", task)
    before = [await world.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    read = sum(row["next_offset"] for row in before[-1])
    await world.sql("UPDATE sink_offsets SET next_offset = 0")
    async with world.sink() as task:
        await world.until("SELECT sum(next_offset)::bigint FROM sink_offsets", read, task)
    assert [await world.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before


async def test_a_step_that_comes_again_changes_nothing(world: World) -> None:
    """Each lane of a load counts once, in one batch or in a later one."""
    splitting, split, *mapped = world.steps(4, inserted=4, sent=4)
    await world.send_leads(*(world.lead(number) for number in range(4)))
    async with world.sink() as task:
        await world.send_steps(splitting, splitting, split, mapped[0], mapped[0], split)
        await world.until("SELECT partitions_mapped FROM loads", 1, task)
        await world.send_steps(mapped[0], split, *mapped[1:])
        await world.until("SELECT status FROM loads", "done", task)
    (row,) = await world.sql("SELECT * FROM loads")
    assert (row["rows"], row["inserted"], row["sent"], row["mapped_partitions"]) == (4, 4, 4, list(range(LANES)))


@pytest.mark.parametrize("together", [True, False])
async def test_lanes_report_in_any_order_and_between_the_steps_of_other_loads(world: World, together: bool) -> None:
    """Kafka keeps splitting and split before the lanes' steps; all else may come as it likes and gives the same."""
    loads = [world.steps(6, f"load-{number}", inserted=1, unchanged=5, sent=1) for number in range(2)]
    (first, *early), (second, *late) = loads
    steps = [first, second, early[0], early[2], late[0], late[1], early[1], late[2]]
    async with world.sink() as task:
        for number in range(2):
            await world.send_leads(world.lead(number, f"load-{number}"))
        if together:
            await world.send_steps(*steps)
        else:
            for count, step in enumerate(steps, 1):
                await world.send_steps(step)
                # a transaction's marker takes an offset as well
                await world.until(
                    f"SELECT next_offset >= {2 * count - 1} FROM sink_offsets "
                    f"WHERE topic = '{world.loads}' AND partition = 0",
                    True,
                    task,
                )
        await world.until("SELECT count(*) FROM loads WHERE status = 'done'", 2, task)
    rows = await world.sql("SELECT * FROM loads ORDER BY load_id")
    for row, (splitting, split, *mapped) in zip(rows, loads, strict=True):
        assert (row["rows"], row["inserted"], row["unchanged"], row["sent"]) == (6, 1, 5, 1)
        assert (row["started_at"], row["split_at"]) == (splitting["at"], split["at"])
        assert row["mapped_at"] == mapped[-1]["at"]


async def test_two_sinks_that_finish_a_load_at_once_leave_it_done(world: World) -> None:
    """Whichever of the last step and the last record is written second sees the first."""
    records, reports = PostgresOutput(world.dsn), PostgresOutput(world.dsn)
    leads, steps = TopicPartition(world.canonical, 0), TopicPartition(world.loads, 0)
    await records.offsets([leads])
    await reports.offsets([steps])
    for number in range(20):
        load = f"load-{number}"
        await asyncio.gather(
            records.write(await batch(world, number, world.lead(2 * number, load))),
            reports.write(Batch({steps: number}, {steps: number + 1}, steps=world.steps(1, load, inserted=1, sent=1))),
        )
    assert (await world.sql("SELECT status, count(*) AS n FROM loads GROUP BY status")) == [{"status": "done", "n": 20}]
    await records.close()
    await reports.close()


async def test_a_held_load_goes_on_as_if_it_had_never_been_held(world: World) -> None:
    """While held the load says why; tried again it is done, and nothing of the first try remains."""
    async with world.sink() as task:
        await world.send_steps(world.step("splitting"), world.step("held", reason="Phone# is gone", notes=["drift"]))
        await world.until("SELECT reason FROM loads WHERE status = 'held'", "Phone# is gone", task)
        again = world.steps(2, unchanged=2)
        await world.send_steps(*again)
        await world.until("SELECT status FROM loads", "done", task)
    (row,) = await world.sql("SELECT * FROM loads")
    assert (row["reason"], row["notes"], row["started_at"]) == ("", [], again[0]["at"])


async def test_a_load_that_a_lane_halted_is_held_until_that_lane_goes_on(world: World) -> None:
    """Whatever else is known of it: split, mapped elsewhere, or failed since; afterwards as if nothing had been."""
    splitting, split, *mapped = world.steps(4, unchanged=4)
    async with world.sink() as task:
        await world.send_steps(splitting, world.step("halted", partition=0, reason="too many rows fail"), split)
        await world.until("SELECT reason FROM loads WHERE status = 'held'", "too many rows fail", task)
        await world.send_steps(*mapped[1:])
        await world.until(f"SELECT status FROM loads WHERE partitions_mapped = {LANES - 1}", "held", task)
        await world.send_steps(world.step("resumed", partition=0))
        await world.until("SELECT status FROM loads", "processing", task)
        await world.send_steps(mapped[0])
        await world.until("SELECT status FROM loads", "done", task)
        gone = [world.step("splitting", "load-2"), world.step("halted", "load-2", partition=0, reason="they fail")]
        await world.send_steps(*gone, world.step("failed", "load-2", reason="was replaced while it was read"))
        await world.until("SELECT reason FROM loads WHERE receipt_status = 'failed'", "they fail", task)
        await world.send_steps(world.step("resumed", "load-2", partition=0))
        await world.until("SELECT status FROM loads WHERE load_id = 'load-2'", "failed", task)
    rows = await world.sql("SELECT reason, halted_partitions, halted_reason FROM loads ORDER BY load_id")
    assert rows[0] == {"reason": "", "halted_partitions": [], "halted_reason": ""}
    assert rows[1]["reason"] == "was replaced while it was read"


async def test_a_letter_about_a_file_is_resolved_when_its_load_is_done_after_all(world: World) -> None:
    """Whether the letter is read before or after the last step; letters of rows, other loads, and settled ones stay."""
    about_the_file = letter_headers(0, stage=Stage.FILE)
    async with world.sink() as task:
        await world.send_steps(world.step("splitting"), world.step("failed", reason="no source claims it"))
        await world.send(world.dead_letters, b"first", b"ignored", headers=about_the_file)
        await world.send(world.dead_letters, b"row", headers=letter_headers(1))
        await world.send(world.dead_letters, b"other load", headers=letter_headers(0, "load-2", stage=Stage.FILE))
        await world.until("SELECT count(*) FROM dead_letters WHERE status = 'open'", 4, task)
        await world.until("SELECT status FROM loads", "failed", task)
        await world.sql("UPDATE dead_letters SET status = 'ignored', status_why = 'ann' WHERE value = 'ignored'")
        await world.send_steps(*world.steps(1, dead_letters=1))
        await world.until("SELECT status FROM loads", "done", task)
        # done and resolved were one transaction
        found = await world.sql("SELECT value, status, status_why FROM dead_letters")
        await world.send(world.dead_letters, b"late", headers=about_the_file)
        await world.until("SELECT status FROM dead_letters WHERE value = 'late'", "resolved", task)
    assert {row["value"]: (row["status"], row["status_why"]) for row in found} == {
        b"first": ("resolved", "the file was split again and is done"),
        b"ignored": ("ignored", "ann"),
        b"row": ("open", None),
        b"other load": ("open", None),
    }
    assert (await world.sql("SELECT status, dead_letters_applied FROM loads")) == [
        {"status": "done", "dead_letters_applied": 1}
    ]
