"""The statements of queries.sql, by name."""

from __future__ import annotations

import functools

from leadstream.sql import statements
from schemas.records import lead_fields
from schemas.replays import RECEIPT_FIELDS


@functools.cache
def query(name: str) -> str:
    """The statement called ``name``, with the fields of a lead, or of a replay's receipt, in their places."""
    text = statements("sink")[name]
    for prefix, names in (("", lead_fields()), ("replay_", RECEIPT_FIELDS)):
        text = text.replace(f"{{{prefix}fields}}", ", ".join(names))
        text = text.replace(f"{{excluded_{prefix}fields}}", ", ".join(f"excluded.{name}" for name in names))
    return text
