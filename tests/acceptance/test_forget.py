"""``leadstream forget``: a person is erased from the live system and no file brings the person back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from schemas.headers import FORGOTTEN, to_dict
from schemas.records import lead_fields
from tests.system import System

pytestmark = pytest.mark.apart

SOURCE, OTHER = "forgetful", "forgetful-too"
YAML = """
key: [{column: Id}]
fields:
  company: Name
  phone: Phone
  email: Mail
  address1: Street
  capacity: Capacity
"""
HEADER = "Id,Name,Phone,Mail,Street,Capacity"
ANN = "A,Ann's Place,775-555-0123,ann.quill@example.com,1 Elm St,12"
ANN_FAILS = "A,Ann's Place,775-555-0123,ann.quill@example.com,1 Elm St,a dozen"
BOB = "B,Bob's Place,775-555-0124,bob.quill@example.com,2 Elm St,6"
CAT = "C,Cat's Place,775-555-0125,cat.quill@example.com,3 Elm St,6"
EVE = "E,Eve's Place,(775) 555-0199,eve.quill@example.com,4 Elm St,6"
EVE_CUT_SHORT = "E9,Eve's Place,775.555.0199"
EVE_FAILS = "E8,Eve's Place,775-555-0126,Eve.Quill@example.com,4 Elm St,a dozen"
EVE_ELSEWHERE = "E7,Eve's Nest,1 775 555 0199,,5 Elm St,6"


def _file(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


async def _forget(system: System, *words: str) -> dict[str, Any]:
    done = await system.command("forget", *words, "--json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _keys(system: System, source: str = SOURCE) -> list[str]:
    return [lead["lead_key"].partition(":")[2] for lead in await system.leads(source)]


async def _load(system: System, name: str, *rows: str, source: str = SOURCE) -> dict[str, Any]:
    load = await system.load(source, _file(*rows), name)
    assert load["status"] == "done" and not load["deletes_held"], load
    return load


@pytest.fixture(scope="module")
async def sources(system: System) -> None:
    """Two vendors that know the same people."""
    for name in (SOURCE, OTHER):
        (system.sources_dir / f"{name}.yaml").write_text(YAML + "refresh: partial\n" * (name == OTHER))
    await asyncio.sleep(2)  # the stages look at the YAML once a second


async def test_a_forgotten_lead_is_erased_everywhere_and_stays_out_until_it_is_let_in(
    system: System, sources: None
) -> None:
    """A dry run first; then tables, topics and state; the next file, a replay, another worker; and back again."""
    await _load(system, "1.csv", ANN, BOB)
    await _load(system, "2.csv", ANN_FAILS, BOB)
    key, everything = f"{SOURCE}:A", "select count(*) from lead_history where lead_key = $1"
    trial = await _forget(system, key, "--dry-run")
    assert trial["forgotten"] == [{"subject": key, "leads": [key], "versions": 1, "dead_letters": 1, "kept_out": False}]
    assert await _keys(system) == ["A", "B"]
    refused = await system.command("forget", key)
    assert refused.returncode != 0 and "cannot be undone" in refused.stderr and await _keys(system) == ["A", "B"]
    assert "nothing was erased (--yes" in refused.stderr
    nowhere, nobody = [await system.command("forget", name, "--dry-run") for name in ("nosuch:5", f"{SOURCE}:Z")]
    assert nowhere.returncode == 2 and "there is no source 'nosuch' → known sources: " in nowhere.stderr
    assert nobody.returncode == 0 and f"warning: there is no lead '{SOURCE}:Z'" in nobody.stderr

    done = await _forget(system, key, "--yes")
    assert done["forgotten"] == [trial["forgotten"][0] | {"kept_out": True}]
    copies = done["copies"]
    assert [file["key"] for file in copies["files"]] == [f"{SOURCE}/1.csv", f"{SOURCE}/2.csv"]
    assert copies["raw_topics"] == [f"leads.raw.{SOURCE}"] and len(copies["dead_letter_records"]) == 1
    assert await system.sql("select * from leads where lead_key = $1", key) == []
    assert await system.sql(everything, key) == [{"count": 0}]
    (letter,) = await system.sql("select * from dead_letters where source = $1", SOURCE)
    assert (letter["key"], letter["value"], letter["status"]) == (None, None, "resolved"), letter
    records = [
        (record, value) for record, value in await system.records("leads.canonical") if record.key == key.encode()
    ]
    (_first, created), (delete, deleted), (_tombstone, nothing) = records
    assert created is not None and created["op"] == "c" and nothing is None
    assert deleted is not None and deleted["op"] == "d" and FORGOTTEN in to_dict(delete.headers)
    assert not any(deleted[name] for name in lead_fields())
    entries = [value for record, value in await system.records(f"leads.state.{SOURCE}") if record.key == b"A"]
    assert entries[-1] is None

    load = await _load(system, "3.csv", ANN, BOB, CAT)
    assert (load["rows"], load["inserted"], load["unchanged"], load["stale"]) == (3, 1, 1, 1)
    replayed = await system.command("replay", "--source", SOURCE, "--json")
    assert (replayed.returncode, replayed.stderr) == (0, "") and json.loads(replayed.stdout)["sent"] == 0
    preview = await system.command("replay", "--source", SOURCE, "--dry-run", "--json")
    assert json.loads(preview.stdout)["leads"] == [], preview
    system.kill_and_restart("process")
    load = await _load(system, "4.csv", ANN, BOB, CAT)
    assert (load["unchanged"], load["stale"]) == (2, 1)
    assert await _keys(system) == ["B", "C"] and await system.sql(everything, key) == [{"count": 0}]

    again = await _forget(system, key, "--yes")
    assert again["forgotten"] == [{"subject": key, "leads": [], "versions": 0, "dead_letters": 0, "kept_out": True}]
    assert await _forget(system, key, "--undo") == {"dry_run": False, "let_in": [key]}
    assert (await _load(system, "5.csv", ANN, BOB, CAT))["inserted"] == 1
    unknown = await system.command("forget", "--undo", key)
    assert unknown.returncode == 1 and "was not forgotten by this name" in unknown.stderr


async def test_whoever_has_a_phone_or_an_email_is_erased_in_every_source_and_stays_out(
    system: System, sources: None
) -> None:
    """However it is written, also in damaged rows; new rows of other keys are passed over, failing ones too."""
    await _load(system, "6.csv", BOB, CAT, ANN, EVE)
    await system.load(OTHER, _file(BOB, EVE, EVE_CUT_SHORT, EVE_FAILS), "1.csv")
    named = ("--phone", "(775) 555-0199", "--email", "EVE.QUILL@example.com", "--yes")
    done = await _forget(system, *named)
    by_phone, by_email = done["forgotten"]
    assert (by_phone["subject"], by_email["subject"]) == ("+1*******99", "***@example.com")
    assert by_phone["leads"] == by_email["leads"] == [f"{OTHER}:E", f"{SOURCE}:E"]
    assert (by_phone["dead_letters"], by_email["dead_letters"]) == (1, 1)
    assert "eve.quill" not in json.dumps(done).lower() and "5550199" not in json.dumps(done)
    letters = await system.sql("select value from dead_letters where source = $1", OTHER)
    assert letters == [{"value": None}] * 2
    assert (await _keys(system), await _keys(system, OTHER)) == (["A", "B", "C"], ["B"])

    load = await system.load(OTHER, _file(BOB, EVE, EVE_FAILS, EVE_ELSEWHERE), "2.csv")
    assert (load["status"], load["rows"], load["unchanged"], load["stale"]) == ("done", 4, 1, 3), load
    assert await _keys(system, OTHER) == ["B"]
    assert (await _forget(system, *named))["forgotten"][0]["dead_letters"] == 0
    commands = await system.records("leads.commands")
    assert "quill" not in str(commands).lower() and "5550199" not in str(commands)


async def test_with_another_secret_nobody_is_forgotten(system: System) -> None:
    """The digests would mean nothing to the stages: nothing is sent, and it is said what to set."""
    await _forget(system, f"{SOURCE}:nobody", "--yes")  # from here on the secret is known by its digests
    other = await system.command("forget", f"{SOURCE}:A", "--yes", LEADSTREAM_PRIVACY_KEY="another")
    assert other.returncode == 1 and "LEADSTREAM_PRIVACY_KEY" in other.stderr
