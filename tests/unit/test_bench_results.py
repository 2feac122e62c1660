"""The arithmetic of the bench, and what its results may say. That the bench runs is seen by running it."""

from __future__ import annotations

import json
import re

from bench.results import FULL, percentile, spread
from bench.stages import Results


def test_a_spread_is_least_median_and_greatest_of_the_runs() -> None:
    """In any order; the number of runs is said."""
    assert spread([3.0, 1.0, 2.0]) == {"min": 1.0, "median": 2.0, "max": 3.0, "runs": 3}


def test_a_percentile_is_one_of_the_values_that_so_many_do_not_exceed() -> None:
    """Nearest rank: of 200 values the 198th is p99, of 7 the 7th."""
    values = [float(value) for value in range(200, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (100.0, 198.0)
    assert percentile(values[-7:], 0.99) == 7.0
    assert percentile([5.0], 0.5) == 5.0


def test_a_ratio_is_ours_over_theirs_run_by_run_and_nothing_when_they_did_not_run() -> None:
    """Runs that follow each other are compared, so that a busy minute slows both."""
    results = Results()
    for ours, theirs in ((100, 50), (30, 10), (80, 20)):
        results.add("sink", "leadstream", ours, seconds=1)
        results.add("sink", "peer", theirs, seconds=1)
    assert results.ratio("sink", "peer") == {"min": 2.0, "median": 3.0, "max": 4.0, "runs": 3}
    assert results.ratio("sink", "absent") is None


def test_the_results_name_no_place_and_every_figure_has_its_machine() -> None:
    """They are read elsewhere: a path or a host would tell nothing."""
    text = FULL.read_text()
    assert not re.search(r'"/|://|127\.0\.0\.1|localhost', text)
    sections = json.loads(text)
    assert {"refresh", "state", "stages"} <= sections.keys()
    assert all({"machine", "measured_at"} <= section.keys() for section in sections.values())
