"""The whole against a plain-Python model: files, drifts, replays, retries, late files, held deletes, dying stages."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from tests.acceptance.model_world import DATES, World
from tests.system import STAGES, System

SETTINGS = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # an example takes seconds: what fails is shown as it is
    suppress_health_check=[HealthCheck.too_slow],
)
ROWS = st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from(DATES)), min_size=2, max_size=8)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refresh"), ROWS),
        st.tuples(st.just("refresh"), ROWS, st.sampled_from(STAGES)),
        st.tuples(st.just("late"), ROWS, st.integers(1, 9)),
        st.tuples(st.just("rename"), ROWS),
        st.tuples(st.just("remap")),
        st.tuples(st.just("replay")),
        st.tuples(st.just("retry")),
        st.tuples(st.just("settle"), st.sampled_from(["approve", "reject"])),
    ),
    min_size=5,
    max_size=8,
)
numbers = itertools.count()
GOOD, OTHERWISE, BAD = DATES[0], DATES[3], DATES[4]
"""By the first date format: a date; none, but one by the second; none by either."""
FIRST = [("A", GOOD), ("B", GOOD), ("B", OTHERWISE), ("C", BAD), ("D", GOOD), ("E", GOOD)]
EVERYTHING = [
    ("refresh", [("A", GOOD), ("B", OTHERWISE), ("C", OTHERWISE)], "process"),  # half of the rows: deletes are held
    ("remap",),
    ("retry",),
    ("replay",),
    ("settle", "approve"),
    ("late", FIRST, 3),
    ("rename", [("A", DATES[1]), ("C", DATES[2]), ("C", GOOD), ("F", GOOD)]),
    ("replay",),
]


@pytest.mark.long
@given(first=ROWS, steps=STEPS)
@example(first=FIRST, steps=EVERYTHING)
@settings(SETTINGS, max_examples=1, derandomize=True)
async def test_topic_table_and_history_are_the_models(system: System, first: Any, steps: Any) -> None:
    """Whatever comes in whatever order, the topic folds to the live leads, and each change is one version."""
    await play(system, first, steps)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@given(first=ROWS, steps=STEPS)
@settings(SETTINGS, max_examples=60)
async def test_topic_table_and_history_are_the_models_in_many_more_cases(
    system: System, first: Any, steps: Any
) -> None:
    """The same, with new examples each time."""
    await play(system, first, steps)


async def play(system: System, first: Any, steps: Any) -> None:
    """Take the steps on a source of its own, and compare."""
    world = World(system, f"model{next(numbers)}")
    await world.begin()
    await world.refresh(first)
    for step, *arguments in steps:
        event(step)
        await getattr(world, step)(*arguments)
    await world.check()
