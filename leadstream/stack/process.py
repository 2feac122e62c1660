"""What a part is to the supervisor, and one running process of it behind its guard."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from leadstream.errors import FatalError
from leadstream.stack import guard

POLL_INTERVAL_SECONDS = 0.05
# The guard itself kills after guard.STOP_TIMEOUT_SECONDS; past this, the guard is what hangs.
GUARD_TIMEOUT_SECONDS = 2 * guard.STOP_TIMEOUT_SECONDS + 5
LOG_TAIL_LINES = 15
MAX_LOG_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True)
class Command:
    """How a process is started: ``user`` is (user id, group id) when it must not run as ours."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    user: tuple[int, int] | None = None


class Program(Protocol):
    """A part as the supervisor sees it. Its files live under the home; ``port`` is ``None`` for none."""

    name: str
    port: int | None

    async def prepare(self) -> None:
        """What must be done before the process can start (idempotent: also called before a restart)."""

    def command(self) -> Command:
        """How to start the process."""

    async def ready(self) -> bool:
        """Whether the running process answers as its clients need it to."""


class GuardedProcess:
    """A process that dies with this one, however this one dies."""

    def __init__(self, popen: subprocess.Popen[bytes], lifeline: socket.socket, pid: int, log: LogFile) -> None:
        self._popen = popen
        self._lifeline = lifeline
        self.pid = pid
        self.log = log

    @classmethod
    def start(cls, command: Command, log_file: Path, home_lock: int) -> GuardedProcess:
        """Start ``command`` with its output appended to ``log_file``.

        ``home_lock`` is the descriptor of the home's lock: the guard holds it too, so that the home stays
        locked until its last part is gone.

        Raises:
            FatalError: the command could not be started; carries the end of its log.
        """
        log = LogFile.open(log_file)
        lifeline, guard_end = socket.socketpair()
        user = ":".join(map(str, command.user)) if command.user else "-"
        with guard_end, log_file.open("ab") as output:
            argv = [sys.executable, "-I", "-S", guard.__file__, str(command.stop_signal.value), user, "--"]
            popen = subprocess.Popen(
                [*argv, *command.argv],
                stdin=guard_end.fileno(),
                stdout=output,
                stderr=output,
                cwd=command.cwd,
                env={**os.environ, **command.environment},
                start_new_session=True,
                pass_fds=(home_lock,),
            )
        answer = lifeline.recv(32)
        if not answer:
            lifeline.close()
            popen.wait()
            raise FatalError(f"could not start {command.argv[0]}\n{log.tail()}", hint=f"see {log_file}")
        return cls(popen, lifeline, int(answer), log)

    def exit_code(self) -> int | None:
        """The exit code (128 + signal number when a signal ended it), or ``None`` while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        self._lifeline.close()
        if code < 0:  # the guard itself was killed; on Linux the part went with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return code

    async def exited(self) -> int:
        """Wait for the end; returns the exit code."""
        while (code := self.exit_code()) is None:  # noqa: ASYNC110  # the end of a process is no event
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
        return code

    async def stop(self) -> int:
        """Ask the process to stop, kill it when it does not; returns the exit code."""
        self._lifeline.close()
        try:
            async with asyncio.timeout(GUARD_TIMEOUT_SECONDS):
                return await self.exited()
        except TimeoutError:
            self._popen.kill()
            return await self.exited()

    async def kill(self) -> int:
        """End the process (its whole group) without warning; returns the exit code."""
        if self.exit_code() is None:
            os.killpg(self.pid, signal.SIGKILL)
        return await self.exited()


@dataclass(frozen=True)
class LogFile:
    """A part's log from the moment it was started."""

    path: Path
    offset: int

    @classmethod
    def open(cls, path: Path) -> LogFile:
        """Begin at the present end of the file; a file grown too big is moved to ``<name>.1`` first."""
        path.touch(mode=0o600)
        if path.stat().st_size > MAX_LOG_BYTES:
            path.rename(path.with_name(path.name + ".1"))
            path.touch(mode=0o600)
        return cls(path, path.stat().st_size)

    def tail(self) -> str:
        """The last lines, indented; for an error message."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:]) or "    (its log is empty)"
