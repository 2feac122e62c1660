"""The sample files: the vendors' shapes, and numbers that a run can be compared with."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from leadstream.errors import BadRecordError
from leadstream.sample_vendors import VENDORS, VendorName
from leadstream.samples import DAMAGES, change_sample, write_sample

ALL: tuple[VendorName, ...] = ("nevada", "oklahoma", "texas")
REAL_FILES = Path(__file__).parents[3] / "shared" / "data"


def _records(path: Path) -> list[list[str]]:
    text = path.read_bytes().replace(b"\x92", b"'").decode("utf-8")
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def _good(name: VendorName, path: Path) -> dict[str, list[str]]:
    one = VENDORS[name]
    return {row[one.key_column]: row for row in _records(path) if len(row) == one.columns and row[one.phone_column]}


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bytes(name: VendorName, tmp_path: Path) -> None:
    """A sample is a pure function of vendor, size and seed."""
    infos = [write_sample(name, tmp_path / file, 500, seed) for file, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert infos[0] == infos[1]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_an_undamaged_sample_is_a_clean_table_with_unique_keys(name: VendorName, tmp_path: Path) -> None:
    """Without damage, every row has every cell, a phone and a key of its own."""
    info = write_sample(name, tmp_path / "file.csv", 2_000, 7, damage=False)
    assert (info.rows, info.good, info.damaged) == (2_000, 2_000, [])
    assert len(_records(tmp_path / "file.csv")) == 2_000
    assert len(_good(name, tmp_path / "file.csv")) == 2_000


@pytest.mark.parametrize("name", ALL)
def test_the_list_of_damaged_rows_is_exact(name: VendorName, tmp_path: Path) -> None:
    """Every row that is not whole is in the list, under its number and kind, and no other is."""
    info = write_sample(name, tmp_path / "file.csv", 3_000, 7)
    one = VENDORS[name]
    found = []
    for number, row in enumerate(_records(tmp_path / "file.csv"), 1):
        if len(row) < one.columns:
            found.append((number, "cut_off" if name == "oklahoma" and number == 3_000 else "too_few_cells"))
        elif len(row) > one.columns:
            found.append((number, "too_many_cells"))
        elif not row[one.phone_column]:
            found.append((number, "no_phone"))
    assert found == info.damaged
    assert info.good == info.rows - len(found)
    assert set(DAMAGES) <= {what for _number, what in found}


@pytest.mark.parametrize("name", ALL)
def test_damaged_rows_still_show_their_key(name: VendorName, tmp_path: Path) -> None:
    """The key cell of a damaged row is whole, so that its lead is known to be present."""
    info = write_sample(name, tmp_path / "file.csv", 1_000, 7)
    one, rows = VENDORS[name], _records(tmp_path / "file.csv")
    assert [one.serial_of(rows[number - 1][one.key_column]) for number, _what in info.damaged] == [
        1_000 + number for number, _what in info.damaged
    ]


def test_each_vendors_oddities_are_there(tmp_path: Path) -> None:
    """What makes the real files hard stands in the samples too."""
    for name in ALL:
        write_sample(name, tmp_path / name, 1_000, 7)
    nevada, oklahoma, texas = ((tmp_path / name).read_bytes() for name in ALL)
    assert b"Address,,State" in nevada
    assert b" NORTH LAS VEGAS, NV 890" in nevada
    assert b" AND " in nevada
    assert b'\r\nPrimary Caregiver",' in oklahoma
    assert oklahoma.count(b'"') % 2 == 1
    assert texas.count(b"\x92") == 1
    assert b',The "' in texas
    assert b'"" ' in texas
    assert "Niños".encode() in texas
    assert b"Program,,,,," in texas
    assert not texas.endswith(b"\n")


def test_the_headers_are_the_vendors_own() -> None:
    """The samples' headers equal those of the vendors' files, where these are at hand."""
    for file in sorted(REAL_FILES.glob("*.csv")):
        header = file.read_bytes().split(b"\r\n")[0].decode()
        assert header in {one.header for one in VENDORS.values()}


def test_a_big_sample_is_written_as_a_stream(tmp_path: Path) -> None:
    """Memory does not grow with the number of rows."""
    tracemalloc.start()
    try:
        write_sample("texas", tmp_path / "file.csv", 50_000, 7)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (tmp_path / "file.csv").stat().st_size / 2


@pytest.mark.parametrize("damage", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_a_changed_sample_differs_exactly_as_it_says(name: VendorName, damage: bool, tmp_path: Path) -> None:
    """The counts of a change are those that a comparison of the two files by key gives."""
    write_sample(name, tmp_path / "old", 3_000, 7, damage=damage)
    info = change_sample(tmp_path / "old", tmp_path / "new", seed=8, update=0.05, delete=0.02, insert=0.03)
    old, new = _good(name, tmp_path / "old"), _good(name, tmp_path / "new")
    assert info.inserted == len(new.keys() - old.keys()) > 0
    assert info.deleted == len(old.keys() - new.keys()) > 0
    kept = Counter(old[key] == new[key] for key in old.keys() & new.keys())
    assert (info.updated, info.unchanged) == (kept[False], kept[True])
    assert info.updated > 0
    assert info.rows == len(_records(tmp_path / "new")) == len(new) + info.damaged
    assert (info.damaged > 0) == damage


@pytest.mark.parametrize("name", ALL)
def test_duplicates_and_reordered_rows_are_counted_too(name: VendorName, tmp_path: Path) -> None:
    """Of rows with one key the last is the lead, in both files; each earlier one is a duplicate."""
    write_sample(name, tmp_path / "1", 2_000, 7, damage=False)
    for week in (2, 3):
        info = change_sample(tmp_path / str(week - 1), tmp_path / str(week), seed=week, duplicate=0.2, reorder=True)
        old, new = _good(name, tmp_path / str(week - 1)), _good(name, tmp_path / str(week))
        rows = _records(tmp_path / str(week))
        assert info.rows == len(rows) == len(new) + info.duplicates
        kept = Counter(old[key] == new[key] for key in old.keys() & new.keys())
        assert (info.updated, info.unchanged) == (kept[False], kept[True])
        assert (info.inserted, info.deleted) == (len(new.keys() - old.keys()), len(old.keys() - new.keys()))
        assert [row for row in new if row in old][:100] != list(old)[:100]
        contents: dict[str, list[list[str]]] = {}
        for row in rows:
            contents.setdefault(row[VENDORS[name].key_column], []).append(row)
        different = [same for same in contents.values() if len({tuple(row) for row in same}) > 1]
        assert info.different_duplicates == sum(len(same) - 1 for same in different)
        assert 0 < info.different_duplicates < info.duplicates
        assert all(len({tuple(row) for row in same}) == len(same) for same in different)


def test_a_change_without_shares_keeps_every_byte(tmp_path: Path) -> None:
    """With nothing to change, the next week's file is the same file."""
    for name in ALL:
        write_sample(name, tmp_path / "old", 1_000, 7, damage=name != "oklahoma")
        change_sample(tmp_path / "old", tmp_path / "new", seed=1, update=0, delete=0, insert=0)
        assert (tmp_path / "new").read_bytes() == (tmp_path / "old").read_bytes()


def test_a_changed_sample_can_be_changed_again(tmp_path: Path) -> None:
    """Week after week, new leads get keys that none had before."""
    write_sample("nevada", tmp_path / "1", 500, 7)
    seen = set(_good("nevada", tmp_path / "1"))
    for week in (2, 3, 4):
        info = change_sample(tmp_path / str(week - 1), tmp_path / str(week), seed=week, insert=0.1)
        keys = set(_good("nevada", tmp_path / str(week)))
        assert len(keys - seen) == info.inserted
        seen |= keys


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file with another header is no sample."""
    (tmp_path / "other.csv").write_text("a,b\r\n1,2\r\n")
    with pytest.raises(BadRecordError, match="not a sample file"):
        change_sample(tmp_path / "other.csv", tmp_path / "new", seed=1)
