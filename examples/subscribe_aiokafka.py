"""Every change of a lead as a line of JSON: {"key": …, "lead": {…}}, where null says that the lead is no more."""

import asyncio
import io
import json
import os
import struct
import urllib.request

from aiokafka import AIOKafkaConsumer
from fastavro import parse_schema, schemaless_reader

schemas = {}


def decode(value: bytes) -> dict:
    _magic, schema_id = struct.unpack(">bI", value[:5])
    if schema_id not in schemas:
        with urllib.request.urlopen(f"{os.environ['SCHEMA_REGISTRY_URL']}/schemas/ids/{schema_id}") as answer:
            schemas[schema_id] = parse_schema(json.loads(json.load(answer)["schema"]))
    return schemaless_reader(io.BytesIO(value[5:]), schemas[schema_id], None)


async def main() -> None:
    async with AIOKafkaConsumer(
        "leads.canonical",
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["GROUP"],
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=1000)
            for message in (message for batch in batches.values() for message in batch):
                change = decode(message.value) if message.value is not None else None
                lead = change if change and change["op"] != "d" else None
                print(json.dumps({"key": message.key.decode(), "lead": lead}, default=str), flush=True)
            await consumer.commit()  # after the work: a change may come twice, and none is missed


asyncio.run(main())
