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
    return preview_file(Settings(), config, file, unmasked=False).document(file, f"{source}/{file.name}")


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
