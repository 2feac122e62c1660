"""The transforms: what each makes of a value, and with which code it refuses one."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadstream.text import clean
from processors.transforms import CATALOGUE, TransformError, WrongUseError, build
from processors.transforms.contact import to_phone

ARGUMENTS: dict[str, Any] = {
    "line": 1,
    "regex": "(a)",
    "split": {"separator": "-", "take": 1},
    "default": "x",
    "date": ["%m/%d/%Y", "any"],
    "value_map": {"values": {"a": "b"}},
    "function": "processors.transforms.text:to_title_case",
}


def apply(name: str, value: object, argument: Any = None) -> Any:
    return build(name, argument).apply(value)


def code(name: str, value: object, argument: Any = None) -> str:
    with pytest.raises(TransformError) as caught:
        apply(name, value, argument)
    return caught.value.code


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("  a\u00a0 b\t\r\nc ", "a b c"),
        ("a\x00b\u200bc", "abc"),
        ("a\x0bb", "a b"),
        ("Itâ€™s", "Itâ€™s"),
        ("Nan", "Nan"),
        *((nothing, None) for nothing in ("", None, " ", "\u00a0", "N/A", "NULL", "-", "--", "none", "\x00")),
    ],
)
def test_clean_keeps_what_is_said_and_nothing_else(cell: str | None, text: str | None) -> None:
    """White space and control characters go, placeholders are empty, broken encodings stay."""
    assert clean(cell) == text


@pytest.mark.parametrize(
    ("text", "titled"),
    [
        ("MCCOY'S 6TH STREET SCHOOL OF THE ARTS, LLC", "McCoy's 6th Street School of the Arts, LLC"),
        ("D.J.'S WEST L.L.C.", "D.J.'s West L.L.C."),
        ("O'HARA PRE-SCHOOL", "O'Hara Pre-School"),
        ("YMCA - ELM HILLS II", "YMCA - Elm Hills II"),
        ("105 E A ST NW", "105 E A St NW"),
        ("12 BIRCH RDG", "12 Birch Rdg"),
        ("the little firs", "The Little Firs"),
        ("THE FIRS OF", "The Firs Of"),
        ("TINY TLC", "Tiny TLC"),
        ("iPlay of McAllen", "iPlay of McAllen"),
        ("ÉCOLE 2B", "École 2B"),
    ],
)
def test_title_case_is_for_shouted_text_and_knows_exceptions(text: str, titled: str) -> None:
    """Upper or lower case becomes title case, with acronyms, ordinals and names right; mixed case is left alone."""
    assert apply("title_case", text) == titled


def test_line_takes_one_line_of_the_cell_as_sent() -> None:
    """Lines end with CR LF or LF; a line that is not there is empty."""
    assert apply("line", "Ada Lee\r\nDirector", 2) == "Director"
    assert apply("line", "Ada Lee\nDirector", 1) == "Ada Lee"
    assert apply("line", "Ada Lee", 2) is None


def test_regex_takes_its_group_or_does_what_otherwise_says() -> None:
    """A pattern gives its group, or the whole match; without a match the row fails, unless told otherwise."""
    assert apply("regex", "HOME - K12", r"- (K\d+)$") == apply("regex", "HOME - K12", r"K\d+$") == "K12"
    assert code("regex", "HOME", r"K\d+") == "no_match"
    assert apply("regex", "HOME", {"pattern": "K", "otherwise": "keep"}) == "HOME"
    assert apply("regex", "HOME", {"pattern": "K", "otherwise": None}) is None


def test_split_takes_a_part_by_its_place() -> None:
    """Parts count from either end; a part that is not there is empty."""
    assert apply("split", "a - b - c", {"separator": " - ", "take": 2}) == "b"
    assert apply("split", "a - b - c", {"separator": " - ", "take": -1}) == "c"
    assert apply("split", "a", {"separator": " - ", "take": 2}) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("(702) 555-0101", "+17025550101"),
        ("1-702.555.0101", "+17025550101"),
        ("+1 702 555 0101", "+17025550101"),
        ("7025550101", "+17025550101"),
        ("702-555-0101 ext. 12", "+17025550101;ext=12"),
        ("(702) 555-0101 x4", "+17025550101;ext=4"),
        ("702-555-0101 (cell)", "+17025550101"),
        ("702-555-0101 / 702-555-0102", "+17025550101"),
        ("702-555-0101 or 702-555-0102", "+17025550101"),
        ("+44 20 7946 0958", "+442079460958"),
        ("Tel. 702-555-0101 extension 4", "+17025550101;ext=4"),
        ("1-800-FLOWERS", "+18003569377"),
        ("7025550101.0", "+17025550101"),
        ("17025550101.0", "+17025550101"),
    ],
)
def test_phone_is_e164_with_its_extension(value: str, number: str) -> None:
    """However a number is written, it comes out in E.164; fictional numbers pass."""
    assert apply("phone", value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("555-0101", "911", "call me", "702-555-010", "702-555-01011234567", "x", "555-0101 Ada"),
        *("702555010.0", "7.025550101E+09", "7.02555E+09", "7025550101.05", "5550101.0", ".0", "0.0"),
    ],
)
def test_what_cannot_be_dialled_is_no_phone(value: str) -> None:
    """Numbers of an impossible length, without their area code, and words are refused; so is what was rounded.

    The `.0` of a number that was a float is no digit of it.
    """
    assert code("phone", value) == "not_a_phone"


@given(st.from_regex(r"(\+?1[ .-]?)?\(?[2-9][0-9]{2}\)?[ ./-]?[0-9]{3}[ .-]?[0-9]{4}", fullmatch=True))
def test_fast_way_for_plain_numbers_agrees_with_phonenumbers(value: str) -> None:
    """The short cut for plain American numbers gives what the library gives."""
    number = phonenumbers.parse(value, "US")
    if phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE:
        assert to_phone(value) == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("mailto:ada@example.com", "ada@example.com"),
        ("ada@example.com; bo@example.com", "ada@example.com"),
        ("ada@example.com bo@example.com", "ada@example.com"),
        ("Ada Lee <ada@example.com>", "ada@example.com"),
        ("o'hara+x_y@sub.example.com.", "o'hara+x_y@sub.example.com"),
    ],
)
def test_email_is_lower_case_and_the_first(value: str, address: str) -> None:
    """An address comes out bare and in lower case; of several, the first."""
    assert apply("email", value) == address


@pytest.mark.parametrize("value", ["ada", "ada@example", "ada lee@example.com", "@example.com", "a@b..com", "a@-b.com"])
def test_half_an_address_is_no_email(value: str) -> None:
    """Nothing is guessed from an address with a slip in it."""
    assert code("email", value) == "not_an_email"


def test_url_has_a_scheme_and_a_lower_case_host() -> None:
    """A bare host gets https; what is no web address is refused."""
    assert apply("url", "www.Example.com/Path?a=B") == "https://www.example.com/Path?a=B"
    assert apply("url", "HTTP://example.com:8080") == "http://example.com:8080"
    for value in ("example", "see example.com", "ftp://example.com", "https://example.com:99999/", "http://[x"):
        assert code("url", value) == "not_a_url"


@pytest.mark.parametrize(
    ("value", "formats", "day"),
    [
        ("7/31/2024", "%m/%d/%Y", (2024, 7, 31)),
        ("2024-07-31", ["%m/%d/%Y", "%Y-%m-%d"], (2024, 7, 31)),
        ("7/31/24", "%m/%d/%y", (2024, 7, 31)),
        ("7/31/69", "%m/%d/%y", (1969, 7, 31)),
        ("July 31st, 2024", "any", (2024, 7, 31)),
    ],
)
def test_date_is_read_by_the_first_format_that_fits(value: str, formats: Any, day: tuple[int, int, int]) -> None:
    """Dates become dates, by the given formats alone."""
    assert apply("date", value, formats) == datetime.date(*day)


@pytest.mark.parametrize(
    ("value", "formats"), [("31/7/2024", "%m/%d/%Y"), ("July 2024", "any"), ("12", "any"), ("x", "any")]
)
def test_date_is_never_filled_in_from_today(value: str, formats: str) -> None:
    """A date that lacks its day, month or year, or fits no format, is refused."""
    assert code("date", value, formats) == "not_a_date"


def test_integer_takes_commas_and_units_and_no_halves() -> None:
    """Whole numbers come out of the ways they are written; anything else is refused."""
    assert [apply("integer", value) for value in ("7", "1,234", "12 children", "7.0", "-3")] == [7, 1234, 12, 7, -3]
    for value in ("7.5", "1,23", "12 - 15", "twelve", "٣", "9" * 30):
        assert code("integer", value) == "not_a_number"


def test_boolean_knows_its_words_and_what_empty_means() -> None:
    """Words for yes and no are compared without case; an empty cell means what YAML says, and other words fail."""
    assert [apply("boolean", value) for value in ("Y", "no", "TRUE", None)] == [True, False, True, None]
    words = {"true": ["Accepts Subsidy"], "empty": False}
    assert [apply("boolean", value, words) for value in ("accepts subsidy", None)] == [True, False]
    assert code("boolean", "maybe") == "not_a_boolean"


def test_value_map_translates_and_says_what_becomes_of_the_rest() -> None:
    """Listed words are translated without case; others are kept, refused or emptied."""
    values = {"values": {"CENTER": "Center"}}
    assert apply("value_map", "center", values) == "Center"
    assert apply("value_map", "Home", values) == "Home"
    assert apply("value_map", "Home", values | {"otherwise": None}) is None
    assert code("value_map", "Home", values | {"otherwise": "fail"}) == "no_match"


def test_state_is_a_usps_code() -> None:
    """Codes and names become codes."""
    assert [apply("state", value) for value in ("NV", "nevada", "N.V.", "Puerto Rico")] == ["NV", "NV", "NV", "PR"]
    assert code("state", "ZZ") == "not_a_state"


def test_zip_gets_its_zeros_back() -> None:
    """Zeros that a spreadsheet dropped come back; ZIP+4 has its hyphen."""
    values = ("89027", "2134", "501", "89027-1234", "890271234", "89027.0")
    assert [apply("zip", value) for value in values] == ["89027", "02134", "00501", "89027-1234", "89027-1234", "89027"]
    for value in ("12", "8902A", "890271", "٨٩٠٢٧"):
        assert code("zip", value) == "not_a_zip"


@pytest.mark.parametrize(
    ("value", "street", "unit"),
    [
        ("401 FM 685 STE 104", "401 FM 685", "Ste 104"),
        ("12 ELM ST. UNIT 5-7 & 9", "12 Elm St.", "Unit 5-7 & 9"),
        ("12 ELM ST #B-12", "12 Elm St", "#B-12"),
        ("12 ELM STREET SUITE B", "12 Elm Street", "Suite B"),
        ("12 ELM ST APT 5 BLDG C", "12 Elm St", "Apt 5 Bldg C"),
        ("12 ELM ST, PO BOX 7", "12 Elm St", "PO Box 7"),
        ("12300-A ELM", "12300-A Elm", None),
        ("5 LOT LN", "5 Lot Ln", None),
        ("12 Unit Dr", "12 Unit Dr", None),
    ],
)
def test_street_address_parts_street_and_unit(value: str, street: str, unit: str | None) -> None:
    """Suites, units, buildings and numbers behind the street go to address2; streets named like them do not."""
    assert apply("street_address", value) == {"address1": street, "address2": unit}


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("150 N. ELM ST MESQUITE, NV 89027", ("150 N. Elm St", None, "Mesquite", "NV", "89027")),
        ("12 ELM AVE NORTH LAS VEGAS, NV 89031", ("12 Elm Ave", None, "North Las Vegas", "NV", "89031")),
        ("1 LAS VEGAS BLVD LAS VEGAS, NV 89031", ("1 Las Vegas Blvd", None, "Las Vegas", "NV", "89031")),
        ("88 S. ELM AVE., STE 160 LAS VEGAS, NV 89123", ("88 S. Elm Ave.", "Ste 160", "Las Vegas", "NV", "89123")),
        ("12 Elm St, Reno, Nevada", ("12 Elm St", None, "Reno", "NV", None)),
        ("12 ELM ST, #4, RENO, NV 89501-1234, USA", ("12 Elm St", "#4", "Reno", "NV", "89501-1234")),
        ("470 GYPSUM DRIVE SPRING CREEK, NV 89815", ("470 Gypsum Drive", None, "Spring Creek", "NV", "89815")),
        ("MESQUITE, NV 89027", (None, None, "Mesquite", "NV", "89027")),
    ],
)
def test_full_address_finds_the_city(value: str, parts: tuple[str | None, ...]) -> None:
    """A known city (the longest), a comma, or a guess tells where the city begins."""
    cities = {"cities": ["Las Vegas", "North Las Vegas", "Mesquite"]}
    assert tuple(apply("full_address", value, cities).values()) == parts


def test_address_without_state_or_city_is_refused() -> None:
    """An address that does not end like one fails."""
    assert code("full_address", "12 ELM ST") == "not_an_address"
    assert code("full_address", "12 ELM ST, ZZ 89027") == "not_an_address"
    assert code("full_address", "12 34, NV 89027") == "no_city"


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("ADA LEE", "Ada", "Lee"),
        ("Ada Jo McLee", "Ada", "McLee"),
        ("ADA VAN RAY", "Ada", "Van Ray"),
        ("DR. ADA LEE-RAY JR.", "Ada", "Lee-Ray"),
        ("Ada Lee (Ray)", "Ada", "Lee"),
        ("LEE, ADA", "Ada", "Lee"),
        ("ADA & BO LEE & RAY", "Ada", "Lee"),
        ("ADA AND BO LEE AND RAY", "Ada", "Lee"),
        ("ADA, BO LEE, RAY", "Ada", "Lee"),
        ("ADA & BO LEE HALL & RAY", "Ada", "Lee Hall"),
        ("ADA &  BO, LEE & RAY", "Ada", "Lee"),
        ("ADA, BO, CY LEE, RAY, POE", "Ada", "Lee"),
        ("ADA LEE AND BO RAY", "Ada", "Lee"),
        ("ADA LEE, BO RAY", "Ada", "Lee"),
        ("ADA & BO LEE", "Ada", "Lee"),
        ("ADA", "Ada", None),
    ],
)
def test_first_person_of_a_cell_counts(value: str, first: str, last: str | None) -> None:
    """Whatever way several people share a cell, the first of them is the contact."""
    assert apply("person_name", value) == {"first_name": first, "last_name": last}


def test_number_is_no_name() -> None:
    """A cell without a letter is no name."""
    assert code("person_name", "123") == "not_a_name"


@pytest.mark.parametrize(
    ("cells", "schedule"),
    [
        (["7:30AM - 5:30PM"] * 5 + ["CLOSED"] * 2, "Mon-Fri 07:30-17:30; Sat-Sun closed"),
        (["12:00AM - 12:00AM"] * 7, "Mon-Sun 24h"),
        (
            ["9am-5pm", None, "09:00 to 17:00", "Closed", "24 hours", None, None],
            "Mon 09:00-17:00; Wed 09:00-17:00; Thu closed; Fri 24h",
        ),
        (["12:00PM - 11:59PM"] + [None] * 6, "Mon 12:00-23:59"),
    ],
)
def test_week_is_told_in_runs_of_days(cells: list[str | None], schedule: str) -> None:
    """Days with the same hours are told together; days that say nothing are left out."""
    assert apply("weekly_schedule", tuple(cells)) == schedule


@pytest.mark.parametrize("cell", ["by appointment", "13:00PM - 2:00PM", "7:61AM - 8:00AM", "25:00 - 26:00"])
def test_what_is_no_time_is_no_schedule(cell: str) -> None:
    """A day with something else than hours is refused."""
    assert code("weekly_schedule", (cell, *[None] * 6)) == "not_hours"


@pytest.mark.parametrize(
    ("labels", "groups", "youngest", "oldest"),
    [
        (("Preschool (24-48 months; 2-4 yrs.)", "Infants (0-11 months)"), ["infants", "preschool"], 0, 48),
        (("Toddlers (12-23 months; 1yr.)", None), ["toddlers"], 12, 23),
        (("Infants", "School-age (5 years-older)"), ["infants", "school_age"], 0, None),
        (("School Age (5-12 years)",), ["school_age"], 60, 155),
        (("Pre-School",), ["preschool"], 24, 59),
    ],
)
def test_age_labels_tell_groups_and_months(
    labels: tuple[str | None, ...], groups: list[str], youngest: int, oldest: int | None
) -> None:
    """Groups come in their order, ages are those the labels name; an open end has no oldest age."""
    assert apply("age_labels", labels) == {"ages_served": groups, "min_age": youngest, "max_age": oldest}


def test_age_flags_tell_groups_and_months() -> None:
    """Yes-or-no columns give the groups and the usual months of each; none is nobody."""
    served = {"ages_served": ["toddlers", "preschool"], "min_age": 12, "max_age": 59}
    assert apply("age_flags", ("N", "Y", "y", None)) == served
    assert apply("age_flags", ("N", "N", "N", "N")) == {"ages_served": [], "min_age": None, "max_age": None}
    assert code("age_flags", ("N", "?!", "N", "N")) == "not_a_boolean"
    assert code("age_labels", ("Daytime Hours",)) == "not_an_age_group"


def test_function_is_called_and_its_failure_is_the_rows() -> None:
    """A Python function gets the value; when it raises, the row fails with the function's name and no value."""
    assert apply("function", "ADA LEE", "processors.transforms.text:to_title_case") == "Ada Lee"
    with pytest.raises(TransformError, match="builtins:int raised ValueError") as caught:
        apply("function", "secret", "builtins:int")
    assert (caught.value.code, "secret" in caught.value.message) == ("function_failed", False)


@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("titlecase", None, "did you mean 'title_case'"),
        ("date", None, "used as date(formats)"),
        ("date", ["%m/%Y"], "names no day"),
        ("date", [], "formats"),
        ("line", 0, "counted from 1"),
        ("line", "second", "argument 0"),
        ("regex", "(", "is no regular expression"),
        ("regex", {"pattern": "a", "otherwise": "skip"}, "otherwise"),
        ("split", {"separator": "-", "take": 0}, "counted from 1"),
        ("value_map", {"CENTER": "Center"}, "used as value_map(values, otherwise=keep)"),
        ("phone", "US", "used as phone()"),
        ("function", "processors.transforms.text:nothing", "cannot be imported"),
        ("function", "processors.transforms.text:CACHED_WORDS", "is no function"),
    ],
)
def test_wrong_use_of_a_transform_is_told_with_its_right_use(name: str, argument: Any, words: str) -> None:
    """Unknown names and wrong arguments are refused when the mapping is compiled."""
    with pytest.raises(WrongUseError) as caught:
        build(name, argument)
    assert words in str(caught.value)


@given(st.text(min_size=1).map(clean).filter(bool), st.sampled_from(sorted(CATALOGUE)))
def test_no_text_crashes_a_transform(text: str, name: str) -> None:
    """Whatever a vendor sends, a transform gives a value or says why not."""
    step = build(name, ARGUMENTS.get(name))
    columns = step.transform.columns or 2
    with contextlib.suppress(TransformError):
        step.apply((text, *[None] * (columns - 1)) if step.transform.takes == "cells" else text)


@given(
    st.text("bcdefghij", min_size=6),
    st.sampled_from(["phone", "email", "date", "zip", "state", "integer", "full_address"]),
)
def test_reasons_never_hold_the_value(text: str, name: str) -> None:
    """What is said about a wrong value tells its shape, never its words: they may be personal."""
    with pytest.raises(TransformError) as caught:
        apply(name, f"{text}!", ARGUMENTS.get(name))
    assert text not in caught.value.message
