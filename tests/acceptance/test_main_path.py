"""A file lands in S3, leads stand in Postgres: the main job, through every real part."""

from __future__ import annotations

import gzip

from leadstream.samples import write_sample
from tests.system import VENDOR_DATA, System

COUNTED = ("inserted", "updated", "unchanged", "stale", "dead_letters")


async def test_a_file_of_each_vendor_becomes_leads_and_its_receipt_adds_up(system: System, tmp_path) -> None:
    """Rows in the file = inserted + updated + unchanged + stale + dead letters, in every receipt."""
    for vendor in ("nevada", "oklahoma", "texas"):
        source = f"main-{vendor}"
        system.add_source(source, vendor)
        info = write_sample(vendor, tmp_path / f"{vendor}.csv", rows=200, seed=3)
        load = await system.load(source, (tmp_path / f"{vendor}.csv").read_bytes())
        assert load["status"] == "done", load
        assert load["rows"] == info.rows == sum(load[name] for name in COUNTED)
        assert load["inserted"] == info.good == len(await system.leads(source))
        assert load["dead_letters"] == len(info.damaged)
        letters = await system.sql("select row_number from dead_letters where load_id = $1", load["load_id"])
        assert sorted(row["row_number"] for row in letters) == sorted(row for row, _what in info.damaged)


async def test_the_same_bytes_at_the_same_key_are_one_load_and_at_another_key_change_nothing(
    system: System, tmp_path
) -> None:
    """Putting a file again changes nothing; the canonical topic has each lead once."""
    system.add_source("again", "texas")
    write_sample("texas", tmp_path / "a.csv", rows=150, seed=4, damage=False)
    data = (tmp_path / "a.csv").read_bytes()
    first = await system.load("again", data, "a.csv")
    second = await system.load("again", data, "a.csv")
    assert first["load_id"] == second["load_id"]
    other = await system.load("again", data, "b.csv")
    assert (other["status"], other["unchanged"], other["sent"]) == ("done", 150, 0)
    records = await system.records("leads.canonical", "again")
    assert len(records) == len({record.key for record, _value in records}) == 150


async def test_the_real_vendor_files_give_248_leads_and_one_dead_letter(system: System) -> None:
    """Nevada 100, Oklahoma 49 and its cut-off last row with 14 cells, Texas 99; where the files are at hand."""
    expected = {"nevada": (100, 0), "oklahoma": (49, 1), "texas": (99, 0)}
    for source, (leads, dead) in expected.items():
        for file in VENDOR_DATA.glob(f"*{source.title()}*.csv"):
            load = await system.load(source, file.read_bytes(), file.name)
            assert (load["status"], load["inserted"], load["dead_letters"]) == ("done", leads, dead), load
            assert len(await system.leads(source)) == leads
            letters = await system.sql("select * from dead_letters where source = $1", source)
            assert [letter["reason_code"] for letter in letters] == ["too_few_cells"] * dead
            assert all(letter["value"] in file.read_bytes() for letter in letters)


async def test_a_compressed_file_is_read_as_what_is_in_it(system: System, tmp_path) -> None:
    """gzip is recognised by its first bytes, whatever the name says."""
    system.add_source("packed", "nevada")
    info = write_sample("nevada", tmp_path / "n.csv", rows=50, seed=5, damage=False)
    load = await system.load("packed", gzip.compress((tmp_path / "n.csv").read_bytes()), "n.csv")
    assert (load["status"], load["inserted"]) == ("done", info.rows)


async def test_what_is_no_table_fails_with_a_reason_and_one_dead_letter(system: System) -> None:
    """Empty, binary, header only, unknown source: the load says why, the next file goes on."""
    system.add_source("no-table", "texas")
    cases = {"empty.csv": b"", "picture.csv": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8}
    for name, data in cases.items():
        load = await system.load("no-table", data, name)
        assert load["status"] == "failed" and load["reason"], load
        letters = await system.sql("select * from dead_letters where load_id = $1", load["load_id"])
        assert [(letter["stage"], letter["row_number"]) for letter in letters] == [("FILE", 0)]
    unknown = await system.load("never-heard-of", b"a,b\n1,2\n")
    assert unknown["status"] == "failed" and "never-heard-of/file.csv" in unknown["reason"]


async def test_a_file_without_a_source_is_split_by_itself_once_a_mapping_claims_it(system: System, tmp_path) -> None:
    """Onboarding a vendor after its first file arrived needs no second upload."""
    info = write_sample("texas", tmp_path / "t.csv", rows=30, seed=6, damage=False)
    etag = await system.put("late-comer", (tmp_path / "t.csv").read_bytes())
    assert (await system.finished("late-comer", etag))["status"] == "failed"
    system.add_source("late-comer", "texas")
    assert (await system.finished("late-comer", etag, among={"done"}))["inserted"] == info.rows


async def test_a_renamed_column_holds_the_load_until_the_mapping_is_mended(system: System, tmp_path) -> None:
    """Nothing is sent of a held load; the reason names the likeliest new column; the mended load goes on by itself."""
    system.add_source("renamed", "nevada")
    info = write_sample("nevada", tmp_path / "n.csv", rows=40, seed=7, damage=False)
    data = (tmp_path / "n.csv").read_bytes()
    assert (await system.load("renamed", data, "week1.csv"))["status"] == "done"
    etag = await system.put("renamed", data.replace(b"Phone#", b"Phone", 1), "week2.csv")
    held = await system.finished("renamed", etag, name="week2.csv")
    assert held["status"] == "held" and "'Phone#'" in held["reason"] and "'Phone'" in held["reason"]
    system.add_source("renamed", "nevada", **{"Phone#": "Phone"})
    mended = await system.finished("renamed", etag, among={"done"}, name="week2.csv")
    assert (mended["unchanged"], mended["rows"]) == (info.rows, info.rows)


async def test_a_refresh_inserts_updates_and_deletes_exactly_what_changed(system: System, tmp_path) -> None:
    """The counts of a refresh are those of the changes that were made; a delete is followed by a tombstone."""
    from leadstream.samples import change_sample

    system.add_source("refresh", "texas")
    write_sample("texas", tmp_path / "1.csv", rows=400, seed=8, damage=False)
    await system.load("refresh", (tmp_path / "1.csv").read_bytes(), "1.csv")
    expected = change_sample(tmp_path / "1.csv", tmp_path / "2.csv", seed=9, update=0.05, delete=0.04, insert=0.03)
    load = await system.load("refresh", (tmp_path / "2.csv").read_bytes(), "2.csv")
    got = (load["status"], load["inserted"], load["updated"], load["unchanged"], load["deleted"])
    assert got == ("done", expected.inserted, expected.updated, expected.unchanged, expected.deleted), load
    records = [r for r in await system.records("leads.canonical", "refresh") if r[1] is None or r[1]["op"] != "c"]
    updates = [value for _record, value in records if value is not None and value["op"] == "u"]
    assert len(updates) == expected.updated and all(value["changed_fields"] for value in updates)
    deleted = {record.key for record, value in records if value is not None and value["op"] == "d"}
    assert deleted == {record.key for record, value in records if value is None}
    assert len(deleted) == expected.deleted
    assert len(await system.leads("refresh")) == 400 + expected.inserted - expected.deleted


async def test_an_older_file_that_arrives_late_changes_nothing(system: System, tmp_path) -> None:
    """Order is that of the files' age, here by the date in their keys, not that of their arrival."""
    system.add_source("order", "texas")
    with (system.sources_dir / "order.yaml").open("a") as yaml:
        yaml.write('\ndate_in_key: {pattern: "\\\\d{4}-\\\\d{2}-\\\\d{2}", format: "%Y-%m-%d"}\n')
    write_sample("texas", tmp_path / "new.csv", rows=60, seed=10, damage=False)
    write_sample("texas", tmp_path / "old.csv", rows=60, seed=11, damage=False)
    await asyncio_settle(system)
    newer = await system.load("order", (tmp_path / "new.csv").read_bytes(), "2023-07-14.csv")
    before = await system.leads("order")
    older = await system.load("order", (tmp_path / "old.csv").read_bytes(), "2023-07-07.csv")
    assert newer["inserted"] == 60
    assert (older["status"], older["stale"], older["sent"]) == ("done", 60, 0), older
    assert await system.leads("order") == before


async def asyncio_settle(system: System) -> None:
    """Let the stages take notice of a changed YAML (they look once a second)."""
    import asyncio

    await asyncio.sleep(2.5)
