"""Log lines as machines read them: every line of a stage is one JSON object with the same few fields."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.system import ROOT

SCRIPT = """
import logging, warnings
from leadstream import log
log.configure("json", stage="sink")
log.get_logger("sink").warning("load_held", load_id="ab12", source="texas", phone="+17025550101")
log.get_logger("retry").info("waiting", what="Kafka")
logging.getLogger("some.library").warning("two\\nlines of %s", "text")
def fail(cell):
    1 / 0
try:
    fail("+17025550101")
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("a task failed")
warnings.warn("this will go away")
log.last_words("nothing can be done → try again")
"""


def _lines(script: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_one_json_object_also_those_of_libraries_warnings_and_the_last_words() -> None:
    """A log that is JSON but for its tracebacks breaks whoever reads it when it matters."""
    held, waiting, library, failed, warned, stopped = lines = _lines(SCRIPT)
    for line in lines:
        assert line["stage"] == "sink" and line["time"].endswith("Z") and line["level"] and line["event"], line
    assert (held["level"], held["event"], held["load_id"], held["source"]) == ("warning", "load_held", "ab12", "texas")
    assert held["phone"] == "***" and "part" not in held
    assert (waiting["part"], waiting["level"]) == ("retry", "info")
    assert (library["part"], library["event"]) == ("some.library", "two\nlines of text")
    assert "ZeroDivisionError" in failed["exception"] and failed["level"] == "error"
    assert "this will go away" in warned["event"]
    assert (stopped["event"], stopped["error"]) == ("stopped", "nothing can be done → try again")


def test_no_traceback_shows_the_values_of_variables() -> None:
    """They may be the cells of a row; neither for machines nor for people are they printed."""
    for log_format in ("json", "console"):
        script = SCRIPT.replace('configure("json"', f'configure("{log_format}"')
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "ZeroDivisionError" in done.stderr and "in fail" in done.stderr and "7025550101" not in done.stderr


@pytest.mark.parametrize("stage", ["produce", "process", "sink"])
def test_a_stage_that_cannot_use_its_settings_says_so_in_json(stage: str) -> None:
    """The last line of the log is the first thing that is looked for."""
    done = subprocess.run(
        [sys.executable, "-m", "leadstream", stage],
        cwd=ROOT,
        env={"LEADSTREAM_LOG_FORMAT": "json", "KAFKA_SECURITY_PROTOCOL": "shouting"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["event"] == "stopped" and line["level"] == "error" and "security_protocol" in line["error"]
    assert line["stage"] == {"produce": "producer", "process": "processors", "sink": "sink"}[stage]
