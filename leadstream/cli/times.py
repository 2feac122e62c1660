"""Points in time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def word_or_time(text: str, words: frozenset[str], option: str) -> str | datetime:
    """One of the ``words`` as it is, else the moment that ``text`` names (UTC when it names no zone).

    Raises:
        typer.BadParameter: it is neither; names ``option``.
    """
    if text in words:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        known = ", ".join(sorted(words))
        raise typer.BadParameter(
            f"{text!r} is neither {known} nor a time like 2026-01-31T08:00", param_hint=option
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
