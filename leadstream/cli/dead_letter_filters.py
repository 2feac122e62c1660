"""Which dead letters a command is about."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from leadstream.cli.database import Database
from leadstream.errors import LeadstreamError

TIME_FORMATS = [f"%Y-%m-%d{time}{zone}" for time in ("", "T%H:%M", "T%H:%M:%S") for zone in ("", "%z")]


class Status(enum.StrEnum):
    """What became of a dead letter; ``all`` is no condition."""

    OPEN = "open"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    ALL = "all"


class FailedAt(enum.StrEnum):
    """The stages, as in ``schemas.headers.Stage``, and the sink's."""

    FILE = "FILE"
    SPLIT = "SPLIT"
    DECODE = "DECODE"
    MAP = "MAP"
    VALIDATE = "VALIDATE"
    WRITE = "WRITE"


SourceFilter = Annotated[str | None, typer.Option("--source", help="Only of this source.")]
LoadFilter = Annotated[str | None, typer.Option("--load", help="Only of this load (its id).")]
StageFilter = Annotated[
    FailedAt | None, typer.Option("--stage", case_sensitive=False, help="Only those that failed at this stage.")
]
ReasonFilter = Annotated[str | None, typer.Option("--reason", help="Only those whose first reason has this code.")]
SinceFilter = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="TIME",
        formats=TIME_FORMATS,
        help="Only those that failed at TIME (2026-01-31T08:00) or later.",
    ),
]
StatusFilter = Annotated[
    Status | None, typer.Option("--status", help="Only those with this status; without it, the open ones.")
]


@dataclass(frozen=True)
class Filters:
    """The conditions of a command line; None is no condition, but ``status`` None means the open ones."""

    source: str | None = None
    load: str | None = None
    stage: FailedAt | None = None
    reason: str | None = None
    since: datetime | None = None
    status: Status | None = None
    ids: Sequence[str] | None = None

    @property
    def given(self) -> bool:
        """Whether there is any condition at all."""
        return self != Filters()

    @property
    def arguments(self) -> tuple[object, ...]:
        """The parameters $1 to $7 of the queries that say ``{wanted_dead_letters}``."""
        since = self.since.replace(tzinfo=self.since.tzinfo or UTC) if self.since is not None else None
        status = self.status or (Status.OPEN if self.ids is None else Status.ALL)
        ids = list(self.ids) if self.ids is not None else None
        return self.source, self.load, self.stage, self.reason, since, None if status is Status.ALL else status, ids


def chosen(ids: Sequence[str] | None, filters: Filters) -> Filters:
    """The letters that a command is to change: those of the ids, or of the filters.

    Raises:
        typer.BadParameter: both are given, or neither.
    """
    if bool(ids) == filters.given:
        raise typer.BadParameter("name either ids or filters such as --source and --reason", param_hint="ID")
    return Filters(ids=ids) if ids else filters


async def check_known(database: Database, wanted: Filters) -> None:
    """Make sure that there is a letter for each id.

    Raises:
        LeadstreamError: names those that there are not.
    """
    if wanted.ids is None:
        return
    known = {row["dead_letter_id"] for row in await database.rows("known_dead_letters", list(wanted.ids))}
    if unknown := [one for one in wanted.ids if one not in known]:
        raise LeadstreamError(f"no such dead letter: {', '.join(unknown)}", hint="leadstream dlq list --each")


EVERY = Filters(status=Status.ALL)
