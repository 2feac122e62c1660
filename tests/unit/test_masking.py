"""What is shown of personal data to whoever does not ask for it."""

from __future__ import annotations

import pytest

from leadstream.log import mask_personal_data
from leadstream.masking import masked_cells, masked_lead, masked_text, shape

LEAD = {
    "lead_key": "acme:17",
    "company": "Blue Door",
    "phone": "+17755550123;ext=45",
    "phone2": "775 555 0123",
    "email": "pat@example.com",
    "first_name": "Pat",
    "last_name": "Pineda",
    "licensee_name": "Pineda LLC",
    "address1": "1 Elm St",
    "address2": None,
    "city": "Elko",
    "capacity": 12,
    "ages_served": [],
}
MASKED = LEAD | {
    "phone": "+1*******23",
    "phone2": "***",
    "email": "***@example.com",
    **dict.fromkeys(("first_name", "last_name", "licensee_name", "address1"), "***"),
}


def test_a_masked_lead_keeps_what_is_no_personal_data() -> None:
    """Of a phone the last two digits stay, of an e-mail the domain, of names and streets nothing; the rest stays."""
    assert masked_lead(LEAD) == MASKED
    assert masked_lead({"phone": "", "email": "none", "city": "Elko"}) == {"phone": "", "email": "***", "city": "Elko"}


@pytest.mark.parametrize(
    "lead",
    [
        {"company": "Pat Pineda", "facility_type": "Family Home"},
        {"company": "Pineda, Pat", "licensee_name": "Pineda, Pat"},
        {"company": "PINEDA Daycare", "last_name": "Pineda"},
    ],
)
def test_a_trade_name_that_is_a_persons_name_is_masked(lead: dict[str, str]) -> None:
    """A family home goes by its owner's name; so does who holds the licence as a person."""
    assert masked_lead(lead)["company"] == "***"


def test_a_vendors_row_is_shown_by_its_shape() -> None:
    """Nobody knows which of the vendor's columns is personal."""
    assert masked_cells({"Who": "Pat O'Ney", "Tel": "775-555-0123", "No": "", "Nil": None, "n": 12}) == {
        "Who": "aaa a'aaa",
        "Tel": "999-999-9999",
        "No": "",
        "Nil": None,
        "n": "99",
    }
    assert shape("x" * 30) == "a" * 24 + "…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail to Pat.O'Ney+1@mail.example.com now", "mail to ***@mail.example.com now"),
        ("call +17755550123.", "call ***."),
        ("call (775) 555-0123 or 775.555.0124 or 1 775 555-0125", "call *** or *** or ***"),
        ("load 3f2a91c0d4e5b677 row 1000000 at 2026-11-21T19:05:24Z, 127.0.0.1:9092, r20261121-7755501234", None),
        ("leads.dlq-2 offset 17755550123", None),
    ],
)
def test_texts_lose_their_addresses_and_numbers_to_call_and_nothing_else(text: str, shown: str | None) -> None:
    """Ids, times, offsets and hosts stay readable."""
    assert masked_text(text) == (shown or text)


def test_no_log_line_has_an_address_whatever_is_logged() -> None:
    """Personal fields are masked by name, addresses within any other text."""
    event = {"event": "oops", "phone": "775", "why": "bad value 'pat@example.com'", "rows": 17755550123}
    assert mask_personal_data(None, "", event) == event | {"phone": "***", "why": "bad value '***@example.com'"}
