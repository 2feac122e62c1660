"""The sink against real Kafka, registry and Postgres; each test has a database, topics and a group of its own."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import signal

import pytest
from aiokafka import TopicPartition
from fastavro import parse_schema

import sink.postgres_output
from leadstream.errors import ConfigError, FencedError, TransientError
from leadstream.masking import masked_lead
from schemas.codec import Encoder
from schemas.records import lead_fields, schema_json
from schemas.registry import Registry
from sink.migrate import migrate, pending
from sink.postgres_output import PostgresOutput
from sink.service import SinkService
from tests.integration.sink_world import PATIENCE_SECONDS, World, batch, letter_headers


async def test_a_change_record_becomes_a_lead_with_every_field_and_its_provenance(world: World) -> None:
    """What a change record says stands in ``leads`` under the same names, and leads back to the row in the file."""
    record = world.lead(3, zip="01234", accepts_financial_aid=True, min_age=0, email="office@example.com")
    await world.send_leads(record)
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM leads", 1, task)
    (row,) = await world.sql("SELECT * FROM leads")
    for field in lead_fields():
        assert row[field] == record[field], field
    for name in (
        "source",
        "load_id",
        "load_seq",
        "row_number",
        "line_number",
        "bucket",
        "object_key",
        "object_version",
    ):
        assert row[name] == record[name], name
    for name in ("mapping_version", "raw_schema_id", "raw_partition", "raw_offset", "content_hash"):
        assert row[name] == record[name], name
    assert row["first_seen_at"] == row["updated_at"] == record["emitted_at"]
    assert row["deleted_at"] is None


async def test_every_change_is_a_version_and_each_ends_when_the_next_begins(world: World) -> None:
    """History has every change record, in one batch or several, as an unbroken chain; one version stands."""
    first = world.lead(2, company="A")
    second = world.lead(2, op="u", seq=2, company="B")
    third = world.lead(2, op="u", seq=3, company="C")
    fourth = world.lead(2, op="d", seq=4, company="C")
    await world.send_leads(first, second)
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM lead_history", 2, task)
        await world.send_leads(third)
        await world.until("SELECT count(*) FROM lead_history", 3, task)
        await world.send_leads(fourth)
        await world.until("SELECT count(*) FROM lead_history", 4, task)
    versions = await world.sql("SELECT * FROM lead_history ORDER BY valid_from")
    moments = [record["emitted_at"] for record in (first, second, third, fourth)]
    assert [v["valid_from"] for v in versions] == moments
    assert [v["valid_to"] for v in versions] == [*moments[1:], None]
    assert [v["op"] for v in versions] == ["c", "u", "u", "d"]
    assert [v["company"] for v in versions] == ["A", "B", "C", "C"]
    assert versions[1]["changed_fields"] == ["company"]


async def test_a_deleted_lead_keeps_its_row_and_its_version(world: World) -> None:
    """A delete is soft, the tombstone after it changes nothing, and an older record does not bring the lead back."""
    await world.send_leads(world.lead(2, seq=1), world.lead(2, op="d", seq=3))
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM leads WHERE deleted_at IS NOT NULL", 1, task)
        await world.send_leads(world.lead(2, op="u", seq=2, company="late"))
        await world.until("SELECT count(*) FROM lead_history", 3, task)
        (row,) = await world.sql("SELECT * FROM leads")
        assert (row["load_seq"], row["company"]) == (3, "Sunny Days 2")
        assert row["deleted_at"] is not None
        await world.send_leads(world.lead(2, seq=4, company="back"))
        await world.until("SELECT company FROM leads WHERE deleted_at IS NULL", "back", task)


@pytest.mark.parametrize("together", [True, False])
async def test_an_older_record_never_overwrites_a_newer_one(world: World, together: bool) -> None:
    """(load_seq, row) of a lead never goes back, in one batch or in several; the older record is kept as overtaken."""
    newer = world.lead(2, seq=5, company="newer")
    older = world.lead(2, op="u", seq=4, company="older")
    same_file = world.lead(2, op="u", seq=5, row_number=1, company="an earlier row")
    again = world.lead(2, op="u", seq=5, company="the same row, mapped anew")
    async with world.sink() as task:
        if together:
            await world.send_leads(newer, older, same_file, again)
        else:
            for count, record in enumerate((newer, older, same_file, again), 1):
                await world.send_leads(record)
                await world.until("SELECT count(*) FROM lead_history", count, task)
        await world.until("SELECT count(*) FROM lead_history", 4, task)
    assert (await world.sql("SELECT company FROM leads"))[0]["company"] == "the same row, mapped anew"
    versions = await world.sql("SELECT company, valid_from, valid_to FROM lead_history ORDER BY canonical_offset")
    assert [v["valid_to"] for v in versions] == [
        again["emitted_at"],
        older["emitted_at"],
        same_file["emitted_at"],
        None,
    ]


async def test_a_dead_letter_keeps_its_bytes_its_place_and_every_reason(world: World) -> None:
    """Headers become columns; one with missing, odd or NUL-ridden headers is stored all the same."""
    async with world.sink() as task:
        await world.send(world.dead_letters, b"\x00\xff,2", headers=letter_headers(9, message="has a \0 in it"))
        odd = [("leadstream.row", b"nine"), ("leadstream.load_seq", b"9" * 30), ("leadstream.reasons", b"{")]
        await world.send(world.dead_letters, b"x", headers=odd)
        await world.send(world.dead_letters, b"y", partition=1)
        await world.until("SELECT count(*) FROM dead_letters", 3, task)
    first, second, third = await world.sql("SELECT * FROM dead_letters ORDER BY dead_letter_id")
    assert (first["dead_letter_id"], first["stage"], first["reason_code"]) == ("0-0", "VALIDATE", "not_a_number")
    assert (first["key"], first["value"]) == (b"key", b"\x00\xff,2")
    assert (first["row_number"], first["line_number"], first["raw_offset"]) == (9, 10, 42)
    assert first["reasons"].count('"code"') == 2
    assert first["status"] == "open"
    assert "\N{REPLACEMENT CHARACTER}" in first["message"]
    assert (second["row_number"], second["load_seq"], second["reasons"], second["value"]) == (None, None, None, b"x")
    assert (third["source"], third["value"]) == (None, b"y")


async def test_a_record_that_cannot_be_decoded_is_kept_and_stops_nothing(world: World) -> None:
    """Bytes that are no record become a dead letter with stage WRITE; those around them are written."""
    good = world.encode(world.lead(2))
    async with world.sink() as task:
        await world.send(world.canonical, b"nonsense", good, good[:-3], b"\x00\x7f\xff\xff\xff")
        await world.send(world.loads, b"")
        await world.until("SELECT count(*) FROM dead_letters WHERE stage = 'WRITE'", 4, task)
    assert len(await world.sql("SELECT * FROM leads")) == 1
    letters = await world.sql("SELECT * FROM dead_letters ORDER BY dead_letter_id")
    assert letters[0]["dead_letter_id"] == f"{world.canonical}-0-0"
    assert {letter["value"] for letter in letters} == {b"nonsense", good[:-3], b"\x00\x7f\xff\xff\xff", b""}


async def test_one_value_that_postgres_cannot_take_costs_one_record(world: World) -> None:
    """Text with a NUL, and a key too long for an index, go to the dead letters; the load says so."""
    records = [world.lead(number) for number in range(2, 202, 2)]
    records[10]["company"] = "Sunny\0Days"
    records[70]["phone"] = "".join(hashlib.sha512(bytes([i])).hexdigest() for i in range(100))
    async with world.sink() as task:
        await world.send_leads(*records)
        await world.send_steps(*world.steps(100, inserted=100, sent=100))
        await world.until("SELECT status FROM loads", "broken", task)
    assert len(await world.sql("SELECT * FROM leads")) == len(await world.sql("SELECT * FROM lead_history")) == 98
    letters = await world.sql("SELECT * FROM dead_letters ORDER BY row_number")
    assert [letter["row_number"] for letter in letters] == [22, 142]
    assert {(letter["stage"], letter["reason_code"], letter["load_id"]) for letter in letters} == {
        ("WRITE", "refused", "load-1")
    }
    assert letters[0]["value"] == world.encode(records[10])
    assert "2 of 100" in (await world.sql("SELECT reason FROM loads"))[0]["reason"]


async def test_a_text_that_is_not_utf8_costs_one_record(world: World) -> None:
    """In a field, in the lead's key: such bytes become a dead letter as undecodable, those around them are written."""
    good = [world.encode(world.lead(number)) for number in (2, 4, 6, 8)]
    wrong = [good[1].replace(b"Sunny Days", b"Sunny \xff\xff\xffs"), good[2].replace(b"acme:6", b"acme:\xff")]
    async with world.sink() as task:
        await world.send(world.canonical, good[0], *wrong, good[3])
        await world.until("SELECT count(*) FROM dead_letters", 2, task)
    assert [row["lead_key"] for row in await world.sql("SELECT lead_key FROM leads ORDER BY 1")] == ["acme:2", "acme:8"]
    letters = await world.sql("SELECT * FROM dead_letters ORDER BY dead_letter_id")
    assert [(letter["reason_code"], letter["value"]) for letter in letters] == [
        ("undecodable", value) for value in wrong
    ]


async def test_a_record_of_another_version_has_the_defaults_of_what_its_writer_did_not_know(world: World) -> None:
    """Older writers go on while the sink is newer: their records are resolved to today's schema."""
    older = copy.deepcopy(schema_json("lead"))
    older["fields"] = [field for field in older["fields"] if field["name"] not in {"replay_id", "schedule"}]
    registry = Registry(world.settings.registry)
    encoder = Encoder(await registry.register(f"{world.canonical}-value", older), parse_schema(older))
    await registry.close()
    record = world.lead(2, schedule="Mon-Fri 07:30-17:30")
    async with world.sink() as task:
        await world.send(world.canonical, encoder.encode(record), world.encode(world.lead(4)), encoder.encode(record))
        await world.until("SELECT count(*) FROM lead_history", 3, task)
    first, second = await world.sql("SELECT * FROM leads ORDER BY lead_key")
    assert {name: first[name] for name in lead_fields()} == {
        name: None if name == "schedule" else record[name] for name in lead_fields()
    }
    assert second["company"] == "Sunny Days 4"
    assert {row["replay_id"] for row in await world.sql("SELECT replay_id FROM lead_history")} == {""}


async def test_a_topic_that_is_read_again_adds_nothing(world: World) -> None:
    """When the offsets in Postgres are set back, what is there already is not written a second time."""
    records = [world.lead(2), world.lead(2, op="u", seq=2, company="B"), world.lead(4), world.lead(4, op="d", seq=2)]
    query = "SELECT lead_key, canonical_offset, valid_from, valid_to FROM lead_history ORDER BY canonical_offset"
    await world.send_leads(*records)
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM lead_history", 4, task)
    history, leads = await world.sql(query), await world.sql("SELECT * FROM leads ORDER BY lead_key")
    await world.sql("UPDATE sink_offsets SET next_offset = 0")
    await world.send_leads(world.lead(6))
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM leads", 3, task)
    assert (await world.sql(query))[:4] == history
    assert (await world.sql("SELECT * FROM leads ORDER BY lead_key"))[:2] == leads
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": 5}]


async def test_offsets_with_gaps_are_read_to_the_end_once(world: World) -> None:
    """Aborted records and transaction markers leave gaps in the offsets, over which nothing is lost or repeated."""
    for number in range(2, 22, 2):
        await world.send_leads(world.lead(number))
        await world.producer.begin_transaction()
        await world.producer.send_and_wait(world.canonical, world.encode(world.lead(number + 100)), partition=0)
        await world.producer.abort_transaction()
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM lead_history", 10, task)
    await world.send_leads(world.lead(22))
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM lead_history", 11, task)
    assert {row["lead_key"] for row in await world.sql("SELECT lead_key FROM lead_history")} == {
        f"acme:{number}" for number in range(2, 24, 2)
    }


async def test_a_writer_whose_offsets_have_moved_writes_nothing(world: World) -> None:
    """A sink that lost its partition cannot commit: all of its batch is rolled back."""
    zombie, successor = PostgresOutput(world.dsn), PostgresOutput(world.dsn)
    place = TopicPartition(world.canonical, 0)
    assert await zombie.offsets([place]) == await successor.offsets([place]) == {place: 0}
    await successor.write(await batch(world, 0, world.lead(2, company="successor"), world.lead(4)))
    with pytest.raises(FencedError):
        await zombie.write(await batch(world, 0, world.lead(2, op="u", seq=9, company="zombie")))
    assert await successor.offsets([place]) == {place: 2}
    assert [row["company"] for row in await world.sql("SELECT company FROM leads ORDER BY 1")] == [
        "Sunny Days 4",
        "successor",
    ]
    await zombie.close()
    await successor.close()


async def test_a_batch_whose_commit_was_not_answered_is_not_written_twice(world: World) -> None:
    """Who loses the connection reads the offsets, which say whether the batch took effect, before it writes on."""
    output, place = PostgresOutput(world.dsn), TopicPartition(world.canonical, 0)
    await output.offsets([place])
    same = await batch(world, 0, world.lead(2), world.lead(4))
    await output.write(same)
    output._drop_connection()
    for again in (output.write(same), output.flush()):
        with pytest.raises(FencedError):
            await again
    assert await output.offsets([place]) == {place: 2}
    await output.write(await batch(world, 2, world.lead(6)))
    await output.flush()
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": 3}]
    assert (await world.sql("SELECT next_offset FROM sink_offsets")) == [{"next_offset": 3}]
    await output.close()


async def test_a_process_paused_in_its_transaction_does_not_hold_up_its_successor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a session that sits in a transaction; what it comes back with is refused."""
    monkeypatch.setattr(sink.postgres_output, "IDLE_IN_TRANSACTION_MILLISECONDS", 300)
    paused, successor = PostgresOutput(world.dsn), PostgresOutput(world.dsn)
    place = TopicPartition(world.canonical, 0)
    await paused.offsets([place])
    connection = await paused._connected()
    await connection.execute("BEGIN")
    await connection.execute("UPDATE sink_offsets SET next_offset = 5")
    await successor.write(await batch(world, 0, world.lead(2)))
    with pytest.raises(TransientError):
        await paused.write(await batch(world, 0, world.lead(2, op="u", seq=9), world.lead(4)))
    with pytest.raises(FencedError):
        await paused.write(await batch(world, 0, world.lead(2, op="u", seq=9), world.lead(4)))
    assert await successor.offsets([place]) == {place: 1}
    await paused.close()
    await successor.close()


async def test_a_sink_that_was_paused_beyond_every_timeout_writes_nothing_twice(world: World) -> None:
    """Its partitions move to another; when it wakes it is fenced or rejoins, and every record is there once."""
    process = world.sink_process()
    try:
        await world.send_leads(*(world.lead(i) for i in range(2_000)))
        await world.until("SELECT count(*) > 0 FROM lead_history", True)
        process.send_signal(signal.SIGSTOP)
        await world.send_leads(*(world.lead(2_000 + i) for i in range(2_000)))
        async with world.sink() as task:
            await world.until("SELECT count(*) FROM leads", 4_000, task)
            process.send_signal(signal.SIGCONT)
            await world.send_leads(*(world.lead(4_000 + i) for i in range(2_000)))
            await world.until("SELECT count(*) FROM leads", 6_000, task)
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": 6_000}]


async def test_two_sinks_share_the_work_and_one_takes_over_when_the_other_leaves(world: World) -> None:
    """Through joining and leaving, every record is written once."""
    sent = 0
    async with world.sink() as first:
        for _ in range(3):
            await world.send_leads(*(world.lead(sent + i) for i in range(200)))
            sent += 200
        await world.until("SELECT count(*) > 0 FROM leads", True, first)
        async with world.sink() as second:
            for _ in range(10):
                await world.send_leads(*(world.lead(sent + i) for i in range(200)))
                sent += 200
                await asyncio.sleep(0.2)
            assert not second.done()
        await world.send_leads(*(world.lead(sent + i) for i in range(200)))
        sent += 200
        await world.until("SELECT count(*) FROM leads", sent, first)
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": sent}]
    assert (await world.sql("SELECT count(*) AS n FROM lead_history")) == [{"n": sent}]


async def test_a_sink_that_is_killed_loses_and_repeats_nothing(world: World) -> None:
    """SIGKILL at any moment: whoever comes after goes on from the last commit."""
    sent = 0
    for pause in (0.0, 0.1):
        process = world.sink_process()
        await world.send_leads(*(world.lead(sent + i) for i in range(2_000)))
        sent += 2_000
        await world.until(f"SELECT count(*) > {sent - 2_000} FROM lead_history", True)
        await asyncio.sleep(pause)
        process.kill()
        process.wait()
    async with world.sink() as task:
        await world.until("SELECT count(*) FROM leads", sent, task)
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": sent}]


async def test_postgres_may_go_away_in_the_middle(world: World) -> None:
    """While Postgres is away the sink waits; when it is back everything is written once."""
    async with world.sink() as task:
        await world.send_leads(*(world.lead(number) for number in range(1_000)))
        await world.until("SELECT count(*) > 0 FROM leads", True, task)
        for _ in range(3):
            await world.send_leads(*(world.lead(1_000 + number) for number in range(3_000)))
            await world.stack.restart_part("postgres")
        await world.send_leads(*(world.lead(4_000 + number) for number in range(1_000)))
        await world.until("SELECT count(*) FROM leads", 5_000, task)
        await world.until("SELECT applied FROM load_applied", 11_000, task)


@pytest.mark.parametrize("is_running", [False, True])
async def test_commits_that_a_killed_postgres_forgot_are_made_again(world: World, is_running: bool) -> None:
    """The sink does not wait for the disk: what a server that died has lost is read and written again, once."""
    sent, forgotten = 0, 0
    await world.sql("ALTER SYSTEM SET wal_writer_delay = '10s'")  # the disk lags far behind
    await world.sql("SELECT pg_reload_conf()")
    try:
        for _ in range(3):
            async with world.sink() as task:
                for _ in range(3):
                    await world.send_leads(*(world.lead(sent + number) for number in range(100)))
                    sent += 100
                    await world.until("SELECT count(*) FROM leads", sent, task)
                await world.stack.kill_part("postgres")
                if is_running:
                    await world.stack.restart_part("postgres")
                    await world.until("SELECT count(*) FROM leads", sent, task)
            if not is_running:
                await world.stack.restart_part("postgres")
                forgotten += sent - (await world.sql("SELECT count(*) AS n FROM leads"))[0]["n"]
        async with world.sink() as task:
            await world.until("SELECT count(*) FROM leads", sent, task)
    finally:
        await world.sql("ALTER SYSTEM RESET wal_writer_delay")
        await world.sql("SELECT pg_reload_conf()")
    assert forgotten > 0 or is_running
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": sent}]
    assert (await world.sql("SELECT count(*) AS n FROM lead_history")) == [{"n": sent}]


async def test_kafka_may_go_away_in_the_middle(world: World) -> None:
    """While Kafka is away the sink waits; when it is back it reads on."""
    async with world.sink() as task:
        await world.send_leads(*(world.lead(number) for number in range(1_000)))
        await world.until("SELECT count(*) FROM leads", 1_000, task)
        await world.stack.restart_part("kafka")
        await world.send_leads(*(world.lead(1_000 + number) for number in range(1_000)))
        await world.until("SELECT count(*) FROM leads", 2_000, task)
    assert (await world.sql("SELECT applied FROM load_applied")) == [{"applied": 2_000}]


async def test_a_database_of_another_cluster_is_refused(world: World) -> None:
    """Offsets beyond the end of a topic mean that the database was filled from elsewhere."""
    await world.sql(f"INSERT INTO sink_offsets VALUES ('{world.canonical}', 0, 1000)")
    with pytest.raises(ConfigError, match="another Kafka cluster"):
        await asyncio.wait_for(SinkService(world.settings).run(), PATIENCE_SECONDS)


async def test_the_sink_does_not_start_on_tables_that_are_behind(world: World) -> None:
    """It says what is missing and what to do; migrating twice changes nothing."""
    assert await asyncio.to_thread(pending, world.dsn) == []
    assert await asyncio.to_thread(migrate, world.dsn) == []
    await world.sql(
        "ALTER TABLE lead_history DROP CONSTRAINT lead_history_pkey, ADD history_id bigint PRIMARY KEY, "
        "ADD UNIQUE (canonical_partition, canonical_offset)"
    )
    await world.sql("CREATE INDEX leads_load ON leads (load_id)")
    await world.sql("DROP INDEX loads_held_deletes")
    await world.sql("DROP TABLE replays, exports")
    await world.sql("ALTER TABLE lead_history DROP replay_id")
    await world.sql("ALTER TABLE dead_letters DROP replay_id, DROP attempts, DROP last_attempt_at")
    await world.sql("ALTER TABLE loads DROP halted_partitions, DROP halted_reason")
    await world.sql("UPDATE leadstream_migrations SET version_num = '0002_views'")
    with pytest.raises(ConfigError, match="leadstream migrate"):
        await asyncio.wait_for(SinkService(world.settings).run(), PATIENCE_SECONDS)
    assert await asyncio.to_thread(migrate, world.dsn) == [
        "0003_exports",
        "0004_replays",
        "0005_halts",
        "0006_keys",
        "0007_roles",
        "0008_forget",
    ]


async def test_every_column_is_explained_and_every_canonical_field_has_one(world: World) -> None:
    """Who opens the database finds what each table and column means."""
    columns = await world.sql(
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum) AS doc FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'leadstream_migrations'"
    )
    assert [(c["relname"], c["attname"]) for c in columns if not c["doc"]] == []
    for table in ("leads", "lead_history"):
        assert set(lead_fields()) <= {c["attname"] for c in columns if c["relname"] == table}


async def test_the_views_tell_sources_providers_and_masked_leads(world: World) -> None:
    """One row a source; one row a provider across sources; nothing personal for ordinary readers."""
    ours = world.lead(2, address1="1 Main  St", zip="89101", phone="+17025550102;ext=4", email="ann@example.com")
    theirs = world.lead(4, address1="1 MAIN ST", zip="89101-0001", phone="+17025550102", first_name="Ann")
    theirs |= {"lead_key": "zeta:4", "source": "zeta", "load_id": "load-z"}
    alone = world.lead(6, phone=None)
    home = world.lead(10, phone="702 555 0110", facility_type="Family Home", company="Ann Pineda", email="none")
    async with world.sink() as task:
        await world.send_leads(ours, theirs, alone, home, world.lead(8, op="d"))
        await world.send_steps(*world.steps(4, inserted=4, sent=4))
        await world.until("SELECT status FROM loads", "done", task)
    sources = {row["source"]: row for row in await world.sql("SELECT * FROM lead_sources")}
    assert (sources["acme"]["live_leads"], sources["acme"]["deleted_leads"]) == (3, 1)
    assert (sources["acme"]["last_file"], sources["acme"]["last_status"]) == ("acme/load-1.csv", "done")
    assert sources["zeta"]["live_leads"] == 1
    unique = await world.sql("SELECT * FROM leads_unique ORDER BY cardinality(sources) DESC")
    assert [row["sources"] for row in unique] == [["acme", "zeta"], ["acme"], ["acme"]]
    assert unique[0]["lead_key"] == "zeta:4"
    masked = {row["lead_key"]: row for row in await world.sql("SELECT * FROM leads_masked")}
    assert (masked["acme:2"]["phone"], masked["acme:2"]["email"]) == ("+1*******02", "***@example.com")
    assert masked["zeta:4"]["first_name"] == "***"
    assert masked["acme:2"]["company"] == ours["company"]
    for lead in (ours, theirs, alone, home):
        shown = masked_lead(lead)
        assert {name: masked[lead["lead_key"]][name] for name in lead_fields()} == {n: shown[n] for n in lead_fields()}
