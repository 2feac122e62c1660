"""Names for the columns of a file: the vendor's own text, made unique, and an Avro-safe name derived from it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_NOT_AVRO = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Column:
    """``name`` is the header text, trimmed; ``field`` matches ``[A-Za-z_][A-Za-z0-9_]*``. Both are unique in a file."""

    name: str
    field: str


def name_columns(cells: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a header record.

    An empty header becomes ``column_<n>`` (1 = first column), a repeated one ``Name_2``, ``Name_3``, …, never a name
    that the vendor uses elsewhere in the header.
    """
    texts = [cell.strip("\ufeff \t\r\n\v\f\xa0") or f"column_{at}" for at, cell in enumerate(cells, 1)]
    names = _unique(texts)
    fields = _unique([_avro_name(name, at) for at, name in enumerate(names, 1)])
    return tuple(Column(name, field) for name, field in zip(names, fields, strict=True))


def _avro_name(name: str, at: int) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    field = _NOT_AVRO.sub("_", plain).strip("_")
    if not field:
        return f"column_{at}"
    return f"_{field}" if field[0].isdigit() else field


def _unique(names: Sequence[str]) -> list[str]:
    taken = set(names)
    seen: set[str] = set()
    numbers: dict[str, int] = {}  # where to count on from: a header of a thousand equal names must not cost n² time
    unique = []
    for name in names:
        candidate, number = name, numbers.get(name, 1)
        while candidate in seen or (number > 1 and candidate in taken):
            number += 1
            candidate = f"{name}_{number}"
        numbers[name] = number
        seen.add(candidate)
        unique.append(candidate)
    return unique
