"""``produce``, ``process``, ``sink``: one stage in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from leadstream import web
from leadstream.cli import session


def produce() -> None:
    """Split the files that arrive in the bucket into rows on Kafka. Any number of these share the work.

    \b
    Examples:
      leadstream produce
      PRODUCER_ARRIVALS=sqs PRODUCER_SQS_QUEUE_URL=https://sqs… leadstream produce
    """
    from producer.service import ProducerService

    settings = session.start("producer")
    service = ProducerService(settings)
    session.run(
        _until_stopped(service.run(), web.answering("producer", settings.http_host, settings.producer.http_port))
    )


def process() -> None:
    """Turn raw rows into leads: a Faust worker. Any number of these share the work.

    \b
    Examples:
      leadstream process
      PROCESSOR_WEB_PORT=6066 leadstream process
    """
    settings = session.start("processors")
    faust_web = ["--web-port", str(settings.processor.web_port)] if settings.processor.web_port else ["--without-web"]
    # Faust's own program, in this process: signals and the exit code are the worker's, and only one start to wait for.
    from faust.cli.faust import cli

    sys.argv = ["faust", "--quiet", "--loglevel", "warn", "-A", "processors", "worker"]
    sys.argv += faust_web
    cli()


def sink() -> None:
    """Write leads, receipts and dead letters into Postgres. Any number of these share the work.

    \b
    Examples:
      leadstream sink
      POSTGRES_DSN=postgresql://writer@db:5432/leads leadstream sink
    """
    from sink.service import SinkService

    settings = session.start("sink")
    service = SinkService(settings)
    session.run(_until_stopped(service.run(), web.answering("sink", settings.http_host, settings.sink.http_port)))


async def _until_stopped(
    work: Coroutine[Any, Any, None], answering: contextlib.AbstractAsyncContextManager[None]
) -> None:
    """Work, and answer how the work goes, until it ends by itself, or until SIGINT or SIGTERM cancels it."""
    task = asyncio.ensure_future(_work(work, answering))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _work(work: Coroutine[Any, Any, None], answering: contextlib.AbstractAsyncContextManager[None]) -> None:
    with contextlib.closing(work):
        async with answering:
            await work
