"""``put``: drop files into the landing bucket, as a vendor does, and (if asked) see them through to Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadstream.alerts import deletes_held_text
from leadstream.cli import session
from leadstream.cli.database import Row, connect
from leadstream.cli.documents import GOOD, SETTLED, UNDER_WAY, load_document, seconds_taken, sum_sentence
from leadstream.cli.output import JsonOption, UnmaskedOption, console, print_json, text
from leadstream.cli.put_preview import preview_file, print_preview
from leadstream.cli.sources import find_source
from leadstream.errors import LeadstreamError, TransientError
from leadstream.settings import PostgresSettings, S3Settings, Settings
from leadstream.sources import SourceConfig

if TYPE_CHECKING:
    from leadstream.cli.bucket import Uploaded

POLL_INTERVAL_SECONDS = 0.25
REPORT_INTERVAL_SECONDS = 1.0

Report = Callable[[str], None]


def put(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", exists=True, dir_okay=False, readable=True, help="What to put.")
    ],
    source: Annotated[str, typer.Option("--source", "-s", help="Whose files they are.")],
    key: Annotated[str | None, typer.Option(help="Key in the bucket; without it, the file's name.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until Postgres has all; print the receipts.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait no longer than this.")] = 600.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: split and map the files here, and show what comes of it.")
    ] = False,
    unmasked: UnmaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop files into the bucket, under the prefix of their source.

    With --dry-run nothing is sent and no server is needed: it shows how many rows would become leads, why others would
    fail, and what each field would hold (personal data masked, unless --unmasked).

    With --wait, exit code 1 says that a load failed, is held, or did not get there in time.
    The same bytes at the same key are the same load: they are not split again, and it says when they were loaded.

    \b
    Examples:
      leadstream put nevada.csv --source nevada --dry-run
      leadstream put nevada.csv --source nevada
      leadstream put week27.csv --source nevada --wait
      leadstream put list.csv --source texas --key texas/2026-01-31.csv --wait --timeout 60 --json
    """
    settings = session.start()
    config = find_source(settings, source)
    uploads = keys_of(files, config, key)
    if dry_run:
        previews = [
            preview_file(settings, config, file, unmasked=unmasked).document(file, key, config.refresh)
            for key, file in uploads.items()
        ]
        if as_json:
            print_json(previews)
        else:
            for document in previews:
                print_preview(document)
        raise typer.Exit(int(any(document["held"] for document in previews)))
    documents = session.run(_put(settings, uploads, wait=wait, timeout_seconds=timeout))
    if as_json:
        print_json(documents)
    else:
        for document in documents:
            _print_receipt(document)
    if wait and any(document["load"]["status"] != GOOD for document in documents):
        raise typer.Exit(1)


def keys_of(files: Sequence[Path], source: SourceConfig, key: str | None) -> dict[str, Path]:
    """Where each file goes.

    Raises:
        typer.BadParameter: one key for several files, for a file elsewhere or with parts that are no names, or two
            files of one name.
    """
    if key is not None and len(files) > 1:
        raise typer.BadParameter("one key cannot be that of several files", param_hint="--key")
    if key is not None and {"", ".", ".."} & set(key.split("/")):
        raise typer.BadParameter(
            f"{key!r} has an empty part, '.' or '..' between its slashes: S3 knows no such folders", param_hint="--key"
        )
    if key is not None and not key.startswith(source.prefix):
        raise typer.BadParameter(
            f"{key!r} is outside source {source.name}: its keys begin with {source.prefix}", param_hint="--key"
        )
    keys = {key or source.prefix + file.name: file for file in files}
    if len(keys) < len(files):
        raise typer.BadParameter("two files have the same name: put them one after the other", param_hint="FILE")
    return keys


async def upload(settings: S3Settings, keys: dict[str, Path]) -> list[Uploaded]:
    """Put each file at its key."""
    # The S3 library is slow to import: only who uploads pays for it.
    from leadstream.cli.bucket import open_bucket

    async with open_bucket(settings) as bucket:
        await bucket.check()  # some stores make a missing bucket at the first upload: a typo must not
        return [await bucket.upload(file, key) for key, file in keys.items()]


async def wait_for_load(settings: PostgresSettings, uploaded: Uploaded, *, deadline: float, report: Report) -> Row:
    """Wait until the load of these bytes is settled; ``report`` hears how far it is.

    ``deadline`` is a time of :func:`time.monotonic`.

    Raises:
        LeadstreamError: the deadline passed; says how far the load is.
    """
    seen, seen_at = "", 0.0
    while True:
        row = await _find_load(settings, uploaded, deadline)
        # The newest load of the key is ours when the bytes are: a newer one of other bytes is not here yet.
        status = row["status"] if row is not None and row["object_version"] in uploaded.versions else "arriving"
        if row is not None and status in SETTLED:
            return row
        moves = f": {sum_sentence(load_document(row))}" if row is not None and status in UNDER_WAY else ""
        # Its numbers may move with every look; a status is told at once.
        is_due = time.monotonic() - seen_at >= REPORT_INTERVAL_SECONDS or status != seen.partition(":")[0]
        if status + moves != seen and is_due:
            report(f"{uploaded.key}: {status}{moves}")
            seen, seen_at = status + moves, time.monotonic()
        if time.monotonic() > deadline:
            raise LeadstreamError(
                f"{uploaded.key}: not in Postgres in time; it is {status}",
                hint="leadstream loads shows how it goes on, leadstream status whether the stages run",
            )
        await asyncio.sleep(POLL_INTERVAL_SECONDS)


async def _find_load(settings: PostgresSettings, uploaded: Uploaded, deadline: float) -> Row | None:
    try:
        async with connect(settings) as database:
            return await database.row("load_of_object", uploaded.bucket, uploaded.key)
    except TransientError:
        # Postgres may be away for a while; a wait outlives that.
        if time.monotonic() > deadline:
            raise
        return None


def known_text(known: Mapping[str, Any]) -> str:
    """That bytes which were put had come before, what became of them, and what to do."""
    if known["status"] != GOOD:
        return f"these bytes came before: {known['status']} since {text(known['at'])} UTC, load {known['load_id']}"
    return (
        f"already loaded at {text(known['at'])} UTC, load {known['load_id']}: nothing was done; "
        "to load these bytes again use another --key, to map them again use leadstream replay"
    )


async def _put(
    settings: Settings, keys: dict[str, Path], *, wait: bool, timeout_seconds: float
) -> list[dict[str, Any]]:
    deadline = time.monotonic() + timeout_seconds
    documents = []
    before = await _newest_loads(settings, list(keys))
    uploads = await upload(settings.s3, keys)
    with progress() as report:
        for uploaded in uploads:
            load = None
            if wait:
                row = await wait_for_load(settings.postgres, uploaded, deadline=deadline, report=report)
                load = load_document(row)
            documents.append(
                {
                    "file": str(uploaded.file),
                    "bucket": uploaded.bucket,
                    "key": uploaded.key,
                    "known": known_load(uploaded, before.get(uploaded.key)),
                    "load": load,
                }
            )
    return documents


async def _newest_loads(settings: Settings, keys: Sequence[str]) -> dict[str, Row]:
    """The newest load of each key that has one; none where Postgres cannot be asked: a file can be put without it."""
    with contextlib.suppress(LeadstreamError):
        async with connect(settings.postgres) as database:
            found = {key: await database.row("load_of_object", settings.s3.bucket, key) for key in keys}
        return {key: row for key, row in found.items() if row is not None}
    return {}


def known_load(uploaded: Uploaded, before: Row | None) -> dict[str, Any] | None:
    """What had become of these bytes at this key when they were put; ``before``: the newest load of the key then.

    Its ``at`` is when that load came to its end, or began (held, broken). None: it is new, or was still under way.
    """
    if before is None or before["object_version"] not in uploaded.versions or before["status"] not in SETTLED:
        return None
    at = before["finished_at"] or before["started_at"]
    return {"load_id": before["load_id"], "status": before["status"], "at": at}


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """A function that shows what is going on, on standard error: one changing line, or plain lines in a pipe."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield out.print
        return
    with out.status("uploaded") as status:
        yield status.update


def _print_receipt(document: dict[str, Any]) -> None:
    load = document["load"]
    known = document["known"]
    if load is None:
        typer.echo(f"{document['file']} → s3://{document['bucket']}/{document['key']}")
        if known:
            typer.echo(f"  {known_text(known)}")
        return
    took = seconds_taken(load)
    state = known_text(known) if known else f"{load['status']}{f' in {took}' if took else ''}, load {load['load_id']}"
    typer.echo(f"{load['key']}: {state}")
    typer.echo(f"  {sum_sentence(load)}")
    if load["deleted"]:
        typer.echo(f"  deleted {load['deleted']:,}")
    reason = deletes_held_text(load) if load["deletes_held"] else load["reason"] or ""
    for remark in filter(None, [reason, *(note for note in load["notes"] or [] if note not in reason)]):
        typer.echo(f"  {remark}")
    if load["failed"]:
        typer.echo(f"  why rows failed: leadstream dlq list --each --load {load['load_id']}")
