"""Postgres as the commands read it: a connection with its errors in plain words, and the queries of queries.sql."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import orjson

from leadstream.errors import ConfigError, TransientError
from leadstream.postgres import place, refusal
from leadstream.settings import PostgresSettings
from leadstream.sql import statements

CONNECT_TIMEOUT_SECONDS = 5
QUERY_TIMEOUT_SECONDS = 30
LONG_QUERY_TIMEOUT_SECONDS = 3_600
LOCK_TIMEOUT_SECONDS = 5
STREAM_ROWS = 1_000

Row = dict[str, Any]

_INCLUSION = re.compile(r"\{(\w+)\}")


class Database:
    """A connection that answers the named queries."""

    def __init__(self, connection: Any, dsn: str) -> None:
        self._connection = connection
        self._dsn = dsn

    async def rows(self, name: str, *arguments: object) -> list[Row]:
        """Every row of a query as a dict."""
        with _translated(self._dsn):
            return [dict(row) for row in await self._connection.fetch(_statement(name), *arguments)]

    async def row(self, name: str, *arguments: object) -> Row | None:
        """The first row of a query."""
        with _translated(self._dsn):
            row = await self._connection.fetchrow(_statement(name), *arguments)
        return dict(row) if row is not None else None

    async def stream(self, name: str, *arguments: object) -> AsyncIterator[Row]:
        """The rows of a query one by one, through a cursor, so that memory does not grow; within :meth:`snapshot`."""
        with _translated(self._dsn):
            async for row in self._connection.cursor(
                _statement(name), *arguments, prefetch=STREAM_ROWS, timeout=LONG_QUERY_TIMEOUT_SECONDS
            ):
                yield dict(row)

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Within it, every query sees the tables as they were at the first one."""
        transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
        with _translated(self._dsn):
            await transaction.start()
        try:
            yield
        finally:
            # A connection that is gone has ended it already.
            with contextlib.suppress(asyncpg.InterfaceError), _translated(self._dsn):
                await transaction.rollback()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """As :meth:`snapshot`, but what is written within it is kept, unless it ends with an error.

        Raises:
            TransientError: another process writes the same row.
        """
        transaction = self._connection.transaction(isolation="repeatable_read")
        with _translated(self._dsn):
            await transaction.start()
            await self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        try:
            yield
        except BaseException:
            with contextlib.suppress(asyncpg.InterfaceError), _translated(self._dsn):
                await transaction.rollback()
            raise
        with _translated(self._dsn):
            await transaction.commit()


@contextlib.asynccontextmanager
async def connect(settings: PostgresSettings) -> AsyncIterator[Database]:
    """A connection to the database.

    Raises:
        ConfigError: wrong DSN, user, password or database, or its tables are missing.
        TransientError: Postgres is away.
    """
    dsn = settings.dsn.get_secret_value()
    try:
        with _translated(dsn):
            connection = await asyncpg.connect(
                dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=QUERY_TIMEOUT_SECONDS
            )
    except (asyncpg.ClientConfigurationError, ValueError) as exc:
        raise ConfigError("POSTGRES_DSN is no DSN", hint="e.g. postgresql://user:password@host:5432/db") from exc
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=orjson.loads)
        yield Database(connection, dsn)
    finally:
        await connection.close()


async def check_reachable(settings: PostgresSettings) -> None:
    """Connect once, for the plain words of :func:`connect` where another library would connect next.

    Raises:
        ConfigError: wrong DSN, user, password or database.
        TransientError: Postgres is away.
    """
    async with connect(settings):
        pass


@contextlib.contextmanager
def _translated(dsn: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.InvalidCatalogNameError as exc:
        raise ConfigError(f"Postgres has no database {place(dsn)}", hint="create it, or check POSTGRES_DSN") from exc
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as exc:
        raise ConfigError(f"the tables of {place(dsn)} are missing or behind", hint="run `leadstream migrate`") from exc
    except asyncpg.InsufficientPrivilegeError as exc:
        raise ConfigError(
            f"this user may not do that with the tables of {place(dsn)}: {exc}",
            hint="use a user with the role for this (docs/security.md), in POSTGRES_DSN",
        ) from exc
    except (asyncpg.LockNotAvailableError, asyncpg.SerializationError) as exc:
        raise TransientError(f"another process is doing the same at {place(dsn)}", hint="wait for it") from exc
    except asyncpg.InvalidAuthorizationSpecificationError as exc:
        raise (refusal(exc, dsn) or ConfigError(f"Postgres refuses: {type(exc).__name__}")) from exc
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as exc:
        found = refusal(exc, dsn)
        if found is not None:
            raise found from exc
        raise TransientError(
            f"Postgres at {place(dsn)} cannot be reached", hint="start it (`leadstream up`), or check POSTGRES_DSN"
        ) from exc


def _statement(name: str) -> str:
    """The statement; a name in braces stands for the text of that one."""
    known = statements("leadstream.cli")
    return _INCLUSION.sub(lambda match: known[match[1]].strip().removesuffix(";"), known[name])


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()
