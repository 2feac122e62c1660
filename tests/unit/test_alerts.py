"""When a load is worth an alert, in which words, and that each is raised once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leadstream.alerts import Alert, AlertKind, alerts
from processors.alert_output import new_alerts
from schemas.receipts import COUNTS, fold
from schemas.records import schema_json
from tests.unit.test_receipts import make_step


def load(**changes: Any) -> dict[str, Any]:
    """A finished load: 200 rows, 10 of them failed."""
    return {
        "load_id": "a1",
        "status": "done",
        "rows": 200,
        "dead_letters": 10,
        "deletes_held": 0,
        "reason": "",
    } | changes


@pytest.mark.parametrize("rate", [None, 0.05, 1.0])
def test_a_load_within_its_limits_raises_no_alert(rate: float | None) -> None:
    """No limit, a limit that is just reached, a limit that cannot be passed."""
    assert alerts(load(), rate) == []


@pytest.mark.parametrize("status", ["processed", "done", "broken"])
def test_a_share_of_failed_rows_above_the_limit_is_an_alert_with_both_numbers(status: str) -> None:
    """Small limits are told exactly."""
    text = "5 % of the rows failed, the source's dead_letter_rate is 0.04 %"
    assert alerts(load(status=status), 0.0004) == [Alert(AlertKind.DEAD_LETTER_RATE, text)]


@pytest.mark.parametrize("changes", [{"status": "processing"}, {"status": "splitting"}, {"rows": 0}], ids=str)
def test_a_load_that_is_not_finished_or_empty_raises_no_alert(changes: dict[str, Any]) -> None:
    """The share is known when all rows are."""
    assert alerts(load(**changes), 0.01) == []


@pytest.mark.parametrize("status", ["held", "failed"])
def test_a_load_that_stopped_is_an_alert_with_the_reason(status: str) -> None:
    """Whatever the limit: somebody must act."""
    found = alerts(load(status=status, reason="column 'Fax' is gone"), None)
    assert found == [Alert(AlertKind(status), "column 'Fax' is gone")]


def test_held_deletes_are_an_alert_beside_the_failed_rows() -> None:
    """Both are told, failed rows first."""
    found = alerts(load(deletes_held=1200, reason="the file shrank"), 0.01)
    assert [alert.kind for alert in found] == ["dead_letter_rate", "deletes_held"]
    settle = "`leadstream loads approve a1` deletes these leads, `reject` keeps them"
    assert found[1].text == f"1,200 deletes held: the file shrank → {settle}"


def test_every_kind_of_alert_has_its_symbol() -> None:
    """Code and schema name the same kinds."""
    kinds = next(field["type"]["symbols"] for field in schema_json("alert")["fields"] if field["name"] == "kind")
    assert kinds == [*AlertKind, "unknown"]


def test_the_step_that_completes_the_numbers_raises_each_alert_once() -> None:
    """Neither the steps before nor those after, nor the same step again, raise it."""
    steps = [
        make_step("splitting"),
        make_step("split", 1, rows=10, dead_letters=1, partitions=2, reason="the file shrank"),
        make_step("mapped", 2, partition=0, rows=4, inserted=2, dead_letters=2, sent=2),
        make_step("mapped", 3, partition=1, rows=5, updated=5, sent=5, deletes_held=3),
    ]
    receipt, raised = None, []
    for step in [*steps, steps[-1], make_step("approved", 9, partition=1, deletes_held=3, deleted=3)]:
        after = fold(receipt, step)
        raised.append(new_alerts(receipt, after, step, 0.2))
        receipt = after
    assert [len(found) for found in raised] == [0, 0, 0, 2, 0, 0]
    rate, deletes = raised[3]
    assert rate == {
        **{name: steps[0][name] for name in ("source", "load_id", "bucket", "object_key")},
        "kind": "dead_letter_rate",
        "text": "30 % of the rows failed, the source's dead_letter_rate is 20 %",
        "rows": 10,
        "dead_letters": 3,
        "deletes_held": 3,
        "rate": 0.3,
        "threshold": 0.2,
        "at": datetime(2026, 1, 5, 8, 0, 3, tzinfo=UTC),
    }
    assert (deletes["kind"], deletes["text"]) == (
        "deletes_held",
        f"3 deletes held: the file shrank → `leadstream loads approve {steps[0]['load_id']}` deletes these leads, "
        "`reject` keeps them",
    )


def test_a_load_that_is_held_again_after_another_try_raises_its_alert_again() -> None:
    """Somebody mended the mapping and it still does not fit: that is news."""
    receipt, raised = None, []
    for second, kind in ((0, "splitting"), (0, "held"), (60, "splitting"), (60, "held")):
        step = make_step(kind, second, reason="column 'Fax' is gone" if kind == "held" else "")
        after = fold(receipt, step)
        raised.append([alert["kind"] for alert in new_alerts(receipt, after, step, None)])
        receipt = after
    assert raised == [[], ["held"], [], ["held"]]
    assert all(receipt is not None and receipt[name] == 0 for name in COUNTS)
