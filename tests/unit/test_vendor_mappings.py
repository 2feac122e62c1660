"""The three vendors' mappings: exact leads from invented rows with the oddities of the real files."""

from __future__ import annotations

import csv
import datetime
import io
from pathlib import Path
from typing import Any

import fastavro
import pytest

from leadstream.sources import SourceConfig, check_sources, load_sources
from leadstream.text import clean
from processors.mapping import check_mapping, compile_mapping
from schemas.records import lead_body_schema
from tests.system import VENDOR_DATA

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "sources"

NEVADA: dict[str, str] = {
    "Name": "LITTLE FIRS ACADEMY LLC",
    "Credential Type": "CENTER",
    "Credential Number": "9001-23",
    "Status": "Active",
    "Expiration Date": "7/31/2024",
    "Disciplinary Action": "N",
    "Address": "150 N. ELM ST MESQUITE, NV 89027",
    "column_8": "",
    "State": "NV",
    "County": "CLARK",
    "Phone#": "702-555-0101",
    "First Issue Date": "8/1/2015",
    "Primary Contact Name": "ADA LEE",
    "Primary Contact Role": "Director",
}
NEVADA_LEAD: dict[str, Any] = {
    "company": "Little Firs Academy LLC",
    "address1": "150 N. Elm St",
    "city": "Mesquite",
    "state": "NV",
    "zip": "89027",
    "county": "Clark",
    "phone": "+17025550101",
    "first_name": "Ada",
    "last_name": "Lee",
    "title": "Director",
    "facility_type": "Center",
    "license_number": "9001-23",
    "license_type": "Center",
    "license_status": "Active",
    "license_issued": datetime.date(2015, 8, 1),
    "certificate_expiration_date": datetime.date(2024, 7, 31),
}

OKLAHOMA: dict[str, str] = {
    "Type License": "CHILD CARE FAMILY - K820000001",
    "Company": "LEE, ADA DBA LITTLE FIRS LEARNING, LLC",
    "Accepts Subsidy": "Accepts Subsidy",
    "Year Round": "Year Round",
    "Daytime Hours": "Daytime Hours",
    "Star Level": "2 Star Level Program",
    "Mon": "7:30AM - 5:30PM",
    "Tues": "7:30AM - 5:30PM",
    "Wed": "7:30AM - 5:30PM",
    "Thurs": "7:30AM - 5:30PM",
    "Friday": "7:30AM - 5:30PM",
    "Saturday": "CLOSED",
    "Sunday": "CLOSED",
    "Primary Caregiver": "Ada Lee\r\nPrimary Caregiver",
    "Phone": "(405) 555-0101",
    "Email": "Ada@Example.com",
    "Address1": "12 NW 38TH TERRACE",
    "Address2": "",
    "City": "OKLAHOMA CITY",
    "State": "OK",
    "Zip": "73018",
    "Subsidy Contract Number": "Subsidy Contract Number: N/A",
    "Total Cap": "12",
    "Ages Accepted 1": "Infants (0-11 months)",
    "AA2": "Toddlers (12-23 months; 1yr.)",
    "AA3": "Preschool (24-48 months; 2-4 yrs.)",
    "AA4": "",
    "License Monitoring Since": "Monitoring since 2020-09-02",
    "School Year Only": "Accepts Subsidy",
    "Evening Hours": "Daytime Hours",
}
OKLAHOMA_LEAD: dict[str, Any] = {
    "company": "Little Firs Learning, LLC",
    "accepts_financial_aid": True,
    "ages_served": ["infants", "toddlers", "preschool"],
    "min_age": 0,
    "max_age": 48,
    "capacity": 12,
    "address1": "12 NW 38th Terrace",
    "city": "Oklahoma City",
    "state": "OK",
    "zip": "73018",
    "phone": "+14055550101",
    "email": "ada@example.com",
    "first_name": "Ada",
    "last_name": "Lee",
    "title": "Primary Caregiver",
    "licensee_name": "Lee, Ada",
    "facility_type": "Family Home",
    "license_number": "K820000001",
    "license_type": "Child Care Family",
    "license_issued": datetime.date(2020, 9, 2),
    "schedule": "Mon-Fri 07:30-17:30; Sat-Sun closed",
}

TEXAS: dict[str, str] = {
    "Operation #": "9000001",
    "Agency Number": "",
    "Operation/Caregiver Name": "1st Step Learning Center, LLC",
    "Address": "12 ELM ST ",
    "City": "FORT WORTH",
    "State": "TX",
    "Zip": "76102",
    "County": "TARRANT",
    "Phone": "817-555-0101",
    "Type": "Licensed Center - Child Care Program",
    "Status": "Full Permit",
    "Issue Date": "4/1/2002",
    "Capacity": "51",
    "Email Address": "ada@example.com",
    "Facility ID": "700001",
    "Monitoring Frequency": "",
    "Infant": "Y",
    "Toddler": "Y",
    "Preschool": "Y",
    "School": "Y",
}
TEXAS_LEAD: dict[str, Any] = {
    "company": "1st Step Learning Center, LLC",
    "ages_served": ["infants", "toddlers", "preschool", "school_age"],
    "min_age": 0,
    "max_age": 155,
    "capacity": 51,
    "address1": "12 Elm St",
    "city": "Fort Worth",
    "state": "TX",
    "zip": "76102",
    "county": "Tarrant",
    "phone": "+18175550101",
    "email": "ada@example.com",
    "provider_id": "700001",
    "facility_type": "Center",
    "license_number": "9000001",
    "license_type": "Licensed Center - Child Care Program",
    "license_status": "Full Permit",
    "license_issued": datetime.date(2002, 4, 1),
}

Change = dict[str, Any]
"""Of a row: cells that differ. Of a lead: fields that differ, ``None`` where it has none."""


@pytest.fixture(scope="module")
def configs() -> dict[str, SourceConfig]:
    """The three sources, as shipped."""
    return load_sources(SOURCES)


def lead(config: SourceConfig, row: dict[str, str]) -> dict[str, Any]:
    """The lead of a row, without what is empty; the row has to pass and to fit the Avro schema."""
    bound = compile_mapping(config).bind(list(row))
    body, reasons = bound.map(list(row.values()))
    assert (bound.missing, reasons) == ((), [])
    fastavro.schemaless_writer(io.BytesIO(), lead_body_schema(), body)
    return {name: value for name, value in body.items() if value not in (None, [])}


def expected(base: dict[str, Any], change: Change) -> dict[str, Any]:
    return {name: value for name, value in (base | change).items() if value is not None}


def test_shipped_sources_have_no_mistakes(configs: dict[str, SourceConfig]) -> None:
    """The three mappings and the defaults are right, down to the arguments of each transform."""
    assert check_sources(SOURCES) == []
    assert [error for config in configs.values() for error in check_mapping(config)] == []
    assert list(configs) == ["nevada", "oklahoma", "texas"]


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ({"Primary Contact Name": "ADA & BO LEE & RAY"}, {}),
        ({"Primary Contact Name": "ADA AND BO LEE AND RAY"}, {}),
        ({"Primary Contact Name": "ADA, BO LEE, RAY-POE"}, {}),
        ({"Primary Contact Name": "ADA &  BO, LEE & RAY"}, {}),
        ({"Primary Contact Name": "ADA VAN LEE"}, {"last_name": "Van Lee"}),
        (
            {"Primary Contact Name": "?", "Primary Contact Role": ""},
            {"first_name": None, "last_name": None, "title": None},
        ),
        (
            {"Address": "88 S. ELM AVE., STE 104-106 NORTH LAS VEGAS, NV 89031-1234"},
            {"address1": "88 S. Elm Ave.", "address2": "Ste 104-106", "city": "North Las Vegas", "zip": "89031-1234"},
        ),
        (
            {"Address": "19 BIRCH STREET SUITE B LAS VEGAS, NV 89106"},
            {"address1": "19 Birch Street", "address2": "Suite B", "city": "Las Vegas", "zip": "89106"},
        ),
        (
            {"Address": "470 PINE DRIVE SPRING CREEK, NV 89815"},
            {"address1": "470 Pine Drive", "city": "Spring Creek", "zip": "89815"},
        ),
        (
            {"Address": "31 BIRCH DR CARSON CITY, NV 89701", "County": "CARSON CITY"},
            {"address1": "31 Birch Dr", "city": "Carson City", "zip": "89701", "county": "Carson City"},
        ),
        (
            {"Credential Type": "FAMILY CARE (PROVISIONAL)", "Name": "ADA'S HOME OF JOY L.L.C."},
            {
                "facility_type": "Family Home",
                "license_type": "Family Care (Provisional)",
                "company": "Ada's Home of Joy L.L.C.",
            },
        ),
        ({"Credential Type": "ACCOMMODATION"}, {"facility_type": "Accommodation", "license_type": "Accommodation"}),
        (
            {"Expiration Date": "", "First Issue Date": "12/1/2023"},
            {"certificate_expiration_date": None, "license_issued": datetime.date(2023, 12, 1)},
        ),
        ({}, {}),
    ],
)
def test_nevada(configs: dict[str, SourceConfig], row: Change, change: Change) -> None:
    """City, unit and ZIP come out of the address, the first person out of the contacts, dates are dates."""
    assert lead(configs["nevada"], NEVADA | row) == expected(NEVADA_LEAD, change)


@pytest.mark.parametrize(
    ("row", "change"),
    [
        # shifted cells: an age group among the hours, and a repeated first feature
        (
            {
                "Accepts Subsidy": "",
                "School Year Only": "Year Round",
                "Evening Hours": "Preschool (24-48 months; 2-4 yrs.)",
            },
            {"accepts_financial_aid": False},
        ),
        (
            {"AA4": "School-age (5 years-older)"},
            {"ages_served": ["infants", "toddlers", "preschool", "school_age"], "max_age": None},
        ),
        (
            {"Ages Accepted 1": "School-age (5 years-older)", "AA2": "", "AA3": ""},
            {"ages_served": ["school_age"], "min_age": 60, "max_age": None},
        ),
        (
            {
                "Ages Accepted 1": "Toddlers (12-23 months; 1yr.)",
                "AA2": "Preschool (24-48 months; 2-4 yrs.)",
                "AA3": "",
            },
            {"ages_served": ["toddlers", "preschool"], "min_age": 12},
        ),
        ({"Company": "LEE, ADA"}, {"company": "Lee, Ada"}),
        ({"Company": "LITTLE FIRS ,LLC"}, {"company": "Little Firs ,LLC", "licensee_name": "Little Firs ,LLC"}),
        ({"Company": "MCLEE, ADA B. DBA YES! CENTER"}, {"company": "Yes! Center", "licensee_name": "McLee, Ada B."}),
        (
            {"Type License": "CHILD CARE CENTER - K830000002"},
            {"license_type": "Child Care Center", "facility_type": "Center", "license_number": "K830000002"},
        ),
        ({"Primary Caregiver": "ADA LEE-RAY (POE)\nDirector"}, {"last_name": "Lee-Ray", "title": "Director"}),
        ({"Primary Caregiver": "Ada Lee"}, {"title": None}),
        (
            dict.fromkeys(("Mon", "Tues", "Wed", "Thurs", "Friday", "Saturday", "Sunday"), "12:00AM - 12:00AM"),
            {"schedule": "Mon-Sun 24h"},
        ),
        (
            {"Friday": "7:30AM - 5:15PM", "Saturday": "5:30AM - 11:59PM"},
            {"schedule": "Mon-Thu 07:30-17:30; Fri 07:30-17:15; Sat 05:30-23:59; Sun closed"},
        ),
        ({"Mon": "by appointment", "Email": "ada at example"}, {"schedule": None, "email": None}),
        ({"Address1": "12 E A ST", "Address2": "UNIT 4"}, {"address1": "12 E A St", "address2": "Unit 4"}),
        ({}, {}),
    ],
)
def test_oklahoma(configs: dict[str, SourceConfig], row: Change, change: Change) -> None:
    """Licence, caregiver, company and ages come out of cells that hold several things; shifted cells are not read."""
    assert lead(configs["oklahoma"], OKLAHOMA | row) == expected(OKLAHOMA_LEAD, change)


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (
            {
                "Status": "",
                "Issue Date": "",
                "Capacity": "",
                "Infant": "N",
                "Toddler": "N",
                "Preschool": "N",
                "School": "N",
            },
            dict.fromkeys(("license_status", "license_issued", "capacity", "ages_served", "min_age", "max_age")),
        ),
        ({"Operation/Caregiver Name": 'K" Street Center LLC"'}, {"company": 'K" Street Center LLC"'}),
        ({"Operation/Caregiver Name": "A Firs  IV"}, {"company": "A Firs IV"}),
        ({"Email Address": ""}, {"email": None}),
        ({"Email Address": "ada at example"}, {"email": None}),
        ({"Address": "401 FM 685 STE 104"}, {"address1": "401 FM 685", "address2": "Ste 104"}),
        ({"Address": "12 S.  ELM RD STE. 90"}, {"address1": "12 S. Elm Rd", "address2": "Ste. 90"}),
        ({"Address": "311 FM 306 BLDG 2"}, {"address1": "311 FM 306", "address2": "Bldg 2"}),
        ({"Address": "12300-A ELM "}, {"address1": "12300-A Elm"}),
        ({"Infant": "N", "School": "N"}, {"ages_served": ["toddlers", "preschool"], "min_age": 12, "max_age": 59}),
        (
            {"Type": "Licensed Child-Care Home"},
            {"facility_type": "Family Home", "license_type": "Licensed Child-Care Home"},
        ),
        (
            {"Type": "Licensed Something New"},
            {"facility_type": "Licensed Something New", "license_type": "Licensed Something New"},
        ),
        ({"Capacity": "1,051", "Agency Number": "10001"}, {"capacity": 1051}),
        ({}, {}),
    ],
)
def test_texas(configs: dict[str, SourceConfig], row: Change, change: Change) -> None:
    """Yes-or-no columns become ages, units leave the street, and a row without status, date and capacity passes."""
    assert lead(configs["texas"], TEXAS | row) == expected(TEXAS_LEAD, change)


@pytest.mark.parametrize(
    ("name", "row", "reasons"),
    [
        ("nevada", NEVADA | {"Phone#": ""}, [("phone", "required")]),
        ("nevada", NEVADA | {"Address": "MESQUITE, NV 89027"}, [("address1", "required")]),
        ("nevada", NEVADA | {"Address": "150 N. ELM ST"}, [("address1", "not_an_address")]),
        (
            "oklahoma",
            OKLAHOMA | {"Phone": "(405) 555", "Total Cap": "many"},
            [("capacity", "not_a_number"), ("phone", "not_a_phone")],
        ),
        (
            "oklahoma",
            OKLAHOMA | {"Type License": "CHILD CARE"},
            [("facility_type", "no_match"), ("license_type", "no_match"), ("license_number", "no_match")],
        ),
        ("texas", TEXAS | {"Issue Date": "31/12/2020", "Zip": "7610"}, [("license_issued", "not_a_date")]),
        (
            "texas",
            TEXAS | {"State": "Texass", "Infant": "?!"},
            [("state", "not_a_state"), ("ages_served", "not_a_boolean")],
        ),
    ],
)
def test_rows_that_fail(
    configs: dict[str, SourceConfig], name: str, row: dict[str, str], reasons: list[tuple[str, str]]
) -> None:
    """A row without phone or address, or with values that make no sense, fails with all its reasons."""
    found = compile_mapping(configs[name]).bind(list(row)).map(list(row.values()))[1]
    assert [(reason.field, reason.code) for reason in found] == reasons


@pytest.mark.parametrize(
    ("name", "row", "key"),
    [("nevada", NEVADA, "9001-23"), ("oklahoma", OKLAHOMA, "K820000001"), ("texas", TEXAS, "9000001")],
)
def test_keys(configs: dict[str, SourceConfig], name: str, row: dict[str, str], key: str) -> None:
    """Each vendor's licence number is the key of its leads, also in a row that was cut off behind it."""
    key_of = configs[name].compile_key(list(row))
    assert key_of(list(row.values())) == key
    assert key_of(list(row.values())[:3]) == key


@pytest.mark.parametrize(
    ("name", "pattern", "rows"),
    [("nevada", "*Nevada*.csv", 100), ("oklahoma", "*Oklahoma*.csv", 49), ("texas", "*Texas*.csv", 99)],
)
def test_real_files_map_whole(configs: dict[str, SourceConfig], name: str, pattern: str, rows: int) -> None:
    """Where the vendors' own files are at hand, every whole row of them is a lead with a key of its own."""
    for file in VENDOR_DATA.glob(pattern):
        with file.open(encoding="utf-8", newline="") as stream:
            header, *table = csv.reader(stream)
        columns = [cell or f"column_{number}" for number, cell in enumerate(header, 1)]
        whole = [cells for cells in table if len(cells) == len(header)]
        key_of = configs[name].compile_key(columns)
        bound = compile_mapping(configs[name]).bind(columns)
        leads = [bound.map(cells) for cells in whole]
        assert (len(leads), bound.missing) == (rows, ())
        assert len({key_of(cells) for cells in whole} - {None}) == rows
        for body, reasons in leads:
            assert reasons == []
            assert all(
                body[field] for field in ("company", "address1", "city", "state", "zip", "phone", "license_number")
            )
            assert all(value == clean(value) for value in body.values() if isinstance(value, str))
            fastavro.schemaless_writer(io.BytesIO(), lead_body_schema(), body)
