"""The mapping: from cells to a lead, with all reasons why a row fails, and mappings that are refused."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from leadstream.errors import MappingError
from leadstream.sources import load_sources
from processors import row_mapping
from processors.mapping import CompiledMapping, check_mapping, compile_mapping
from processors.reference import reference
from processors.row_mapping import BoundMapping
from processors.transforms import CATALOGUE
from processors.validation import canonical_kinds
from schemas.headers import Reason
from schemas.records import lead_fields

ROOT = Path(__file__).parents[2]
KEY = "key: [{column: Id}]\n"
HEAD = KEY + "required: []\n"


@pytest.fixture
def compiled(tmp_path: Path) -> Any:
    """Compiles the mapping in a YAML text."""

    def compile_text(text: str) -> CompiledMapping:
        (tmp_path / "example.yaml").write_text(text if text.startswith(KEY) else HEAD + text)
        return compile_mapping(load_sources(tmp_path)["example"])

    return compile_text


def said(bound: BoundMapping, *cells: str | None) -> dict[str, Any]:
    """What the lead of a row says, without what is empty; the row has to pass."""
    body, reasons = bound.map(cells)
    assert reasons == []
    assert tuple(body) == lead_fields()
    return {name: value for name, value in body.items() if value not in (None, [])}


def reasons_of(bound: BoundMapping, *cells: str | None) -> list[tuple[str, str]]:
    return [(reason.field, reason.code) for reason in bound.map(cells)[1]]


def test_columns_are_found_by_name_wherever_they_stand(compiled: Any) -> None:
    """Order, case and white space of a header do not matter; of two columns with one name the first counts."""
    mapping = compiled("fields: {company: Trade Name, city: City}")
    assert said(mapping.bind(["CITY", "x", " trade  name ", "City"]), "Reno", "y", "Firs", "Elko") == {
        "company": "Firs",
        "city": "Reno",
    }


def test_missing_columns_are_named_and_count_as_empty(compiled: Any) -> None:
    """A header without a mapped column still maps; the binding says what it lacks."""
    mapping = compiled(
        "fields: {company: Name, city: {first_of: [Town, City]}, schedule: {columns: [Mo, Tu, We, Th, Fr, Sa, Su],"
        " transforms: [weekly_schedule]}}"
    )
    bound = mapping.bind(["Id", "City", "Tu"])
    assert bound.missing == ("Fr", "Mo", "Name", "Sa", "Su", "Th", "Town", "We")
    assert said(bound, "1", "Elko", "closed") == {"city": "Elko", "schedule": "Tue closed"}


def test_value_comes_from_where_its_field_says(compiled: Any) -> None:
    """A column, the first of several that says something, a join without gaps, or a constant."""
    mapping = compiled(
        "fields: {company: A, city: {first_of: [B, C]}, county: {join: [A, B, C], separator: ' / '},"
        " state: {constant: NV}}"
    )
    expected = {"company": "a", "city": "c", "county": "a / c", "state": "NV"}
    assert said(mapping.bind(["A", "B", "C"]), " a ", "N/A", "c") == expected


def test_group_fills_several_fields_and_only_those_it_names(compiled: Any) -> None:
    """A group takes the parts it names from a transform that gives several."""
    mapping = compiled("groups: [{column: A, into: [address1, zip], transforms: [full_address]}]")
    assert said(mapping.bind(["A"]), "1 ELM ST, RENO, NV 89501") == {"address1": "1 Elm St", "zip": "89501"}
    assert said(mapping.bind(["A"]), "") == {}


def test_line_is_taken_before_lines_are_joined(compiled: Any) -> None:
    """The lines of a cell can be told apart by the first transform, and each is cleaned after it."""
    mapping = compiled("fields: {title: {column: A, transforms: [{line: 2}]}, company: A}")
    assert said(mapping.bind(["A"]), "Ada\u00a0Lee \r\n  Director ") == {
        "title": "Director",
        "company": "Ada Lee Director",
    }
    assert said(mapping.bind(["A"]), "Ada Lee\nN/A") == {"company": "Ada Lee N/A"}


def test_empty_value_passes_by_all_transforms_but_those_for_it(compiled: Any) -> None:
    """An empty cell stays empty, unless a transform says what empty means."""
    mapping = compiled(
        "fields: {capacity: {column: A, transforms: [integer]},"
        " title: {column: A, transforms: [upper, {default: Owner}]},"
        " accepts_financial_aid: {column: A, transforms: [{boolean: {empty: false}}]}}"
    )
    assert said(mapping.bind(["A"]), None) == {"title": "Owner", "accepts_financial_aid": False}


def test_all_reasons_of_a_row_are_told(compiled: Any) -> None:
    """A row that fails says everything that is wrong with it, and each thing once."""
    mapping = compiled(
        KEY + "fields: {phone: {column: P, transforms: [phone]}, zip: {column: Z, transforms: [zip]}, company: N,"
        " capacity: {column: C, transforms: [integer]}}\nrequired: [phone, company]"
    )
    bound = mapping.bind(["P", "Z", "N", "C"])
    expected = [("phone", "not_a_phone"), ("zip", "not_a_zip"), ("capacity", "out_of_range"), ("company", "required")]
    assert reasons_of(bound, "call me", "x", "", "100001") == expected


@pytest.mark.parametrize("origin", ["column: A", "first_of: [A]", "join: [A, B]"])
def test_a_value_without_end_is_no_value(compiled: Any, origin: str) -> None:
    """More than 10,000 characters fail the field, or leave it empty; a transform is not even asked."""
    long = "x" * 10_001
    bound = compiled(HEAD + f"fields: {{company: {{{origin}}}}}").bind(["A", "B"])
    assert reasons_of(bound, long, "") == [("company", "too_long")]
    assert reasons_of(bound, f"  {long[1:]}  ", "") == []
    lenient = compiled(HEAD + f"fields: {{company: {{{origin}, on_error: null}}}}").bind(["A", "B"])
    assert said(lenient, long, "") == {}


def test_value_that_makes_no_sense_is_dropped_where_the_yaml_says_so(compiled: Any) -> None:
    """With on_error: null the field stays empty and the row passes; a required field is still required."""
    mapping = compiled(
        "fields: {email: {column: A, transforms: [email], on_error: null}, zip: {column: A, on_error: null}}\n"
        "groups: [{column: B, into: [city, state], transforms: [full_address], on_error: null}]"
    )
    assert said(mapping.bind(["A", "B"]), "no mail", "nowhere") == {}
    required = compiled(KEY + "fields: {email: {column: A, transforms: [email], on_error: null}}\nrequired: [email]")
    assert reasons_of(required.bind(["A"]), "no mail") == [("email", "required")]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("state: A", "Nevada", "not_a_state"),
        ("zip: A", "2134", "not_a_zip"),
        ("email: A", "ada", "not_an_email"),
        ("phone2: A", "702-555-0101", "not_a_phone"),
        ("website_address: A", "example.com", "not_a_url"),
        ("license_issued: {column: A, transforms: [{date: '%Y-%m-%d'}]}", "1899-12-31", "out_of_range"),
        ("license_issued: {column: A, transforms: [{date: '%Y-%m-%d'}]}", "2101-01-01", "out_of_range"),
        ("capacity: {column: A, transforms: [integer]}", "-1", "out_of_range"),
        ("max_age: {column: A, transforms: [integer]}", "1201", "out_of_range"),
    ],
)
def test_values_are_checked_whatever_made_them(compiled: Any, field: str, value: str, code: str) -> None:
    """A field's rule holds when its usual transform was left out, too."""
    mapping = compiled(f"fields: {{{field}}}")
    assert reasons_of(mapping.bind(["A"]), value) == [(field.partition(":")[0], code)]


def test_youngest_age_is_not_above_the_oldest(compiled: Any) -> None:
    """Ages in the wrong order fail the row."""
    mapping = compiled(
        "fields: {min_age: {column: A, transforms: [integer]}, max_age: {column: B, transforms: [integer]}}"
    )
    assert reasons_of(mapping.bind(["A", "B"]), "24", "12") == [("min_age", "ages_reversed")]
    assert said(mapping.bind(["A", "B"]), "12", "12") == {"min_age": 12, "max_age": 12}
    assert said(mapping.bind(["A", "B"]), "24", "") == {"min_age": 24}


VENDOR_CODE = """
def facts(name, year):
    return {"company": name, "capacity": int(year or 0)}

def wrong(value):
    return 7

def day(value):
    import datetime
    return datetime.datetime(2024, 1, 2)
"""


def test_function_fills_what_yaml_cannot(compiled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named Python function fills a group; what it gives is checked, and what it raises costs the row alone."""
    (tmp_path / "vendor_facts.py").write_text(VENDOR_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    bound = compiled(
        "groups: [{columns: [A, B], into: [company, capacity], transforms: [{function: 'vendor_facts:facts'}]}]"
    ).bind(["A", "B"])
    assert said(bound, "Firs", "12") == {"company": "Firs", "capacity": 12}
    assert reasons_of(bound, "Firs", "x") == [("company", "function_failed")]
    assert reasons_of(bound, "Firs", "-1") == [("capacity", "out_of_range")]
    wrong = "fields: {company: {column: A, transforms: [{function: 'vendor_facts:wrong'}]}, license_issued: "
    bound = compiled(wrong + "{column: A, transforms: [{function: 'vendor_facts:day'}]}}").bind(["A"])
    assert reasons_of(bound, "x") == [("company", "wrong_type"), ("license_issued", "wrong_type")]
    group = "groups: [{column: A, into: [company], transforms: [{function: 'vendor_facts:wrong'}]}]"
    assert reasons_of(compiled(group).bind(["A"]), "x") == [("company", "wrong_type")]


def test_a_cell_that_was_seen_before_says_the_same_again(compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good values and refused ones, in fields and groups, also when more came than are remembered."""
    monkeypatch.setattr(row_mapping, "REMEMBERED_VALUES", 3)
    mapping = compiled(
        "fields: {state: State, capacity: {column: Room, transforms: [integer], on_error: null}}\n"
        "groups: [{column: Street, into: [address1, address2], transforms: [street_address]}]"
    )
    bound = mapping.bind(["State", "Room", "Street"])
    rows = [(code, str(room), f"{room} ELM ST STE {room}") for code in ("NV", "tx", "nowhere") for room in range(5)]
    fresh = [mapping.bind(["State", "Room", "Street"]).map(row) for row in rows]
    assert [bound.map(row) for row in rows * 2] == fresh * 2
    assert {reason.code for _body, reasons in fresh for reason in reasons} == {"not_a_state"}


def test_what_hardly_repeats_and_what_is_long_is_not_remembered(compiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays small whatever a vendor sends: names are forgotten, long cells never kept."""
    monkeypatch.setattr(row_mapping, "REMEMBERED_VALUES", 10)
    made: list[str] = []
    values = row_mapping._Values(lambda given: made.append(given) or given, lambda: len(made))
    assert [values[str(number)] for number in range(25)] == list(map(str, range(25)))
    assert not values
    often = row_mapping._Values(lambda given: given, lambda: 1_000)
    assert [often[str(number)] for number in range(25)] == list(map(str, range(25)))
    assert len(often) == 10
    kept = row_mapping._Values(lambda given: given, lambda: 1_000)
    assert kept["x" * 201] == "x" * 201 and kept["x" * 150, None, "y" * 51] and not kept
    assert kept["x" * 150, None, "y" * 50] and len(kept) == 1


def test_leads_do_not_share_their_lists(compiled: Any) -> None:
    """Changing one lead changes no other."""
    mapping = compiled(
        "groups: [{columns: [A, B, C, D], into: [ages_served], transforms: [age_flags]}]\nfields: {company: E}"
    )
    bound = mapping.bind(["A", "B", "C", "D", "E"])
    for cells in (["Y", "N", "N", "N", ""], [None] * 5):
        first, _ = bound.map(cells)
        first["ages_served"].append("x")
        assert "x" not in bound.map(cells)[0]["ages_served"]


def test_reasons_are_made_for_the_dead_letters(compiled: Any) -> None:
    """A reason has the field, a stable code and a sentence that holds no value of the row."""
    bound = compiled("fields: {phone: {column: A, transforms: [phone]}}").bind(["A"])
    message = "is no possible phone number (looks like '999-9999 aaa')"
    assert bound.map(["555-0101 Ada"])[1] == [Reason("phone", "not_a_phone", message)]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("fields:\n  city: {column: A, transforms: [uper]}", 4, "unknown transform 'uper' → did you mean 'upper'?"),
        ("fields:\n  city:\n    column: A\n    transforms:\n    - upper\n    - {line: x}", 8, "does not take this"),
        ("fields:\n  capacity: A", 4, "'capacity' holds whole number, but is given: text → add the transform integer"),
        ("fields:\n  license_issued: A", 4, "add the transform date"),
        ("fields:\n  zip: {constant: 89501}", 4, "write it in quotes"),
        ("fields:\n  state: {constant: Nevada}", 4, "the constant is no two-letter USPS code"),
        ("fields:\n  city: {column: A, transforms: [upper, {line: 1}]}", 4, "put it first, on a `column`"),
        ("fields:\n  capacity: {column: A, transforms: [integer, upper]}", 4, "takes text, but is given: whole number"),
        ("fields:\n  capacity: {column: A, transforms: [integer, upper]}", 4, "→ change the order of the transforms"),
        (
            "fields:\n  phone: {column: A, transforms: [integer, phone]}",
            4,
            "take out the transform integer: phone reads",
        ),
        ("fields:\n  phone2: {column: A, transforms: [integer]}", 4, "whole number → take out the transform integer"),
        ("fields:\n  license_issued: {column: A, transforms: [integer]}", 4, "→ put date in place of integer"),
        ("fields:\n  title: {column: A, transforms: [{default: 7}]}", 4, "gives whole number where text is expected"),
        ("fields:\n  city: {columns: [A, B]}", 4, "2 columns need a transform that takes several"),
        ("fields:\n  city: {columns: [A, B], transforms: [upper]}", 4, "takes one value, not 2 columns"),
        ("fields:\n  schedule: {columns: [A, B], transforms: [weekly_schedule]}", 4, "takes 7 columns, not 2"),
        ("fields:\n  schedule: {column: A, transforms: [weekly_schedule]}", 4, "takes several columns"),
        ("fields:\n  city: {column: A, transforms: [full_address]}", 4, "use it under `groups:`"),
        ("groups:\n- {column: A, into: [city], transforms: [upper]}", 4, "must give several parts"),
        ("groups:\n- {column: A, into: [city]}", 4, "must give several parts"),
        (
            "groups:\n- {column: A, into: [county], transforms: [full_address]}",
            4,
            "gives no 'county' → it gives address1",
        ),
        ("fields: {city: A}\ntransforms:\n  city: [uper]", 5, "unknown transform 'uper'"),
    ],
)
def test_mapping_that_cannot_work_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    """Wrong transforms, arguments and types are found before any row, with file, line and remedy."""
    (tmp_path / "example.yaml").write_text(HEAD + text + "\n")
    errors = check_mapping(load_sources(tmp_path)["example"])
    assert [error.line for error in errors] == [line], [str(error) for error in errors]
    assert words in str(errors[0])


def test_all_mistakes_of_a_mapping_are_told_together(tmp_path: Path) -> None:
    """Checking goes on after the first mistake; compiling raises it."""
    (tmp_path / "example.yaml").write_text(HEAD + "fields:\n  city: {column: A, transforms: [uper]}\n  capacity: A\n")
    config = load_sources(tmp_path)["example"]
    assert [error.line for error in check_mapping(config)] == [4, 5]
    with pytest.raises(MappingError, match="uper"):
        compile_mapping(config)


def test_kinds_come_from_the_schema() -> None:
    """Each canonical field has the Python type that its Avro type is written from."""
    kinds = canonical_kinds()
    assert tuple(kinds) == lead_fields()
    assert {kinds[name] for name in ("company", "capacity", "ages_served", "license_issued")} == {
        str,
        int,
        list,
        datetime.date,
    }


def test_reference_is_the_one_that_the_code_writes() -> None:
    """docs/mapping-reference.md is up to date: run `python -m processors.reference > docs/mapping-reference.md`."""
    assert (ROOT / "docs" / "mapping-reference.md").read_text("utf-8") == reference()


def test_every_transform_is_in_the_reference() -> None:
    """No transform is left undocumented."""
    for name in CATALOGUE:
        assert f"### `{name}(" in reference()


def test_example_of_the_reference_works(tmp_path: Path) -> None:
    """The YAML that the reference shows is a mapping that compiles."""
    yaml = reference().partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "example.yaml").write_text(yaml)
    (tmp_path / "_defaults.yaml").write_text((ROOT / "sources" / "_defaults.yaml").read_text("utf-8"))
    bound = compile_mapping(load_sources(tmp_path)["example"]).bind(["License", "Name", "Mobile", "Issued", "Address"])
    assert said(bound, "1", "FIRS", "702-555-0101", "7/31/2024", "1 ELM ST RENO, NV 89501") == {
        "company": "Firs",
        "address1": "1 Elm St",
        "city": "Reno",
        "state": "NV",
        "zip": "89501",
        "phone": "+17025550101",
        "license_issued": datetime.date(2024, 7, 31),
    }
