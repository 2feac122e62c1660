"""The stages as their containers run them: an ordinary user without rights, and nowhere to write but one folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leadstream.samples import write_sample
from tests.acceptance.test_health import ready, total
from tests.system import ROOT, STAGES, System

pytestmark = pytest.mark.container

SCRATCH = "/mnt"
"""Becomes a small file system in memory within the container, and is as it was outside."""
LOCK_UP = f"""set -e
mount -t tmpfs -o size=64m,noexec,nosuid,nodev scratch {SCRATCH}
for place in "$HELD" "$LOGS" /; do mount -o remount,bind,ro "$(findmnt -no TARGET -T "$place")"; done
exec unshare --user --map-user=10001 --map-group=10001 setpriv --no-new-privs --bounding-set=-all -- "$@"
"""
"""In mounts of its own: everything read-only; then an ordinary user, who cannot undo that."""
WHO_AM_I = """
import json, os, pathlib, sys
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
writable = []
for folder in sys.argv[1:]:
    try:
        pathlib.Path(folder, "written").touch()
        writable.append(folder)
    except OSError:
        pass
print(json.dumps({"user": os.getuid(), "rights": int(status["CapEff"], 16), "can_gain": int(status["NoNewPrivs"]) == 0,
                  "writable": writable}))
"""


@pytest.fixture(scope="module")
def locked_up() -> list[str]:
    """What a command is put behind so that it runs as in a container."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", LOCK_UP, "sh"]
    assert shutil.which("unshare") and shutil.which("setpriv"), "util-linux is needed: it makes the container here"
    return prefix


def test_the_container_of_these_tests_is_one(locked_up: list[str], tmp_path: Path) -> None:
    """What is tested below is tested where nothing else could be written."""
    done = subprocess.run(
        [*locked_up, sys.executable, "-c", WHO_AM_I, str(ROOT), str(tmp_path), "/", SCRATCH],
        env={"HELD": str(ROOT), "LOGS": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"user": 10001, "rights": 0, "can_gain": False, "writable": [SCRATCH]}


async def test_the_stages_work_as_an_ordinary_user_on_a_read_only_file_system(
    system: System, locked_up: list[str], tmp_path: Path
) -> None:
    """They join in, take a load to its end, log JSON alone, and end when they are told to."""
    settings = {
        "HELD": str(ROOT),
        "LOGS": str(tmp_path),
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "LEADSTREAM_HOME": f"{SCRATCH}/leadstream",
        "LEADSTREAM_LOG_FORMAT": "json",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for stage in STAGES:
        system.start(stage, f"locked_{stage}", under=locked_up, **settings)
    for stage in STAGES:
        await ready(system, f"locked_{stage}")
    for stage in STAGES:
        assert await total(system, f"locked_{stage}", "leadstream_lanes") > 0
    file = tmp_path / "file.csv"
    write_sample("oklahoma", file, rows=200, seed=11)
    system.add_source("locked", like="oklahoma")
    load = await system.load("locked", file.read_bytes())
    assert load["status"] == "done" and load["inserted"] > 150, load
    for stage in STAGES:
        assert system.stop(f"locked_{stage}") == 0
    for stage, signed in zip(STAGES, ("producer", "processors", "sink"), strict=True):
        lines = [json.loads(line) for line in system.log(f"locked_{stage}").splitlines()]
        assert lines and all({"time", "level", "event"} <= line.keys() and line["stage"] == signed for line in lines)
