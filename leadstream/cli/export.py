"""``export``: the leads, or what changed since the last time, as one file."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import Database, Row, connect
from leadstream.cli.export_file import Format, columns, open_file
from leadstream.cli.output import JsonOption, UnmaskedOption, print_json
from leadstream.cli.sources import find_source
from leadstream.cli.times import word_or_time
from leadstream.errors import LeadstreamError
from leadstream.masking import masked_lead
from leadstream.settings import S3Settings, Settings
from schemas.topics import CANONICAL

S3_SCHEME = "s3://"
TIME_MARK = "{time}"
LAST = "last"
ROWS_PER_WRITE = 5_000


@dataclass(frozen=True)
class Job:
    """One export as it was asked for; ``source`` is empty for all, ``since`` is ``None`` for every live lead."""

    to: str
    file_format: Format
    source: str
    since: str | datetime | None
    unmasked: bool
    dry_run: bool

    @property
    def name(self) -> str:
        """What the export is remembered by: where it goes, whatever the time."""
        return self.to if self.to.startswith(S3_SCHEME) else str(Path(self.to).absolute())

    def place(self, at: datetime) -> str:
        """Where the file of an export made ``at`` that time goes."""
        return self.to.replace(TIME_MARK, f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")


def export(
    file_format: Annotated[Format, typer.Option("--format", help="csv or parquet.")],
    to: Annotated[
        str, typer.Option(metavar="PATH|s3://BUCKET/KEY", help="Where the file goes; {time} becomes the time in UTC.")
    ],
    source: Annotated[str | None, typer.Option(help="Only leads of this source.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="last|TIME", help="Only changes since the last export to there, or since a time."),
    ] = None,
    unmasked: UnmaskedOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what the file would have.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write every live lead into a file, or what changed since the last time. Personal data is masked.

    A file of changes begins with the column op: c is new, u changed, d deleted. The first export with --since last
    has every lead, as new. The file appears when it is whole; an older one is replaced.

    \b
    Examples:
      leadstream export --format csv --to leads.csv
      leadstream export --format parquet --to 's3://exports/texas/{time}.parquet' --source texas --since last --unmasked
      leadstream export --format csv --to changes.csv --since 2026-01-31T08:00 --dry-run --json
    """
    moment = word_or_time(since, frozenset({LAST}), "--since") if since is not None else None
    settings = session.start()
    job = Job(to, file_format, source or "", moment, unmasked, dry_run)
    _check_place(job, settings.s3)
    document = session.run(_export(settings, job))
    if as_json:
        print_json(document)
    else:
        typer.echo(_sentence(document))


async def _export(settings: Settings, job: Job) -> dict[str, Any]:
    async with connect(settings.postgres) as database, database.transaction():
        await _check_source(settings, database, job.source)
        last = await database.row("last_export", job.name, job.source)
        at = datetime.now(UTC)
        if not job.dry_run:
            # In the transaction that reads the leads, and kept only if the file gets where it should go.
            kept = await database.row("keep_export", job.name, job.source, CANONICAL)
            at = kept["exported_at"] if kept is not None else at
        rows = await _rows(database, job, last)
        place = job.place(at)
        ops: Counter[str | None] = Counter()
        async with _file(job, place, settings.s3) as write:
            batch: list[Row] = []
            async for row in rows:
                ops[row.get("op")] += 1
                batch.append(row if job.unmasked else masked_lead(row))
                if len(batch) == ROWS_PER_WRITE:
                    write(batch)
                    batch = []
            write(batch)
        if not job.dry_run:
            await database.row("count_export", job.name, job.source, ops.total())
    changes = job.since is not None
    return {
        "to": place,
        "format": job.file_format,
        "source": job.source or None,
        "since": job.since,
        "last_export_at": last["exported_at"] if last is not None else None,
        "masked": not job.unmasked,
        "dry_run": job.dry_run,
        "rows": ops.total(),
        **{name: ops[op] if changes else None for op, name in (("c", "inserted"), ("u", "updated"), ("d", "deleted"))},
    }


async def _rows(database: Database, job: Job, last: Row | None) -> AsyncIterator[Row]:
    if job.since is None:
        return database.stream("export_leads", job.source)
    if job.since != LAST:
        last = await database.row("offsets_at", CANONICAL, job.since)
    return database.stream("export_changes", job.source, last["next_offsets"] if last is not None else {})


@contextlib.asynccontextmanager
async def _file(job: Job, place: str, s3: S3Settings) -> AsyncIterator[Any]:
    """Takes rows; the file appears at its place when all was well, else nothing does."""
    if job.dry_run:
        yield lambda _rows: None
        return
    names = columns(changes=job.since is not None)
    if place.startswith(S3_SCHEME):
        # The S3 library is slow to import: only who uploads pays for it.
        from leadstream.cli.bucket import open_bucket

        bucket_name, key = _bucket_and_key(place)
        with tempfile.TemporaryDirectory(prefix="leadstream-export-") as folder:
            file = Path(folder) / "export"
            with open_file(file, job.file_format, names) as write:
                yield write
            async with open_bucket(s3.model_copy(update={"bucket": bucket_name})) as bucket:
                await bucket.upload(file, key)
        return
    target = Path(place)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with open_file(partial, job.file_format, names) as write:
            yield write
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _bucket_and_key(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix(S3_SCHEME).partition("/")
    return bucket, key


def _check_place(job: Job, s3: S3Settings) -> None:
    if not job.to.startswith(S3_SCHEME):
        if Path(job.to).is_dir():
            raise typer.BadParameter(f"{job.to} is a folder: name a file in it", param_hint="--to")
        if not Path(job.to).parent.is_dir():
            raise typer.BadParameter(f"there is no folder {Path(job.to).parent}", param_hint="--to")
        return
    bucket, key = _bucket_and_key(job.to)
    if not bucket or not key or key.endswith("/"):
        raise typer.BadParameter(f"{job.to!r} names no object: s3://BUCKET/KEY", param_hint="--to")
    if bucket == s3.bucket:
        raise typer.BadParameter(
            f"bucket {bucket!r} is where vendors' files land: an export there would be read as one", param_hint="--to"
        )


async def _check_source(settings: Settings, database: Database, source: str) -> None:
    known = [row["source"] for row in await database.rows("loaded_sources")]
    if source and source not in known:
        find_source(settings, source)  # one that nobody knows is wrong use
        raise LeadstreamError(
            f"nothing was ever loaded of source {source!r}", hint=f"leadstream put FILE --source {source}"
        )


def _sentence(document: dict[str, Any]) -> str:
    what = f"{document['rows']:,} leads"
    if document["since"] is not None:
        start = document["last_export_at"] if document["since"] == LAST else document["since"]
        what = f"{document['rows']:,} changes since {f'{start:%Y-%m-%d %H:%M:%S}' if start else 'the beginning'}"
        what += f" ({', '.join(f'{document[name]:,} {name}' for name in ('inserted', 'updated', 'deleted'))})"
    verb = "would have" if document["dry_run"] else "has"
    return f"{document['to']} {verb} {what}, personal data {'masked' if document['masked'] else 'not masked'}"
