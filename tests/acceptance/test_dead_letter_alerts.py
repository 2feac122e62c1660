"""A share of failed rows above the source's threshold: an alert on the topic and in the log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.system import System

ROWS = 400
YAML = """
key: [{column: Id}]
dead_letter_rate: 0.1
fields:
  company: Name
  phone: Phone
  address1: Street
"""
PERSONAL = "775-555"


def rows_of_which_30_percent_fail(phone: str = "Phone") -> bytes:
    """Three of ten rows have no phone number."""
    lines = [f"Id,Name,{phone},Street,Mobile"]
    for n in range(ROWS):
        number = "call us" if n % 10 < 3 else f"775-555-{n:04}"
        lines.append(f"A{n},Sample School {n},{number},{n} Main St,775-556-{n:04}")
    return "\n".join([*lines, ""]).encode()


async def alerts_of(system: System, load_id: str, count: int) -> list[dict[str, Any]]:
    """The records of a load on leads.alerts, once there are ``count``."""
    async with asyncio.timeout(20):
        while True:
            records = [value for _record, value in await system.records("leads.alerts")]
            found = [value for value in records if value is not None and value["load_id"] == load_id]
            if len(found) >= count:
                return found
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
