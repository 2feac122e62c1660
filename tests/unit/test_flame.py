"""Flame graphs: what a picture and its table say of stacks that were seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.flame import shares, stacks, svg
from tests.system import ROOT

LOOP = "run (asyncio/runners.py);_run (asyncio/events.py)"
FOLDED = f"""\
{LOOP};work (/home/app/processors/lane.py);send (/v/site-packages/aiokafka/a.py) 30
{LOOP};work (/home/app/processors/lane.py);map (/home/app/processors/mapping.py:12) 60
{LOOP};fetch (/v/lib/python3.11/site-packages/aiokafka/fetcher.py) 10
run (asyncio/runners.py);select (/usr/lib/python3.11/selectors.py) 500
"""
PLACE_ON_MACHINE = re.compile(r"/(home|root|tmp|usr|work|Users)/|://(?!www\.w3\.org)")


def test_a_profile_says_which_function_of_ours_the_time_goes_to_and_what_it_calls() -> None:
    """Each sample counts for the innermost function of ours; who only waits counts for nothing."""
    assert shares(stacks(FOLDED, "/home/app"), most=3) == [
        ("processors.mapping:map", 0.6),
        ("processors.lane:work → aiokafka", 0.3),
        ("aiokafka (its own tasks)", 0.1),
    ]


def test_a_flame_graph_names_functions_and_no_place_on_a_machine() -> None:
    """A frame is as wide as it was seen often, and its tooltip says how often that is."""
    picture = svg(stacks(FOLDED, "/home/app"), "processors")
    assert "<title>processors.lane:work 90.0%</title>" in picture
    assert not PLACE_ON_MACHINE.search(picture)


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("flame-*.svg")), ids=lambda file: file.stem)
def test_the_pictures_in_the_docs_are_small_and_name_no_place_on_a_machine(file: Path) -> None:
    """They are read elsewhere, over slow lines too."""
    picture = file.read_text()
    assert len(picture) < 200_000
    assert not PLACE_ON_MACHINE.search(picture)
