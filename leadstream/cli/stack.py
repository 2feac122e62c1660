"""``up``, ``down``, ``status``: everything on this machine, under one supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from leadstream.cli import session
from leadstream.cli.output import JsonOption, console, print_json
from leadstream.cli.prepare import prepare
from leadstream.cli.view import PartLine, Progress, open_view, read_progress, screen
from leadstream.errors import ConfigError, FatalError, LeadstreamError
from leadstream.settings import PostgresSettings
from leadstream.stack.home import StackRecord, make_home, read_stack_record

STAGES = {"produce": "PRODUCER_HTTP_PORT", "process": "PROCESSOR_HTTP_PORT", "sink": "SINK_HTTP_PORT"}
"""The stages, and by which variable each is told the port it answers on."""
STOP_TIMEOUT_SECONDS = 90
RECENT_LOADS = 5
READY_DESCRIPTOR = "LEADSTREAM_READY_FD"
"""Environment variable by which `up --detach` tells the supervisor where to say that all is ready."""


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that map rows and share the lanes; as many as cores is the fastest.")
    ] = 1,
) -> None:
    """Start Kafka, the schema registry, Postgres, S3 and the three stages on this machine. No Docker needed.

    Everything lives in LEADSTREAM_HOME (.leadstream by default) and listens on 127.0.0.1 only. The first start
    downloads Kafka and the registry once. Ctrl-C (or `leadstream down`) stops all in order; the data stays.

    \b
    Examples:
      leadstream up
      leadstream up --detach
      leadstream up --workers 4
      LEADSTREAM_HOME=/tmp/other leadstream up --detach
    """
    settings = session.start()
    home, lanes = settings.home.absolute(), settings.topics.lanes
    if workers > lanes:
        raise ConfigError(
            f"--workers {workers}: there are {lanes} lanes, and a lane is mapped by one worker",
            hint=f"give at most {lanes}, or set TOPICS_LANES before the first start of a home",
        )
    if detach:
        start_detached(home, workers)
        record = read_stack_record(home)
        if record is not None:
            _print_places(home, record)
    else:
        session.run(_supervise(home, workers))


def down() -> None:
    """Stop what `leadstream up` started, and wait until it is gone. The data stays.

    \b
    Examples:
      leadstream down
      LEADSTREAM_HOME=/tmp/other leadstream down
    """
    home = session.start().home.absolute()
    typer.echo(f"stopped what was up in {home}" if stop(home) else f"nothing is up in {home}")


def status(as_json: JsonOption = False) -> None:
    """What is up, how many leads there are, and the newest loads. Exit code 1 when nothing can be reached.

    \b
    Examples:
      leadstream status
      leadstream status --json
    """
    settings = session.start()
    home = settings.home.absolute()
    record = read_stack_record(home)
    running = record is not None and record.alive
    parts = _part_lines(record) if record is not None and running else []
    progress, error = session.run(_progress_or_error(settings.postgres))
    if as_json:
        print_json(
            {
                "home": str(home),
                "running": running,
                "pid": record.pid if record is not None and running else None,
                "parts": [vars(part) for part in parts],
                "counts": progress.counts if progress else None,
                "loads": progress.loads if progress else [],
                "error": str(error) if error else None,
            }
        )
    elif running or progress:
        console().print(screen(parts, progress))
        if error:
            typer.echo(f"\n{error}")
    if not running and progress is None:
        raise LeadstreamError(f"nothing is up in {home}", hint="leadstream up")


def start_detached(home: Path, workers: int = 1) -> None:
    """Run the supervisor in the background, in its own session; return when everything is ready.

    ``workers``: how many processes map rows.

    Raises:
        ConfigError: a stack is up in this home already.
        FatalError: it did not come up; carries the end of the supervisor's log.
    """
    # The Java library and process tools are only needed by who starts a stack.
    from leadstream.stack.jars import ensure_downloads
    from leadstream.stack.process import LogFile

    record = read_stack_record(home)
    if record is not None and record.alive:
        raise ConfigError(
            f"leadstream is already up in {home} (pid {record.pid})",
            hint="use `leadstream status` or `leadstream down`",
        )
    ensure_downloads()  # here, where its progress can be seen
    make_home(home)
    file = home / "logs" / "supervisor.log"
    log = LogFile.open(file)
    receiver, sender = os.pipe()
    with file.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "leadstream", "up", "--workers", str(workers)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "LEADSTREAM_HOME": str(home), READY_DESCRIPTOR: str(sender)},
            pass_fds=(sender,),
            start_new_session=True,
        )
    os.close(sender)
    try:
        with os.fdopen(receiver) as answer:
            ready = answer.read()  # ends when the supervisor says so, or ends
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if not ready:
        process.wait()
        raise FatalError(f"leadstream did not come up: {_last_error(log.tail())}", hint=f"see {file}")


def stop(home: Path) -> bool:
    """Stop the supervisor of this home and wait until it is gone; False when none was up.

    Raises:
        FatalError: it does not end.
    """
    record = read_stack_record(home)
    if record is None or not record.alive:
        return False
    try:
        supervisor = psutil.Process(record.pid)
        supervisor.terminate()
        supervisor.wait(STOP_TIMEOUT_SECONDS)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired as exc:
        raise FatalError(
            f"the supervisor (pid {record.pid}) did not end within {STOP_TIMEOUT_SECONDS} s",
            hint=f"see {home / 'logs' / 'supervisor.log'}",
        ) from exc
    return True


async def _supervise(home: Path, workers: int) -> None:
    # Starting a stack imports the Java library; no other command should pay for that.
    from leadstream.stack.ports import choose_ports
    from leadstream.stack.supervisor import Stack

    view = open_view()
    stack = Stack(home)
    stopping = _cancel_at_signals()
    try:
        await stack.start(view.on_event)
        settings = session.use_stack(home)
        await prepare(settings)
        more = {f"process-{number}": "process" for number in range(2, workers + 1)}
        processes = {stage: stage for stage in STAGES} | more
        ports = choose_ports(home / "stage-ports.json", processes)
        for name, stage in processes.items():
            variable = STAGES[stage]
            port = ports[name] if name in more else int(os.environ.get(variable, ports[name]))
            argv = [sys.executable, "-m", "leadstream", stage]
            await stack.add_process(name, argv, {variable: str(port)}, port)
        _say_ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stack.wait_failed())
            tasks.create_task(view.follow(stack.parts, settings.postgres))
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    finally:
        await stack.stop()
        view.close()


def _last_error(log: str) -> str:
    """The last error in a log and what follows it; the whole log when there is none."""
    lines = [line.strip() for line in log.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[starts[-1] :]).removeprefix("error: ") if starts else "\n".join(lines)


def _cancel_at_signals() -> asyncio.Event:
    """Cancel this task at the first SIGINT or SIGTERM; later ones do not disturb the orderly stop."""
    stopping = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if not stopping.is_set():
            stopping.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stopping


def _say_ready() -> None:
    descriptor = os.environ.pop(READY_DESCRIPTOR, None)
    if descriptor is not None:
        with contextlib.suppress(OSError), os.fdopen(int(descriptor), "w") as answer:
            answer.write("ready")


def _part_lines(record: StackRecord) -> list[PartLine]:
    return [
        PartLine(name, "ready" if _runs(part["pid"]) else "down", part["pid"], part["port"], part["log"])
        for name, part in record.parts.items()
    ]


def _runs(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid)


async def _progress_or_error(settings: PostgresSettings) -> tuple[Progress | None, LeadstreamError | None]:
    try:
        return await read_progress(settings, RECENT_LOADS), None
    except LeadstreamError as exc:
        return None, exc


def _print_places(home: Path, record: StackRecord) -> None:
    stages = [name for name in record.parts if name.partition("-")[0] in STAGES]
    places: dict[str, Any] = {
        "Kafka": record.environment.get("KAFKA_BOOTSTRAP_SERVERS"),
        "registry": record.environment.get("SCHEMA_REGISTRY_URL"),
        "S3": f"{record.environment.get('S3_ENDPOINT_URL')}, bucket {record.environment.get('S3_BUCKET')}",
        "Postgres": 'psql "$(leadstream dsn)"',
        "metrics": ", ".join(f"http://127.0.0.1:{record.parts[stage]['port']}/metrics ({stage})" for stage in stages),
        "logs": home / "logs",
    }
    typer.echo(f"leadstream is up in {home} (pid {record.pid})")
    for name, value in places.items():
        typer.echo(f"  {name:<9} {value}")
    typer.echo("  next      leadstream put FILE --source SOURCE --wait")
