"""What commands answer where there is nothing to do, or no telling what was meant."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from leadstream.cli.bucket import Uploaded
from leadstream.cli.documents import reason_document
from leadstream.cli.forget import Subject, confirm, unknown_lead
from leadstream.cli.holds import check_can_be_settled
from leadstream.cli.load_lookup import chosen_load
from leadstream.cli.output import counted
from leadstream.cli.put import keys_of, known_load, known_text
from leadstream.cli.sources import unknown_source
from leadstream.errors import LeadstreamError
from leadstream.sources import load_sources
from tests.system import ROOT

FILE = Path("a.csv")
UPLOADED = Uploaded(FILE, "landing", "texas/a.csv", ("etag",))
AT = datetime(2026, 1, 31, 8, tzinfo=UTC)


def load(load_id: str = "d1", **changes: Any) -> dict[str, Any]:
    """A row of the table loads."""
    return {
        "load_id": load_id,
        "source": "texas",
        "object_key": "texas/a.csv",
        "object_version": "etag",
        "status": "done",
        "halted_partitions": [],
        "started_at": AT,
        "finished_at": AT,
    } | changes


def test_bytes_that_were_loaded_already_are_known() -> None:
    """By the newest load of the key when they were put: not when its bytes are others, nor while it is under way."""
    known = known_load(UPLOADED, load())
    assert known == {"load_id": "d1", "status": "done", "at": AT}
    assert known_text(known) == (
        "already loaded at 2026-01-31 08:00:00 UTC, load d1: nothing was done; "
        "to load these bytes again use another --key, to map them again use leadstream replay"
    )
    held = known_load(UPLOADED, load(status="held", finished_at=None))
    assert held is not None
    assert known_text(held) == "these bytes came before: held since 2026-01-31 08:00:00 UTC, load d1"
    assert known_load(UPLOADED, None) is None
    assert known_load(UPLOADED, load(object_version="other")) is None
    assert known_load(UPLOADED, load(status="processing", finished_at=None)) is None


def test_the_example_of_why_rows_failed_shows_no_phone_or_mail() -> None:
    """What a function named in YAML says of a value goes the way of a dead letter's message."""
    row = {"load_id": "d1", "stage": "MAP", "code": "unusable", "example": "no phone: 702-555-0199, a@b.example",
           "count": 3, "open": 2}  # fmt: skip
    assert reason_document(row) == {
        "stage": "MAP", "code": "unusable", "example": "no phone: ***, ***@b.example", "count": 3, "open": 2,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["texas/../nevada/a.csv", "texas/./a.csv", "texas//a.csv", "texas/", "/texas/a.csv"])
def test_a_key_whose_parts_are_no_names_is_wrong_use(key: str) -> None:
    """S3 would refuse it with words that help nobody, or keep what no listing of folders shows."""
    texas = load_sources(ROOT / "sources")["texas"]
    with pytest.raises(typer.BadParameter):
        keys_of([FILE], texas, key)
    assert keys_of([FILE], texas, "texas/2026..01/.a.csv") == {"texas/2026..01/.a.csv": FILE}


def test_a_load_is_found_by_its_id_or_how_it_begins() -> None:
    """Several that begin so are named; the one of this very id is meant however others go on."""
    assert chosen_load([load()], "d")["load_id"] == "d1"
    assert chosen_load([load("d1"), load("d12")], "d1")["load_id"] == "d1"
    with pytest.raises(LeadstreamError, match="there is no load 'x'"):
        chosen_load([], "x")
    with pytest.raises(LeadstreamError) as two:
        chosen_load([load("d2"), load("d1")], "d")
    assert str(two.value).startswith("several loads begin with 'd': d2 (texas/a.csv), d1 (texas/a.csv) → ")
    with pytest.raises(LeadstreamError, match=r"d3 .*, … →"):
        chosen_load([load("d1"), load("d2"), load("d3"), load("d4")], "d")


def test_what_waits_for_its_mapping_is_not_approved_or_rejected() -> None:
    """Held for its header: neither; because rows fail: not rejected. Both say what helps."""
    for kind in ("approve", "reject"):
        with pytest.raises(LeadstreamError, match=r"held for its header.*leadstream sources drift texas"):
            check_can_be_settled(load(status="held"), kind)
    with pytest.raises(LeadstreamError, match="rows cannot be rejected"):
        check_can_be_settled(load(status="held", halted_partitions=[2]), "reject")
    check_can_be_settled(load(status="held", halted_partitions=[2]), "approve")
    check_can_be_settled(load(), "approve")


def test_a_source_that_nobody_knows_comes_with_those_that_there_are() -> None:
    """Or with the one that is meant."""
    assert str(unknown_source("nosuch", ["nevada", "texas"])).endswith("known sources: nevada, texas")
    assert str(unknown_source("txas", ["nevada", "texas"])).endswith("did you mean texas?")


def test_forgetting_a_key_that_names_no_lead_warns() -> None:
    """A slip of the pen; not where there was such a lead, and not for a phone, which may be that of nobody yet."""
    nothing = {"leads": [], "dead_letters": 0, "kept_out": False}
    key = Subject(key="texas:5")
    assert unknown_lead(key, nothing).startswith("warning: there is no lead 'texas:5'")
    assert unknown_lead(key, nothing | {"kept_out": True}) == ""
    assert unknown_lead(key, nothing | {"leads": ["texas:5"]}) == ""
    assert unknown_lead(Subject(phone="+17755550123"), nothing) == ""


@pytest.mark.parametrize(("answer", "ends"), [("n\n", typer.Exit), ("", typer.Abort)], ids=["no", "closed"])
def test_without_a_yes_it_says_that_nothing_was_erased(
    answer: str, ends: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And which option does not ask; for scripts with closed standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    with pytest.raises(ends):
        confirm()
    assert "nothing was erased (--yes erases without asking)" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    confirm()


def test_one_is_one_and_more_are_many() -> None:
    """Counts are said as people say them."""
    assert [counted(n, "dead letter") for n in (0, 1, 1200)] == [
        "0 dead letters",
        "1 dead letter",
        "1,200 dead letters",
    ]
