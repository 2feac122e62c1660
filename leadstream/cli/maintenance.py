"""Small commands: ``migrate``, ``dsn``, ``samples``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leadstream.cli import session
from leadstream.cli.database import check_reachable
from leadstream.cli.output import JsonOption, print_json
from leadstream.postgres import place
from leadstream.sample_vendors import VendorName
from leadstream.samples import write_sample

MAX_SHOWN_DAMAGES = 10
"""The JSON document has all of them."""


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the tables of Postgres up to date. Does nothing when they are.

    The user of POSTGRES_DSN must own them. `leadstream up` does this by itself.

    \b
    Examples:
      leadstream migrate --dry-run
      leadstream migrate
      POSTGRES_DSN=postgresql://owner@db:5432/leads leadstream migrate
    """
    # Alembic and SQLAlchemy are slow to import.
    from sink.migrate import migrate as apply_migrations
    from sink.migrate import pending

    settings = session.start().postgres
    session.run(check_reachable(settings))
    dsn = settings.dsn.get_secret_value()
    found = pending(dsn) if dry_run else apply_migrations(dsn)
    if as_json:
        print_json({"database": place(dsn), "pending" if dry_run else "applied": found, "dry_run": dry_run})
    else:
        done = "would apply" if dry_run else "applied"
        typer.echo(f"{place(dsn)}: {f'{done} ' + ', '.join(found) if found else 'up to date'}")


def dsn() -> None:
    """Print the DSN of Postgres, password included, for psql and other tools.

    \b
    Examples:
      leadstream dsn
      psql "$(leadstream dsn)" -c 'select count(*) from leads'
    """
    typer.echo(session.start().postgres.dsn.get_secret_value())


def samples(
    vendor: Annotated[VendorName, typer.Argument(metavar="VENDOR", help="nevada, oklahoma or texas.")],
    out: Annotated[Path, typer.Option(help="Where to write the file.")],
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same file.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Write a file of invented rows in a vendor's format, a few of them damaged, and say which.

    \b
    Examples:
      leadstream samples nevada --out nevada.csv
      leadstream samples texas --rows 100000 --seed 42 --out texas.csv
    """
    info = write_sample(vendor, out, rows, seed)
    if as_json:
        damaged = [{"row": row, "what": what} for row, what in info.damaged]
        print_json({"file": str(out), "rows": info.rows, "good": info.good, "damaged": damaged})
        return
    typer.echo(f"{out}: {info.rows:,} rows, {info.good:,} good, {len(info.damaged):,} damaged")
    for row, what in info.damaged[:MAX_SHOWN_DAMAGES]:
        typer.echo(f"  row {row}: {what.replace('_', ' ')}")
    if len(info.damaged) > MAX_SHOWN_DAMAGES:
        typer.echo(f"  and {len(info.damaged) - MAX_SHOWN_DAMAGES:,} more")
