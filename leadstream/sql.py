"""SQL that stands in files, each statement under its name."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

_STATEMENT_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@functools.cache
def statements(package: str) -> Mapping[str, str]:
    """The statements of ``queries.sql`` in ``package``, by the names in the ``-- name:`` lines above them."""
    text = resources.files(package).joinpath("queries.sql").read_text("utf-8")
    _, *parts = _STATEMENT_HEADER.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))
