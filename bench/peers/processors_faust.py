"""A Faust agent, a message at a time, with the same mapping function. A worker is a process: each run starts one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

import faust

from bench.peers.rows import WARM_ROWS, RowMapper
from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


def work(request: Request) -> Answer:
    """Map messages from ``source`` to ``topic`` in a worker of its own; the clock runs for ``rows`` when it is warm."""
    command = [sys.executable, "-m", "bench.peers.processors_faust", json.dumps(request)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


def be_worker(request: Request) -> None:
    """Run the app; gives the answer on what is standard output now, and ends the process after the last row."""
    answers = os.dup(1)  # Faust makes log lines of what is printed
    app = faust.App(
        f"bench-{uuid.uuid4().hex}",
        broker=f"kafka://{Settings.load().kafka.bootstrap_servers}",
        store="memory://",
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    source, out = (
        app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        for name in (request["source"], request["topic"])
    )

    @app.agent(source)
    async def mapped(stream: Any) -> None:
        mapper, rows, began_at = RowMapper(), 0, 0.0
        async for event in stream.events():
            if event.value is None:
                continue
            if not rows:
                await mapper.prepare(event.value)
            record = mapper.record(event.key, event.value, event.message.headers)
            await out.send(key=event.key, value=record)
            rows += 1
            if rows == WARM_ROWS:
                began_at = time.monotonic()
            if rows == WARM_ROWS + request["rows"]:
                await app.producer.flush()
                seconds = time.monotonic() - began_at
                os.write(answers, json.dumps({"rows": request["rows"], "seconds": seconds}).encode())
                os._exit(0)

    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        be_worker(json.loads(sys.argv[1]))
    else:
        serve(work)
