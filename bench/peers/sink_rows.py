"""Ready rows into a table without history: the bound (COPY, then one upsert) and asyncpg's ``executemany`` upsert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
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

_rows: dict[str, list[Row]] = {}


async def ready_rows(settings: Settings, topic: str, ranges: Sequence[tuple[int, int, int]]) -> list[Row]:
    """The last change record of each lead in (partition, start, end) of a topic, as values for :data:`COLUMNS`.

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
    await registry.close()
    return list(rows.values())


async def write(request: Request) -> Answer:
    """Write the rows of ``ranges`` into an empty table by ``way``: ``copy`` or ``executemany``."""
    settings = Settings.load()
    name = repr(request["ranges"])
    if name not in _rows:
        _rows.clear()
        _rows[name] = await ready_rows(settings, request["topic"], request["ranges"])
    rows = _rows[name]
    connection = await asyncpg.connect(settings.postgres.dsn.get_secret_value())
    await connection.execute(MAKE_INCOMING)
    await connection.execute(f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (LIKE incoming)")
    await connection.execute(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (lead_key)")
    one = {"copy": _copy, "executemany": _executemany}[request["way"]]
    began_at = time.monotonic()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        async with connection.transaction():
            await one(connection, rows[start : start + ROWS_AT_ONCE])
    seconds = time.monotonic() - began_at
    await connection.close()
    return {"rows": len(rows), "seconds": seconds}


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
