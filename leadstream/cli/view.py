"""What is up and what came in, on one screen: for ``up`` (live, or line by line) and ``status``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from leadstream.cli.database import Row, connect
from leadstream.cli.documents import load_document, seconds_taken, sum_sentence
from leadstream.cli.load_screen import COUNTERS
from leadstream.cli.output import console, counted, fits, table
from leadstream.errors import LeadstreamError
from leadstream.settings import PostgresSettings

REFRESH_SECONDS = 1.0
SHOWN_LOADS = 8

_STYLES = {"ready": "green", "done": "green", "died": "red", "failed": "red", "broken": "red", "held": "yellow"}


@dataclass(frozen=True)
class PartLine:
    """A part or a stage as it is shown."""

    name: str
    state: str
    pid: int | None
    port: int | None
    log: str


@dataclass(frozen=True)
class Progress:
    """What Postgres knows: how many leads, the newest loads."""

    counts: Row
    loads: list[dict[str, Any]]


class View(Protocol):
    """How ``up`` shows itself."""

    def on_event(self, part: str, state: str) -> None:
        """A part changed its state."""

    async def follow(self, parts: Mapping[str, Any], settings: PostgresSettings) -> None:
        """Show what happens until cancelled."""

    def close(self) -> None:
        """Give the terminal back."""


async def read_progress(settings: PostgresSettings, loads: int = SHOWN_LOADS) -> Progress:
    """Counters and newest loads.

    Raises:
        LeadstreamError: Postgres is away, or its tables are.
    """
    async with connect(settings) as database:
        counts = await database.row("counts") or {}
        return Progress(counts, [load_document(row) for row in await database.rows("newest_loads", None, loads)])


def screen(parts: Sequence[PartLine], progress: Progress | None) -> RenderableType:
    """Parts, counters and loads under each other."""
    shown: list[RenderableType] = []
    if parts:
        shown.append(
            table(
                ("part", "state", "port", "pid", "log"),
                [(p.name, p.state, str(p.port or ""), str(p.pid or ""), p.log) for p in parts],
            )
        )
    if progress is not None:
        shown += [Text(""), Text(_counts_sentence(progress.counts))]
        if progress.loads:
            columns = ("key", "status", *COUNTERS, "took")
            made = table(columns, [_load_line(load) for load in progress.loads])
            lines = [Text(f"{load['key']}: {load['status']}\n  {sum_sentence(load)}") for load in progress.loads]
            shown += [Text(""), *([made] if fits(made, console()) else lines)]
    return Group(*shown)


def open_view() -> View:
    """A live screen on a terminal, lines elsewhere."""
    return _Screen() if console().is_terminal else _Lines()


class _Lines:
    """One line for each thing that happens."""

    def __init__(self) -> None:
        self._console = console()
        self._statuses: dict[str, str] = {}

    def on_event(self, part: str, state: str) -> None:
        self._say(f"{part}: {state}")

    async def follow(self, parts: Mapping[str, Any], settings: PostgresSettings) -> None:
        while True:
            progress = await _read_if_there(settings)
            for load in reversed(progress.loads if progress else []):
                if self._statuses.get(load["load_id"]) != load["status"]:
                    self._statuses[load["load_id"]] = load["status"]
                    self._say(f"{load['key']}: {load['status']}")
            await asyncio.sleep(REFRESH_SECONDS)

    def close(self) -> None:
        """Lines need no end."""

    def _say(self, what: str) -> None:
        self._console.print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {what}")


class _Screen:
    """The screen, drawn anew every second."""

    def __init__(self) -> None:
        self._live = Live(console=console(), auto_refresh=False)
        self._states: dict[str, str] = {}

    def on_event(self, part: str, state: str) -> None:
        self._states[part] = state
        self._live.start()
        lines = [PartLine(name, shown, None, None, "") for name, shown in self._states.items()]
        self._live.update(screen(lines, None), refresh=True)

    async def follow(self, parts: Mapping[str, Any], settings: PostgresSettings) -> None:
        while True:
            lines = [PartLine(p.name, p.state, p.pid, p.port, str(p.log)) for p in parts.values()]
            shown = screen(lines, await _read_if_there(settings))
            self._live.update(Group(shown, Text("\nCtrl-C stops everything", style="dim")), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)

    def close(self) -> None:
        self._live.stop()


async def _read_if_there(settings: PostgresSettings) -> Progress | None:
    try:
        return await read_progress(settings)
    except LeadstreamError:
        return None  # the parts' states say what is down


def _counts_sentence(counts: Mapping[str, int]) -> str:
    return (
        f"{counted(counts['leads'], 'lead')}, {counts['deleted_leads']:,} deleted, "
        f"{counted(counts['open_dead_letters'], 'open dead letter')}"
    )


def _load_line(load: dict[str, Any]) -> tuple[object, ...]:
    status = Text(load["status"], style=_STYLES.get(load["status"], ""))
    return (load["key"], status, *(load[name] for name in COUNTERS), seconds_taken(load))
