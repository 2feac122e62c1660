"""Which load is meant by an id, or by how one begins."""

from __future__ import annotations

from leadstream.cli.database import Database, Row
from leadstream.errors import LeadstreamError

SHOWN_LOADS = 3


async def find_load(database: Database, load_id: str) -> Row:
    """The load with this id, or the one whose id begins so.

    Raises:
        LeadstreamError: there is none, or several begin so.
    """
    return chosen_load(await database.rows("load", load_id), load_id)


def chosen_load(rows: list[Row], load_id: str) -> Row:
    """The load that is meant; ``rows`` are those whose ids begin so, the one of this very id first.

    Raises:
        LeadstreamError: there is none, or several begin so.
    """
    if not rows:
        raise LeadstreamError(f"there is no load {load_id!r}", hint="leadstream loads lists them")
    if len(rows) > 1 and rows[0]["load_id"] != load_id:
        shown = ", ".join(f"{row['load_id']} ({row['object_key']})" for row in rows[:SHOWN_LOADS])
        more = ", …" if len(rows) > SHOWN_LOADS else ""
        raise LeadstreamError(f"several loads begin with {load_id!r}: {shown}{more}", hint="give more of the id")
    return rows[0]
