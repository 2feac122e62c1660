"""Any text in a cell: a value that its field may hold, or a TransformError; and a good value stays as it is."""

from __future__ import annotations

from typing import Any

from leadstream.text import clean
from processors.transforms import CATALOGUE, TransformError, build
from processors.validation import check_for

ARGUMENTS: dict[str, Any] = {
    "line": 1,
    "regex": r"^(.+?)\s+-\s+K\d+$",
    "split": {"separator": "-", "take": 1},
    "default": "x",
    "date": ["%m/%d/%Y", "any"],
    "value_map": {"values": {"a": "b"}},
    "function": "processors.transforms.text:to_title_case",
}
NAMES = tuple(sorted(CATALOGUE))
STEPS = {name: build(name, ARGUMENTS.get(name)) for name in NAMES}
UNCHANGING = ("clean", "email", "lower", "phone", "state", "title_case", "upper", "url", "zip")
"""Transforms that leave alone what they made."""
FIELDS = {"state": "state", "zip": "zip", "email": "email", "phone": "phone", "url": "website_address"}
"""Transforms whose values a field takes without a second look."""
GROWTH = 12
"""No value is longer than that many times its cell (and some more)."""
SEPARATOR = "\x1e"
"""Parts the cells where a transform takes several."""


WORDS = (
    *("STE ", "UNIT ", "#", " - ", " & ", " AND ", " or ", ", NV", " NEVADA", " 89123", "-0001", " USA", "PO BOX "),
    *("702", "555", "0101", "+1 ", "+44 20 7946 0958", " ext. 5", ";ext=", "x", "1-800-", "@a.bc", "mailto:", "<", ">"),
    *("https://", "www.", ".com", ":80", "[::1]", "%20", "7/31/2024", "July 4th, ", " 10:00", " PM", "UTC", "-0700"),
    *("Infants", "months", " years", "older", "2+ yr", "CLOSED", "24 hours", "7:30AM", "yes", "1,234", " children"),
    *("Dr. ", " Jr.", "MC", "O'", "'S", " III", " VAN ", "LLC", "6TH", SEPARATOR),
)
"""What cells are made of: the fuzzer puts them together."""


def check(data: bytes) -> None:
    """Apply the transform that the first byte names to the text of the other bytes."""
    if not data:
        return
    name = NAMES[data[0] % len(NAMES)]
    step = STEPS[name]
    given: Any
    text = data[1:].decode("utf-8", "replace")
    if step.transform.takes == "cells":
        count = step.transform.columns or 4
        given = tuple(([*map(clean, text.split(SEPARATOR))] + [None] * count)[:count])
    else:
        given = text if step.transform.takes == "raw" else clean(text)
        if not given:
            return
    try:
        value = step.apply(given)
    except TransformError as exc:
        assert exc.code and exc.message, name
        return
    assert len(str(value)) <= GROWTH * len(text) + 1_000, (name, "grew")
    if name in FIELDS and (rule := check_for(FIELDS[name], str, str, None)):
        rule(value)
    if name in UNCHANGING:
        assert step.apply(value) == value, (name, "changed what it had made")


def seeds() -> list[bytes]:
    """Cells of every kind, for every transform; the same at each call."""
    cells = [
        "",
        "MCCOY'S 6TH STREET SCHOOL OF THE ARTS, LLC",
        "(702) 555-0101 ext. 12",
        "mailto:Ada@Example.com; b@c.de",
        "<a.b-c@d-e.fg>",
        "www.Example.com:80/a?b#c",
        "88 S. ELM AVE., STE 160 & 2-4 LAS VEGAS, NV 89123-0001 USA",
        "401 FM 685 STE 104, UNIT A-1, # 5",
        "1-800-FLOWERS",
        "7/31/2024",
        "July 4th, 1999 10:00pm UTC",
        "1,234 children",
        "ADA & BO LEE & RAY",
        "Dr. LEE, ADA Jr. (she)",
        "HOME - K123",
        SEPARATOR.join(["7:30AM - 5:30PM"] * 5 + ["CLOSED", "24 hours"]),
        SEPARATOR.join(
            ["Infants (0-11 months)", "Preschool (24-48 months; 2-4 yrs.)", "School 5 years-older", "2+ yr"]
        ),
        SEPARATOR.join("NYYN"),
        "9" * 50,
        " STE 1-1" * 20 + "!",
        "a.b'c’d-é ß ŉ İ ǅ ﬀ",
    ]
    return [bytes([at]) + cell.encode() for at in range(len(NAMES)) for cell in cells]
