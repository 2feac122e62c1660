"""Contestants of the bench: processes that may fail without holding anybody up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.contestants import Contestant


async def test_a_contestant_that_cannot_start_says_so_at_once_and_in_each_run(tmp_path: Path) -> None:
    """The bench names it and goes on with the others; what it printed tells why."""
    async with Contestant("nobody", dict(os.environ), tmp_path) as other:
        with pytest.raises(RuntimeError, match=r"No module named bench\.peers\.nobody"):
            await other.ready()
        with pytest.raises(RuntimeError, match="nobody failed"):
            await other.run(rows=1)
