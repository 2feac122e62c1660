"""The whole way in one script: ``read_csv`` from S3, the same mapping a row, ``to_sql``. No history."""

from __future__ import annotations

import io
import time

import boto3
import pandas as pd
from sqlalchemy import create_engine

from bench.peers.rows import bind_mapping
from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings

ROWS_AT_ONCE = 10_000


def load(request: Request) -> Answer:
    """Load one object into a new table."""
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
    dsn = settings.postgres.dsn.get_secret_value().replace("postgresql://", "postgresql+psycopg2://", 1)
    engine = create_engine(dsn)
    began_at = time.monotonic()
    data = client.get_object(Bucket=s3.bucket, Key=request["key"])["Body"].read()
    table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding_errors="replace")
    mapping = bind_mapping(list(table.columns))
    leads = []
    for row in table.itertuples(index=False, name=None):
        body, _reasons = mapping.map([cell or None for cell in row])
        body["ages_served"] = ",".join(body["ages_served"])
        leads.append(body | {"lead_key": row[0]})
    pd.DataFrame(leads).to_sql(request["table"], engine, if_exists="replace", index=False, chunksize=ROWS_AT_ONCE)
    seconds = time.monotonic() - began_at
    engine.dispose()
    return {"rows": len(leads), "seconds": seconds}


if __name__ == "__main__":
    serve(load)
