"""From rows as the vendor sent them to canonical leads: validate, map, detect change.

``faust -A processors worker`` finds the Faust app here; it is made on first use, so that the pure modules can be
imported without a broker in sight.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "app":
        from processors.worker import faust_app

        return faust_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
