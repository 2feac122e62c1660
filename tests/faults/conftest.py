"""The world of the fault suite: once a session."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.report import write_report
from tests.faults.world import World, running_world


@pytest.fixture(scope="session")
def seed() -> int:
    """``FAULTS_SEED``, for the same faults in the same order; any, when it is not given. The report names it."""
    return int(os.environ.get("FAULTS_SEED") or random.randrange(10**6))


@pytest.fixture(scope="session")
def faults_home() -> Iterator[Path]:
    """An empty home, which Postgres' user may pass; kept when ``FAULTS_KEEP`` names it."""
    folder = Path(os.environ.get("FAULTS_KEEP") or tempfile.mkdtemp(prefix="leadstream-faults-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    yield folder
    if "FAULTS_KEEP" not in os.environ:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def world(faults_home: Path, seed: int) -> AsyncIterator[World]:
    """The running system. At the end its report is written, when ``FAULTS_REPORT`` says which."""
    began = time.monotonic()
    async with running_world(faults_home / "home", faults_home / "stages", seed) as running:
        yield running
        if part := os.environ.get("FAULTS_REPORT"):
            write_report(running, "soak" if part == "soak" else "faults", (time.monotonic() - began) / 60)
