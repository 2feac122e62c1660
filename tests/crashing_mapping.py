"""Functions that a source's YAML may name in tests: they fail, and say in their errors what they were given."""

from __future__ import annotations


def crash(value: str) -> str:
    """Raises ValueError with the value in its text."""
    raise ValueError(f"cannot make anything of {value!r}")
