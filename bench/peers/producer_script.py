"""What one would write first: ``csv.DictReader``, ``fastavro``, and ``await producer.send()`` a row."""

from __future__ import annotations

import asyncio
import csv
import io
import time

import boto3
from aiokafka import AIOKafkaProducer
from fastavro import parse_schema, schemaless_writer

from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


async def send(request: Request) -> Answer:
    """Read the object, send its rows, flush."""
    settings = Settings.load()
    s3 = settings.s3
    secret = s3.secret_access_key.get_secret_value() if s3.secret_access_key else None
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=secret,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers, enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    began_at = time.monotonic()
    body = client.get_object(Bucket=s3.bucket, Key=request["key"])["Body"].read()
    reader = csv.DictReader(io.StringIO(body.decode("utf-8", errors="replace")))
    names = {name: f"c{at}" for at, name in enumerate(reader.fieldnames or ())}
    fields = [{"name": field, "type": ["null", "string"], "default": None} for field in names.values()]
    schema = parse_schema({"type": "record", "name": "Row", "fields": fields})
    rows = 0
    for row in reader:
        buffer = io.BytesIO()
        buffer.write(b"\x00\x00\x00\x00\x07")
        schemaless_writer(buffer, schema, {names[name]: cell or None for name, cell in row.items()})
        await producer.send(request["topic"], buffer.getvalue(), key=row["Operation #"].encode())
        rows += 1
    await producer.flush()
    seconds = time.monotonic() - began_at
    await producer.stop()
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    serve(lambda request: asyncio.run(send(request)))
