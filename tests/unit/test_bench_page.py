"""The page of the bench: its words, its figures, and what it works out from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.page import PAGE, WORDS, page
from bench.results import FULL
from bench.sizing import size

STATE = {"leads": 1_000, "restore_seconds": {"median": 0.01}}
STATE |= {"resident_gb_before": {"median": 1.0}, "resident_gb_after": {"median": 1.0001}}


def _refresh(first: float, refresh: float) -> dict[str, Any]:
    def used(seconds: float) -> dict[str, Any]:
        return {"cpu_seconds": {stage: {"median": seconds} for stage in ("produce", "process", "sink")}}

    return {"rows": 1_000, "first": used(first), "refresh": used(refresh)}


def test_the_page_in_the_docs_is_what_its_words_and_the_results_make() -> None:
    """Who changes either writes the page anew: `python -m bench.page`."""
    assert PAGE.read_text() == page(WORDS.read_text(), json.loads(FULL.read_text()))


def test_a_place_in_the_words_that_nothing_is_made_for_is_an_error() -> None:
    """A page never shows an empty place."""
    with pytest.raises(KeyError):
        page("{{unheard_of}}", json.loads(FULL.read_text()))


def test_a_section_that_was_not_measured_says_how_it_is() -> None:
    """Measurements are run one by one."""
    assert page("{{memory}}", {}) == "(not measured yet: `make bench-memory`)"


def test_workers_are_sized_by_memory_when_the_rows_are_few() -> None:
    """100 bytes a lead, 20,000 leads a vendor: 10,000 vendors are 20 GB, four workers of at most 6 GB."""
    one = size(10_000, _refresh(first=0.1, refresh=0.01), STATE)
    assert one.rows == 200_000_000
    assert one.state_gigabytes == pytest.approx(20)
    assert (one.workers, one.lanes, one.partitions) == (4, 4, 80_000)
    assert one.restore_seconds == pytest.approx(500)


def test_workers_are_sized_by_processor_time_when_the_rows_are_slow() -> None:
    """6,944 rows/s for a night at 1 ms each keep 6.9 cores busy: 14 workers at half a core, in 16 lanes."""
    one = size(10_000, _refresh(first=1.0, refresh=1.0), STATE)
    assert one.cores["process"] == pytest.approx(6.944, abs=0.001)
    assert (one.workers, one.lanes) == (14, 16)
    assert one.first_load_core_hours["process"] == pytest.approx(55.6, abs=0.1)
