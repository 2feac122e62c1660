"""The fuzz targets, briefly: their seeds, a fixed number of guided runs where atheris is at hand, and what they found.

`make fuzz` runs them for long, and CI for some seconds.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.fuzz import splitter_target, transforms_target
from tests.system import ROOT

TARGETS = {"splitter": splitter_target, "transforms": transforms_target}
RUNS = 1_500
FOUND = [
    # a line that is too long, its head ending inside a character
    ("splitter", b"\x14\0" + ("a\tb\n" + "日" * 40 + "\n").encode("utf-16-le")),
    # a name that a library takes for a time zone, and repeats in a warning
    ("transforms", bytes([transforms_target.NAMES.index("date")]) + b"7/31/2024 10:00 ADA"),
    # an age of more digits than Python reads
    ("transforms", bytes([transforms_target.NAMES.index("age_labels")]) + b"Infants " + b"9" * 5_000 + b"-1 months"),
]
"""Inputs that broke a promise once: the target, and the bytes."""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_seeds_of_a_fuzz_target_keep_its_promises(name: str) -> None:
    """Each of them through the check that the fuzzer runs."""
    for seed in TARGETS[name].seeds():
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name, data", FOUND)
def test_what_the_fuzzer_found_stays_mended(name: str, data: bytes) -> None:
    """A case that broke a promise is kept."""
    TARGETS[name].check(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_guided_runs_break_no_promise(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The fuzzer starts and finds nothing in its first runs; without atheris the seeds are run byte-flipped instead."""
    if importlib.util.find_spec("atheris") is None:
        for seed in TARGETS[name].seeds()[::3]:
            for at in range(0, len(seed), 16):
                TARGETS[name].check(seed[:at] + bytes([seed[at] ^ 0x11]) + seed[at + 1 :])
        return
    folder = tmp_path_factory.mktemp("fuzz")
    command = [sys.executable, "-m", "tests.fuzz", name, f"-runs={RUNS}", "-seed=1"]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
