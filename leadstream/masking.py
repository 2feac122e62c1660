"""What people may see of personal data: enough to recognise a case, not to reach a person. Pure.

One set of rules for everything that is shown: the view ``leads_masked`` has the same in SQL
(``sink/migrations/versions/v0008_forget.sql``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
PHONE_FIELDS = frozenset({"phone", "phone2"})
HIDDEN_FIELDS = frozenset({"first_name", "last_name", "licensee_name", "address1", "address2"})
PERSONAL_FIELDS = PHONE_FIELDS | HIDDEN_FIELDS | {"email"}
"""Fields of a lead that are personal whatever they say."""
TRADE_FIELDS = ("company", "operator")
"""Fields that are personal where they say a person's name: see :func:`masked_lead`."""
SHAPE_MAX_CHARACTERS = 24

_PHONE = re.compile(r"(\+\d).*(\d{2})", re.DOTALL)
_EMAIL_IN_TEXT = re.compile(r"[\w.+%-][\w.+%'-]*@((?:[\w-]+\.)+[a-z]{2,})", re.IGNORECASE)
_PHONE_IN_TEXT = re.compile(r"(?<![\w.-])(?:\+\d{8,15}|(?:\+?1[ .-]?)?\(?\d{3}\)?[ .-]?\d{3}[ .-]\d{4})(?![\w-])")


def masked_phone(value: str) -> str:
    """Its country's first digit and its last two: which of two numbers it is, not whose."""
    return f"{found[1]}*******{found[2]}" if (found := _PHONE.fullmatch(value.partition(";")[0])) else MASK


def masked_email(value: str) -> str:
    """Its domain."""
    return f"{MASK}@{value.rpartition('@')[2]}" if "@" in value else MASK


def masked_lead(lead: Mapping[str, Any]) -> dict[str, Any]:
    """A lead (or a part of one) without personal data; what is empty stays so.

    The trade name of a family home, or one that is the licence holder's name or has the contact's family name in it, is
    a person's name.
    """
    return {name: _masked(name, value, lead) if value else value for name, value in lead.items()}


def masked_text(text: str) -> str:
    """A text for logs and people, without the e-mail addresses and phone numbers in it."""
    return _PHONE_IN_TEXT.sub(MASK, _EMAIL_IN_TEXT.sub(rf"{MASK}@\1", text))


def masked_cells(cells: Mapping[str, Any]) -> dict[str, str | None]:
    """A vendor's row (or a record of ours that failed), of which nobody knows what is where: each cell's shape."""
    return {name: shape(str(cell)) if cell is not None else None for name, cell in cells.items()}


def shape(value: str, max_characters: int = SHAPE_MAX_CHARACTERS) -> str:
    """What a value looks like, without what it says: letters become ``a``, digits ``9``."""
    seen = "".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in value[:max_characters])
    return seen + ("…" if len(value) > max_characters else "")


def _masked(name: str, value: Any, lead: Mapping[str, Any]) -> Any:
    if name in PHONE_FIELDS:
        return masked_phone(value)
    if name == "email":
        return masked_email(value)
    if name in HIDDEN_FIELDS or (name in TRADE_FIELDS and _is_a_person(value, lead)):
        return MASK
    return value


def _is_a_person(name: str, lead: Mapping[str, Any]) -> bool:
    family_name = lead.get("last_name")
    return (
        "home" in (lead.get("facility_type") or "").lower()
        or name == lead.get("licensee_name")
        or bool(family_name and family_name.lower() in name.lower())
    )
