"""``/healthz``, ``/readyz`` and ``/metrics`` of a stage, answered by a thread: also while its event loop is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socketserver
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from leadstream import metrics
from leadstream.errors import ConfigError
from leadstream.health import HEALTH
from leadstream.log import get_logger

LOOP_TURN_SECONDS = 1.0
REQUEST_TIMEOUT_SECONDS = 5.0
STOP_POLL_SECONDS = 0.1

log = get_logger("web")


@contextlib.asynccontextmanager
async def answering(stage: str, host: str, port: int | None) -> AsyncIterator[None]:
    """Answer on ``port`` while the block runs; without a port do nothing.

    Raises:
        ConfigError: the port is in use, or the address is none of this machine.
    """
    if port is None:
        yield
        return
    server = _listen(stage, host, port)
    threading.Thread(target=server.serve_forever, args=(STOP_POLL_SECONDS,), name="web", daemon=True).start()
    log.info("answering", host=host, port=port)
    turning = asyncio.create_task(_turn())
    try:
        yield
    finally:
        turning.cancel()
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def answer(stage: str, path: str) -> tuple[int, str, bytes]:
    """HTTP status, content type and body for a path."""
    if path == "/metrics":
        return 200, CONTENT_TYPE_PLAIN_0_0_4, metrics.text(stage)
    if path == "/healthz":
        stuck = HEALTH.stuck_seconds()
        return _document(not stuck, {"stage": stage, "alive": not stuck, "stuck_seconds": round(stuck, 1)})
    if path == "/readyz":
        waits_for = HEALTH.waits_for()
        return _document(not waits_for, {"stage": stage, "ready": not waits_for, "waits_for": waits_for})
    return 404, "text/plain", b"ask for /healthz, /readyz or /metrics\n"


class _Handler(BaseHTTPRequestHandler):
    stage = ""
    timeout = REQUEST_TIMEOUT_SECONDS
    server_version, sys_version = "leadstream", ""

    def do_GET(self) -> None:
        status, content_type, body = answer(self.stage, self.path.partition("?")[0])
        with contextlib.suppress(OSError):  # who asked may be gone
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A line for each question would drown the others."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As it was, without asking for this machine's name: a name server that is away would hold the stage up."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked went away, or spoke no HTTP: no concern of the stage."""


def _listen(stage: str, host: str, port: int) -> _Server:
    handler = type("StageHandler", (_Handler,), {"stage": stage})
    try:
        return _Server((host, port), handler)
    except OSError as exc:
        raise ConfigError(
            f"cannot answer on {host}:{port}: {exc.strerror}",
            hint="give *_HTTP_PORT of this stage a port that is free, LEADSTREAM_HTTP_HOST an address of this machine",
        ) from exc


def _document(good: bool, document: dict[str, object]) -> tuple[int, str, bytes]:
    return 200 if good else 503, "application/json", json.dumps(document).encode() + b"\n"


async def _turn() -> None:
    while True:
        HEALTH.loop_turned()
        await asyncio.sleep(LOOP_TURN_SECONDS)
