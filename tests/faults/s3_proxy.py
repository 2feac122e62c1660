"""An HTTP proxy between the producer and S3 that is slow, refuses, breaks off, and answers with another object."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from yarl import URL

HOST = "127.0.0.1"
CHUNK_BYTES = 4_096
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding"}


class S3Proxy:
    """Use as an async context manager. What it is set to do lasts until it is set back."""

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.bytes_per_second: int | None = None
        self.refuses = False
        self.refused = 0
        self.break_after: int | None = None
        """The next object that is read breaks off after so many bytes."""
        self.at_break: Callable[[], Awaitable[None]] | None = None
        """What happens before it does."""
        self.foreign_answers = 0
        """So many of the next answers to a reader who goes on in the middle are of another object."""
        self.breaks = 0
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> S3Proxy:
        self._session = aiohttp.ClientSession(auto_decompress=False, trust_env=False)
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._runner is not None and self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        if self.refuses:
            self.refused += 1
            return web.Response(status=503, body=SLOW_DOWN, content_type="application/xml")
        is_object = request.method == "GET" and "Range" in request.headers
        try:
            answer = await self._session.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers={**request.headers},
                data=body or None,
                skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
            )
        except aiohttp.ClientError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=502)
        async with answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_HEADERS}
            is_foreign = self.foreign_answers > 0 and is_object and request.headers["Range"] != "bytes=0-"
            if is_foreign:
                self.foreign_answers -= 1
                headers["ETag"] = '"00000000000000000000000000000000"'
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            breaks_after, sent = None, 0
            if is_object and answer.status < 300 and (answer.content_length or 0) > (self.break_after or sys.maxsize):
                breaks_after, self.break_after = self.break_after, None
            try:
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    if self.bytes_per_second:
                        await asyncio.sleep(len(chunk) / self.bytes_per_second)
                    await response.write(b"x" * len(chunk) if is_foreign else chunk)
                    sent += len(chunk)
                    if breaks_after is not None and sent >= breaks_after:
                        await self._break(request)
                        return response
                await response.write_eof()
            except (OSError, aiohttp.ClientError):
                assert request.transport is not None
                request.transport.abort()
            return response

    async def _break(self, request: web.Request) -> None:
        await asyncio.sleep(0.2)  # the bytes before reach the reader
        if self.at_break is not None:
            await self.at_break()
        self.breaks += 1
        if request.transport is not None:
            request.transport.abort()
