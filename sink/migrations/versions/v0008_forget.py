"""Masks that leave nothing through."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008_forget"
down_revision = "0007_roles"


def upgrade() -> None:
    """Run the SQL beside this file."""
    sql = Path(__file__).with_suffix(".sql").read_text("utf-8")
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
