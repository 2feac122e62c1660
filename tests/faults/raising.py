"""A function that a source's mapping names, with a mistake in it."""

from __future__ import annotations

RAISES = "raise"
"""The cell that it stumbles over."""


def name(value: str | None) -> str | None:
    """The cell as it is."""
    if value == RAISES:
        raise RuntimeError("this mapping raises")
    return value
