"""What users, vendors and machines get wrong: a clear message each time, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from aiokafka import AIOKafkaProducer

from leadstream.samples import write_sample
from leadstream.stack.supervisor import Stack
from tests.acceptance.plain_source import HEADER, MAPPING
from tests.system import STAGES, System, check_exactly_once

NOWHERE = "127.0.0.1:1"
STOP_SECONDS = 10
BIG_CELL_BYTES = 10_000_000
BIG_CELL_MEMORY_KILOBYTES = 60_000


def _add_plain_source(system: System, name: str) -> None:
    (system.sources_dir / f"{name}.yaml").write_text(MAPPING)


def _good_row(number: int) -> bytes:
    return b"%d,House %d,%d Main St,Reno,702-555-0101\r\n" % (number, number, number)


def _one_line(done: CompletedProcess[str]) -> str:
    """The error of a stage or command that failed: one line, no traceback, exit code 1."""
    assert (done.returncode, done.stdout) == (1, ""), (done.returncode, done.stdout, done.stderr)
    assert re.fullmatch(r"error: .+ → .+\n", done.stderr), done.stderr
    return done.stderr


async def test_a_wrong_setting_ends_a_stage_with_one_line_that_names_it(system: System) -> None:
    """Wrong keys, a bucket that is not there, a wrong password are told apart; none is waited for or printed."""
    dsn = re.sub(r"//([^:@]*)[^@]*@", r"//\1:pelican@", system.environment["POSTGRES_DSN"])
    mistakes = {
        "S3_ACCESS_KEY_ID": ("produce", "pelican"),
        "S3_SECRET_ACCESS_KEY": ("produce", "pelican"),
        "S3_BUCKET": ("produce", "not-there"),
        "POSTGRES_DSN": ("sink", dsn),
    }
    ended = await asyncio.gather(*(system.command(stage, **{name: v}) for name, (stage, v) in mistakes.items()))
    for name, done in zip(mistakes, ended, strict=True):
        line = _one_line(done)
        assert name in line and "pelican" not in line, line


async def test_a_port_in_use_is_said_in_one_line(system: System, tmp_path: Path) -> None:
    """`up`, in the foreground or not, names the variable and the port, and starts nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ways = {"here": ("up",), "there": ("up", "--detach")}
        ups = (
            system.command(*way, LEADSTREAM_HOME=str(tmp_path / name), LEADSTREAM_KAFKA_PORT=port)
            for name, way in ways.items()
        )
        for done in await asyncio.gather(*ups):
            assert f"LEADSTREAM_KAFKA_PORT: port {port} is in use" in _one_line(done)


async def test_every_stage_says_once_that_kafka_is_away_and_ends_at_ctrl_c(system: System) -> None:
    """Waiting is no failure, and no reason to be deaf."""
    for stage in STAGES:
        system.start(stage, f"{stage}-lonely", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    for stage in STAGES:
        await system.logged(f"{stage}-lonely", "waiting")
    await asyncio.sleep(1)
    interrupts = (asyncio.to_thread(system.interrupt, f"{stage}-lonely", STOP_SECONDS) for stage in STAGES)
    assert await asyncio.gather(*interrupts) == [0, 0, 0]
    for stage in STAGES:
        log = system.log(f"{stage}-lonely")
        assert log.count("waiting") == 1 and "KAFKA_BOOTSTRAP_SERVERS" in log, log
        assert "Traceback" not in log, log


async def test_mistakes_in_mappings_are_named_by_file_and_line_with_what_to_do(system: System, tmp_path: Path) -> None:
    """Everything that is wrong in all files, at once; `process` refuses to start when no source is usable."""
    mistakes = {
        "field": (MAPPING + "  compny: Name\n", 7, "did you mean 'company'?"),
        "key": (MAPPING + "refesh: partial\n", 7, "did you mean 'refresh'?"),
        "number": (MAPPING.replace("city: City", "city: {constant: 5}"), 5, "write the constant in quotes"),
        "prefix1": (MAPPING + "prefix: same/\n", 0, ""),
        "prefix2": (MAPPING + "prefix: same/\n", 7, "give each source a prefix of its own"),
        "transform": (MAPPING.replace("Name", "{column: Name, transforms: [titel_case]}"), 3, "'title_case'?"),
        "yaml": (MAPPING + "title: [\n", 8, "correct the YAML"),
    }
    defaults = (system.sources_dir / "_defaults.yaml").read_text()
    for folder in (tmp_path / "all", tmp_path / "bad"):
        folder.mkdir()
        (folder / "_defaults.yaml").write_text(defaults)
    for name, (text, _line, _hint) in mistakes.items():
        (tmp_path / "all" / f"{name}.yaml").write_text(text)
    checked = await system.command("sources", "check", LEADSTREAM_SOURCES_DIR=str(tmp_path / "all"))
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    wrong = {name: mistake for name, mistake in mistakes.items() if mistake[1]}
    assert len(lines) == len(wrong), checked.stdout
    for line, (name, (_text, number, hint)) in zip(lines, wrong.items(), strict=True):
        assert line.startswith(f"{tmp_path}/all/{name}.yaml:{number}: ") and hint in line.partition(" → ")[2], line
    (tmp_path / "bad" / "transform.yaml").write_text(mistakes["transform"][0])
    refused = await system.command("process", LEADSTREAM_SOURCES_DIR=str(tmp_path / "bad"))
    assert refused.returncode == 1
    assert f"error: {tmp_path}/bad/transform.yaml:3: " in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


async def test_a_bad_source_costs_one_source_while_the_stages_run_and_when_they_start(
    system: System, tmp_path: Path
) -> None:
    """The good ones go on; `put` still knows them; the bad one's file is split as soon as its YAML is mended."""
    _add_plain_source(system, "good-one")
    bad = system.sources_dir / "bad-one.yaml"
    bad.write_text(MAPPING.replace("phone:", "fone:"))
    await system.logged("produce", "bad-one.yaml:6")
    system.interrupt("process", STOP_SECONDS)
    system.start("process")
    await system.logged("process", "bad-one.yaml:6")
    (tmp_path / "file.csv").write_bytes(HEADER + _good_row(1))
    put = ("put", str(tmp_path / "file.csv"), "--source")
    good, refused = await asyncio.gather(
        system.command(*put, "good-one", "--wait", "--timeout", "30"), system.command(*put, "bad-one")
    )
    assert (good.returncode, "good-one/file.csv: done" in good.stdout) == (0, True), good
    assert f"{bad}:6: " in _one_line(refused)
    etag = await system.put("bad-one", HEADER + _good_row(1))
    assert (await system.finished("bad-one", etag, 30))["status"] == "failed"
    bad.write_text(MAPPING)
    assert (await system.finished("bad-one", etag, 30, among={"done"}))["inserted"] == 1


async def test_a_second_mapping_for_a_prefix_in_use_is_refused_and_takes_nothing(system: System) -> None:
    """Whoever had the prefix keeps it, whatever the newcomer is called."""
    _add_plain_source(system, "owner")
    assert (await system.load("owner", HEADER + _good_row(1), "1.csv"))["status"] == "done"
    newcomer = system.sources_dir / "a-newcomer.yaml"
    newcomer.write_text(MAPPING + "prefix: owner/\n")
    for stage in ("produce", "process"):
        await system.logged(stage, "prefix 'owner/' overlaps prefix 'owner/' of source 'owner'")
    load = await system.load("owner", HEADER + _good_row(1) + _good_row(2), "2.csv")
    assert (load["source"], load["unchanged"], load["inserted"]) == ("owner", 1, 1), load
    newcomer.unlink()


async def test_a_column_that_the_file_lacks_holds_the_load_before_any_row_is_sent(system: System) -> None:
    """The reason names the column, the likeliest one that is there, and the command that says how to mend it."""
    (system.sources_dir / "unknown-column.yaml").write_text(MAPPING.replace("phone: Phone", "phone: Telephone"))
    load = await system.load("unknown-column", HEADER + _good_row(1))
    assert (load["status"], load["rows"], load["inserted"]) == ("held", 0, 0), load
    assert "'Telephone'" in load["reason"] and "'Phone'" in load["reason"]
    assert "`leadstream sources drift unknown-column`" in load["reason"]


async def test_a_file_that_no_source_claims_is_kept_with_its_reason(system: System) -> None:
    """Under an unknown prefix, or under none."""
    for key, source in (("nobody/file.csv", "nobody"), ("stray.csv", "unknown")):
        etag = await system.put_at(key, HEADER + _good_row(1))
        load = await system.finished_at(key, etag, 30)
        assert (load["status"], load["source"], load["rows"]) == ("failed", source, 0), load
        assert f"no source claims the prefix of '{key}'" in load["reason"]
        (letter,) = await system.sql("select * from dead_letters where load_id = $1", load["load_id"])
        assert (letter["stage"], letter["reason_code"]) == ("FILE", "unknown_source")
        assert letter["value"] == HEADER + _good_row(1)


async def test_each_damaged_row_is_one_dead_letter_with_its_bytes_and_its_neighbours_pass(system: System) -> None:
    """Too few, too many, undecodable cells, a NUL byte, 10 MB in a cell; a number is a fine text."""
    _add_plain_source(system, "damaged")
    big = b"x" * BIG_CELL_BYTES
    damaged = {
        2: ("too_few_cells", b"2,House 2,2 Main St"),
        4: ("too_many_cells", b"4,House 4,4 Main St,Reno,702-555-0104,and,more"),
        6: ("undecodable", b"6,H\x81use \xff,6 Main St,Reno,702-555-0106"),
        8: ("nul_byte", b"8,Ho\0use,8 Main St,Reno,702-555-0108"),
        10: ("row_too_long", b"10," + big + b",10 Main St,Reno,702-555-0110"),
    }
    rows = [damaged[n][1] + b"\r\n" if n in damaged else _good_row(n) for n in range(1, 13)]
    rows[10] = b"11,4711,11 Main St,Reno,702-555-0111\r\n"
    memory = system.memory_kilobytes()
    load = await system.load("damaged", HEADER + b"".join(rows))
    assert (load["status"], load["rows"], load["inserted"], load["dead_letters"]) == ("done", 12, 7, 5), load
    letters = await system.sql("select * from dead_letters where load_id = $1 order by row_number", load["load_id"])
    assert {letter["row_number"]: letter["reason_code"] for letter in letters} == {
        number: code for number, (code, _raw) in damaged.items()
    }
    for letter in letters:
        raw = damaged[letter["row_number"]][1]
        assert letter["value"] == raw[: len(letter["value"])] and len(letter["value"]) >= min(len(raw), 2**20)
    leads = {lead["lead_key"].partition(":")[2]: lead for lead in await system.leads("damaged")}
    assert sorted(map(int, leads)) == [1, 3, 5, 7, 9, 11, 12]
    assert leads["11"]["company"] == "4711"
    grown = {name: now - memory[name] for name, now in system.memory_kilobytes().items()}
    assert all(kilobytes < BIG_CELL_MEMORY_KILOBYTES for kilobytes in grown.values()), grown
    shown = await system.command("dlq", "show", letters[-1]["dead_letter_id"])
    assert shown.returncode == 0 and "row_too_long" in shown.stdout and "99,aaaaa" in shown.stdout
    assert len(shown.stdout) < 20_000
    unmasked = await system.command("dlq", "show", letters[-1]["dead_letter_id"], "--unmasked")
    assert "10,xxxxx" in unmasked.stdout and len(unmasked.stdout) < 20_000


async def test_a_file_cut_off_inside_a_quote_gives_its_rows_and_deletes_nothing(system: System) -> None:
    """The open row is a dead letter, and absent leads are kept, because the rest of the file is unknown."""
    _add_plain_source(system, "cut-off")
    await system.load("cut-off", HEADER + b"".join(map(_good_row, range(1, 6))), "1.csv")
    load = await system.load("cut-off", HEADER + b"".join(map(_good_row, range(1, 5))) + b'6,"House 6,6 Ma', "2.csv")
    assert (load["status"], load["unchanged"], load["dead_letters"], load["deleted"]) == ("done", 4, 1, 0), load
    assert load["deletes_held"] == 1 and "cut off" in " ".join([load["reason"] or "", *(load["notes"] or [])])
    assert len(await system.leads("cut-off")) == 5
    (letter,) = await system.sql("select * from dead_letters where load_id = $1", load["load_id"])
    assert (letter["reason_code"], letter["value"]) == ("unclosed_quote", b'6,"House 6,6 Ma')


async def test_a_registry_that_is_away_is_waited_for(system: System, stack: Stack) -> None:
    """A file with a new header waits for it, says so once, and goes on when it is back."""
    _add_plain_source(system, "no-registry")
    before = len(system.log("produce"))
    await stack.kill_part("registry")
    etag = await system.put("no-registry", HEADER + _good_row(1))
    await asyncio.sleep(3)
    said = system.log("produce")[before:]
    assert said.count("the registry") == 1 and "SCHEMA_REGISTRY_URL" in said, said
    await stack.restart_part("registry")
    load = await system.finished("no-registry", etag, 40)
    assert (load["status"], load["inserted"]) == ("done", 1)
    assert "Traceback" not in system.all_logs()


async def test_kafka_and_postgres_that_die_in_the_middle_of_a_load_lose_and_repeat_nothing(
    system: System, stack: Stack, tmp_path: Path
) -> None:
    """Each is killed without warning and comes back seconds later; the stages were never restarted."""
    system.add_source("outages", "texas")
    rows = 20_000
    write_sample("texas", tmp_path / "t.csv", rows=rows, seed=70, damage=False)
    system.stop("produce")
    system.start("produce", PRODUCER_ROWS_PER_TRANSACTION="1000")
    etag = await system.put("outages", (tmp_path / "t.csv").read_bytes())
    await system.until("select 1 from loads where source = 'outages'", 30)
    await stack.kill_part("kafka")
    await asyncio.sleep(3)
    await stack.restart_part("kafka")
    await system.until("select 1 from leads where source = 'outages'", 60)
    await stack.kill_part("postgres")
    await asyncio.sleep(2)
    await stack.restart_part("postgres")
    load = await system.finished("outages", etag, 90)
    await check_exactly_once(system, "outages", load, rows)
    assert "Traceback" not in system.all_logs()


async def test_ctrl_c_at_any_moment_ends_a_stage_in_order_and_the_next_start_goes_on(
    system: System, tmp_path: Path
) -> None:
    """While it starts, joins its group, works or waits: gone within 10 s, no traceback, nothing lost or repeated."""
    system.add_source("interrupted", "texas")
    rows = 8_000
    write_sample("texas", tmp_path / "t.csv", rows=rows, seed=71, damage=False)
    small = {
        "PRODUCER_ROWS_PER_TRANSACTION": "200",
        "PROCESSOR_MAX_POLL_RECORDS": "200",
        "SINK_MAX_BATCH_RECORDS": "200",
    }
    etag = await system.put("interrupted", (tmp_path / "t.csv").read_bytes())
    for moment in (0.0, 0.5, 2.5):
        await asyncio.sleep(moment)
        codes = await asyncio.gather(*(asyncio.to_thread(system.interrupt, name, STOP_SECONDS) for name in STAGES))
        assert set(codes) <= {0, 1, 128 + signal.SIGINT, -signal.SIGINT}, codes
        for stage in STAGES:
            system.start(stage, **small)
    load = await system.finished("interrupted", etag, 60)
    await check_exactly_once(system, "interrupted", load, rows)
    assert "Traceback" not in system.all_logs()
    for stage in STAGES:
        system.stop(stage)
        system.start(stage)


@pytest.mark.apart
async def test_a_stage_whose_kafka_is_gone_ends_when_it_is_told_to(system: System, stack: Stack) -> None:
    """Within 10 s, before a container engine would kill it; started again it works.

    The last test here: Faust's consumer may print what it died of.
    """
    await stack.kill_part("kafka")
    try:
        await asyncio.sleep(3)
        await asyncio.gather(*(asyncio.to_thread(system.interrupt, name, STOP_SECONDS) for name in STAGES))
    finally:
        await stack.restart_part("kafka")
        for stage in STAGES:
            system.start(stage)
    _add_plain_source(system, "kafka-is-back")
    etag = await system.put("kafka-is-back", HEADER + _good_row(1))
    assert (await system.finished("kafka-is-back", etag, 60))["status"] == "done"


@pytest.mark.apart
async def test_a_step_that_nobody_can_read_stops_neither_the_worker_nor_the_loads_after_it(
    system: System,
) -> None:
    """The sink keeps it among the dead letters; the agent that watches for alerts passes over it."""
    _add_plain_source(system, "unreadable-step")
    producer = AIOKafkaProducer(bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"])
    await producer.start()
    try:
        for lane in range(4):
            await producer.send_and_wait("leads.loads", b"no step", partition=lane)
    finally:
        await producer.stop()
    load = await system.load("unreadable-step", HEADER + _good_row(1))
    assert load["status"] == "done"
    await system.logged("process", "step_undecodable")
    assert "Crashed reason=BadRecordError" not in system.log("process")
    kept = await system.sql("delete from dead_letters where raw_topic = 'leads.loads' returning stage, value")
    assert kept == [{"stage": "WRITE", "value": b"no step"}] * 4
