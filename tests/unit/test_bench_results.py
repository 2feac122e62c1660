"""The arithmetic of the bench, and what its results may say. That the bench runs is seen by running it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.__main__ import RATIOS
from bench.results import FULL, SECTIONS, percentile, save, spread
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
    document = json.loads(text)
    sections = [document, *(part for name, part in document.items() if name in SECTIONS)]
    assert {"refresh", "state"} <= document.keys()
    assert all({"machine", "measured_at"} <= section.keys() for section in sections)


def test_the_results_hold_every_ratio_as_one_number_and_the_latency() -> None:
    """Who reads them by a program finds ours over theirs under one name each, at the top."""
    document = json.loads(FULL.read_text())
    assert document["ratios"].keys() == RATIOS.keys() == document["ratio_spreads"].keys()
    assert all(isinstance(ratio, float) for ratio in document["ratios"].values())
    assert {"p50", "p99"} <= document["latency_ms"].keys()


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    """The measurements take minutes each and are run one by one; the section without a name is the document itself."""
    file = tmp_path / "results.json"
    for section, figures in (("state", {"leads": 1}), ("", {"ratios": {}}), ("state", {"leads": 2})):
        save(section, figures, file)
    document = json.loads(file.read_text())
    assert document["ratios"] == {}
    assert document["state"]["leads"] == 2
