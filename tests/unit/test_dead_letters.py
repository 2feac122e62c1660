"""Dead letters that are settled, or go back to the vendor as CSV."""

from __future__ import annotations

from typing import Any

import pytest

from leadstream.cli.app import run
from leadstream.cli.dead_letter_export import REASON_COLUMNS, header_of, line_of
from leadstream.cli.dead_letter_filters import EVERY, Filters, Status

COLUMNS = ("Id", "Phone#", "Zip")
LETTER: dict[str, Any] = {
    "dead_letter_id": "2-17",
    "object_key": "acme/week1.csv",
    "row_number": 3,
    "line_number": 5,
    "stage": "VALIDATE",
    "reasons": [{"code": "phone"}, {"code": "zip"}, {"code": "phone"}],
    "reason_code": "phone",
    "message": "phone: is no phone number",
    "value": b"\0framed",
}


def test_a_row_stands_in_the_vendors_columns_with_every_reason_before_them() -> None:
    """Cells as sent; a column that this row's header did not have is empty."""
    line = line_of(LETTER, COLUMNS, {"Id": "A1", "Phone#": None}, unmasked=True)
    assert line == ["2-17", "acme/week1.csv", "3", "5", "VALIDATE", "phone, zip", LETTER["message"], "", "A1", "", ""]


def test_a_row_that_is_no_cells_stands_as_text() -> None:
    """Its line end is cut off, a byte that is no UTF-8 stays visible."""
    damaged = LETTER | {"stage": "SPLIT", "reasons": None, "value": b"A1,Caf\xe9\r\n"}
    line = line_of(damaged, COLUMNS, None, unmasked=True)
    assert line[REASON_COLUMNS.index("dlq_text")] == "A1,Caf\\xe9"
    assert line[REASON_COLUMNS.index("dlq_reason")] == "phone"
    assert line[len(REASON_COLUMNS) :] == ["", "", ""]


def test_what_postgres_would_not_take_is_not_shown_as_if_the_vendor_had_sent_it() -> None:
    """A record of ours has neither cells nor text."""
    assert not any(line_of(LETTER | {"stage": "WRITE"}, COLUMNS, None, unmasked=True)[len(REASON_COLUMNS) - 1 :])


def test_cells_and_texts_are_shapes_unless_asked_for() -> None:
    """What a row says is told to whoever asks for it alone."""
    assert line_of(LETTER, COLUMNS, {"Id": "A1", "Phone#": None}, unmasked=False)[-3:] == ["a9", "", ""]
    damaged = LETTER | {"stage": "SPLIT", "value": b"A1,Pat Pineda"}
    assert line_of(damaged, COLUMNS, None, unmasked=False)[len(REASON_COLUMNS) - 1] == "a9,aaa aaaaaa"


def test_no_cell_is_run_as_a_formula() -> None:
    """In cells, texts and headers."""
    assert line_of(LETTER, ("Id",), {"Id": "=1+1"}, unmasked=True)[-1] == "'=1+1"
    assert line_of(LETTER | {"stage": "SPLIT", "value": b"@SUM(A1)"}, (), None, unmasked=True)[-1] == "'@SUM(A1)"
    assert header_of(["-x"])[-1] == "'-x"


def test_the_vendors_columns_keep_their_names() -> None:
    """Where a vendor's column is called as one of ours, ours gives way."""
    header = header_of(["dlq_row", "dlq_row_"])
    assert header[len(REASON_COLUMNS) :] == ["dlq_row", "dlq_row_"]
    assert len(header) == len(set(header))


def test_without_a_status_the_open_letters_are_meant_and_with_ids_all() -> None:
    """What is asked for by name is found whatever became of it."""
    status = -2
    assert Filters().arguments[status] == "open"
    assert Filters(ids=["2-17"]).arguments[status] is None
    assert Filters(status=Status.IGNORED).arguments[status] == "ignored"
    assert EVERY.arguments == (None,) * 7


@pytest.mark.parametrize(
    "words",
    [
        ["resolve", "--why", "x"],
        ["resolve", "2-17", "--source", "acme", "--why", "x"],
        ["ignore", "2-17", "--why", " "],
        ["ignore", "2-17"],
        ["list", "--status", "closed"],
        ["list", "--since", "yesterday"],
        ["export", "--to", "no-such-folder/failed.csv"],
    ],
    ids=" ".join,
)
def test_a_command_that_does_not_say_clearly_which_letters_and_why_is_wrong_use(words: list[str]) -> None:
    """Neither ids nor filters, or both; no words why; a status, time or folder that is none."""
    assert run(["dlq", *words]) == 2
