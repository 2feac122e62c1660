"""What operators do with failed rows, schemas and loads, on the live system, as they type it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system import PATIENCE, ROOT, System

SOURCE = "operated"
SUBJECT = f"leads.raw.{SOURCE}-value"
YAML = """
key: [{column: Id}]
dead_letter_rate: 0.2
fields:
  company: Name
  phone: Phone#
  address1: Street
"""
GOOD = [f"A{n},Sample School {n},775-555-01{n:02},{n} Main St,x" for n in range(10, 20)]
FORMULA_PHONE = 'B1,Sample Nest,"=HYPERLINK(""x"")",1 Elm St,x'
NO_PHONE_EITHER = "B2,Sample Den,call us,2 Elm St,x"
CUT_SHORT = "B3,Sample Hall"
WEEK1 = "\n".join(["Id,Name,Phone#,Street,Fax#", *GOOD, FORMULA_PHONE, CUT_SHORT, ""])
WEEK2 = "\n".join(["Id,Name,Phone#,Street,Fax", *GOOD, FORMULA_PHONE, NO_PHONE_EITHER, CUT_SHORT, ""])

Done = subprocess.CompletedProcess[str]


async def _run(system: System, *words: str) -> Done:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leadstream", *words],
        env=system.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


async def _json(system: System, *words: str) -> Any:
    done = await _run(system, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
async def loads(system: System) -> list[dict[str, Any]]:
    """Two weeks' files of a source: of 12 rows 2 failed, of 13 rows 3; one column got another name."""
    (system.sources_dir / f"{SOURCE}.yaml").write_text(YAML)
    await asyncio.sleep(2)  # the stages look at the YAML once a second
    found = [await system.load(SOURCE, text.encode(), name) for name, text in (("1.csv", WEEK1), ("2.csv", WEEK2))]
    assert [(load["status"], load["rows"], load["dead_letters"]) for load in found] == [
        ("done", 12, 2),
        ("done", 13, 3),
    ]
    return found


async def test_dead_letters_are_grouped_with_their_trend(system: System, loads: list[dict[str, Any]]) -> None:
    """Each letter is in one group; the newest load is compared with the one before; filters hold for both forms."""
    of_source = ("dlq", "list", "--source", SOURCE)
    groups, shown, letters = await asyncio.gather(
        _json(system, *of_source),
        _run(system, *of_source),
        _json(system, *of_source, "--each", "--load", loads[1]["load_id"]),
    )
    seen = {(g["stage"], g["field"], g["count"], g["in_load_before"], g["in_load"]) for g in groups}
    assert {one for one in seen if one[0] == "SPLIT"} == {("SPLIT", "", 2, 1, 1)}
    assert {one[1:] for one in seen if one[0] != "SPLIT"} == {("phone", 3, 1, 2)}
    assert {(g["load_before"], g["load_id"]) for g in groups} == {(loads[0]["load_id"], loads[1]["load_id"])}
    assert all(g["first_seen"] <= g["last_seen"] for g in groups)
    assert "1 → 2 (+1)" in shown.stdout
    assert sorted(letter["row"] for letter in letters) == [11, 12, 13]
    code = next(g["reason_code"] for g in groups if g["field"] == "phone")
    of_code, of_stage, later, alone = await asyncio.gather(
        _json(system, *of_source, "--each", "--reason", code),
        _json(system, *of_source, "--each", "--stage", "split"),
        _json(system, *of_source, "--since", "2999-01-01"),
        _json(system, *of_source, "--load", loads[0]["load_id"]),
    )
    assert (len(of_code), len(of_stage), later) == (3, 2, [])
    assert {(g["load_id"], g["in_load"], g["in_load_before"]) for g in alone} == {(loads[0]["load_id"], 1, None)}


async def test_failed_rows_go_back_to_the_vendor_in_its_own_columns(
    system: System, loads: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Cells as sent under the vendor's headers, text where there are no cells, formulas made harmless, file private."""
    file = tmp_path / "failed.csv"
    done = await _run(system, "dlq", "export", "--source", SOURCE, "--to", str(file), "--unmasked")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"5 dead letters → {file}\n")
    assert file.stat().st_mode & 0o077 == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert list(rows[0])[-6:] == ["Id", "Name", "Phone#", "Street", "Fax#", "Fax"]
    assert [(row["dlq_file"].partition("/")[2], row["dlq_row"], row["dlq_line"]) for row in rows] == [
        *(("1.csv", "11", "12"), ("1.csv", "12", "13")),
        *(("2.csv", "11", "12"), ("2.csv", "12", "13"), ("2.csv", "13", "14")),
    ]
    assert (rows[0]["Id"], rows[0]["Phone#"], rows[0]["Fax#"], rows[0]["Fax"]) == ("B1", '\'=HYPERLINK("x")', "x", "")
    assert (rows[1]["Id"], rows[1]["dlq_text"], rows[1]["dlq_reason"]) == ("", CUT_SHORT, "too_few_cells")
    assert (rows[2]["Fax#"], rows[2]["Fax"]) == ("", "x")
    written = await _run(system, "dlq", "export", "--source", SOURCE, "--load", loads[0]["load_id"], "--to", "-")
    assert len(list(csv.DictReader(io.StringIO(written.stdout)))) == 2


async def test_dead_letters_are_settled_once_and_keep_why(system: System, loads: list[dict[str, Any]]) -> None:
    """A dry run changes nothing; the second time there is nothing to do; a wrong id changes nothing at all."""
    first, second = [
        letter["id"] for letter in await _json(system, "dlq", "list", "--each", "--source", SOURCE, "--stage", "SPLIT")
    ]
    count = "select count(*) from dead_letters where source = $1 and status = $2 and status_why = $3"
    wrong = await _run(system, "dlq", "resolve", first, "no-such-id", "--why", "typed in")
    assert wrong.returncode == 1 and "no-such-id" in wrong.stderr
    trial = await _run(system, "dlq", "resolve", first, second, "--why", "typed in", "--dry-run")
    assert trial.stdout == "2 dead letters would become resolved\n"
    assert await system.sql(count, SOURCE, "resolved", "typed in") == [{"count": 0}]
    done = await _run(system, "dlq", "resolve", first, second, "--why", "typed in")
    assert done.stdout == "2 dead letters became resolved\n"
    again = await _run(system, "dlq", "resolve", first, second, "--why", "other words")
    assert (again.returncode, again.stdout.partition(":")[0]) == (0, "nothing to do")
    assert await system.sql(count, SOURCE, "resolved", "typed in") == [{"count": 2}]
    ignored = ("dlq", "ignore", "--source", SOURCE, "--load", loads[1]["load_id"], "--why", "they closed")
    assert (await _json(system, *ignored))["count"] == 2
    assert (await _json(system, *ignored))["count"] == 0
    left, everything, shown = await asyncio.gather(
        _json(system, "dlq", "list", "--source", SOURCE),
        _json(system, "dlq", "list", "--each", "--source", SOURCE, "--status", "all"),
        _run(system, "dlq", "show", first),
    )
    assert [(g["count"], g["field"]) for g in left] == [(1, "phone")]
    assert sorted(letter["status"] for letter in everything) == ["ignored"] * 2 + ["open"] + ["resolved"] * 2
    assert "resolved: typed in" in shown.stdout


async def test_a_new_header_is_a_version_whose_difference_is_told(system: System, loads: list[dict[str, Any]]) -> None:
    """The vendor's new column name is told as such; schemas list says which loads had rows in a source's schemas."""
    difference, same, unknown, subjects = await asyncio.gather(
        _json(system, "schemas", "diff", SUBJECT),
        _run(system, "schemas", "diff", SUBJECT, "--from", "1", "--to", "1"),
        _run(system, "schemas", "diff", SUBJECT, "--to", "9"),
        _json(system, "schemas", "list"),
    )
    assert (difference["from"], difference["to"]) == (1, 2)
    renamed = {"kind": "renamed", "field": "Fax", "header": "Fax", "detail": "'Fax#' is now 'Fax'"}
    assert difference["changes"] == [renamed]
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "no difference")
    listed = {one["subject"]: one for one in subjects}
    assert listed[SUBJECT]["versions"] == [1, 2]
    assert (listed[SUBJECT]["loads"], listed[SUBJECT]["newest_load"]) == (2, loads[1]["load_id"])
    assert unknown.returncode == 1 and "has no version 9" in unknown.stderr


async def test_the_schemas_of_the_checkout_break_no_reader_of_the_registry(
    system: System, loads: list[dict[str, Any]]
) -> None:
    """Every topic with a schema of ours is compared, the state of each source too."""
    findings = await _json(system, "schemas", "check")
    assert {"leads.canonical-value", f"leads.state.{SOURCE}-value"} <= {finding["against"] for finding in findings}
    assert not [finding for finding in findings if finding["problems"]]


async def test_loads_tell_alerts_durations_and_reasons(system: System, loads: list[dict[str, Any]]) -> None:
    """Above the source's dead_letter_rate a load carries an alert, below it none; reasons, drift and times are told."""
    (newest, before), listed, shown = await asyncio.gather(
        _json(system, "loads", "--source", SOURCE, "--limit", "2"),
        _run(system, "loads", "--source", SOURCE),
        _run(system, "loads", "show", loads[1]["load_id"]),
    )
    assert newest["alerts"] == ["23.1 % of the rows failed, the source's dead_letter_rate is 20 %"]
    assert before["alerts"] == []
    assert sum(reason["count"] for reason in newest["dead_letter_reasons"]) == 3
    assert set(newest["seconds"]) == {"splitting", "mapping", "writing", "total"}
    assert newest["rows_per_second"] is not None
    assert all(text in listed.stdout for text in ("ALERT: 23.1 %", "new column 'Fax'"))
    for reason in newest["dead_letter_reasons"]:  # those that are settled are no remark
        assert (reason["code"] in listed.stdout.splitlines()[2]) == (reason["open"] > 0), reason
    assert "ALERT: 23.1 %" in shown.stdout and "mapping took" in shown.stdout


async def test_watching_loads_gives_a_line_for_each_change_and_ends_cleanly(
    system: System, loads: list[dict[str, Any]]
) -> None:
    """It begins with the loads as they stand, tells of a new one until it is done, and ends with Ctrl-C, code 0."""
    words = ("loads", "--watch", "--json", "--source", SOURCE)
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadstream", *words),
        env=system.environment,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert watching.stdout is not None
    first = [json.loads(await watching.stdout.readline()) for _ in loads]
    assert [one["load_id"] for one in first] == [load["load_id"] for load in loads]
    third = await system.load(SOURCE, (WEEK2 + "A20,Sample New,775-555-0120,20 Main St,x\n").encode(), "3.csv")
    told: dict[str, Any] = {}
    async with asyncio.timeout(20 * PATIENCE):
        while (told.get("load_id"), told.get("status")) != (third["load_id"], "done"):
            told = json.loads(await watching.stdout.readline())
    assert (told["rows"], told["inserted"]) == (14, 1)
    watching.send_signal(signal.SIGINT)
    _rest, errors = await watching.communicate()
    assert (watching.returncode, errors) == (0, b"")
