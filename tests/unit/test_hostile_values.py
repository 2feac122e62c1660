"""Cells made to cost time: what a transform, a check or a key takes grows with the cell, never with its square."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from processors.transforms import CATALOGUE, TransformError
from processors.transforms.contact import EMAIL
from processors.validation import check_for
from tests.fuzz.transforms_target import STEPS

CHARACTERS = 5_000
TIMES_LONGER = 4
MOST_GROWTH = 9
"""A linear cost grows 4 times, a quadratic one 16 times."""
NOISE_SECONDS = 0.05
"""Of processor time; a quadratic cost of 20,000 characters is far above."""
ATTEMPTS = 3
PATTERNS = (
    *("9", "A", "AB ", "of and ", "A.", "O'MCD ", "É "),
    *(",", ", ", "1-", "1 - ", " STE 1-1", " STE A-1, # B", ", #1 & 2-", " NV", ", NV 89123"),
    *("(", "(a ", "a@b.", "a-", "a.", "<a", "Ada & Bo, "),
    *("1/2/2024 ", "7:30AM - ", "12 - 12 ", "5 years or ", "702 or "),
)
"""Words, separators, units, states, domains, people, dates, times, ages, numbers."""
ENDS = ("", "!", ", NV 89123", ".0")
"""Nothing, a surprise, what an address ends in, and what a spreadsheet adds to a number."""
STARTS = {"age_labels": "Infants "}
"""What a cell begins with, lest it is refused before it is read."""


def cost(call: Callable[[str], object], text: str) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    with contextlib.suppress(TransformError):
        call(text)
    return time.process_time() - start


def assert_grows_with_its_length(call: Callable[[str], object], pattern: str, end: str = "") -> None:
    """Call with a cell and with one that is four times as long; again, when something else took the time."""
    short, long = ((pattern * (size // len(pattern)) + end).strip() for size in (CHARACTERS, CHARACTERS * TIMES_LONGER))
    for _attempt in range(ATTEMPTS):
        few, many = cost(call, short), cost(call, long)
        if many < max(MOST_GROWTH * few, NOISE_SECONDS):
            return
    raise AssertionError(f"{pattern!r}, {end!r}: {few:.4f} s, then {many:.4f} s")


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_no_cell_makes_a_transform_cost_the_square_of_its_length(name: str) -> None:
    """Digits, commas, units, domains without end: each in several sizes, alone and with an end that does not fit."""
    step = STEPS[name]
    columns = step.transform.columns or 2

    def call(text: str) -> object:
        text = STARTS.get(name, "") + text
        return step.apply((text,) * columns if step.transform.takes == "cells" else text)

    for pattern in PATTERNS:
        for end in ENDS:
            assert_grows_with_its_length(call, pattern, end)


@pytest.mark.parametrize("field", ["website_address", "email", "phone", "zip"])
def test_no_value_makes_its_check_cost_the_square_of_its_length(field: str) -> None:
    """What a source's own function made is checked, too."""
    check = check_for(field, str, object, None)
    assert check is not None
    starts = {"website_address": "https://", "email": "a@", "phone": "+1", "zip": "1"}
    for pattern in ("a.", "1", "a-", "."):
        assert_grows_with_its_length(lambda text: check(starts[field] + text), pattern, " x")


def test_an_email_is_found_or_not_in_time_that_grows_with_the_cell() -> None:
    """The pattern that both the transform and the check use, on labels of every length."""
    for pattern in ("a", "a-", "-", "a.", "a@", "é"):
        assert_grows_with_its_length(lambda text: EMAIL.fullmatch("a@" + text), pattern, ".1")
