"""``leadstream up`` as a user runs it: all in one home, in the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadstream.samples import write_sample
from tests.system import PATIENCE, ROOT

ROWS = 400


class Home:
    """Runs commands in one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as a user would type it."""
        return subprocess.run(
            [sys.executable, "-m", "leadstream", *arguments],
            check=False,
            cwd=ROOT,
            env={**os.environ, "LEADSTREAM_HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120 * PATIENCE,
        )

    def log(self, part: str) -> str:
        """What a part has printed."""
        return (self.folder / "logs" / f"{part}.log").read_text()


@pytest.fixture
def home(stack_home: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """Beside the suite's own stack, a new one for each test; whatever is up there goes down."""
    running = Home(stack_home.with_name(request.node.name))
    yield running
    running.run("down")


@pytest.mark.long
def test_workers_share_the_lanes(home: Home, tmp_path: Path) -> None:
    """Each has a port of its own, each maps rows, and together they map a file exactly once."""
    done = home.run("up", "--detach", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "(process)" in done.stdout and "(process-2)" in done.stdout
    parts = {part["name"]: part for part in json.loads(home.run("status", "--json").stdout)["parts"]}
    workers = [parts["process"], parts["process-2"]]
    assert len({part["port"] for part in workers}) == len({part["pid"] for part in workers}) == 2
    deadline = time.monotonic() + 30 * PATIENCE
    while not all("lane_restored" in home.log(part["name"]) for part in workers):
        assert time.monotonic() < deadline, home.log("process-2")
        time.sleep(0.2)
    write_sample("texas", tmp_path / "t.csv", rows=ROWS, seed=23, damage=False)
    done = home.run("put", str(tmp_path / "t.csv"), "--source", "texas", "--wait", "--timeout", "60", "--json")
    assert done.returncode == 0, done.stderr
    load = json.loads(done.stdout)[0]["load"]
    assert (load["status"], load["rows"], load["inserted"]) == ("done", ROWS, ROWS)
    assert home.run("down").returncode == 0


def test_more_workers_than_lanes_are_refused(home: Home) -> None:
    """With how many there may be, and before anything is started."""
    done = home.run("up", "--detach", "--workers", "5")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --workers 5: there are 4 lanes") and "give at most 4" in done.stderr
    assert not home.folder.exists()
