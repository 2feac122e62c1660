"""Invented rows in the shapes of three real vendors, oddities included.

The shapes were read off the lists that the state agencies of Nevada, Oklahoma and Texas publish: headers,
number and date formats, quoting, and what is odd in each. Every name, address, phone and e-mail is made up
(Faker, ``555-01xx``, ``example.com``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

VendorName = Literal["nevada", "oklahoma", "texas"]
Cells = list[str]
"""The cells of a row as they stand in the file: quoted where the vendor quotes them."""

POOL_ITEMS = 400
FIRST_SERIAL = 1_000
FIRST_DAY, LAST_DAY = date(2005, 1, 1), date(2023, 6, 30)

_KINDS = (
    "LEARNING CENTER",
    "CHILD CARE",
    "ACADEMY",
    "PRESCHOOL",
    "DAYCARE",
    "HOME DAYCARE",
    "MONTESSORI",
)
_ADJECTIVES = ("LITTLE", "BRIGHT", "SUNNY", "HAPPY", "TINY", "GOLDEN", "MERRY", "GENTLE", "BUSY", "CURIOUS")
_NOUNS = (
    "SPROUTS",
    "OTTERS",
    "COMETS",
    "ACORNS",
    "PEBBLES",
    "SPARROWS",
    "FOXES",
    "EXPLORERS",
    "CLOUDS",
    "BEARS",
)
_STREET_KINDS = ("ST", "AVE", "DR", "BLVD", "CT", "LN", "RD", "WAY")
_DIRECTIONS = ("", "", "", "N. ", "S. ", "E ", "W ")

_NEVADA_CITIES = (
    ("LAS VEGAS", "CLARK", "891"),
    ("LAS VEGAS", "CLARK", "891"),
    ("NORTH LAS VEGAS", "CLARK", "890"),
    ("HENDERSON", "CLARK", "890"),
    ("BOULDER CITY", "CLARK", "890"),
    ("MESQUITE", "CLARK", "890"),
    ("LAUGHLIN", "CLARK", "890"),
    ("RENO", "WASHOE", "895"),
    ("SPARKS", "WASHOE", "894"),
    ("CARSON CITY", "CARSON CITY", "897"),
    ("ELKO", "ELKO", "898"),
    ("SPRING CREEK", "ELKO", "898"),
)
_NEVADA_TYPES = (
    "CENTER",
    "CENTER",
    "CENTER (PROVISIONAL)",
    "FAMILY CARE",
    "GROUP CARE",
    "ACCOMMODATION",
    "PERMITS",
)
_NEVADA_ROLES = ("Director", "Owner", "Person in Charge", "Other")
_OKLAHOMA_CITIES = (
    ("OKLAHOMA CITY", "731"),
    ("EDMOND", "730"),
    ("NORMAN", "730"),
    ("YUKON", "730"),
    ("TULSA", "741"),
)
_OKLAHOMA_AGES = (
    "Infants (0-11 months)",
    "Toddlers (12-23 months; 1yr.)",
    "Preschool (24-48 months; 2-4 yrs.)",
    "School-age (5 years-older)",
)
_OKLAHOMA_HOURS = (
    "7:30AM - 5:30PM",
    "6:00AM - 6:00PM",
    "7:00AM - 5:00PM",
    "6:30AM - 5:30PM",
    "12:00AM - 12:00AM",
)
_TEXAS_CITIES = (
    ("HOUSTON", "HARRIS", "770"),
    ("DALLAS", "DALLAS", "752"),
    ("EL PASO", "EL PASO", "799"),
    ("SAN ANTONIO", "BEXAR", "782"),
    ("AUSTIN", "TRAVIS", "787"),
)


@dataclass(frozen=True)
class Vendor:
    """One vendor's file format. ``serial`` numbers make the keys: unequal serials, unequal keys."""

    name: VendorName
    header: str
    key_column: int
    phone_column: int
    ends_with_newline: bool
    row: Callable[[Pools, int], Cells]
    """Invent the row with this serial."""
    serial_of: Callable[[str], int]
    """The serial in a key cell."""
    phone: Callable[[Pools], str]
    """Invent a phone as this vendor writes it."""

    @property
    def columns(self) -> int:
        """Cells in a whole row."""
        return self.header.count(",") + 1


class Pools:
    """Values drawn once from Faker, so that a row costs some random picks only."""

    def __init__(self, seed: int) -> None:
        # Faker is slow to import: only who makes samples pays for it.
        from faker import Faker

        fake = Faker("en_US")
        fake.seed_instance(seed)
        self.random = random.Random(seed)
        self.first_names = tuple(fake.first_name() for _ in range(POOL_ITEMS))
        self.last_names = tuple(fake.last_name() for _ in range(POOL_ITEMS))
        self.companies = tuple(
            f"{noun_owner.upper()}'S {kind}" if i % 3 == 0 else f"{adjective} {noun} {kind}"
            for i, (noun_owner, adjective, noun, kind) in enumerate(
                (
                    fake.last_name(),
                    self.random.choice(_ADJECTIVES),
                    self.random.choice(_NOUNS),
                    self.random.choice(_KINDS),
                )
                for _ in range(POOL_ITEMS)
            )
        )
        self.streets = tuple(
            self.random.choice(_DIRECTIONS) + f"{fake.last_name().upper()} {self.random.choice(_STREET_KINDS)}"
            for _ in range(POOL_ITEMS)
        )
        self.dates = tuple(fake.date_between(FIRST_DAY, LAST_DAY) for _ in range(POOL_ITEMS))

    def pick(self, values: tuple[str, ...]) -> str:
        return values[int(self.random.random() * len(values))]

    def number(self, low: int, high: int) -> int:
        return low + int(self.random.random() * (high - low + 1))

    def us_date(self) -> str:
        day = self.dates[int(self.random.random() * POOL_ITEMS)]
        return f"{day.month}/{day.day}/{day.year}"


def quoted(text: str) -> str:
    """A cell as RFC 4180 writes it: in quotes only when it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def vendor(name: VendorName) -> Vendor:
    """The format of this vendor."""
    return VENDORS[name]


def vendor_of_header(header: str) -> Vendor | None:
    """The vendor whose files begin with this line, if any."""
    return next((one for one in VENDORS.values() if one.header == header), None)


def _dashed_phone(pools: Pools, area: str) -> str:
    return f"{area}-555-01{pools.number(0, 99):02d}"


def _nevada_phone(pools: Pools) -> str:
    return _dashed_phone(pools, pools.pick(("702", "725", "775")))


def _nevada_contact(pools: Pools) -> str:
    first, last = pools.pick(pools.first_names).upper(), pools.pick(pools.last_names).upper()
    chance = pools.random.random()
    if chance > 0.2:
        return f"{first} {last}"
    second, second_last = pools.pick(pools.first_names).upper(), pools.pick(pools.last_names).upper()
    if chance < 0.1:
        return f"{first} & {second} {last} & {second_last}"
    if chance < 0.15:
        return f"{first} AND {second} {last} AND {second_last}"
    if chance < 0.18:
        return quoted(f"{first} &  {second}, {last} & {second_last}")
    return quoted(f"{first}, {second} {last}, {second_last}")


def _nevada_row(pools: Pools, serial: int) -> Cells:
    city, county, zip_start = _NEVADA_CITIES[pools.number(0, len(_NEVADA_CITIES) - 1)]
    suite = f"., STE {pools.number(100, 399)}" if pools.random.random() < 0.1 else ""
    street = f"{pools.number(10, 9999)} {pools.pick(pools.streets)}{suite}"
    return [
        quoted(f"{pools.pick(pools.companies)} {pools.pick(pools.last_names).upper()}"),
        pools.pick(_NEVADA_TYPES),
        f"{serial}-{22 + serial % 2}",
        "Active",
        f"{pools.number(1, 12)}/28/2024",
        "N",
        f'"{street} {city}, NV {zip_start}{pools.number(1, 99):02d}"',
        "",
        "NV",
        county,
        _nevada_phone(pools),
        pools.us_date(),
        _nevada_contact(pools),
        pools.pick(_NEVADA_ROLES),
    ]


def _oklahoma_phone(pools: Pools) -> str:
    return f"({pools.pick(('405', '918', '580'))}) 555-01{pools.number(0, 99):02d}"


def _oklahoma_row(pools: Pools, serial: int) -> Cells:
    family = pools.random.random() < 0.7
    first, last = pools.pick(pools.first_names), pools.pick(pools.last_names)
    trade = pools.pick(pools.companies)
    company = f"{last.upper()}, {first.upper()}" if family else trade
    if family and pools.random.random() < 0.5:
        company += f" DBA {trade}"
    subsidy = pools.random.random() < 0.6
    hours = pools.pick(_OKLAHOMA_HOURS)
    weekend = hours if hours.startswith("12:") else "CLOSED"
    youngest = pools.number(0, 2)
    ages = [*_OKLAHOMA_AGES[youngest : pools.number(youngest + 1, 4)], "", "", ""][:4]
    city, zip_start = _OKLAHOMA_CITIES[pools.number(0, len(_OKLAHOMA_CITIES) - 1)]
    return [
        f"CHILD CARE FAMILY - K82{serial:07d}" if family else f"CHILD CARE CENTER - K83{serial:07d}",
        quoted(company),
        "Accepts Subsidy" if subsidy else "",
        "Year Round",
        "Daytime Hours",
        f"{pools.number(1, 5)} Star Level Program",
        *[hours] * 5,
        *[weekend] * 2,
        f'"{first} {last}\r\n{"Primary Caregiver" if family else "Director"}"',
        _oklahoma_phone(pools),
        f"{first}.{last}{serial}@example.com".lower(),
        f"{pools.number(10, 19999)} {pools.pick(pools.streets)}",
        "",
        city,
        "OK",
        f"{zip_start}{pools.number(1, 99):02d}",
        f"Subsidy Contract Number: {30_000 + serial % 60_000 if subsidy else 'N/A'}",
        str(pools.pick(("7", "12")) if family else pools.number(20, 250)),
        *ages,
        f"Monitoring since {pools.number(2005, 2023)}-{pools.number(1, 12):02d}-{pools.number(1, 28):02d}",
        # As in the vendor's own file: the last two columns repeat cells of other columns.
        "Accepts Subsidy" if subsidy else "Year Round",
        "Daytime Hours" if subsidy else _OKLAHOMA_AGES[2],
    ]


def _texas_phone(pools: Pools) -> str:
    return _dashed_phone(pools, pools.pick(("210", "214", "281", "512", "713", "915")))


def _texas_name(pools: Pools) -> str:
    name = f"{pools.pick(pools.companies)} {pools.pick(pools.last_names)}".title().replace("'S", "'s")
    chance = pools.random.random()
    if chance < 0.01:
        return quoted(f'{name[0]}" {name[2:]}"')  # a nickname's quotes, torn apart by an earlier export
    if chance < 0.02:
        return f'The "{name}" House'  # stray quotes in a cell that is not quoted
    if chance < 0.04:
        return f"Niños de {name}"
    if chance < 0.1:
        return quoted(f"{name}, LLC")
    return name


def _texas_row(pools: Pools, serial: int) -> Cells:
    city, county, zip_start = _TEXAS_CITIES[pools.number(0, len(_TEXAS_CITIES) - 1)]
    home = pools.random.random() < 0.25
    bare = pools.random.random() < 0.01
    email = f"office{serial}@example.com" if pools.random.random() < 0.6 else ""
    return [
        str(1_000_000 + serial),
        "10751" if pools.random.random() < 0.04 else "",
        _texas_name(pools),
        f"{pools.number(10, 19999)} {pools.pick(pools.streets)} ",
        city,
        "TX",
        f"{zip_start}{pools.number(1, 99):02d}",
        county,
        _texas_phone(pools),
        "Licensed Child-Care Home" if home else "Licensed Center - Child Care Program",
        "" if bare else "Full Permit" if pools.random.random() < 0.97 else "Initial",
        "" if bare else pools.us_date(),
        "" if bare else "12" if home else str(pools.number(20, 350)),
        "" if bare else email,
        str(400_000 + serial),
        "",
        *("NNNN" if bare else "NYYY" if pools.random.random() < 0.1 else "YYYY"),
    ]


VENDORS: dict[VendorName, Vendor] = {
    "nevada": Vendor(
        name="nevada",
        header="Name,Credential Type,Credential Number,Status,Expiration Date,Disciplinary Action,"
        "Address,,State,County,Phone#,First Issue Date,Primary Contact Name,Primary Contact Role",
        key_column=2,
        phone_column=10,
        ends_with_newline=True,
        row=_nevada_row,
        serial_of=lambda cell: int(cell.partition("-")[0]),
        phone=_nevada_phone,
    ),
    "oklahoma": Vendor(
        name="oklahoma",
        header="Type License,Company,Accepts Subsidy,Year Round,Daytime Hours,Star Level,"
        "Mon,Tues,Wed,Thurs,Friday,Saturday,Sunday,Primary Caregiver,Phone,Email,"
        "Address1,Address2,City,State,Zip,Subsidy Contract Number,"
        "Total Cap,Ages Accepted 1,AA2,AA3,AA4,License Monitoring Since,School Year Only,Evening Hours",
        key_column=0,
        phone_column=14,
        ends_with_newline=True,
        row=_oklahoma_row,
        serial_of=lambda cell: int(cell[-7:]),
        phone=_oklahoma_phone,
    ),
    "texas": Vendor(
        name="texas",
        header="Operation #,Agency Number,Operation/Caregiver Name,Address,City,State,Zip,County,Phone,"
        "Type,Status,Issue Date,Capacity,Email Address,Facility ID,Monitoring Frequency,"
        "Infant,Toddler,Preschool,School",
        key_column=0,
        phone_column=8,
        ends_with_newline=False,
        row=_texas_row,
        serial_of=lambda cell: int(cell) - 1_000_000,
        phone=_texas_phone,
    ),
}
