"""A mapping bug is fixed and history is mapped again: previewed, sent once, and only what differs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from leadstream.samples import change_sample, write_sample
from tests.system import System

RIGHT, WRONG = "%m/%d/%Y", "%d/%m/%Y"
"""How Texas writes dates, and how one may misread it: some rows fail, others get a wrong day."""
ROWS = 400


async def command(system: System, *words: str, code: int = 0) -> Any:
    """What a command answers with --json."""
    done = await system.command(*words, "--json")
    assert done.returncode == code, done.stderr or done.stdout
    return json.loads(done.stdout)


async def load_with_bug(system: System, source: str, folder: Path, rows: int = ROWS) -> dict[str, Any]:
    """A file that was mapped with a wrong date format; gives its receipt."""
    system.add_source(source, "texas", **{RIGHT: WRONG})
    write_sample("texas", folder / "1.csv", rows=rows, seed=31, damage=False)
    load = await system.load(source, (folder / "1.csv").read_bytes(), "1.csv")
    assert load["status"] == "done" and load["dead_letters"] > 0 and load["inserted"] > 0
    return load


async def replay_records(system: System, source: str, replay_id: str) -> list[dict[str, Any]]:
    """The change records that a replay sent."""
    records = await system.records("leads.canonical", source)
    return [lead for _record, lead in records if lead is not None and lead["replay_id"] == replay_id]


async def test_a_fixed_mapping_is_replayed_as_its_dry_run_said(system: System, tmp_path: Path) -> None:
    """The dry run and the replay agree to the lead and the field; letters that pass are resolved; once is enough."""
    source = "replayed"
    load = await load_with_bug(system, source, tmp_path)
    before = {row["lead_key"]: row for row in await system.leads(source)}
    canonical = len(await system.records("leads.canonical", source))

    system.add_source(source, "texas")
    preview = await command(system, "replay", "--source", source, "--dry-run", "--unmasked")
    assert preview["rows"] == ROWS
    assert preview["inserted"] == preview["fixed"] == load["dead_letters"]
    assert preview["updated"] + preview["unchanged"] == load["inserted"]
    assert preview["updated"] > 0 and preview["newly_failed"] == preview["failed_again"] == 0
    assert [field["field"] for field in preview["fields"]] == ["license_issued"]
    assert len(await system.records("leads.canonical", source)) == canonical

    done = await command(system, "replay", "--source", source)
    assert done["status"] == "done"
    names = ("rows", "inserted", "updated", "unchanged", "stale", "fixed", "failed_again", "newly_failed", "sent")
    assert {name: done[name] for name in names} == {name: preview[name] for name in names}
    sent = await replay_records(system, source, done["replay_id"])
    assert len(sent) == len(await system.records("leads.canonical", source)) - canonical
    foretold = {lead["lead_key"]: lead for lead in preview["leads"]}
    assert {lead["lead_key"]: lead["op"] for lead in sent} == {key: lead["op"] for key, lead in foretold.items()}
    for lead in sent:
        for name, values in foretold[lead["lead_key"]]["changes"].items():
            assert json.loads(json.dumps(lead[name], default=str)) == values["after"]

    after = {row["lead_key"]: row for row in await system.leads(source)}
    assert len(after) == ROWS
    changed = {key for key in before if before[key]["license_issued"] != after[key]["license_issued"]}
    assert changed == {lead["lead_key"] for lead in sent if lead["op"] == "u"}
    letters = await system.sql("select status, attempts, status_why from dead_letters where source = $1", source)
    assert len(letters) == load["dead_letters"]
    assert {(row["status"], row["attempts"]) for row in letters} == {("resolved", 1)}
    assert all(done["replay_id"] in row["status_why"] for row in letters)
    receipt = await system.sql("select * from loads where load_id = $1", load["load_id"])
    assert receipt[0]["status"] == "done" and receipt[0]["sent"] == load["sent"]

    again = await command(system, "replay", "--source", source)
    assert (again["status"], again["unchanged"], again["sent"]) == ("done", ROWS, 0)


async def test_a_mapping_can_be_tried_on_history_before_it_is_committed(system: System, tmp_path: Path) -> None:
    """--mapping takes a file that no worker uses; rows that would newly fail are told, with field and reason."""
    source = "tried"
    system.add_source(source, "texas")
    write_sample("texas", tmp_path / "1.csv", rows=100, seed=32, damage=False)
    await system.load(source, (tmp_path / "1.csv").read_bytes(), "1.csv")
    trial = tmp_path / "next.yaml"
    trial.write_text((system.sources_dir / f"{source}.yaml").read_text().replace(RIGHT, WRONG))

    preview = await command(system, "replay", "--source", source, "--dry-run", "--mapping", str(trial))
    assert preview["newly_failed"] > 0 and preview["updated"] > 0
    assert [(f["field"], f["count"]) for f in preview["new_failures"]] == [("license_issued", preview["newly_failed"])]
    key = preview["leads"][0]["lead_key"]
    diff = await command(system, "replay", "--source", source, "--dry-run", "--mapping", str(trial), "--diff", key)
    assert diff == [preview["leads"][0]]
    typo = await system.command("replay", "--source", source, "--dry-run", "--diff", f"{source}:nobody")
    assert typo.returncode == 1 and f"there is no lead '{source}:nobody'" in typo.stderr
    foreign = await system.command("replay", "--source", source, "--dry-run", "--diff", "nevada:1")
    assert foreign.returncode == 2 and f"give {source}:KEY" in foreign.stderr
    as_it_is = await command(system, "replay", "--source", source, "--dry-run")
    assert (as_it_is["unchanged"], as_it_is["sent"]) == (100, 0)
    assert (await system.command("replay", "--source", source, "--mapping", str(trial))).returncode == 2


async def test_a_replay_goes_on_after_the_processors_were_killed(system: System, tmp_path: Path) -> None:
    """Nothing is sent twice, nothing is counted twice; a newer file that comes meanwhile has the last word."""
    source, rows = "interrupted", 12_000
    load = await load_with_bug(system, source, tmp_path, rows=rows)
    system.add_source(source, "texas")
    preview = await command(system, "replay", "--source", source, "--dry-run")
    change_sample(tmp_path / "1.csv", tmp_path / "2.csv", seed=33, update=0.1, delete=0.05, insert=0.05)
    waiting = asyncio.create_task(command(system, "replay", "--source", source))
    await system.logged("process", "replay_begins")
    for _ in range(3):
        await asyncio.sleep(0.3)
        system.kill_and_restart("process")
    done = await waiting
    names = ("rows", "inserted", "updated", "unchanged", "fixed", "sent")
    assert {name: done[name] for name in names} == {name: preview[name] for name in names}
    sent = await replay_records(system, source, done["replay_id"])
    assert len(sent) == len({lead["lead_key"] for lead in sent}) == preview["inserted"] + preview["updated"]
    assert len(await system.leads(source)) == rows
    letters = await system.sql("select count(*) from dead_letters where source = $1 and status = 'resolved'", source)
    assert letters[0]["count"] == load["dead_letters"]

    refreshed = await system.load(source, (tmp_path / "2.csv").read_bytes(), "2.csv")
    assert refreshed["status"] == "done" and refreshed["dead_letters"] == 0
    again = await command(system, "replay", "--source", source)
    assert (again["status"], again["sent"]) == ("done", 0)


async def test_dead_letters_are_retried_by_filter_and_count_their_attempts(system: System, tmp_path: Path) -> None:
    """A retry before the mapping is mended changes nothing but the attempts; after it, every row becomes a lead."""
    source = "retried"
    load = await load_with_bug(system, source, tmp_path)
    failed = load["dead_letters"]
    dry = await command(system, "dlq", "retry", "--source", source, "--dry-run")
    assert (dry["letters"], dry["retries"][0]["failed_again"], dry["retries"][0]["sent"]) == (failed, failed, 0)
    (receipt,) = (await command(system, "dlq", "retry", "--source", source))["retries"]
    assert (receipt["status"], receipt["failed_again"], receipt["newly_failed"]) == ("done", failed, 0)
    letters = await system.sql("select * from dead_letters where source = $1 order by row_number", source)
    assert {(row["status"], row["attempts"]) for row in letters} == {("open", 1)} and len(letters) == failed

    # Half of them: only their leads change, though the mapping would change others, too.
    system.add_source(source, "texas")
    ids = [row["dead_letter_id"] for row in letters[: failed // 2]]
    (receipt,) = (await command(system, "dlq", "retry", *ids))["retries"]
    assert (receipt["rows"], receipt["inserted"], receipt["fixed"]) == (len(ids), len(ids), len(ids))
    assert len(await system.leads(source)) == load["inserted"] + len(ids)
    once_more = await command(system, "dlq", "retry", *ids)
    assert (once_more["letters"], once_more["left_out"], once_more["retries"]) == (0, {"settled": len(ids)}, [])
    (receipt,) = (await command(system, "dlq", "retry", "--source", source))["retries"]
    assert receipt["fixed"] == failed - len(ids)
    assert len(await system.leads(source)) == ROWS
    rest = await system.sql(
        "select status, attempts, count(*) from dead_letters where source = $1 group by 1, 2", source
    )
    assert rest == [{"status": "resolved", "attempts": 2, "count": failed}]
    shown = await command(system, "replay", "list", "--source", source)
    assert {one["kind"] for one in shown} == {"retry"} and all(one["status"] == "done" for one in shown)


async def test_rows_that_the_raw_topic_no_longer_holds_come_from_the_file(system: System, tmp_path: Path) -> None:
    """After the retention the same replay reads S3, and so does its dry run; --from-object splits by today's YAML."""
    source = "expired"
    load = await load_with_bug(system, source, tmp_path)
    await forget_raw_rows(system, source)
    system.add_source(source, "texas")
    nothing = await command(system, "replay", "--source", source, "--dry-run")
    assert nothing["rows"] == 0
    preview = await command(system, "replay", "--source", source, "--all-history", "--dry-run")
    assert (preview["rows"], preview["fixed"]) == (ROWS, load["dead_letters"])
    raw = len(await system.records(f"leads.raw.{source}"))
    done = await command(system, "replay", "--source", source, "--load", load["load_id"][:6])
    names = ("rows", "inserted", "updated", "unchanged", "fixed", "sent")
    assert {name: done[name] for name in names} == {name: preview[name] for name in names}
    assert len(await system.leads(source)) == ROWS
    assert len(await system.records(f"leads.raw.{source}")) == raw + ROWS

    again = await command(system, "replay", "--source", source, "--load", load["load_id"], "--from-object")
    assert (again["rows"], again["unchanged"], again["sent"]) == (ROWS, ROWS, 0)
    # The rows that were restored are nobody's news: the live flow goes on as before.
    info = change_sample(tmp_path / "1.csv", tmp_path / "2.csv", seed=34, update=0.1, delete=0.1, insert=0.1)
    refreshed = await system.load(source, (tmp_path / "2.csv").read_bytes(), "2.csv")
    assert (refreshed["status"], refreshed["deleted"]) == ("done", info.deleted)


async def test_rows_that_failed_while_the_file_was_split_come_in_from_the_file(system: System, tmp_path: Path) -> None:
    """A key's pattern that refused some rows is mended; they become leads, and their dead letters are resolved."""
    source, key = "refused", '{column: "Operation #"}'
    system.add_source(source, "texas", **{key: '{column: "Operation #", pattern: "\\\\d*[0-4]$"}'})
    write_sample("texas", tmp_path / "1.csv", rows=50, seed=35, damage=False)
    load = await system.load(source, (tmp_path / "1.csv").read_bytes(), "1.csv")
    assert (load["inserted"], load["dead_letters"]) == (25, 25)
    retried = await command(system, "dlq", "retry", "--source", source)
    assert (retried["letters"], retried["left_out"]) == (0, {"settled": 0, "split": 25})
    system.add_source(source, "texas")
    done = await command(system, "replay", "--source", source, "--load", load["load_id"], "--from-object")
    assert (done["rows"], done["inserted"], done["fixed"], done["unchanged"]) == (50, 25, 25, 25)
    assert len(await system.leads(source)) == 50
    open_letters = await system.sql("select * from dead_letters where source = $1 and status = 'open'", source)
    assert open_letters == []


async def forget_raw_rows(system: System, source: str) -> None:
    """What retention does to the raw topic of a source."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        partitions = [TopicPartition(f"leads.raw.{source}", lane) for lane in range(4)]
        await admin.delete_records({where: RecordsToDelete(before_offset=-1) for where in partitions})
    finally:
        await admin.close()
