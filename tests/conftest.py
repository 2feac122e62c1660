"""The embedded stack, once a test session, for the tests that ask for it: the real parts, on free ports."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from leadstream.stack.supervisor import Stack

# A suite that runs in the background of a shell inherits that SIGINT is ignored; the stages it starts must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples in every run: what fails does so for everybody. `make fuzz` is there to look further.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def stack_home() -> Iterator[Path]:
    """An empty home for a stack; not under pytest's own folder, which PostgreSQL's user may not pass."""
    folder = Path(tempfile.mkdtemp(prefix="leadstream-"))
    folder.chmod(0o711)
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def stack(stack_home: Path) -> AsyncIterator[Stack]:
    """A running stack; ``stack.environment`` has the variables that `leadstream.settings` reads."""
    async with Stack(stack_home) as running:
        yield running
