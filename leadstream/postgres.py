"""Why Postgres does not let us in, in our words: asyncpg tells by type, libpq (behind psycopg) by its texts."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg

from leadstream import tls
from leadstream.errors import ConfigError

TLS_HINT = "in POSTGRES_DSN say sslmode=verify-full&sslrootcert=FILE, with the file of the server's authority"


def place(dsn: str) -> str:
    """Host, port and database of a DSN, without user and password."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"


def refusal(error: BaseException, dsn: str) -> ConfigError | None:
    """What is wrong with the login or a certificate; ``None`` when the server is away, or something else failed."""
    server = f"Postgres at {place(dsn)}"
    door = tls.Door(
        place=server,
        address="POSTGRES_DSN",
        ca="sslrootcert of POSTGRES_DSN",
        client="sslcert and sslkey in POSTGRES_DSN",
        protocol="sslmode of POSTGRES_DSN",
    )
    found = tls.refusal(error, door)
    if found is not None:
        return found
    for cause in tls.causes(error):
        found = _told(cause, server, dsn)
        if found is not None:
            return found
    return None


def _told(cause: BaseException, server: str, dsn: str) -> ConfigError | None:
    text = str(cause)
    user = urlsplit(dsn).username or ""
    if (isinstance(cause, FileNotFoundError) and "sslrootcert" in dsn) or "root certificate file" in text:
        return ConfigError(f"sslrootcert of POSTGRES_DSN ({server}) is no readable file", hint=TLS_HINT)
    if "certificate verify failed" in text:
        return ConfigError(f"{server} has a certificate of an authority that is not trusted here", hint=TLS_HINT)
    if "does not match host name" in text:
        return ConfigError(
            f"{server} has a certificate for another host name",
            hint="use a name in POSTGRES_DSN that stands in its certificate",
        )
    if "does not support SSL" in text or "rejected SSL upgrade" in text:
        return ConfigError(f"{server} does not speak TLS", hint="turn it on there (ssl=on), or check POSTGRES_DSN")
    if "no encryption" in text:
        return ConfigError(f"{server} does not let user {user!r} in without TLS", hint=TLS_HINT)
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError) or "authentication failed" in text:
        return ConfigError(f"{server} refuses the user {user!r} or the password", hint="check POSTGRES_DSN")
    return None
