"""`leadstream export`: files of live leads and of changes, from what the stages wrote."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aioboto3
import asyncpg
import pytest
from pyarrow import parquet

from leadstream.cli.export_file import columns
from leadstream.samples import change_sample, write_sample
from schemas.records import lead_fields
from tests.system import ROOT, System

SOURCE = "exported"
BUCKET = "exports"
ROWS = 150
PERSONAL = ("phone", "phone2", "email", "first_name", "last_name", "licensee_name", "address1", "address2")


@pytest.fixture(scope="module")
async def weeks(system: System, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Three weekly files of a source: the second changes, deletes and adds; the third is the first again, so that
    what was deleted comes back. Only the first is loaded."""
    folder = tmp_path_factory.mktemp(SOURCE)
    system.add_source(SOURCE, "texas")
    write_sample("texas", folder / "1.csv", rows=ROWS, seed=31, damage=False)
    change_sample(folder / "1.csv", folder / "2.csv", seed=32, update=0.1, delete=0.1, insert=0.1)
    files = [(folder / name).read_bytes() for name in ("1.csv", "2.csv", "1.csv")]
    assert (await system.load(SOURCE, files[0], "week1.csv"))["inserted"] == ROWS
    return files


async def test_a_full_export_has_every_live_lead_in_every_field(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """Unmasked, the Parquet file is the table `leads` where deleted_at is null; CSV has the same rows."""
    for file_format in ("parquet", "csv"):
        document = await _export(system, file_format, tmp_path / f"all.{file_format}", "--unmasked")
        assert (document["rows"], document["masked"], document["inserted"]) == (ROWS, False, None)
    rows = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert rows == [{name: lead[name] for name in columns(changes=False)} for lead in await system.leads(SOURCE)]
    in_csv = _read_csv((tmp_path / "all.csv").read_text())
    assert [row["lead_key"] for row in in_csv] == [row["lead_key"] for row in rows]
    assert [row["phone"] for row in in_csv] == [row["phone"] or "" for row in rows]
    assert _names(tmp_path) == ["all.csv", "all.parquet"]


async def test_an_export_masks_personal_data_unless_told_otherwise(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """No phone, e-mail, name or street address leaves by default."""
    await _export(system, "csv", tmp_path / "masked.csv")
    rows = {row["lead_key"]: row for row in _read_csv((tmp_path / "masked.csv").read_text())}
    for lead in await system.leads(SOURCE):
        for name in PERSONAL:
            shown = rows[lead["lead_key"]][name]
            assert shown == "" if lead[name] is None else "***" in shown and lead[name] not in shown
        assert rows[lead["lead_key"]]["city"] == (lead["city"] or "")


async def test_files_of_changes_one_after_the_other_are_the_live_leads(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """Week by week, each change is in exactly one file, with what it means to a reader of the files before."""
    live: dict[str, dict[str, Any]] = {}
    first = await _apply_changes(system, tmp_path, live)
    assert (first["last_export_at"], first["inserted"], first["rows"]) == (None, ROWS, ROWS)
    assert (await _apply_changes(system, tmp_path, live))["rows"] == 0

    between = datetime.now(UTC)
    load = await system.load(SOURCE, weeks[1], "week2.csv")
    preview = await _export(system, "parquet", tmp_path / "changes.parquet", "--since", "last", "--dry-run")
    by_time = await _export(system, "csv", tmp_path / "since.csv", "--since", between.isoformat(), "--dry-run")
    second = await _apply_changes(system, tmp_path, live)
    counts = [{name: d[name] for name in ("inserted", "updated", "deleted")} for d in (load, second, preview, by_time)]
    assert counts == [counts[0]] * 4 and min(counts[0].values()) > 0

    third_load = await system.load(SOURCE, weeks[2], "week3.csv")
    third = await _apply_changes(system, tmp_path, live)
    assert (third["inserted"], third["deleted"]) == (load["deleted"], load["inserted"])
    assert third_load["status"] == "done" and len(live) == ROWS


async def test_what_came_and_went_between_two_exports_is_in_neither(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """A reader who never saw a lead is not told that it was deleted; one deleted and back again was updated."""
    to = tmp_path / "net.parquet"
    await _export(system, "parquet", to, "--since", "last")
    there_and_back = [await system.load(SOURCE, weeks[i], f"net{i}.csv") for i in (1, 2)]
    assert all(load["deleted"] and load["inserted"] for load in there_and_back)
    document = await _export(system, "parquet", to, "--since", "last")
    touched = there_and_back[0]["updated"] + there_and_back[0]["deleted"]
    assert (document["inserted"], document["updated"], document["deleted"]) == (0, touched, 0)


async def test_an_export_to_s3_is_one_whole_object_with_the_time_in_its_key(system: System, weeks: list[bytes]) -> None:
    """{time} gives each file its own key while the export keeps its name, so that --since last goes on."""
    async with _s3(system) as s3:
        await s3.create_bucket(Bucket=BUCKET)
        to = f"s3://{BUCKET}/weekly/{{time}}.csv"
        document = await _export(system, "csv", to, "--since", "last")
        _, _, key = document["to"].removeprefix("s3://").partition("/")
        body = await (await s3.get_object(Bucket=BUCKET, Key=key))["Body"].read()
    assert key != "weekly/{time}.csv"
    assert len(_read_csv(body.decode())) == document["rows"] == len(await system.leads(SOURCE))
    assert (await _export(system, "csv", to, "--since", "last"))["rows"] == 0


async def test_an_export_that_could_not_be_kept_is_not_remembered(system: System, weeks: list[bytes]) -> None:
    """The next one has the changes that the failed one should have had."""
    to = "s3://unreachable/x.csv"
    done = await _run(system, "csv", to, "--since", "last", S3_ENDPOINT_URL="http://127.0.0.1:1")
    assert done.returncode == 1 and "S3_ENDPOINT_URL" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not await system.sql("select * from exports where name = $1", to)


async def test_two_exports_to_one_place_never_work_at_the_same_time(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """The second one says so and changes nothing: else a file could be replaced by an older one."""
    await _export(system, "csv", tmp_path / "busy.csv", "--since", "last")
    before = (tmp_path / "busy.csv").read_bytes()
    connection = await asyncpg.connect(system.environment["POSTGRES_DSN"])
    try:
        async with connection.transaction():
            await connection.execute("select * from exports where name = $1 for update", str(tmp_path / "busy.csv"))
            done = await _run(system, "csv", tmp_path / "busy.csv", "--since", "last", "--source", SOURCE)
    finally:
        await connection.close()
    assert done.returncode == 1 and "another process" in done.stderr, done.stderr
    assert (tmp_path / "busy.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("to", "said"), [("s3://{S3_BUCKET}/x.csv", "land"), ("s3://exports", "no object"), ("no-such/x.csv", "no folder")]
)
async def test_a_place_that_cannot_be_meant_is_wrong_use(system: System, to: str, said: str) -> None:
    """An export into the landing bucket would come back as a vendor's file."""
    done = await _run(system, "csv", to.format(**system.environment))
    assert done.returncode == 2 and said in done.stderr, done.stderr


async def test_a_misspelt_source_is_said_instead_of_an_empty_file(
    system: System, weeks: list[bytes], tmp_path: Path
) -> None:
    """The hint names the source that was meant."""
    done = await _run(system, "csv", tmp_path / "x.csv", "--source", "exportd")
    assert done.returncode == 2 and "did you mean exported?" in done.stderr
    assert _names(tmp_path) == []


async def _apply_changes(system: System, folder: Path, live: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Export what changed, do to ``live`` what the file says, and hold the result against Postgres."""
    document = await _export(system, "parquet", folder / "changes.parquet", "--since", "last", "--unmasked")
    rows = parquet.read_table(folder / "changes.parquet").to_pylist()
    ops = [row["op"] for row in rows]
    assert [document[name] for name in ("inserted", "updated", "deleted")] == [ops.count(op) for op in "cud"]
    for row in rows:
        assert (row["lead_key"] in live) == (row["op"] != "c")
        live.pop(row["lead_key"], None)
        if row["op"] != "d":
            live[row["lead_key"]] = {name: row[name] for name in lead_fields()}
    table = await system.leads(SOURCE)
    assert live == {lead["lead_key"]: {name: lead[name] for name in lead_fields()} for lead in table}
    return document


async def _export(system: System, file_format: str, to: object, *options: str) -> dict[str, Any]:
    done = await _run(system, file_format, to, "--source", SOURCE, "--json", *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def _run(
    system: System, file_format: str, to: object, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "leadstream", "export", "--format", file_format, "--to", str(to), *options],
        env={**system.environment, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _s3(system: System) -> Any:
    session = aioboto3.Session(
        system.environment["S3_ACCESS_KEY_ID"], system.environment["S3_SECRET_ACCESS_KEY"], region_name="us-east-1"
    )
    return session.client("s3", endpoint_url=system.environment["S3_ENDPOINT_URL"])


def _read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
