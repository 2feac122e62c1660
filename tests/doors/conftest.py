"""One locked stack for all tests of the doors, and the stages behind it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sink.migrate import migrate
from tests.doors.locked import Doors, locked_doors
from tests.system import System


@pytest.fixture(scope="session")
def locked_folder() -> Iterator[Path]:
    """Not under pytest's own folder, which PostgreSQL's user may not pass."""
    folder = Path(tempfile.mkdtemp(prefix="leadstream-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def doors(locked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    """The locked stack with tables, and a user in Postgres for each role."""
    async with locked_doors(locked_folder / "home", tmp_path_factory.mktemp("certificates")) as open_doors:
        await asyncio.to_thread(migrate, open_doors.stack.environment["POSTGRES_DSN"])
        for role in ("owner", "writer", "reader", "analyst", "operator"):
            await open_doors.add_postgres_user(role, f"leads_{role}")
        yield open_doors


@pytest.fixture(scope="session")
def behind(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> System:
    """Starts stages and commands; by itself it goes in through the tests' own plain doors."""
    return System(doors.stack.environment, tmp_path_factory.mktemp("system"))
