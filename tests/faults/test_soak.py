"""Faults and pairs of them at random, for as long as it is told."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.faults.faults import FAULTS
from tests.faults.test_faults import pair_of
from tests.faults.world import World

PAIR_SHARE = 0.3

pytestmark = [pytest.mark.soak, pytest.mark.timeout(24 * 60 * 60)]


async def test_the_system_survives_whatever_comes(world: World, seed: int) -> None:
    """``FAULTS_MINUTES`` of it; the seed is printed, so that it can be had again."""
    rng = random.Random(seed)
    print(f"seed {seed}")  # noqa: T201 -- who watches wants to know
    ends = time.monotonic() + 60 * float(os.environ.get("FAULTS_MINUTES", "30"))
    singles = [fault for fault in FAULTS.values() if world.disk.is_mounted or not fault.needs_disk]
    broken = []
    while time.monotonic() < ends:
        faults = pair_of(rng) if rng.random() < PAIR_SHARE else (rng.choice(singles),)
        result = await world.survive(" + ".join(fault.name for fault in faults), *(fault.run for fault in faults))
        print(f"{result.name}: caught up after {result.recovery_seconds} s, {result.findings or 'clean'}", flush=True)  # noqa: T201
        broken += result.findings
    assert broken == []
