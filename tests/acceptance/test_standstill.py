"""A worker whose receipts and alerts stand still for good."""

from __future__ import annotations

import asyncio

import pytest

from tests.system import System


@pytest.mark.long
async def test_a_worker_whose_faust_does_not_come_back_to_its_work_ends_and_says_why(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 1, so that whoever watches it starts it again; until then /readyz names what is missing."""
    await system.logged("process", "row_path_started")
    with monkeypatch.context() as patched:
        patched.setattr(system, "program", "tests.endless_rebalance")
        system.start("process", "endless")
    await system.logged("endless", "row_path_started")
    await asyncio.sleep(1)
    status, told = await system.ask("endless", "/readyz")
    assert status == 503 and "receipts, starting for" in told
    assert await system.ended("endless") == 1
    log = system.log("endless")
    assert "receipts_stuck" in log and log.rstrip().splitlines()[-1].startswith("error: Faust has not come back"), log
