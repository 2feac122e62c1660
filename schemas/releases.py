"""The schemas of this checkout, and those that were released: ``released/<name>.<number>.avsc``, 1 is the first.

Readers out in the world were made for the released ones, so a schema may only change in ways that all of them survive.
"""

from __future__ import annotations

import json
import re
from importlib import resources

from schemas.records import JsonSchema

SUFFIX = ".avsc"

_RELEASED = re.compile(r"(?P<name>\w+)\.(?P<number>\d+)\.avsc")


def schema_names() -> list[str]:
    """Every schema of the checkout, by the stem of its file."""
    files = resources.files("schemas").iterdir()
    return sorted(file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX))


def released() -> dict[str, dict[int, JsonSchema]]:
    """By name, the released versions of each schema by number, oldest first."""
    found: dict[str, dict[int, JsonSchema]] = {}
    for file in resources.files("schemas").joinpath("released").iterdir():
        if match := _RELEASED.fullmatch(file.name):
            found.setdefault(match["name"], {})[int(match["number"])] = json.loads(file.read_text("utf-8"))
    return {name: dict(sorted(versions.items())) for name, versions in sorted(found.items())}
