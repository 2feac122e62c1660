"""Functions that are written out for one schema, header or mapping, so that nothing is looked up per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def function(signature: str, lines: Sequence[str], names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function ``def <signature>:`` with these lines as its body; ``names`` are what it uses.

    Values of vendors never stand in the lines: they come in by ``names``.
    """
    name = signature.partition("(")[0]
    source = "\n    ".join([f"def {signature}:", *lines])
    scope = dict(names)
    exec(compile(source, f"<generated {name}>", "exec"), scope)
    made: Callable[..., Any] = scope[name]
    return made
