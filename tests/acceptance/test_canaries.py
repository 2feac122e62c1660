"""Personal data stays where it belongs: canaries in every personal field, and a look at all that was written."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadstream.stack.supervisor import Stack
from tests.system import STAGES, System

pytestmark = pytest.mark.apart

YAML = """
key: [{column: Id}]
dead_letter_rate: 0.1
fields:
  company: Company
  phone: Phone
  phone2: Mobile
  email: Mail
  first_name: First
  last_name: Last
  licensee_name: Holder
  address1: Street
  address2: Unit
  city: City
  capacity: Capacity
"""
CRASHING = YAML.replace("company: Company", "company: {column: Company, transforms: [{function: FUNCTION}]}").replace(
    "FUNCTION", "'tests.crashing_mapping:crash'"
)
PERSON = {
    "Id": "1",
    "Company": "Zyxwabenteuer Haus",
    "Phone": "702-555-0199",
    "Mobile": "(702) 555-0198",
    "Mail": "pelikan.quagga@example.com",
    "First": "Xerxesine",
    "Last": "Zyxwabenteuer",
    "Holder": "Quittenbaum",
    "Street": "77123 Quokkapfad",
    "Unit": "Zwetschge 9",
    "City": "Elko",
    "Capacity": "12",
}
WORDS = (
    *("zyxwabenteuer", "xerxesine", "quittenbaum", "quokkapfad", "zwetschge", "pelikan", "quagga"),
    *("555-0199", "5550199", "555-0198", "5550198"),
)
HEADER = ",".join(PERSON)
ROWS = [
    PERSON,
    PERSON | {"Id": "2", "Phone": "quagga", "Mail": "pelikan quagga", "Capacity": "quokkapfad"},
    PERSON | {"Id": ""},
    PERSON | {"Id": "4", "Phone": "pelikan\0quagga"},
]
CUT_SHORT = "5,Zyxwabenteuer Haus,702-555-0199"
TOO_LONG = "6,Zyxwabenteuer Haus,702-555-0199,,pelikan.quagga@example.com,,,,77123 Quokkapfad,,,,,Quittenbaum"
GOOD, CRASHED, REFUSED = "canary", "canary-crashes", "canary-refused"


def _found(text: str) -> list[str]:
    lower = text.lower()
    return [word for word in WORDS if word in lower]


def _file(*rows: dict[str, str], header: str = HEADER, more: tuple[str, ...] = ()) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(row.values() for row in rows)
    lines = [header, *text.getvalue().splitlines(), *more, ""]
    return "\r\n".join(lines).encode()


@pytest.fixture(scope="module")
async def loads(system: System) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """The canaries are in: in good, bad and damaged rows, as a header, in a crashing mapping and an unwilling table."""
    for name, text in ((GOOD, YAML), (CRASHED, CRASHING), (REFUSED, YAML)):
        (system.sources_dir / f"{name}.yaml").write_text(text)
    await system.sql(
        f"ALTER TABLE leads ADD CONSTRAINT unwilling CHECK (source <> '{REFUSED}' OR last_name IS NULL) NOT VALID"
    )
    try:
        first, crashed, refused = await asyncio.gather(
            system.load(GOOD, _file(*ROWS, more=(CUT_SHORT, TOO_LONG)), "1.csv"),
            system.load(CRASHED, _file(*ROWS)),
            system.load(REFUSED, _file(PERSON)),
        )
        without_header = await system.load(GOOD, _file(PERSON, header=",".join(PERSON.values())), "2.csv")
        yield {"first": first, "crashed": crashed, "refused": refused, "without header": without_header}
    finally:
        await system.sql("ALTER TABLE leads DROP CONSTRAINT unwilling")


async def _letters(system: System) -> list[dict[str, Any]]:
    return await system.sql("select * from dead_letters where source like 'canary%' order by dead_letter_id")


async def test_the_canaries_are_where_they_belong(system: System, loads: dict[str, dict[str, Any]]) -> None:
    """Rows came to their ends, and those that failed were kept: otherwise the tests below would look for nothing."""
    first, without_header = loads["first"], loads["without header"]
    assert (first["status"], first["rows"], first["inserted"], first["dead_letters"]) == ("done", 6, 1, 5), first
    assert (loads["crashed"]["dead_letters"], loads["refused"]["write_failures"]) == (4, 1), loads
    assert without_header["status"] == "held", without_header
    (lead,) = await system.leads(GOOD)
    assert set(_found(str(lead))) >= {"zyxwabenteuer", "quittenbaum", "quokkapfad", "quagga", "5550199", "5550198"}
    raw = b"".join(letter["value"] for letter in await _letters(system))
    assert set(_found(raw.decode("latin-1"))) >= {"zyxwabenteuer", "quagga", "555-0199"}
    raw_rows = [value for _record, value in await system.records(f"leads.raw.{GOOD}")]
    assert set(WORDS) - set(_found(str(raw_rows))) == {"5550199", "5550198"}


async def test_no_log_of_any_part_tells_who_it_is_about(
    system: System, stack: Stack, loads: dict[str, dict[str, Any]]
) -> None:
    """Neither the stages' logs nor those of Kafka, registry, Postgres (which refused a row) and S3."""
    stages = system.all_logs()
    assert GOOD in stages
    assert _found(stages) == []
    for log in sorted((stack.home / "logs").glob("*.log")):
        text = log.read_text(errors="replace")
        assert _found(text) == [], log.name
    assert "unwilling" in (stack.home / "logs" / "postgres.log").read_text()


async def test_no_answer_of_a_stage_tells_who_it_is_about(system: System, loads: dict[str, dict[str, Any]]) -> None:
    """Metrics count the canaries and do not name them; health says nothing of rows."""
    for stage in STAGES:
        for path in ("/metrics", "/readyz", "/healthz"):
            _status, body = await system.ask(stage, path)
            assert _found(body) == [], (stage, path)
        assert GOOD in (await system.ask(stage, "/metrics"))[1], stage


async def test_no_record_about_rows_tells_who_they_are_about(system: System, loads: dict[str, dict[str, Any]]) -> None:
    """Steps, receipts, alerts, ledger, state and the tables of loads: everything but the rows and leads themselves."""
    names = ("loads", "receipts", "alerts", "ledger", "commands", *(f"state.{one}" for one in (GOOD, CRASHED, REFUSED)))
    for name in names:
        records = await system.records(f"leads.{name}")
        assert _found(" ".join(f"{record.key!r} {record.headers} {value}" for record, value in records)) == [], name
    for table in ("loads", "replays", "exports", "lead_sources", "sink_offsets"):
        assert _found(str(await system.sql(f"select * from {table}"))) == [], table
    said = "select reasons, message, reason_code, status_why from dead_letters"
    assert _found(str(await system.sql(said))) == []
    assert _found(str(await system.sql("select * from leads_masked where source like 'canary%'"))) == []


async def test_no_command_tells_who_it_is_about_unless_it_is_asked(
    system: System, loads: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Standard output and standard error of what an operator types every day, as text and as JSON."""
    file, exported = tmp_path / "again.csv", tmp_path / "leads.csv"
    file.write_bytes(_file(*ROWS, more=(CUT_SHORT,)))
    (lead,), letters = await system.leads(GOOD), await _letters(system)
    key = lead["lead_key"]
    changed = tmp_path / "changed.yaml"
    changed.write_text(
        YAML.replace("phone2: Mobile", "phone2: Phone").replace("email: Mail", "email: {constant: a@b.co}")
    )
    commands = [
        f"tail --from earliest --source {GOOD} --count 1",
        f"export --format csv --to {exported} --source {GOOD}",
        f"leads show {key}",
        f"leads show {key} --json",
        f"loads --source {GOOD}",
        f"loads show {loads['without header']['load_id']}",
        f"dlq list --each --source {GOOD} --json",
        f"dlq list --each --source {CRASHED}",
        f"dlq export --source {GOOD} --to -",
        f"dlq export --source {REFUSED} --to -",
        f"dlq retry --source {CRASHED} --dry-run --json",
        f"put {file} --source {GOOD} --dry-run",
        f"put {file} --source {GOOD} --dry-run --json",
        f"replay --source {GOOD} --dry-run --mapping {changed} --json",
        f"replay --source {GOOD} --dry-run --mapping {changed} --diff {key}",
        f"sources drift {GOOD}",
        "status",
        *(
            f"dlq show {one_id}"
            for one_id in {(o["source"], o["stage"]): o["dead_letter_id"] for o in letters}.values()
        ),
    ]
    gate = asyncio.Semaphore(4)

    async def run(command: str) -> str:
        async with gate:
            done = await system.command(*shlex.split(command))
        assert done.returncode == (1 if "drift" in command else 0), (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    said = dict(zip(commands, await asyncio.gather(*map(run, commands)), strict=True))
    assert {command: _found(text) for command, text in said.items() if _found(text)} == {}
    assert _found(exported.read_text()) == []
    diff = next(text for command, text in said.items() if "--diff" in command)
    assert "phone2" in diff and "+1*******99" in diff  # the preview had something to hide
    unmasked = json.loads(await run(f"leads show {key} --json --unmasked"))
    assert unmasked["lead"]["email"] == PERSON["Mail"] and unmasked["raw"]["columns"] == PERSON
