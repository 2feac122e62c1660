"""The statements of queries.sql, by name."""

from __future__ import annotations

import functools

from leadstream.sql import statements
from schemas.records import lead_fields


@functools.cache
def query(name: str) -> str:
    """The statement called ``name``, with the canonical fields of ``lead.avsc`` in the places meant for them."""
    fields = ", ".join(lead_fields())
    excluded = ", ".join(f"excluded.{field}" for field in lead_fields())
    return statements("sink")[name].replace("{fields}", fields).replace("{excluded_fields}", excluded)
