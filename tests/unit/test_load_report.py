"""What the sink tells of loads: in the log when one comes to its end, as metrics where all of them stand."""

from __future__ import annotations

from typing import Any

import pytest

from leadstream import metrics
from sink import load_report

COUNTS = dict.fromkeys(load_report.COUNTS, 3)


class Recorder:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))


def _settled(status: str, is_news: bool = True) -> dict[str, Any]:
    return {"load_id": "ab12", "source": "texas", "status": status, "is_news": is_news, "reason": "why", **COUNTS}


def test_the_end_of_a_load_is_logged_once_and_a_broken_one_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads logs finds a load's id with how it ended; what stops a load is told by the stage that stops it."""
    recorder = Recorder()
    monkeypatch.setattr(load_report, "log", recorder)
    load_report.log_settled([_settled("done"), _settled("done", is_news=False), _settled("held"), _settled("broken")])
    load = {"load_id": "ab12", "source": "texas", **COUNTS}
    assert recorder.lines == [("info", "load_done", load), ("error", "load_broken", {**load, "why": "why"})]


def test_a_status_that_no_load_has_any_more_is_no_longer_shown() -> None:
    """A load that was held and is done must not keep its alert."""
    held = {"source": "texas", "status": "held", "loads": 1, "unsettled": 1, "oldest": 1e9, "deletes_held": 4}
    done = {"source": "texas", "status": "done", "loads": 5, "unsettled": 0, "oldest": None, "deletes_held": 0}
    load_report.show_loads([held, done])
    text = metrics.text("sink").decode()
    assert 'leadstream_unsettled_loads{source="texas",stage="sink",status="held"} 1.0' in text
    assert 'leadstream_oldest_unsettled_load_timestamp_seconds{source="texas",stage="sink",status="held"} 1e+09' in text
    assert 'leadstream_deletes_held{source="texas",stage="sink"} 4.0' in text
    load_report.show_loads([done])
    text = metrics.text("sink").decode()
    assert 'status="held"' not in text and 'leadstream_loads{source="texas",stage="sink",status="done"} 5.0' in text
    assert 'leadstream_deletes_held{source="texas",stage="sink"} 0.0' in text
    load_report.show_loads([])
