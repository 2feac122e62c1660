"""The session of docs/when-a-vendor-changes-its-file.md: a vendor renames columns, and nothing is uploaded twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aioboto3

from leadstream.samples import write_sample
from tests.system import ROOT, System


async def leadstream(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leadstream", *arguments],
        cwd=ROOT,
        env=system.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


async def objects(system: System, source: str) -> dict[str, tuple[str, Any]]:
    """What is in the bucket of a source: ETag and time of each key."""
    session = aioboto3.Session(
        system.environment["S3_ACCESS_KEY_ID"], system.environment["S3_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )
    async with session.client("s3", endpoint_url=system.environment["S3_ENDPOINT_URL"]) as s3:
        answer = await s3.list_objects_v2(Bucket=system.environment["S3_BUCKET"], Prefix=f"{source}/")
    return {item["Key"]: (item["ETag"], item["LastModified"]) for item in answer.get("Contents", ())}


def weeks(folder: Path, header: dict[bytes, bytes], rows: int = 60) -> tuple[Path, Path]:
    """A Nevada file, and the same with other column names."""
    first, second = folder / "week1.csv", folder / "week2.csv"
    write_sample("nevada", first, rows=rows, seed=21, damage=False)
    names, newline, rest = first.read_bytes().partition(b"\n")
    for old, new in header.items():
        assert old in names
        names = names.replace(old, new, 1)
    second.write_bytes(names + newline + rest)
    return first, second


async def test_a_renamed_column_is_found_patched_and_its_held_load_goes_on(system: System, tmp_path: Path) -> None:
    """put, held, drift, --apply, done: the YAML keeps all but the name, the bucket stays as it is."""
    system.add_source("drifting", "nevada")
    yaml = system.sources_dir / "drifting.yaml"
    before = yaml.read_text()
    first, second = weeks(tmp_path, {b"Phone#": b"Phone"})
    assert (await leadstream(system, "put", str(first), "--source", "drifting", "--wait")).returncode == 0
    fits = await leadstream(system, "sources", "drift", "drifting")
    assert (fits.returncode, "nothing to do" in fits.stdout) == (0, True), fits

    put = await leadstream(system, "put", str(second), "--source", "drifting", "--wait")
    assert put.returncode == 1 and "column 'Phone#' is gone (renamed to 'Phone'? 97 %)" in put.stdout, put
    load_id = put.stdout.splitlines()[0].rpartition(" ")[2]
    approved = await leadstream(system, "loads", "approve", load_id)
    assert approved.returncode == 1 and "held for its header" in approved.stderr, approved
    uploaded = await objects(system, "drifting")

    shown = await leadstream(system, "sources", "drift", "drifting")
    assert shown.returncode == 1, shown
    assert "-  phone: Phone#\n+  phone: Phone\n" in shown.stdout
    assert all(f"{percent} %" in shown.stdout for percent in (91, 100, 97)), shown.stdout
    dry = await leadstream(system, "sources", "drift", "drifting", "--apply", "--dry-run", "--json")
    document = json.loads(dry.stdout)
    assert (dry.returncode, document["fits"], document["applied"], yaml.read_text()) == (1, False, False, before)
    likeness = {"column": "Phone", "name_percent": 91, "values_percent": 100, "percent": 97}
    assert document["lost"] == [{"column": "Phone#", "required": True, "suggestion": likeness}]

    applied = await leadstream(system, "sources", "drift", "drifting", "--apply")
    assert applied.returncode == 0 and "written: " in applied.stdout, applied
    assert yaml.read_text() == before.replace("phone: Phone#", "phone: Phone")
    etag = uploaded["drifting/week2.csv"][0].strip('"')
    done = await system.finished("drifting", etag, among={"done"}, name="week2.csv")
    assert (done["rows"], done["unchanged"], done["deleted"]) == (60, 60, 0)
    assert done["notes"] == ["new column 'Phone'", "column 'Phone#' is gone"]

    again = await leadstream(system, "sources", "drift", "drifting", "--apply")
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True), again
    assert await objects(system, "drifting") == uploaded


async def test_a_lost_key_and_phone_are_known_by_the_rows_before(system: System, tmp_path: Path) -> None:
    """Under names that say nothing, columns are found by their cells; the leads stay the same leads."""
    system.add_source("estranged", "nevada")
    new = {b"Credential Number": b"Ref", b"Phone#": b"Reach At", b"Name,": b"Facility,"}
    first, second = weeks(tmp_path, new)
    assert (await system.load("estranged", first.read_bytes(), "week1.csv"))["status"] == "done"
    held = await system.load("estranged", second.read_bytes(), "week2.csv")
    assert held["status"] == "held", held
    for old, suggestion in (("Credential Number", "Ref"), ("Phone#", "Reach At"), ("Name", "Facility")):
        assert f"column {old!r} is gone (renamed to {suggestion!r}?" in held["reason"]
    cells = [cell for line in first.read_text().splitlines()[1:] for cell in line.split(",") if len(cell) > 5]
    assert not any(cell in held["reason"] for cell in cells)
    assert (await leadstream(system, "sources", "drift", "estranged", "--apply")).returncode == 0
    done = await system.finished("estranged", held["object_version"], among={"done"}, name="week2.csv")
    assert (done["unchanged"], done["inserted"], done["deleted"]) == (60, 0, 0), done


async def test_what_has_no_likely_new_name_is_left_to_people(system: System, tmp_path: Path) -> None:
    """A mapped column that is simply gone: nothing is written, the exit code says that the load stays held."""
    system.add_source("bereft", "nevada")
    yaml = system.sources_dir / "bereft.yaml"
    before = yaml.read_text()
    _first, second = weeks(tmp_path, {b"County": b"Zz"})
    held = await system.load("bereft", second.read_bytes().replace(b"CLARK", b"7"), "week2.csv")
    assert held["reason"].startswith("column 'County' is gone → "), held
    drift = await leadstream(system, "sources", "drift", "bereft", "--apply")
    assert (drift.returncode, yaml.read_text()) == (1, before)
    assert "column 'County': name its new column in " in drift.stdout


async def test_what_must_be_changed_by_hand_is_shown_with_its_line(system: System, tmp_path: Path) -> None:
    """The rest is written; the load stays held until the last name is mended, and then goes on by itself."""
    by_hand = {"county: County": "county: |-\n    County", "phone: Phone#": "phone: &tel Phone#\n  phone2: *tel"}
    system.add_source("handmade", "nevada", **by_hand)
    yaml = system.sources_dir / "handmade.yaml"
    _first, second = weeks(tmp_path, {b"Phone#": b"Phone", b"County": b"County Name"})
    held = await system.load("handmade", second.read_bytes(), "week2.csv")
    assert held["status"] == "held", held
    applied = await leadstream(system, "sources", "drift", "handmade", "--apply")
    assert applied.returncode == 1 and "the held load goes on once the rest is mended" in applied.stdout, applied
    text = yaml.read_text()
    assert "phone: &tel Phone\n  phone2: *tel\n" in text
    line = text.splitlines().index("  county: |-") + 1
    assert (
        f"handmade.yaml:{line}: county: |-\n    fields.county.column: 'County' is now 'County Name'" in applied.stdout
    )
    yaml.write_text(text.replace("|-\n    County\n", "County Name\n"))
    done = await system.finished("handmade", held["object_version"], among={"done"}, name="week2.csv")
    assert (done["inserted"], done["dead_letters"]) == (60, 0), done


async def test_a_source_without_a_file_or_a_name_is_said_in_one_line(system: System) -> None:
    """Nothing to look at is an error with what to do."""
    system.add_source("fileless", "texas")
    empty = await leadstream(system, "sources", "drift", "fileless")
    assert (empty.returncode, empty.stderr.count("\n")) == (1, 1)
    assert "leadstream put FILE --source fileless" in empty.stderr
    assert "did you mean fileless?" in (await leadstream(system, "sources", "drift", "filless")).stderr
