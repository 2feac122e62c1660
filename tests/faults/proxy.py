"""A TCP proxy between the stages and Kafka or Postgres that cuts, delays and stalls connections when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

CHUNK_BYTES = 65_536
HOST = "127.0.0.1"
PRODUCE, OFFSETS_OF_TRANSACTION, END_TRANSACTION = 0, 28, 26
"""Kafka's numbers of requests (the protocol's "API keys")."""

Protocol = Literal["kafka", "postgres"]
Matches = Callable[[bytes], bool]


def kafka_request(number: int) -> Matches:
    """Whether a frame is a request of this kind."""
    return lambda frame: len(frame) >= 12 and struct.unpack_from(">h", frame, 4)[0] == number


def postgres_commit(frame: bytes) -> bool:
    """Whether a frame holds the simple query COMMIT."""
    return b"COMMIT;\0" in frame


@dataclass
class Trap:
    """What happens to the next matching request: it is lost (``request``), its answer is (``answer``), or nothing of
    both, but the ``callback`` runs once the answer was passed on (``after``).
    """

    matches: Matches
    lost: Literal["request", "answer", "after"]
    callback: Callable[[], Awaitable[None]] | None = None
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Use as an async context manager; ``port`` is where clients come."""

    def __init__(self, protocol: Protocol, upstream_port: int) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        self._protocol = protocol
        self._upstream_port = upstream_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._traps: list[Trap] = []
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._callbacks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, HOST, self.port or None)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._flowing.set()
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._callbacks, return_exceptions=True)

    def set_trap(
        self,
        matches: Matches,
        lost: Literal["request", "answer", "after"],
        callback: Callable[[], Awaitable[None]] | None = None,
    ) -> Trap:
        """For the next matching request of any connection."""
        trap = Trap(matches, lost, callback)
        self._traps.append(trap)
        return trap

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing goes either way, and no connection ends."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def cut_all(self) -> None:
        """Every connection ends now."""
        for connection in list(self._connections):
            connection.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(HOST, self._upstream_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, upstream[1])
        self._connections.add(connection)
        ways = [
            asyncio.create_task(self._requests(connection, reader, upstream[1])),
            asyncio.create_task(self._answers(connection, upstream[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._connections.discard(connection)

    async def _requests(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for frame in self._frames(reader):
            await self._wait()
            trap = next((trap for trap in self._traps if trap.matches(frame)), None)
            if trap is not None:
                self._traps.remove(trap)
                if trap.lost == "request":
                    trap.sprung.set()
                    connection.cut()
                    return
                connection.watched = (trap, frame[8:12] if self._protocol == "kafka" else b"")
            writer.write(frame)
            await writer.drain()

    async def _answers(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async for frame in self._frames(reader):
            await self._wait()
            trap = None
            if connection.watched is not None and frame[4 : 4 + len(connection.watched[1])] == connection.watched[1]:
                trap, connection.watched = connection.watched[0], None
                if trap.lost == "answer":
                    trap.sprung.set()
                    connection.cut()
                    return
            writer.write(frame)
            await writer.drain()
            if trap is not None:
                trap.sprung.set()
                if trap.callback is not None:
                    self._callbacks.add(asyncio.create_task(trap.callback()))

    async def _wait(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self._flowing.wait()

    async def _frames(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Kafka's whole frames, or what comes of Postgres; ends with the connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                if self._protocol == "kafka":
                    size = await reader.readexactly(4)
                    yield size + await reader.readexactly(int.from_bytes(size, "big"))
                elif chunk := await reader.read(CHUNK_BYTES):
                    yield chunk
                else:
                    return


class _Connection:
    def __init__(self, client: asyncio.StreamWriter, upstream: asyncio.StreamWriter) -> None:
        self.watched: tuple[Trap, bytes] | None = None
        """A trap that waits for its answer, and the bytes by which that is known."""
        self._writers = (client, upstream)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
