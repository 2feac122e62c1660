"""The home of an embedded stack: its lock, its secrets, and ``stack.json``, by which others find it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from leadstream.errors import ConfigError, FatalError
from leadstream.settings import STACK_FILE_NAME

LOCK_FILE_NAME = "lock"
SECRETS_FILE_NAME = "secrets.json"
# What a killed supervisor leaves needs a while to stop: its guards wait 10 s before they kill.
LEFTOVER_TIMEOUT_SECONDS = 25
LOCK_RETRY_SECONDS = 0.1
LEAST_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Secrets:
    """The passwords of one home; made at random at its first start."""

    postgres_password: str
    s3_access_key_id: str
    s3_secret_access_key: str
    privacy_key: str = ""


@dataclass(frozen=True)
class StackRecord:
    """What ``stack.json`` says: the supervisor, its parts, and the environment that points at them."""

    pid: int
    alive: bool
    environment: dict[str, str]
    parts: dict[str, dict[str, Any]]


def make_home(home: Path) -> None:
    """Make the folder (and ``logs`` in it), closed to other users.

    Raises:
        ConfigError: it cannot be made, or its disk is nearly full.
    """
    try:
        # As root, PostgreSQL's user must be able to pass through; what is inside is closed folder by folder.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"cannot make the home {home}: {exc.strerror}", hint="name another folder in LEADSTREAM_HOME"
        ) from exc
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise ConfigError(
            f"the disk of {home} has {free // 1024**2} of {LEAST_FREE_BYTES // 1024**2} MiB the stack needs",
            hint="free some space, or name another folder in LEADSTREAM_HOME",
        )


async def lock_home(home: Path) -> int:
    """Lock the home for this process and its parts; returns the lock's file descriptor (close to unlock).

    The parts' guards inherit the lock: after a supervisor was killed, this waits until its last part is gone.

    Raises:
        ConfigError: another supervisor is up in this home.
        FatalError: parts of a killed supervisor do not go away.
    """
    file = home / LOCK_FILE_NAME
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        async with asyncio.timeout(LEFTOVER_TIMEOUT_SECONDS):
            while not _try_lock(descriptor):
                holder = file.read_text()
                if _is_alive(holder):
                    raise ConfigError(
                        f"leadstream is already up in {home} (pid {holder.split()[0]})",
                        hint="use `leadstream status` or `leadstream down`",
                    )
                await asyncio.sleep(LOCK_RETRY_SECONDS)
    except TimeoutError as exc:
        os.close(descriptor)
        raise FatalError(
            f"parts of an earlier leadstream in {home} do not stop",
            hint=f"end the processes that hold {file}",
        ) from exc
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, _identity(os.getpid()).encode(), 0)
    return descriptor


def load_secrets(home: Path) -> Secrets:
    """The home's passwords; made and kept (readable by the owner only) when there are none."""
    file = home / SECRETS_FILE_NAME
    new = vars(
        Secrets(secrets.token_hex(16), secrets.token_hex(10).upper(), secrets.token_hex(20), secrets.token_hex(32))
    )
    known = json.loads(file.read_text()) if file.exists() else {}
    if known.keys() < new.keys():  # none yet, or those of a version that needed fewer
        _write_private(file, new | known)
    return Secrets(**(new | known))


def write_stack_record(home: Path, environment: dict[str, str], parts: dict[str, dict[str, Any]]) -> None:
    """Tell others how to reach the stack this process runs."""
    document = {"pid": os.getpid(), "environment": environment, "parts": parts}
    _write_private(home / STACK_FILE_NAME, document)


def remove_stack_record(home: Path) -> None:
    """Nothing runs here any more."""
    (home / STACK_FILE_NAME).unlink(missing_ok=True)


def read_stack_record(home: Path) -> StackRecord | None:
    """What runs under ``home``: ``None`` when nothing does; not ``alive`` when its supervisor was killed."""
    try:
        document = json.loads((home / STACK_FILE_NAME).read_text())
        holder = (home / LOCK_FILE_NAME).read_text()
    except (OSError, ValueError):
        return None
    alive = holder.startswith(f"{document['pid']} ") and _is_alive(holder)
    return StackRecord(document["pid"], alive, document["environment"], document["parts"])


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _identity(pid: int) -> str:
    # With its time of birth: a process id alone is soon another process's.
    return f"{pid} {psutil.Process(pid).create_time()}"


def _is_alive(holder: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, ValueError, IndexError):
        pid = int(holder.split()[0])
        return _identity(pid) == holder and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _write_private(file: Path, document: dict[str, Any]) -> None:
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(document, indent=2))
    new.replace(file)
