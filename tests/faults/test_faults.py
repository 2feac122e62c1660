"""Each fault once, then some pairs of them: after each, every promise is checked on all that there is."""

from __future__ import annotations

import random

import pytest

from tests.faults.faults import FAULTS, Fault
from tests.faults.world import World

PAIRS = 5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_the_system_survives(world: World, fault: Fault) -> None:
    """Nothing is lost, nothing stands twice, and all is caught up soon after the fault ends."""
    assert world.disk.is_mounted or not fault.needs_disk, "needs the right to mount a small disk (root)"
    result = await world.survive(fault.name, fault.run)
    assert result.findings == []


@pytest.mark.parametrize("number", range(PAIRS))
async def test_the_system_survives_two_faults_at_once(world: World, seed: int, number: int) -> None:
    """Two at random, on different parts."""
    first, second = pair_of(random.Random(seed * 1_000 + number))
    result = await world.survive(f"{first.name} + {second.name}", first.run, second.run)
    assert result.findings == []


def pair_of(rng: random.Random) -> tuple[Fault, Fault]:
    """Two faults that happen to different parts, and of which neither takes a minute."""
    quick = [fault for fault in FAULTS.values() if not fault.is_long and not fault.is_alone]
    while True:
        first, second = rng.sample(quick, 2)
        if not set(first.target.split()) & set(second.target.split()):
            return first, second
