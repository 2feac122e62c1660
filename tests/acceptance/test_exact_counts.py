"""The receipt of a refresh, the leads, their history and the topic say exactly what was changed in the file."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leadstream.sample_vendors import VENDORS
from leadstream.samples import BYTES_AS_TEXT, ChangeInfo, change_sample, write_sample
from tests.system import System

Change = dict[str, Any]

WEEKS: list[Change] = [
    {"update": 0.05, "delete": 0.04, "insert": 0.03, "reorder": True},
    {"update": 0.02, "delete": 0.05, "insert": 0.06, "duplicate": 0.05, "reorder": True},
    {"update": 0.05, "delete": 0.02, "insert": 0.01, "duplicate": 0.02},
]
ONE_LEAD_WEEKS: list[Change] = [
    {"update": 1, "delete": 0, "insert": 0},
    {"update": 0, "delete": 1, "insert": 1},
    {"update": 0, "delete": 0, "insert": 0, "duplicate": 1},
]


def phones(file: Path) -> dict[str, str]:
    """By lead key, the digits of the phone in its last row."""
    one = VENDORS["texas"]
    with file.open(encoding=BYTES_AS_TEXT, newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return {row[one.key_column]: row[one.phone_column].replace("-", "") for row in rows}


async def check_weeks(system: System, folder: Path, rows: int, weeks: list[Change], timeout: float) -> None:
    """A first file and its refreshes, each compared with what was changed."""
    source = f"exact-{rows}"
    system.add_source(source, "texas")
    write_sample("texas", folder / "0.csv", rows, seed=rows, damage=False)
    infos = [ChangeInfo(rows, inserted=rows, updated=0, unchanged=0, deleted=0, damaged=0)]
    sent: Counter[str] = Counter()
    for week in range(len(weeks) + 1):
        file = folder / f"{week}.csv"
        if week:
            infos.append(change_sample(folder / f"{week - 1}.csv", file, seed=rows + week, **weeks[week - 1]))
        load = await system.load(source, file.read_bytes(), file.name, timeout)
        check_receipt(load, infos[-1])
        sent[load["load_id"]] = load["sent"]
        leads = await system.leads(source)
        found = {lead["lead_key"].removeprefix(f"{source}:"): lead["phone"][-10:] for lead in leads}
        assert found == phones(file)

    history = await system.sql(
        "select load_id, op, count(*) as versions from lead_history where source = $1 group by load_id, op", source
    )
    versions = {(row["load_id"], row["op"]): row["versions"] for row in history}
    records = await system.records("leads.canonical", source)
    assert Counter((value["load_id"], value["op"]) for _record, value in records if value) == versions
    assert sum(1 for _record, value in records if value is None) == sum(info.deleted for info in infos)
    for load_id, info in zip(sent, infos, strict=True):
        assert sum(count for (one, _op), count in versions.items() if one == load_id) == sent[load_id]
        assert (versions.get((load_id, "c"), 0), versions.get((load_id, "d"), 0)) == (info.inserted, info.deleted)


def check_receipt(load: dict[str, Any], info: ChangeInfo) -> None:
    """Every count of a receipt, to the row."""
    wanted = {
        "status": "done",
        "rows": info.rows,
        "inserted": info.inserted,
        "updated": info.updated,
        "unchanged": info.unchanged,
        "stale": info.duplicates,
        "duplicates": info.duplicates,
        "deleted": info.deleted,
        "deletes_held": 0,
        "dead_letters": 0,
    }
    assert {name: load[name] for name in wanted} == wanted, load
    assert info.changes <= load["sent"] <= info.changes + info.different_duplicates


async def test_refreshes_of_small_files_come_out_exactly(system: System, tmp_path: Path) -> None:
    """One row, some, and more than a batch: inserted, updated, deleted, moved, repeated."""
    for rows, weeks in ((1, ONE_LEAD_WEEKS), (37, WEEKS), (5_000, WEEKS)):
        folder = tmp_path / str(rows)
        folder.mkdir()
        await check_weeks(system, folder, rows, weeks, timeout=90)


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_refreshes_of_200_000_rows_come_out_exactly(system: System, tmp_path: Path) -> None:
    """Ten transactions of the producer a load and more, and as many batches in each lane."""
    await check_weeks(system, tmp_path, 200_000, WEEKS, timeout=400)
