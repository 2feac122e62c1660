"""Processes that wait for their turn, so that runs can alternate and none pays for starting up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system import ROOT

PEERS_PYTHON = ROOT / ".bench" / "venv" / "bin" / "python"
"""The interpreter with the peers in it (``make .bench/venv/.ready``)."""
RUN_TIMEOUT_SECONDS = 120.0
ERROR_CHARACTERS = 2_000


class Contestant:
    """One module of ``bench.peers``, running; an asynchronous context manager.

    What it starts ends with it, and its temporary files are made in ``folder``, which the caller removes.
    """

    def __init__(self, name: str, environment: dict[str, str], folder: Path, *, peer: bool = False) -> None:
        self.name = name
        self._environment = {**environment, "TMPDIR": str(folder)}
        self._log = folder / f"{name}.log"
        self._python = str(PEERS_PYTHON) if peer else sys.executable
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(self._python, "-m", f"bench.peers.{self.name}"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    async def ready(self) -> None:
        """Wait until it can run.

        Raises:
            RuntimeError: it failed.
        """
        await self._answer()

    async def run(self, **request: Any) -> dict[str, Any]:
        """One run; gives the answer.

        Raises:
            RuntimeError: it failed, or took too long; it has ended, and each further run fails at once.
        """
        process = self._process
        assert process is not None and process.stdin is not None
        if process.returncode is None:
            process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        process, line = self._process, b""
        assert process is not None and process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RUN_TIMEOUT_SECONDS):
                line = await process.stdout.readline()
        if not line:
            await self._end()
            raise RuntimeError(f"{self.name} failed:\n{self._log.read_text()[-ERROR_CHARACTERS:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            await process.wait()
