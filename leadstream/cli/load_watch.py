"""``loads --watch``: loads as they move, live on a terminal, as lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import typer
from rich.live import Live

from leadstream.cli.load_screen import line, screen
from leadstream.cli.output import console, json_line
from leadstream.errors import TransientError

INTERVAL_SECONDS = 1.0

Document = dict[str, Any]
Show = Callable[[Sequence[Document], Sequence[Document]], None]
"""Takes all loads, newest first, and those that changed, oldest first."""


async def follow(read: Callable[[], Awaitable[list[Document]]], show: Show) -> None:
    """Read the loads every second and show them, until cancelled; the first time, all of them have changed.

    Raises:
        LeadstreamError: they cannot be read at first. Later, a database that is away is waited for.
    """
    documents = await read()
    known: dict[str, Document] = {}
    waiting = False
    while True:
        changed = [document for document in reversed(documents) if known.get(document["load_id"]) != document]
        known |= {document["load_id"]: document for document in changed}
        show(documents, changed)
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            documents = await read()
            waiting = False
        except TransientError as exc:
            if not waiting:
                typer.echo(f"waiting: {exc}", err=True)
            waiting = True


@contextlib.contextmanager
def open_display(*, as_json: bool) -> Iterator[Show]:
    """Where the loads are shown; gives the terminal back at the end."""
    out = console()
    if as_json:
        yield lambda _documents, changed: _print(json_line(document) for document in changed)
    elif not out.is_terminal:
        yield lambda _documents, changed: _print(map(line, changed))
    else:
        with Live(console=out, auto_refresh=False) as live:
            yield lambda documents, _changed: live.update(screen(documents, out.width), refresh=True)


def _print(lines: Iterator[str]) -> None:
    for one in lines:
        typer.echo(one)
