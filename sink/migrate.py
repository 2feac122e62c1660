"""Bringing the tables up to date (Alembic, SQL in sink/migrations/versions)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from leadstream.errors import ConfigError, FatalError, TransientError
from leadstream.postgres import refusal

VERSION_TABLE = "leadstream_migrations"
CONNECT_TIMEOUT_SECONDS = 10
LOCK_KEY = 0x6C656164
"""Advisory lock: of several processes that migrate at once, one does and the others find nothing to do."""

_SCRIPTS = Path(__file__).parent / "migrations"
_GRANTS = _SCRIPTS / "grants.sql"


def migrate(dsn: str) -> list[str]:
    """Apply what is missing in the database at ``dsn``; return the names of what was applied, oldest first.

    Then the rights of migrations/grants.sql, always.

    All or nothing: a migration that fails leaves the database as it was.

    Raises:
        TransientError: Postgres is away.
        ConfigError: the DSN, the login or the rights are wrong.
        FatalError: a migration failed; says why.
    """
    with _connection(dsn) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        missing = _missing(connection)
        if missing:
            command.upgrade(_config(connection), "head")
        # Not a migration: a role may be made after the tables were.
        connection.exec_driver_sql(_GRANTS.read_text("utf-8"), execution_options={"no_parameters": True})
        return missing


def pending(dsn: str) -> list[str]:
    """Names of the migrations that the database at ``dsn`` still lacks, oldest first. Changes nothing.

    Raises:
        TransientError: Postgres is away.
        ConfigError: the DSN or the login is wrong.
    """
    with _connection(dsn) as connection:
        return _missing(connection)


def _missing(connection: Connection) -> list[str]:
    scripts = ScriptDirectory.from_config(_config(connection))
    done = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    known = [script.revision for script in scripts.walk_revisions()]
    newer = [revision for revision in done if revision not in known]
    if newer:
        raise ConfigError(
            f"the database is at {', '.join(newer)}, which this version of leadstream does not know",
            hint="install the newer version",
        )
    return [script.revision for script in scripts.iterate_revisions("heads", done or "base")][::-1]


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    try:
        engine = create_engine(
            dsn.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
    except ArgumentError as exc:
        raise ConfigError("POSTGRES_DSN is no DSN", hint="e.g. postgresql://user:password@host:5432/db") from exc
    place = f"{engine.url.host or 'localhost'}:{engine.url.port or 5432}/{engine.url.database}"
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as exc:
        raise refusal(exc, dsn) or _translated(exc, place) from exc


def _translated(error: DBAPIError, place: str) -> Exception:
    cause = error.orig
    reason = str(cause).strip()
    state = (cause.sqlstate if isinstance(cause, psycopg.Error) else None) or ""
    # A refused connection attempt carries no code, only the server's words.
    if state.startswith("28") or ("does not exist" in reason and not state):
        return ConfigError(f"Postgres at {place} refuses: {reason}", hint="check POSTGRES_DSN")
    if state in {"42501", "3D000"}:
        return ConfigError(f"Postgres at {place} refuses: {reason}", hint="use the owner of the tables, or grant it")
    if isinstance(cause, psycopg.OperationalError):
        return TransientError(f"Postgres at {place} cannot be reached: {reason}", hint="check POSTGRES_DSN")
    return FatalError(f"the tables at {place} cannot be migrated: {reason}")
