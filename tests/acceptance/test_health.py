"""What the stages tell of themselves: ready or not and why, and numbers that agree with what they did."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.test_dead_letter_alerts import PERSONAL, ROWS, YAML, rows_of_which_30_percent_fail
from tests.system import PATIENCE, STAGES, System

pytestmark = pytest.mark.apart

NOWHERE = "127.0.0.1:1"
READY_WITHIN_SECONDS = 30
REPORTED_WITHIN_SECONDS = 20
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def ready(system: System, name: str) -> None:
    """Wait until a stage says that it is ready."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS * PATIENCE
    while True:
        try:
            status, body = await system.ask(name, "/readyz")
        except OSError:
            status, body = 0, "no answer"
        if status == 200:
            return
        assert time.monotonic() < deadline, f"{name} is not ready: {body}\n{system.log(name)[-3000:]}"
        await asyncio.sleep(0.2)


async def waits_for(system: System, name: str, what: str) -> None:
    """Wait until a stage says that it is not ready because of ``what``."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS * PATIENCE
    status, body = 0, "no answer"
    while not (status == 503 and any(what in reason for reason in json.loads(body)["waits_for"])):
        assert time.monotonic() < deadline, f"{name} does not wait for {what}: {status} {body}"
        await asyncio.sleep(0.2)
        try:
            status, body = await system.ask(name, "/readyz")
        except OSError:
            continue


async def scraped(system: System, name: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples of a stage by name: labels and value of each."""
    status, body = await system.ask(name, "/metrics")
    assert status == 200 and PERSONAL not in body
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def total(system: System, process: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have the labels."""
    samples = (await scraped(system, process)).get(name, [])
    return sum(value for found, value in samples if labels.items() <= found.items())


async def reported(system: System, wanted: float | None, process: str, name: str, **labels: str) -> None:
    """Wait until a metric has a value; None: any but 0."""
    deadline = time.monotonic() + REPORTED_WITHIN_SECONDS * PATIENCE
    while (found := await total(system, process, name, **labels)) != wanted and not (wanted is None and found):
        assert time.monotonic() < deadline, f"{name}{labels} is {found}, expected {wanted}"
        await asyncio.sleep(0.3)


async def test_the_numbers_of_the_stages_agree_with_the_receipt_of_a_load(system: System) -> None:
    """Rows, changes, dead letters by reason, commits, lag, and the loads by status; no value of a row among them."""
    began_at = time.time()
    (system.sources_dir / "measured.yaml").write_text(YAML)
    await asyncio.sleep(2)  # the stages look at the YAML once a second
    load = await system.load("measured", rows_of_which_30_percent_fail())
    assert (load["status"], load["inserted"], load["dead_letters"]) == ("done", 280, 120), load
    await asyncio.gather(*(ready(system, stage) for stage in STAGES))
    assert await total(system, "produce", "leadstream_rows_total", stage="producer", source="measured") == ROWS
    assert await total(system, "produce", "leadstream_dead_letters_total", source="measured") == 0
    assert await total(system, "process", "leadstream_raw_messages_total", source="measured") == ROWS + 4  # end markers
    assert await total(system, "process", "leadstream_changes_total", stage="processors", source="measured") == 280
    assert await total(system, "process", "leadstream_dead_letters_total", source="measured") == 120
    failed = (await scraped(system, "process"))["leadstream_dead_letters_total"]
    assert {labels["code"] for labels, _value in failed if labels["source"] == "measured"} == {"not_a_phone"}
    assert await total(system, "sink", "leadstream_records_written_total", stage="sink", topic="leads.dlq") >= 120
    await reported(system, 1, "sink", "leadstream_loads", source="measured", status="done")
    await reported(system, 0, "sink", "leadstream_unsettled_loads", source="measured")
    await reported(system, 0, "process", "leadstream_lag_records", topic="leads.raw.measured")
    await reported(system, 0, "sink", "leadstream_lag_records", topic="leads.dlq")
    for stage, topic in (("process", "leads.raw.measured"), ("sink", "leads.dlq")):
        lag = (await scraped(system, stage))["leadstream_lag_records"]
        assert {labels["partition"] for labels, _value in lag if labels["topic"] == topic} == {"0", "1", "2", "3"}
    await reported(system, 0, "produce", "leadstream_files_waiting", source="measured")
    told = [line for line in system.log("sink").splitlines() if load["load_id"] in line]
    assert len(told) == 1 and "load_done" in told[0] and "measured" in told[0], told
    for stage in STAGES:
        assert await total(system, stage, "leadstream_transactions_total", result="committed") > 0
        assert began_at < await total(system, stage, "leadstream_last_commit_timestamp_seconds") < time.time()
        assert await total(system, stage, "leadstream_ready") == 1
        assert await total(system, stage, "leadstream_lanes") > 0


async def test_a_held_load_is_told_with_its_age_until_a_newer_file_is_done(system: System) -> None:
    """What an operator is woken for, and what ends it."""
    began_at = time.time()
    (system.sources_dir / "waiting.yaml").write_text(YAML)
    await asyncio.sleep(2)
    load = await system.load("waiting", rows_of_which_30_percent_fail(phone="Telephone Nr"), "first.csv")
    assert load["status"] == "held", load
    await reported(system, 1, "sink", "leadstream_unsettled_loads", source="waiting", status="held")
    since = await total(system, "sink", "leadstream_oldest_unsettled_load_timestamp_seconds", source="waiting")
    assert began_at < since < time.time()
    newer = await system.load("waiting", rows_of_which_30_percent_fail(), "second.csv")
    assert newer["status"] == "done", newer
    await reported(system, 0, "sink", "leadstream_unsettled_loads", source="waiting")
    await reported(system, 1, "sink", "leadstream_loads", source="waiting", status="held")


async def test_a_file_of_no_source_does_not_name_a_label(system: System) -> None:
    """Whoever may drop files could otherwise make as many time series as there are names for folders."""
    load = await system.finished_at("pelicans/file.csv", await system.put_at("pelicans/file.csv", b"a,b\n1,2\n"), 60)
    assert (load["status"], load["source"]) == ("failed", "pelicans"), load
    await reported(system, None, "produce", "leadstream_dead_letters_total", source="unknown", code="unknown_source")
    await reported(system, None, "sink", "leadstream_unsettled_loads", source="unknown", status="failed")
    for stage in STAGES:
        assert "pelicans" not in (await system.ask(stage, "/metrics"))[1]


async def test_a_stage_whose_part_is_away_is_alive_and_says_what_it_waits_for(system: System) -> None:
    """A restart would not help: only /readyz says no."""
    system.start("sink", "lonely_sink", POSTGRES_DSN=f"postgresql://postgres@{NOWHERE}/leadstream")
    system.start("produce", "lonely_producer", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    system.start("process", "lonely_worker", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    try:
        for name, what in (("lonely_sink", "Postgres"), ("lonely_producer", "Kafka"), ("lonely_worker", "Kafka")):
            await waits_for(system, name, f"{what}, away for ")
            assert (await system.ask(name, "/healthz"))[0] == 200
            assert await total(system, name, "leadstream_ready") == 0
            assert await total(system, name, "leadstream_waiting_seconds", dependency=what) > 0
            assert await total(system, name, "leadstream_retries_total", dependency=what) > 0
    finally:
        for name in ("lonely_sink", "lonely_producer", "lonely_worker"):
            system.kill(name)
