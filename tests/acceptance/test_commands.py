"""The commands of every day against the running system, as a user types them."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shlex
from collections.abc import Awaitable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from leadstream.samples import write_sample
from tests.system import System

SOURCE = "typed"
ROWS = 40
LOAD_FIELDS = {
    *("load_id", "source", "bucket", "key", "load_seq", "status", "rows", "inserted", "updated", "unchanged"),
    *("stale", "deleted", "failed", "started_at", "finished_at"),
}
CANARY = {
    "Operation/Caregiver Name": "Zyxwabenteuer Haus",
    "Address": "77123 Quokkapfad",
    "Phone": "702-555-0199",
    "Email Address": "pelikan.quagga@example.com",
}
CANARY_WORDS = ("zyxwabenteuer", "quokkapfad", "555-0199", "5550199", "pelikan", "quagga")

_UTC_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.fixture(scope="module")
async def receipt(system: System, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of ``put --wait --json`` for a file with damaged rows."""
    system.add_source(SOURCE, "texas")
    file = tmp_path_factory.mktemp("commands") / "t.csv"
    write_sample("texas", file, rows=ROWS, seed=60)
    done = await system.command("put", str(file), "--source", SOURCE, "--wait", "--timeout", "40", "--json")
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)
    assert document["file"] == str(file)
    load: dict[str, Any] = document["load"]
    return load


def _succeeded(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stdout, done.stderr)
    return done.stdout


async def _json(running: Awaitable[CompletedProcess[str]]) -> Any:
    return json.loads(_succeeded(await running))


async def _together(system: System, *commands: str) -> list[CompletedProcess[str]]:
    return await asyncio.gather(*(system.command(*shlex.split(command)) for command in commands))


def _one_line(done: CompletedProcess[str]) -> str:
    """The error of a command that failed: one line, no traceback."""
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr


async def test_put_waits_and_prints_a_receipt_that_adds_up(receipt: dict[str, Any]) -> None:
    """Rows = inserted + updated + unchanged + stale + failed, for a file with damaged rows."""
    parts = ("inserted", "updated", "unchanged", "stale", "failed")
    assert (receipt["status"], receipt["rows"]) == ("done", ROWS)
    assert receipt["rows"] == sum(receipt[name] for name in parts)
    assert receipt["failed"] > 0


async def test_put_says_receipts_in_words_and_fails_for_a_file_that_cannot_be_used(
    system: System, tmp_path: Path, receipt: dict[str, Any]
) -> None:
    """The same bytes at the same key: known since when, with the receipt. Of a failed load the reason; exit code 1."""
    write_sample("texas", tmp_path / "t.csv", rows=ROWS, seed=60)
    (tmp_path / "none.csv").write_bytes(b"")
    put = f"put --source {SOURCE} --wait --timeout 30 {tmp_path}"
    again, unwaited, failed, as_json = await _together(
        system,
        f"{put}/t.csv",
        f"put --source {SOURCE} {tmp_path}/t.csv --json",
        f"{put}/none.csv",
        f"{put}/none.csv --json",
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"{SOURCE}/t.csv: already loaded at ") and "nothing was done" in again.stdout
    (known,) = json.loads(_succeeded(unwaited))
    assert (known["load"], known["known"]["load_id"]) == (None, receipt["load_id"])
    assert (known["known"]["status"], known["known"]["at"]) == ("done", receipt["finished_at"])
    assert receipt["load_id"] in again.stdout
    assert f"{ROWS} rows = inserted {receipt['inserted']} + " in again.stdout
    assert (failed.returncode, as_json.returncode) == (1, 1)
    assert failed.stdout.startswith(f"{SOURCE}/none.csv: failed") and "the file is empty" in failed.stdout
    assert json.loads(as_json.stdout)[0]["load"]["status"] == "failed"


async def test_put_for_an_unknown_source_is_wrong_use_with_a_suggestion(system: System, tmp_path: Path) -> None:
    """Exit code 2, one line, did you mean …; nothing is uploaded."""
    (tmp_path / "t.csv").write_text("a\n1\n")
    done = await system.command("put", str(tmp_path / "t.csv"), "--source", "nevda")
    assert done.returncode == 2
    assert "did you mean nevada?" in _one_line(done)


async def test_loads_are_listed_with_stable_fields_and_shown_with_why_rows_failed(
    system: System, receipt: dict[str, Any]
) -> None:
    """What scripts rely on is there; a load is found by the beginning of its id; an unknown id is one line."""
    load_id = receipt["load_id"]
    as_json, in_words, shown, shown_in_words, unknown = await _together(
        system,
        f"loads --source {SOURCE} --json",
        f"loads --source {SOURCE}",
        f"loads show {load_id[:10]} --json",
        f"loads show {load_id}",
        "loads show nothing",
    )
    loads = json.loads(_succeeded(as_json))
    load = next(load for load in loads if load["load_id"] == load_id)
    assert load.keys() >= LOAD_FIELDS
    assert {name: load[name] for name in LOAD_FIELDS} == {name: receipt[name] for name in LOAD_FIELDS}
    assert re.fullmatch(_UTC_TIME, load["started_at"]) and re.fullmatch(_UTC_TIME, load["finished_at"])
    assert {load["source"] for load in loads} == {SOURCE}
    assert load_id in _succeeded(in_words)
    reasons = json.loads(_succeeded(shown))["dead_letter_reasons"]
    assert sum(reason["count"] for reason in reasons) == receipt["failed"]
    assert f"{SOURCE}/t.csv: done" in _succeeded(shown_in_words) and reasons[0]["code"] in shown_in_words.stdout
    assert unknown.returncode == 1 and "there is no load 'nothing'" in _one_line(unknown)


async def test_a_lead_is_shown_with_its_history_and_the_row_the_vendor_sent(
    system: System, receipt: dict[str, Any]
) -> None:
    """The raw row is read back from Kafka, under the vendor's own column names; a wrong key brings a suggestion."""
    key = (await system.leads(SOURCE))[0]["lead_key"]
    as_json, in_words, unknown, misspelt = await _together(
        system,
        f"leads show {key} --json --unmasked",
        f"leads show {key}",
        f"leads show nowhere:{key.partition(':')[2]}",
        f"leads show {key[:-1]}",
    )
    # Others may know the same provider: those of the source that was named come first.
    assert _one_line(misspelt).partition("did you mean ")[2].startswith(f"{SOURCE}:")
    shown = json.loads(_succeeded(as_json))
    assert shown["lead"]["lead_key"] == key
    assert [version["op"] for version in shown["history"]] == ["c"]
    assert f"{SOURCE}:{shown['raw']['columns']['Operation #']}" == key
    assert "history" in _succeeded(in_words) and "Operation/Caregiver Name" in in_words.stdout
    # Other sources of the session may know the same provider: which of them are named is not promised.
    assert unknown.returncode == 1 and f":{key.partition(':')[2]}" in _one_line(unknown).partition("did you mean")[2]


async def test_dead_letters_are_listed_and_shown_as_the_vendor_sent_them(
    system: System, receipt: dict[str, Any]
) -> None:
    """By load; one of them with its bytes as text or cells, and every reason."""
    listed = await _json(system.command("dlq", "list", "--each", "--load", receipt["load_id"], "--json"))
    assert len(listed) == receipt["failed"]
    letter = listed[0]
    as_json, in_words, list_in_words, grouped, unknown = await _together(
        system,
        f"dlq show {letter['id']} --json",
        f"dlq show {letter['id']}",
        f"dlq list --each --source {SOURCE}",
        f"dlq list --source {SOURCE} --json",
        "dlq show 9-9999999",
    )
    shown = json.loads(_succeeded(as_json))
    assert {name: shown[name] for name in letter} == letter
    assert shown["content"].get("text") or shown["content"].get("cells")
    assert f"{SOURCE}/t.csv: row {letter['row']}, line {letter['line']}" in _succeeded(in_words)
    assert letter["reason_code"] in in_words.stdout
    assert letter["id"] in _succeeded(list_in_words)
    assert sum(group["count"] for group in json.loads(_succeeded(grouped))) >= receipt["failed"]
    assert unknown.returncode == 1 and "leadstream dlq list" in _one_line(unknown)


async def test_tail_prints_committed_changes_as_json_lines(system: System, receipt: dict[str, Any]) -> None:
    """From the earliest, of one source, so many and no more."""
    tail = system.command("tail", "--from", "earliest", "--source", SOURCE, "--count", "5")
    lines = [json.loads(line) for line in _succeeded(await tail).splitlines()]
    assert [(line["source"], line["op"]) for line in lines] == [(SOURCE, "c")] * 5


async def test_schemas_and_sources_are_listed_and_shown(system: System, receipt: dict[str, Any]) -> None:
    """The raw subject of a source has the vendor's column names; a misspelt name brings a suggestion."""
    subject = f"leads.raw.{SOURCE}-value"
    schemas, schema, sources, source, checked, no_subject, no_source = await _together(
        system,
        "schemas list --json",
        f"schemas show {subject}",
        "sources list --json",
        f"sources show {SOURCE}",
        "sources check",
        f"schemas show {subject.replace('typed', 'tpyed')}",
        "sources show texsa",
    )
    listed = {one["subject"]: one for one in json.loads(_succeeded(schemas))}
    assert listed[subject]["versions"] == [1]
    assert {"leads.canonical-value", "leads.loads-value", "leads.ledger-value"} <= listed.keys()
    assert "Operation #" in [field["header"] for field in json.loads(_succeeded(schema))["fields"]]
    assert {"nevada", "oklahoma", "texas", SOURCE} <= {one["name"] for one in json.loads(_succeeded(sources))}
    assert "Operation #" in _succeeded(source)
    assert "all sources can be used" in _succeeded(checked)
    assert no_subject.returncode == 1 and f"did you mean {subject}?" in _one_line(no_subject)
    assert no_source.returncode == 2 and "did you mean texas?" in _one_line(no_source)


async def test_status_and_doctor_say_how_it_is_and_the_part_that_is_away_is_named(
    system: System, receipt: dict[str, Any]
) -> None:
    """Exit code 0 when all is well; a part that is away is 1 and one FAILED line with what to do."""
    as_json, in_words = await _together(system, "status --json", "status")
    document = json.loads(_succeeded(as_json))
    assert document["counts"]["leads"] >= receipt["inserted"]
    assert document["loads"] and document["error"] is None
    assert "open dead letters" in _succeeded(in_words)
    assert "FAILED" not in _succeeded(await system.command("doctor"))
    ill = await system.command("doctor", SCHEMA_REGISTRY_URL="http://127.0.0.1:1")
    assert ill.returncode == 1
    failed = [line for line in ill.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert re.match(r"FAILED registry .+ → .*SCHEMA_REGISTRY_URL", failed[0])


async def test_the_dsn_is_printed_and_a_second_migration_has_nothing_to_do(system: System) -> None:
    """`psql "$(leadstream dsn)"` works; migrate changes only what lags behind."""
    dsn, as_json, in_words = await _together(system, "dsn", "migrate --json", "migrate")
    assert _succeeded(dsn) == system.environment["POSTGRES_DSN"] + "\n"
    assert json.loads(_succeeded(as_json))["applied"] == []
    assert "up to date" in _succeeded(in_words)


async def test_personal_data_stands_in_no_log(system: System, tmp_path: Path) -> None:
    """Neither of a lead that passes, nor of rows that are damaged, invalid or unkeyed, in whatever stage."""
    system.add_source("discreet", "texas")
    write_sample("texas", tmp_path / "t.csv", rows=1, seed=61, damage=False)
    header, row = (tmp_path / "t.csv").read_text().splitlines()[:2]
    columns = header.split(",")
    cells = dict(zip(columns, next(csv.reader([row])), strict=True)) | CANARY
    rows = [
        cells | {"Operation #": "1"},
        cells | {"Operation #": "2", "Capacity": "quagga", "Phone": "pelikan"},
        cells | {"Operation #": ""},
        cells | {"Operation #": "4", "Zip": "pelikan\0quagga"},
    ]
    lines = [header, *(",".join(f'"{one[name]}"' for name in columns) for one in rows), ",".join(CANARY.values())]
    load = await system.load("discreet", "\r\n".join(lines).encode(), timeout=40)
    assert (load["rows"], load["inserted"], load["dead_letters"]) == (5, 1, 4), load
    logs = system.all_logs().lower()
    assert "discreet" in logs
    assert [word for word in CANARY_WORDS if word in logs] == []
    letters = await _json(system.command("dlq", "list", "--each", "--source", "discreet", "--json"))
    assert [word for word in CANARY_WORDS if word in json.dumps(letters).lower()] == []
