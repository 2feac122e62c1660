"""Files that were made to break something, through the running stages: each costs itself, and the next one is read."""

from __future__ import annotations

import gzip

import pytest

from processors.row_mapping import LONGEST_VALUE_CHARACTERS
from producer.header import MAX_COLUMNS
from tests.acceptance.plain_source import HEADER, MAPPING
from tests.system import System
from tests.unit.splitting import zipped

pytestmark = pytest.mark.apart

BOMB_BYTES = 80_000_000
MOST_GROWTH_KILOBYTES = 120_000


def _rows(*numbers: int) -> bytes:
    return b"".join(b"%d,House %d,%d Main St,Reno,702-555-0101\r\n" % (n, n, n) for n in numbers)


def _locked(archive: bytes) -> bytes:
    """A zip archive whose first member says that it is encrypted."""
    return archive[:6] + bytes([archive[6] | 1]) + archive[7:]


async def test_hostile_files_cost_themselves_and_the_next_file_is_read(system: System) -> None:
    """One dead letter and one reason each, no lead deleted, memory as before; then a good file as if nothing was."""
    (system.sources_dir / "hostile.yaml").write_text(MAPPING)
    good = HEADER + _rows(1, 2, 3)
    assert (await system.load("hostile", good, "0-good.csv"))["inserted"] == 3
    memory = system.memory_kilobytes()
    files = {
        "empty": (b"", "empty"),
        "mark-alone": (b"\xef\xbb\xbf", "empty"),
        "header-alone": (HEADER, "header_only"),
        "utf16-without-mark": (good.decode().encode("utf-16-le"), "binary"),
        "nul-in-header": (b"I\0d" + good[2:], "binary"),
        "no-encoding-in-header": (b"Id\x81" + good[2:], "undecodable"),
        "million-columns": (b",".join([b"Id"] * 1_000_000) + b"\r\n" + _rows(1), "no_table"),
        "two-in-a-zip": (zipped({"a.csv": good, "b.csv": good}), "archive_members"),
        "locked": (_locked(zipped({"a.csv": good})), "corrupt_archive"),
        "damaged-gzip": (gzip.compress(good)[:20] + b"\xff" * 40, "corrupt_archive"),
        "gzip-bomb": (gzip.compress(HEADER + b"\n" * BOMB_BYTES), "archive_bomb"),
        "zip-bomb": (zipped({"a.csv": good + b"\n" * BOMB_BYTES}), "archive_bomb"),
    }
    etags = {name: await system.put("hostile", data, f"{name}.csv") for name, (data, _code) in files.items()}
    for name, (data, code) in files.items():
        load = await system.finished("hostile", etags[name], 60, name=f"{name}.csv")
        assert (load["status"], load["deleted"]) == ("failed", 0), (name, load)
        (letter,) = await system.sql(
            "select * from dead_letters where load_id = $1 and stage = 'FILE'", load["load_id"]
        )
        assert letter["reason_code"] == code, (name, load["reason"])
        assert letter["value"] == data[: len(letter["value"])] and (letter["value"] or not data)
    load = await system.load("hostile", good, "last-good.csv")
    assert (load["status"], load["unchanged"], load["deleted"], load["dead_letters"]) == ("done", 3, 0, 0), load
    grown = {name: now - memory[name] for name, now in system.memory_kilobytes().items() if name in memory}
    assert all(kilobytes < MOST_GROWTH_KILOBYTES for kilobytes in grown.values()), grown


async def test_hostile_rows_cost_themselves_in_the_widest_table_that_is_read(system: System) -> None:
    """4,096 columns come through the registry; a key or a value without end is a dead letter; the others are leads."""
    (system.sources_dir / "hostile-rows.yaml").write_text(MAPPING)
    extra = MAX_COLUMNS - 5
    header = HEADER.rstrip() + b"," + b",".join(b"c%d" % n for n in range(extra)) + b"\r\n"
    rest = b"," * extra + b"\r\n"
    rows = {
        "long value": b"1," + b"\x80" * (LONGEST_VALUE_CHARACTERS * 20) + b",1 Main St,Reno,702-555-0101",
        "long key": b"k" * 100_000 + b",House 2,2 Main St,Reno,702-555-0101",
        "digits": b"3,House 3,3 Main St,Reno," + b"9" * 9_000,
        "units": b"4,House 4,4 Main St" + b" STE 1-1" * 1_000 + b"!,Reno,702-555-0101",
        "good": b"5,House 5,5 Main St,Reno,702-555-0101",
    }
    load = await system.load("hostile-rows", header + b"".join(row + rest for row in rows.values()))
    assert (load["status"], load["rows"], load["inserted"], load["dead_letters"]) == ("done", 5, 2, 3), load
    letters = await system.sql("select * from dead_letters where load_id = $1 order by row_number", load["load_id"])
    assert [letter["reason_code"] for letter in letters] == ["too_long", "no_key", "not_a_phone"]
    assert [lead["lead_key"] for lead in await system.leads("hostile-rows")] == ["hostile-rows:4", "hostile-rows:5"]
    other = header.replace(b",c", b",d") + b"".join(row + rest for row in (rows["units"], rows["good"]))
    load = await system.load("hostile-rows", other, "other-columns.csv")
    assert (load["status"], load["unchanged"], len(load["notes"])) == ("done", 2, 2 * extra), load["reason"]
