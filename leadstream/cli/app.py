"""All commands as one program, and the one place where errors become exit codes and a line on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

from leadstream import log
from leadstream.cli import (
    EXIT_INTERRUPTED,
    dead_letters,
    demo,
    doctor,
    drift,
    export,
    forget,
    holds,
    leads,
    loads,
    maintenance,
    put,
    registry,
    replay,
    session,
    sources,
    stack,
    stages,
    tail,
)
from leadstream.errors import LeadstreamError

EXIT_OK, EXIT_FAILED, EXIT_WRONG_USE = 0, 1, 2
VERBOSE_FLAGS = frozenset({"-v", "--verbose"})

app = typer.Typer(
    help="Vendor CSV files in S3 become one clean, living stream and table of child-care leads.\n\n"
    "A first look: leadstream demo. Every command explains itself: leadstream COMMAND --help. "
    "With -v (anywhere), errors come with their traceback and logs with their details.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
RUN, FILES, LOOK, SET_UP = "Run it", "Bring files in", "Look at what happened", "Set up and check"

app.command(rich_help_panel=RUN)(stack.up)
app.command(rich_help_panel=RUN)(stack.down)
app.command(rich_help_panel=RUN)(stack.status)
app.command(rich_help_panel=RUN)(demo.demo)
app.command(rich_help_panel=RUN)(stages.produce)
app.command(rich_help_panel=RUN)(stages.process)
app.command(rich_help_panel=RUN)(stages.sink)
app.command(rich_help_panel=FILES)(put.put)
app.command(rich_help_panel=FILES)(maintenance.samples)
loads.app.command()(holds.approve)
loads.app.command()(holds.reject)
app.add_typer(loads.app, name="loads", rich_help_panel=LOOK)
app.add_typer(leads.app, name="leads", rich_help_panel=LOOK)
app.add_typer(dead_letters.app, name="dlq", rich_help_panel=LOOK)
app.add_typer(replay.app, name="replay", rich_help_panel=LOOK)
app.command(rich_help_panel=LOOK)(tail.tail)
app.command(rich_help_panel=LOOK)(export.export)
app.command(rich_help_panel=LOOK)(forget.forget)
app.add_typer(registry.app, name="schemas", rich_help_panel=LOOK)
app.command(rich_help_panel=SET_UP)(doctor.doctor)
sources.app.command()(drift.drift)
app.add_typer(sources.app, name="sources", rich_help_panel=SET_UP)
app.command(rich_help_panel=SET_UP)(maintenance.migrate)
app.command(rich_help_panel=SET_UP)(maintenance.dsn)


def command_tree() -> Any:
    """The whole program as Typer's tree of commands."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Whatever goes wrong ends in one message, not a traceback."""
    words = [word for word in arguments if word not in VERBOSE_FLAGS]
    session.be_verbose(len(words) < len(arguments))
    try:
        code = command_tree().main(args=words or ["--help"], prog_name="leadstream", standalone_mode=False)
        sys.stdout.flush()
    except sources.UnknownSourceError as exc:
        return _report(str(exc), EXIT_WRONG_USE)
    except LeadstreamError as exc:
        return _report(str(exc), EXIT_FAILED)
    except typer.TyperException as exc:
        return _report(_wrong_use(exc), exc.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more when it closes standard output.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as exc:
        return _report(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc), EXIT_FAILED)
    except Exception as exc:
        return _report(_unexpected(exc), EXIT_FAILED)
    return code if isinstance(code, int) else EXIT_OK


def _report(message: str, code: int) -> int:
    if session.is_verbose():
        traceback.print_exc()
    log.last_words(message)
    return code


def _unexpected(exc: Exception) -> str:
    # A stage runs its tasks in groups: what one of them met is the error to tell of.
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, LeadstreamError):
        return str(exc)
    return f"this is a bug: {type(exc).__name__}: {exc} → run it again with -v and report what it says"


def _wrong_use(exc: typer.TyperException) -> str:
    context: typer.Context | None = getattr(exc, "ctx", None)
    message = " ".join(exc.format_message().replace("Value error, ", "").split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    return f"{message} → {context.command_path} --help" if context is not None else message
