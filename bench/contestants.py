"""Processes that wait for their turn, so that runs can alternate and none pays for starting up."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.system import ROOT

PEERS_PYTHON = ROOT / ".bench" / "venv" / "bin" / "python"
"""The interpreter with the peers in it (``make .bench/venv/.ready``)."""
RUN_TIMEOUT_SECONDS = 240.0
ERROR_CHARACTERS = 2_000


class Contestant:
    """One module of ``bench.peers``, running; an asynchronous context manager."""

    def __init__(self, name: str, environment: dict[str, str], log: Path, *, peer: bool = False) -> None:
        self.name = name
        self._environment = environment
        self._log = log
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
            )
        return self

    async def run(self, **request: Any) -> dict[str, Any]:
        """One run; gives the answer.

        Raises:
            RuntimeError: it failed, or took too long.
        """
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(RUN_TIMEOUT_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} failed:\n{self._log.read_text()[-ERROR_CHARACTERS:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
