"""What is remarked of a load: alerts, held deletes, drift, why rows failed, how long it took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from leadstream.cli.documents import load_document, sum_sentence
from leadstream.cli.load_remarks import durations_text, remarks
from leadstream.cli.load_screen import block, line, screen

SETTLE = "`leadstream loads approve a1` deletes these leads, `reject` keeps them"
STARTED = datetime(2026, 1, 31, 8, tzinfo=UTC)


def document(**changes: Any) -> dict[str, Any]:
    """A load as ``leadstream loads`` has it: 200 rows, 10 of them failed, done after 4 s."""
    row = {
        "load_id": "a1",
        "source": "acme",
        "status": "done",
        "rows": 200,
        "inserted": 190,
        "dead_letters": 10,
        "applied": 190,
        "dead_letters_applied": 10,
        "deletes_held": 0,
        "reason": "",
        "notes": [],
        "started_at": STARTED,
        "split_at": STARTED + timedelta(seconds=1.5),
        "mapped_at": STARTED + timedelta(seconds=3),
        "finished_at": STARTED + timedelta(seconds=4),
    }
    return load_document(row | changes) | {"alerts": [], "dead_letter_reasons": []}


def test_remarks_stand_in_one_line_the_most_urgent_first() -> None:
    """Alert, held deletes with their reason, drift, the most frequent reasons of failure."""
    counts = {"a": 1, "b": 5, "c": 2, "d": 1}
    load = document(deletes_held=1200, reason="the file shrank", notes=["new column 'Fax'"])
    load["alerts"] = ["too many rows failed"]
    load["dead_letter_reasons"] = [{"code": code, "count": 9, "open": count} for code, count in counts.items()]
    assert remarks(load) == (
        f"ALERT: too many rows failed; 1,200 deletes held: the file shrank → {SETTLE}; new column 'Fax'; "
        "failed: b 5, c 2, a 1, 1 more reason"
    )
    assert remarks(document()) == ""


def test_dead_letters_that_are_settled_are_no_remark() -> None:
    """Of a code, as many as are open stand there; of one whose letters are all settled, nothing."""
    load = document()
    load["dead_letter_reasons"] = [
        {"code": "not_a_date", "count": 1245, "open": 0},
        {"code": "bad_phone", "count": 7, "open": 2},
    ]
    assert remarks(load) == "failed: bad_phone 2"
    load["dead_letter_reasons"] = [{"code": "unknown_source", "count": 1, "open": 0}]
    assert remarks(load) == ""


def test_a_load_that_is_not_settled_shows_what_is_written_and_no_sum() -> None:
    """While rows are under way no equation holds: not in a line, a block or the table."""
    parts = {"inserted": 0, "dead_letters": 0, "finished_at": None}
    under_way = document(status="processing", rows=100_000, applied=37_000, dead_letters_applied=1, **parts)
    said = "so far 37,000 changes written, 1 dead letter"
    assert sum_sentence(under_way) == f"100,000 rows; {said}"
    out = Console(width=250)
    with out.capture() as captured:
        out.print(screen([under_way], out.width))
    printed = captured.get()
    assert said in printed and said in line(under_way) and said in block(under_way)
    assert "=" not in printed + line(under_way) + block(under_way)
    early = document(status="splitting", rows=0, applied=0, dead_letters_applied=0, **parts)
    assert sum_sentence(early) == "nothing written yet"


def test_the_sum_of_a_settled_load_is_an_equation_only_where_it_comes_out() -> None:
    """A broken load does not show what is not so; one row is one row."""
    assert sum_sentence(document()).startswith("200 rows = inserted 190 + ")
    assert sum_sentence(document(status="broken", inserted=189)).startswith("200 rows ≠ inserted 189 + ")
    assert sum_sentence(document(rows=1, inserted=1, dead_letters=0)).startswith("1 row = inserted 1 + ")


def test_what_an_alert_says_is_not_said_again() -> None:
    """Held deletes, or the reason why a load is held, stand once in the line: as the alert."""
    held = document(status="held", reason="column 'Fax' is gone") | {"alerts": ["column 'Fax' is gone"]}
    assert remarks(held) == "ALERT: column 'Fax' is gone"
    shrunk = document(deletes_held=1200, reason="the file shrank")
    shrunk["alerts"] = [f"1,200 deletes held: the file shrank → {SETTLE}"]
    assert remarks(shrunk) == f"ALERT: 1,200 deletes held: the file shrank → {SETTLE}"


def test_a_note_that_the_reason_holds_already_is_not_said_again() -> None:
    """The lost column stands in the reason of a held load, with what to do; the other notes follow it."""
    notes = ["new column 'Telefax'", "column 'Fax' is gone"]
    held = document(status="held", reason="column 'Fax' is gone → mend it", notes=notes)
    assert remarks(held) == "column 'Fax' is gone → mend it; new column 'Telefax'"


def test_a_load_knows_how_long_each_stage_took_and_its_speed() -> None:
    """From the first step to Postgres; clocks that disagree never make a time negative."""
    load = document()
    assert load["seconds"] == {"splitting": 1.5, "mapping": 1.5, "writing": 1.0, "total": 4.0}
    assert (load["rows_per_second"], durations_text(load)) == (50, "4.0 s (1.5 + 1.5 + 1.0)")
    assert document(mapped_at=STARTED)["seconds"]["mapping"] == 0
    under_way = document(finished_at=None)
    assert (under_way["seconds"]["writing"], under_way["rows_per_second"], durations_text(under_way)) == (
        None,
        None,
        "",
    )
