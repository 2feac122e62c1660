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
    for name, row, fields in (("", "incoming", lead_fields()), ("replay_", "excluded", RECEIPT_FIELDS)):
        text = text.replace(f"{{{name}fields}}", ", ".join(fields))
        text = text.replace(f"{{{row}_{name}fields}}", ", ".join(f"{row}.{field}" for field in fields))
    return text
