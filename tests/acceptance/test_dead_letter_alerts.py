"""A share of failed rows above the source's threshold: an alert, and where the source says so a load that is held."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from leadstream.changelog import read_partition
from leadstream.settings import KafkaSettings
from schemas.headers import to_dict
from tests.system import PATIENCE, System

ROWS = 400
YAML = """
key: [{column: Id}]
dead_letter_rate: 0.1
fields:
  company: Name
  phone: Phone
  address1: Street
"""
HOLDING = YAML + "hold_dead_letters: true\n"
PERSONAL = "775-555"
LANES = 4
ALERTED_WITHIN_SECONDS = 60
"""A killed worker's part in Faust's consumer group is given away after its session timeout, 10 s."""


def rows_of_which_30_percent_fail(phone: str = "Phone") -> bytes:
    """Three of ten rows have no phone number."""
    return a_file(lambda n: "call us" if n % 10 < 3 else f"775-555-{n:04}", phone)


def good_rows() -> bytes:
    """The same leads with another phone, all of them good."""
    return a_file(lambda n: f"775-557-{n:04}")


def a_file(number: Callable[[int], str], phone: str = "Phone") -> bytes:
    """A file of 400 rows."""
    lines = [f"A{n},Sample School {n},{number(n)},{n} Main St,775-556-{n:04}" for n in range(ROWS)]
    return "\n".join([f"Id,Name,{phone},Street,Mobile", *lines, ""]).encode()


async def alerts_of(system: System, load_id: str, count: int) -> list[dict[str, Any]]:
    """The records of a load on leads.alerts, once there are ``count``."""
    deadline = time.monotonic() + ALERTED_WITHIN_SECONDS * PATIENCE
    while True:
        records = [value for _record, value in await system.records("leads.alerts")]
        found = [value for value in records if value is not None and value["load_id"] == load_id]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{count} alerts expected, found: {found}\n{system.log('process')[-3000:]}"
        await asyncio.sleep(0.2)


async def test_too_many_failed_rows_raise_one_alert_where_tools_can_take_it(system: System) -> None:
    """Without hold_dead_letters the load is done; topic, log and `loads` say the same, and no row's value."""
    (system.sources_dir / "alarming.yaml").write_text(YAML)
    await asyncio.sleep(2)  # the stages look at the YAML once a second
    load = await system.load("alarming", rows_of_which_30_percent_fail())
    assert (load["status"], load["inserted"], load["dead_letters"]) == ("done", 280, 120), load
    (alert,) = await alerts_of(system, load["load_id"], 1)
    text = "30 % of the rows failed, the source's dead_letter_rate is 10 %"
    assert (alert["kind"], alert["source"], alert["text"]) == ("dead_letter_rate", "alarming", text)
    assert (alert["rows"], alert["dead_letters"], alert["rate"], alert["threshold"]) == (400, 120, 0.3, 0.1)
    (record,) = [record for record, value in await system.records("leads.alerts") if value == alert]
    assert record.key == b"alarming" and PERSONAL.encode() not in record.value
    told = [line for line in system.log("process").splitlines() if load["load_id"] in line and " alert " in line]
    assert len(told) == 1 and "dead_letter_rate" in told[0] and PERSONAL not in told[0], told
    shown = await system.command("loads", "show", load["load_id"], "--json")
    assert json.loads(shown.stdout)["alerts"] == [text]


async def test_a_load_that_is_held_or_failed_raises_an_alert_with_its_reason(system: System) -> None:
    """A lost column, a file that is no table: facts that stood in `loads` come to whoever listens."""
    (system.sources_dir / "stopped.yaml").write_text(YAML)
    await asyncio.sleep(2)
    held = await system.load("stopped", rows_of_which_30_percent_fail("Fax"), "held.csv")
    failed = await system.load("stopped", b"%PDF-1.7 \x00\x01 not rows at all", "failed.csv")
    for load in (held, failed):
        (alert,) = await alerts_of(system, load["load_id"], 1)
        assert (alert["kind"], alert["text"], alert["threshold"]) == (load["status"], load["reason"], 0.1), alert


async def until_halted(system: System, load_id: str) -> None:
    """Wait until each lane has halted: each has some hundred rows of the load."""
    halted = f"cardinality(halted_partitions) = {LANES} and status = 'held'"
    await system.until(f"select 1 from loads where load_id = '{load_id}' and {halted}", 30)


async def steps_of(system: System, load_id: str) -> Counter[tuple[str, int]]:
    """What the lanes told of a load, counted by step and partition."""
    records = [value for _record, value in await system.records("leads.loads")]
    found = [value for value in records if value is not None and value["load_id"] == load_id]
    return Counter((value["step"], value["partition"]) for value in found if value["partition"] >= 0)


async def letters_of(system: System, load_id: str) -> int:
    """How many dead letters of a load stand on leads.dlq."""
    kafka = KafkaSettings(bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"])
    count = 0
    for lane in range(LANES):
        async for records in read_partition(kafka, "leads.dlq", lane):
            count += sum(to_dict(record.headers).get("leadstream.load_id") == load_id for record in records)
    return count


async def test_a_load_that_fails_too_much_is_held_and_goes_on_when_its_mapping_is_mended(system: System) -> None:
    """Nothing of it is sent or lost, also when the workers die meanwhile; other sources do not notice."""
    yaml = system.sources_dir / "halting.yaml"
    yaml.write_text(HOLDING)
    (system.sources_dir / "unaware.yaml").write_text(YAML)
    await asyncio.sleep(2)
    assert (await system.load("halting", good_rows(), "1.csv"))["inserted"] == ROWS
    before = await system.leads("halting")
    held = await system.load("halting", rows_of_which_30_percent_fail(), "2.csv")
    assert held["status"] == "held", held
    assert "the source's dead_letter_rate is 10 %" in held["reason"] and "most often phone: " in held["reason"]
    assert "mend halting.yaml" in held["reason"] and f"loads approve {held['load_id']}" in held["reason"]
    await until_halted(system, held["load_id"])
    letters = await letters_of(system, held["load_id"])
    changes = await system.sql("select 1 from lead_history where load_id = $1", held["load_id"])

    system.kill_and_restart("process")
    assert (await system.load("unaware", rows_of_which_30_percent_fail()))["status"] == "done"
    assert await letters_of(system, held["load_id"]) == letters
    assert await steps_of(system, held["load_id"]) == {("halted", lane): 1 for lane in range(LANES)}
    if not letters:
        assert not changes and await system.leads("halting") == before
    (alert,) = await alerts_of(system, held["load_id"], 1)
    assert alert["kind"] == "held" and "failed" in alert["text"] and PERSONAL not in alert["text"]

    yaml.write_text(HOLDING.replace("phone: Phone", "phone: Mobile"))
    done = await system.finished("halting", held["object_version"], among={"done"}, name="2.csv")
    assert (done["rows"], done["updated"], done["dead_letters"]) == (ROWS, ROWS - letters, letters), done
    assert (done["halted_partitions"], done["reason"]) == ([], "")
    assert await letters_of(system, held["load_id"]) == letters
    phones = {lead["phone"] for lead in await system.leads("halting")}
    assert sum("775556" in "".join(filter(str.isdigit, phone)) for phone in phones) == ROWS - letters
    told = await steps_of(system, held["load_id"])
    assert told == {(step, lane): 1 for step in ("halted", "resumed", "mapped") for lane in range(LANES)}


async def test_a_held_load_is_let_through_by_approve_and_never_rejected(system: System) -> None:
    """The approval outlives the workers; every row is counted; the alert about the rate comes at the end."""
    (system.sources_dir / "approved.yaml").write_text(HOLDING)
    await asyncio.sleep(2)
    held = await system.load("approved", rows_of_which_30_percent_fail())
    assert held["status"] == "held", held
    await until_halted(system, held["load_id"])
    rejected = await system.command("loads", "reject", held["load_id"])
    assert rejected.returncode == 1 and "rows cannot be rejected" in rejected.stderr, rejected
    tried = await system.command("loads", "approve", held["load_id"], "--dry-run")
    assert tried.returncode == 0 and "would go on in spite of the rows that fail" in tried.stdout, tried
    approval = asyncio.create_task(system.command("loads", "approve", held["load_id"], "--json"))
    await asyncio.sleep(1)
    system.kill_and_restart("process")
    answer = await approval
    assert answer.returncode == 0 and json.loads(answer.stdout)["was_halted"] is True, answer
    done = await system.finished("approved", held["object_version"], among={"done"})
    assert (done["rows"], done["inserted"], done["dead_letters"]) == (ROWS, 280, 120), done
    assert await letters_of(system, held["load_id"]) == 120
    assert len(await system.leads("approved")) == 280
    told = {alert["kind"] for alert in await alerts_of(system, held["load_id"], 2)}
    assert told == {"held", "dead_letter_rate"}
    again = await system.command("loads", "approve", held["load_id"])
    assert again.returncode == 0 and "nothing to do" in again.stdout, again
