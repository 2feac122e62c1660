"""Locked doors before parts that have none of their own: TLS before S3 and Postgres, a login before the registry."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine

import aiohttp
from aiohttp import web

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
SSL_REQUEST = 80_877_103
GSS_REQUEST = 80_877_104
NO_TLS = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for host, no encryption\0\0"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextlib.asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port on which TLS leads to ``port``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass_on(reader, writer, port)

    async with await asyncio.start_server(_forgiving(serve), HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def tls_before_postgres(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """As a server with ``ssl = on`` and ``hostssl`` alone in its pg_hba.conf; the embedded build has no TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _size, code = struct.unpack("!ii", await reader.readexactly(8))
        if code == GSS_REQUEST:
            writer.write(b"N")
            _size, code = struct.unpack("!ii", await reader.readexactly(8))
        if code != SSL_REQUEST:
            writer.write(b"E" + struct.pack("!i", len(NO_TLS) + 4) + NO_TLS)
            await writer.drain()
            return
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(context)
        await _pass_on(reader, writer, port)

    async with await asyncio.start_server(_forgiving(serve), HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def login_before(url: str, logins: set[str], context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port on which who shows one of ``logins`` (values of the header Authorization) gets to ``url``."""
    async with aiohttp.ClientSession() as session:

        async def serve(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") not in logins:
                return web.json_response({"error_code": 401, "message": "Unauthorized"}, status=401)
            kept = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
            body = await request.read()
            async with session.request(request.method, url + request.path_qs, data=body, headers=kept) as answer:
                return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", serve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0, ssl_context=context)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def role_with(access_key: str, secret_key: str) -> AsyncIterator[str]:
    """The URL at which a container asks for the key of its role (Amazon ECS, "task IAM role")."""

    async def serve(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "AccessKeyId": access_key,
                "SecretAccessKey": secret_key,
                "Token": None,
                "Expiration": "2100-01-01T00:00:00Z",
            }
        )

    app = web.Application()
    app.router.add_get("/role", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}/role"
    finally:
        await runner.cleanup()


def _forgiving(serve: Serve) -> Serve:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who does not like our certificate hangs up; that is what is tested.
        try:
            with contextlib.suppress(OSError, EOFError):
                await serve(reader, writer)
        finally:
            writer.close()

    return served


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, inner_writer))
            group.create_task(_copy(inner_reader, writer))
    except* OSError:
        pass
    finally:
        inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
