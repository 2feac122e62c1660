"""Leads into a table without history, in three ways.

The bound is COPY of ready rows, then one upsert; beside it ``executemany`` of ready rows, and a script that reads the
topic, decodes with fastavro and upserts by ``executemany``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from bench.peers.serve import Answer, Request, serve
from leadstream.changelog import read_partition
from leadstream.settings import Settings
from schemas.codec import Decoder
from schemas.records import lead_envelope_fields, lead_fields, parsed
from schemas.registry import Registry

ROWS_AT_ONCE = 10_000
COLUMNS = (*lead_envelope_fields(), *lead_fields())
TABLE = "bench_leads"
MAKE_INCOMING = f"""
CREATE TEMP TABLE incoming ON COMMIT DELETE ROWS AS
SELECT {", ".join(f"updated_at AS {name}" if name == "emitted_at" else name for name in COLUMNS)}
FROM leads CROSS JOIN (SELECT op, changed_fields, replay_id FROM lead_history) AS versions
WITH NO DATA
"""

Row = tuple[Any, ...]
Write = Callable[[Any, Sequence[Row]], Awaitable[None]]


async def last_of_each(
    settings: Settings, topic: str, ranges: Sequence[tuple[int, int, int]]
) -> AsyncIterator[list[Row]]:
    """The change records in (partition, start, end) of a topic, as values for :data:`COLUMNS`; one a lead in each list.

    One statement of theirs cannot take a lead twice, and a file may name one in two rows.
    """
    registry = Registry(settings.registry)
    decoder = Decoder(registry, parsed("lead"))
    rows: dict[str, Row] = {}
    for partition, start, end in ranges:
        async for records in read_partition(settings.kafka, topic, partition, start=start, end=end):
            for record in records:
                _schema_id, lead = await decoder.decode(record.value)
                rows[lead["lead_key"]] = tuple(lead[name] for name in COLUMNS)
                if len(rows) == ROWS_AT_ONCE:
                    yield list(rows.values())
                    rows.clear()
    yield list(rows.values())
    await registry.close()


async def write(request: Request) -> Answer:
    """Write the rows of ``ranges`` into an empty table by ``way``: ``copy``, ``executemany``, ``script``."""
    settings = Settings.load()
    connection = await asyncpg.connect(settings.postgres.dsn.get_secret_value())
    await connection.execute(MAKE_INCOMING)
    await connection.execute(f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (LIKE incoming)")
    await connection.execute(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (lead_key)")
    batches = last_of_each(settings, request["topic"], request["ranges"])
    if request["way"] == "script":
        rows, seconds = await _script(connection, batches)
    else:
        rows, seconds = await _ready({"copy": _copy, "executemany": _executemany}[request["way"]], connection, batches)
    await connection.close()
    return {"rows": rows, "seconds": seconds}


async def _ready(one: Write, connection: Any, batches: AsyncIterator[list[Row]]) -> tuple[int, float]:
    """All are read before the clock starts, and no commit waits for the disk: as ours."""
    ready = [batch async for batch in batches]
    await connection.execute("SET synchronous_commit = off")
    began_at = time.monotonic()
    for batch in ready:
        async with connection.transaction():
            await one(connection, batch)
    return sum(map(len, ready)), time.monotonic() - began_at


async def _script(connection: Any, batches: AsyncIterator[list[Row]]) -> tuple[int, float]:
    rows, began_at = 0, time.monotonic()
    async for batch in batches:
        async with connection.transaction():
            await _executemany(connection, batch)
        rows += len(batch)
    return rows, time.monotonic() - began_at


async def _copy(connection: Any, rows: Sequence[Row]) -> None:
    names = ", ".join(COLUMNS)
    await connection.copy_records_to_table("incoming", records=rows, columns=COLUMNS)
    await connection.execute(f"INSERT INTO {TABLE} ({names}) SELECT {names} FROM incoming {_on_conflict()}")


async def _executemany(connection: Any, rows: Sequence[Row]) -> None:
    places = ", ".join(f"${at}" for at in range(1, len(COLUMNS) + 1))
    await connection.executemany(f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({places}) {_on_conflict()}", rows)


def _on_conflict() -> str:
    sets = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "lead_key")
    return f"ON CONFLICT (lead_key) DO UPDATE SET {sets}"


if __name__ == "__main__":
    serve(lambda request: asyncio.run(write(request)))
