"""``put --dry-run``: what comes of a file is said before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leadstream.cli.put_preview import preview_file, print_preview
from leadstream.sample_vendors import VendorName
from leadstream.samples import write_sample
from leadstream.settings import Settings
from leadstream.sources import load_sources
from tests.system import ROOT

VENDORS: tuple[VendorName, ...] = ("nevada", "oklahoma", "texas")


def preview(source: str, file: Path) -> dict[str, Any]:
    """The document of a dry run."""
    config = load_sources(ROOT / "sources")[source]
    return preview_file(Settings(), config, file, unmasked=False).document(
        file, f"{source}/{file.name}", config.refresh
    )


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_row_is_a_lead_or_a_dead_letter(vendor: VendorName, tmp_path: Path) -> None:
    """The sums come out, and the failures are those that the sample says it has, line by line."""
    info = write_sample(vendor, tmp_path / "a.csv", rows=300, seed=8)
    found = preview(vendor, tmp_path / "a.csv")
    assert (found["rows"], found["leads"], found["failed"]) == (300, info.good, len(info.damaged))
    assert found["leads"] == found["distinct_leads"] and not found["held"]
    lines = {line for failure in found["failures"] for line in failure["lines"]}
    assert len(lines) > 1
    if vendor != "oklahoma":  # whose rows take several lines each
        assert lines <= {row + 1 for row, _what in info.damaged}
    filled = {field["field"]: field["filled"] for field in found["fields"]}
    assert filled["phone"] == filled["address1"] == found["leads"]


def test_personal_data_of_the_examples_is_masked(tmp_path: Path) -> None:
    """Whoever tries a mapping sees that a phone is a phone, not whose."""
    write_sample("texas", tmp_path / "a.csv", rows=5, seed=8, damage=False)
    examples = {field["field"]: field["example"] for field in preview("texas", tmp_path / "a.csv")["fields"]}
    assert "*******" in examples["phone"] and examples["address1"] == "***"


def test_a_header_that_lacks_mapped_columns_would_hold_the_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which, with the likeliest new name; no row is mapped."""
    write_sample("nevada", tmp_path / "a.csv", rows=20, seed=8, damage=False)
    file = tmp_path / "b.csv"
    file.write_text((tmp_path / "a.csv").read_text().replace("Phone#", "Phone", 1))
    found = preview("nevada", file)
    assert "Phone#" in found["held"] and "'Phone'" in found["held"] and found["leads"] == 0
    print_preview(found)
    assert "20 rows would be held, none of them mapped" in capsys.readouterr().out
    write_sample("texas", file, rows=20, seed=8, damage=False)
    assert "Credential Number" in preview("nevada", file)["held"]


def test_what_the_file_alone_says_of_held_deletes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cut-off end and rows that name no lead hold the deletes, in the words of the load; a shrunk one is not seen."""
    file = tmp_path / "a.csv"
    write_sample("nevada", file, rows=20, seed=8, damage=False)
    assert preview("nevada", file)["deletes_held"] == ""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:-1], "," * (lines[0].count(",")) + "x\r\n", '"Half a row']))
    found = preview("nevada", file)
    assert found["deletes_held"].startswith("the file looks cut off (last row: ")
    assert found["deletes_held"].endswith("; 2 rows name no lead") and not found["held"]
    print_preview(found)
    said = capsys.readouterr().out
    assert "; 2 rows name no lead: deletes would be held\n" in said and "far fewer rows" in said


def test_a_failure_says_why_as_the_dead_letters_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do and the shape of the first value, never the value."""
    file = tmp_path / "a.csv"
    write_sample("texas", file, rows=5, seed=8, damage=False)
    lines = file.read_text("latin-1").splitlines(keepends=True)
    found = preview("texas", file)
    phone = next(field["example"] for field in found["fields"] if field["field"] == "phone")
    assert phone and not found["failures"]
    header, row = lines[0], lines[1]
    cells = row.split(",")
    at = next(i for i, name in enumerate(header.split(",")) if "phone" in name.lower())
    cells[at] = "call Ada"
    file.write_text("".join([header, ",".join(cells), *lines[2:]]), "latin-1")
    (failure,) = preview("texas", file)["failures"]
    assert failure["message"] == "is no possible phone number (looks like 'aaaa aaa')"
    print_preview(preview("texas", file))
    assert "looks like 'aaaa aaa'" in capsys.readouterr().out
