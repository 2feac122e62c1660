"""Drift: a header against the mapping, and the likeliest new name of a lost column."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leadstream.sources import SourceConfig, load_sources
from producer.drift import NO_HEADER, Judgement, judge
from tests.system import ROOT
from tests.unit.test_hostile_values import assert_grows_with_its_length

YAML = """\
# who they are
key: [{column: Id}]
required_columns: [Phone#, "Since"]
fields:
  phone: {first_of: [Phone#, Mobile]} # the first
  company: Name
  license_issued: {column: 'Since', transforms: [{date: "%m/%d/%Y"}]}
  capacity: Places
groups:
  - column: Street
    into: [address1, address2]
    transforms: [street_address]
"""
HEADER = ["Id", "Phone#", "Mobile", "Name", "Since", "Places", "Street"]
PHONES = [f"702-555-01{n:02}" for n in range(40)]
DATES = [f"{n % 12 + 1}/{n % 28 + 1}/2019" for n in range(40)]
NAMES = [f"Little Fir House {n}" for n in range(40)]


@pytest.fixture
def source(tmp_path: Path) -> SourceConfig:
    """A source with one column of most kinds."""
    shutil.copy(ROOT / "sources" / "_defaults.yaml", tmp_path)
    (tmp_path / "acme.yaml").write_text(YAML.replace("required_columns:", "# required_columns:"))
    return load_sources(tmp_path)["acme"]


def _suggested(judgement: Judgement) -> dict[str, str | None]:
    return {lost.column: lost.suggestion and lost.suggestion.column for lost in judgement.lost}


def _renamed(old: str, *new: str) -> list[str]:
    return [column for column in HEADER if column != old] + list(new)


def _rows(columns: list[str], **cells: list[str]) -> list[list[str]]:
    """Forty rows; the columns not named in ``cells`` are empty."""
    return [[cells[column][n] if column in cells else "" for column in columns] for n in range(40)]


def test_a_header_of_similar_new_columns_costs_no_square_of_them(source: SourceConfig) -> None:
    """Thousands of columns that all could be the lost ones: none is suggested, and soon."""

    def call(columns: str) -> None:
        assert not any(_suggested(judge(source, columns.split("|"), HEADER)).values())

    assert_grows_with_its_length(lambda text: call("|".join(f"{text[:1]}hone {n}" for n in range(len(text) // 5))), "P")


def test_columns_in_another_order_are_nothing_to_speak_of(source: SourceConfig) -> None:
    """Order, case and white space of a header say nothing."""
    judgement = judge(source, [f" {column.upper()} " for column in reversed(HEADER)], HEADER)
    assert (judgement.lost, judgement.notes, judgement.held) == ((), (), False)


def test_what_the_mapping_does_not_read_is_noted(source: SourceConfig) -> None:
    """A column more, or one less that nobody maps, does not hold the load."""
    judgement = judge(source, [*HEADER, "Fax"], [*HEADER, "Remark"])
    assert not judgement.held
    assert judgement.notes == ("new column 'Fax'", "column 'Remark' is gone")


def test_a_renamed_column_is_suggested_by_name_and_values(source: SourceConfig) -> None:
    """Both scores and their sum are told; the reason names the columns and no value."""
    columns = _renamed("Phone#", "Phone")
    judgement = judge(source, columns, HEADER, _rows(columns, Phone=PHONES))
    (lost,) = judgement.lost
    assert judgement.held and lost.suggestion is not None
    likeness = lost.suggestion.likeness
    assert (likeness.name, likeness.values, likeness.percent) == (91, 100, 97)
    assert judgement.reason == "column 'Phone#' is gone (renamed to 'Phone'? 97 %)"


def test_a_column_of_phones_is_a_phone_column_whatever_its_name(source: SourceConfig) -> None:
    """Without rows before, what the field holds is enough to know its column by."""
    columns = _renamed("Phone#", "Reach us", "Remark")
    judgement = judge(source, columns, HEADER, _rows(columns, **{"Reach us": PHONES, "Remark": NAMES}))
    assert _suggested(judgement) == {"Phone#": "Reach us"}


def test_a_name_like_the_lost_one_is_not_enough_when_the_values_are_others(source: SourceConfig) -> None:
    """A column called like a phone that holds words is no phone column."""
    columns = _renamed("Phone#", "Phone T")
    assert _suggested(judge(source, columns, HEADER)) == {"Phone#": "Phone T"}
    judgement = judge(source, columns, HEADER, _rows(columns, **{"Phone T": ["cell", "home"] * 20}))
    assert _suggested(judgement) == {"Phone#": None}


def test_of_two_candidates_with_the_right_values_the_name_decides(source: SourceConfig) -> None:
    """Two columns of phones: the one that is called a phone."""
    columns = _renamed("Phone#", "Fax", "Phone No")
    judgement = judge(source, columns, HEADER, _rows(columns, **{"Fax": PHONES, "Phone No": PHONES}))
    assert _suggested(judgement) == {"Phone#": "Phone No"}


def test_of_two_candidates_the_one_with_the_cells_of_the_rows_before_is_meant(source: SourceConfig) -> None:
    """The same numbers again, written otherwise, say more than a name."""
    columns = _renamed("Phone#", "Phone F", "Contact")
    others = [f"(775) 555-01{n:02}" for n in range(40)]
    again = [f"({phone[:3]}) {phone[4:]}" for phone in PHONES]
    rows = _rows(columns, **{"Phone F": others, "Contact": again})
    assert _suggested(judge(source, columns, HEADER, rows)) == {"Phone#": "Phone F"}
    assert _suggested(judge(source, columns, HEADER, rows, {"phone#": PHONES})) == {"Phone#": "Contact"}


def test_free_text_is_known_by_the_cells_of_the_rows_before(source: SourceConfig) -> None:
    """A company's column under an unrelated name is found when the companies come again."""
    columns = _renamed("Name", "Facility")
    rows = _rows(columns, Facility=NAMES)
    assert _suggested(judge(source, columns, HEADER, rows)) == {"Name": None}
    assert _suggested(judge(source, columns, HEADER, rows, {"name": NAMES})) == {"Name": "Facility"}


def test_one_new_column_is_suggested_for_one_lost_column_only(source: SourceConfig) -> None:
    """The better pair takes it; what is left over goes without, or to the next."""
    columns = [column for column in HEADER if column not in ("Phone#", "Mobile")] + ["Mobile No"]
    rows = _rows(columns, **{"Mobile No": PHONES})
    assert _suggested(judge(source, columns, HEADER, rows)) == {"Mobile": "Mobile No", "Phone#": None}
    columns.append("Tel")
    rows = _rows(columns, **{"Mobile No": PHONES, "Tel": PHONES})
    assert _suggested(judge(source, columns, HEADER, rows)) == {"Mobile": "Mobile No", "Phone#": "Tel"}


def test_where_nobody_can_tell_nothing_is_suggested(source: SourceConfig) -> None:
    """Two columns that are equally like the lost one, or one that is equally like two lost ones: people decide."""
    columns = _renamed("Phone#", "Qqq", "Zzz")
    assert _suggested(judge(source, columns, HEADER, _rows(columns, Qqq=PHONES, Zzz=PHONES))) == {"Phone#": None}
    columns = [column for column in HEADER if column not in ("Phone#", "Mobile")] + ["Qqq"]
    assert _suggested(judge(source, columns, HEADER, _rows(columns, Qqq=PHONES))) == {"Phone#": None, "Mobile": None}


def test_nothing_similar_is_no_suggestion(source: SourceConfig) -> None:
    """The load is held all the same, and nothing is guessed."""
    columns = _renamed("Since", "Remark")
    judgement = judge(source, columns, HEADER, _rows(columns, Remark=NAMES), {"since": DATES})
    assert judgement.reason == "column 'Since' is gone"


def test_a_column_that_stood_beside_the_lost_one_is_not_its_new_name(source: SourceConfig) -> None:
    """An unmapped fax column does not become the phone column; in a first file, or for a misspelt name, it may."""
    known = [*HEADER, "Fax#"]
    columns = _renamed("Phone#", "Fax#")
    rows = _rows(columns, **{"Fax#": PHONES})
    assert _suggested(judge(source, columns, known, rows)) == {"Phone#": None}
    assert _suggested(judge(source, columns, None, rows)) == {"Phone#": "Fax#"}
    assert _suggested(judge(source, columns, columns, rows)) == {"Phone#": "Fax#"}


def test_a_lost_column_that_is_not_required_is_noted_with_its_suggestion(tmp_path: Path) -> None:
    """``required_columns`` says whose loss holds a load; the others are only remarked on."""
    (tmp_path / "acme.yaml").write_text("required: [phone]\n" + YAML)
    source = load_sources(tmp_path)["acme"]
    judgement = judge(source, _renamed("Places", "Places in all"), HEADER)
    assert not judgement.held
    assert "column 'Places' is gone (renamed to 'Places in all'? 80 %)" in judgement.notes


@pytest.mark.parametrize(
    ("field", "cells"),
    [
        ("phone", ["(702) 555-0101", "702.555.0102 x7", "+1 702 555 0103", "7025550104"]),
        ("email", ["ada@example.com", "b.lee@mail.example.org"]),
        ("website_address: {column: Lost, transforms: [url]}", ["https://example.com/a?b", "www.example.com"]),
        ("license_issued: {column: Lost, transforms: [{date: '%m/%d/%Y'}]}", ["2019-03-01", "3/1/2019", "Mar 1, 2019"]),
        ("zip", ["89015", "89015-1234", "890151234"]),
        ("state", ["NV", "ok"]),
    ],
)
def test_each_kind_of_field_knows_its_cells(field: str, cells: list[str], tmp_path: Path) -> None:
    """Phones, addresses of mail and web, dates, ZIP codes and states are found under any name, among free text."""
    line = field if ":" in field else f"{field}: Lost"
    required = line.partition(":")[0]
    (tmp_path / "acme.yaml").write_text(f"key: [{{column: Id}}]\nrequired: [{required}]\nfields: {{{line}}}\n")
    source = load_sources(tmp_path)["acme"]
    rows = [["1", "some words", cell] for cell in cells]
    judgement = judge(source, ["Id", "Zz", "Lost one"], None, rows)
    assert _suggested(judgement) == {"Lost": "Lost one"}
    assert judgement.lost[0].suggestion is not None and judgement.lost[0].suggestion.likeness.values == 100


def test_a_row_where_the_header_should_be_is_not_quoted(source: SourceConfig) -> None:
    """A file without its header is held, and what its first row says of a person is told to nobody."""
    row = ["17", "702-555-0199", "", "Pat Pineda", "1/2/2019", "12", "1 Elm St"]
    judgement = judge(source, row, HEADER, [["18", "702-555-0198", "", "Kim", "1/3/2019", "6", "2 Elm St"]])
    assert judgement.held and NO_HEADER in judgement.notes
    assert not any(cell in f"{judgement.reason} {judgement.notes}" for cell in row if cell)
