"""The files of `export`: what stands in their cells."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from leadstream.cli.export_file import columns, harmless, open_file
from schemas.records import lead_fields

MOMENT = datetime.datetime(2026, 1, 31, 8, 30, tzinfo=datetime.UTC)
LEAD: dict[str, Any] = {
    **dict.fromkeys(lead_fields()),
    "op": "u",
    "lead_key": "acme:1",
    "source": "acme",
    "company": '=HYPERLINK("http://example.com")',
    "accepts_financial_aid": True,
    "ages_served": ["infants", "school_age"],
    "capacity": 12,
    "phone": "+17025550123",
    "city": "Ælfstad,\nNorth",
    "license_issued": datetime.date(2020, 2, 29),
    "first_seen_at": MOMENT,
    "updated_at": MOMENT,
    "load_id": "3f2a91c0d4e5b677",
    "content_hash": b"not a column",
}


@pytest.mark.parametrize("text", ["=1+1", "+1;ext=2", "-a", "@SUM(A1)", "\t=1", "\r=1", "+1*******23", "+", "-5+cmd"])
def test_what_a_spreadsheet_would_run_is_led_by_an_apostrophe(text: str) -> None:
    """A vendor's cell can never run on the machine of whoever opens the file."""
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["+17025550123", "-5", "+1.50", "1=1", "a@b.example", "", "'=1"])
def test_what_no_spreadsheet_runs_stays_as_it_is(text: str) -> None:
    """Numbers, phones among them, and signs further in are no formulas."""
    assert harmless(text) == text


def test_a_csv_file_says_every_value_in_plain_text(tmp_path: Path) -> None:
    """Lists, truth, days and times have one spelling; what is empty is an empty cell."""
    names = columns(changes=True)
    with open_file(tmp_path / "x.csv", "csv", names) as write:
        write([LEAD])
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == names and names[:3] == ("op", "lead_key", "source")
    assert {name: text for name, text in row.items() if text} == {
        "op": "u",
        "lead_key": "acme:1",
        "source": "acme",
        "company": '\'=HYPERLINK("http://example.com")',
        "accepts_financial_aid": "true",
        "ages_served": "infants;school_age",
        "capacity": "12",
        "phone": "+17025550123",
        "city": "Ælfstad,\nNorth",
        "license_issued": "2020-02-29",
        "first_seen_at": "2026-01-31T08:30:00Z",
        "updated_at": "2026-01-31T08:30:00Z",
        "load_id": "3f2a91c0d4e5b677",
    }


def test_a_parquet_file_has_every_value_as_it_is(tmp_path: Path) -> None:
    """Types are those of the canonical schema, and nothing is changed for a spreadsheet's sake."""
    names = columns(changes=False)
    with open_file(tmp_path / "x.parquet", "parquet", names) as write:
        write([LEAD])
        write([LEAD])
    table = parquet.read_table(tmp_path / "x.parquet")
    assert tuple(table.column_names) == names
    assert table.to_pylist() == [{name: LEAD[name] for name in names}] * 2
    types = {name: str(table.schema.field(name).type) for name in ("capacity", "license_issued", "updated_at")}
    assert types == {"capacity": "int32", "license_issued": "date32[day]", "updated_at": "timestamp[ms, tz=UTC]"}


def test_a_file_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    """A week in which nothing changed gives a file that can be read."""
    names = columns(changes=True)
    with open_file(tmp_path / "x.parquet", "parquet", names):
        pass
    with open_file(tmp_path / "x.csv", "csv", names):
        pass
    assert tuple(parquet.read_table(tmp_path / "x.parquet").column_names) == names
    assert (tmp_path / "x.csv").read_text() == ",".join(names) + "\n"
