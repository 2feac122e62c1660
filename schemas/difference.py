"""What changed from one version of a record's schema to another, in plain words. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from fastavro.schema import expand_schema
from rapidfuzz import fuzz, process

from schemas.compatibility import type_text
from schemas.records import JsonSchema

RENAMED_MIN_PERCENT = 60
NOTHING = object()
"""The default of a field without one: ``None`` is a default."""


class Kind(enum.StrEnum):
    """What happened to a field."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    """The vendor's header is another text; the field is the same."""
    TYPE = "type"
    DEFAULT = "default"
    ORDER = "order"
    """The fields that both versions have stand in another order."""
    DOC = "doc"


@dataclass(frozen=True)
class Change:
    """``field``: empty when it is about the whole record; ``header``: the vendor's own column name (raw schemas)."""

    kind: Kind
    field: str
    header: str
    detail: str


def changes(old: JsonSchema, new: JsonSchema) -> list[Change]:
    """Every difference between two versions, in the order of the new one's fields, what is gone at the end."""
    before, after = _fields(old), _fields(new)
    added = [name for name in after if name not in before]
    found = []
    for name, field in after.items():
        if name in before:
            found += _field_changes(before[name], field)
        else:
            found.append(_change(Kind.ADDED, field, _type_and_default(field)))
    for name, field in before.items():
        if name not in after:
            found.append(
                _change(Kind.REMOVED, field, _likely_rename(_header(field), [_header(after[n]) for n in added]))
            )
    kept = [name for name in after if name in before]
    if kept != [name for name in before if name in after]:
        found.append(Change(Kind.ORDER, "", "", "the fields stand in another order"))
    if old.get("doc") != new.get("doc"):
        found.append(Change(Kind.DOC, "", "", "the record's description"))
    return found


def _field_changes(old: JsonSchema, new: JsonSchema) -> list[Change]:
    found = []
    if _header(old) != _header(new):
        found.append(_change(Kind.RENAMED, new, f"{_header(old)!r} is now {_header(new)!r}"))
    if _without_docs(old["type"]) != _without_docs(new["type"]):
        found.append(_change(Kind.TYPE, new, _type_change(old["type"], new["type"])))
    was, now = old.get("default", NOTHING), new.get("default", NOTHING)
    if was != now:
        found.append(_change(Kind.DEFAULT, new, f"{_default_text(was)} is now {_default_text(now)}"))
    if old.get("doc") != new.get("doc") and not found:
        found.append(_change(Kind.DOC, new, "its description"))
    return found


def _fields(schema: JsonSchema) -> dict[str, JsonSchema]:
    record: Any = expand_schema(schema)
    return {field["name"]: field for field in record["fields"]}


def _change(kind: Kind, field: JsonSchema, detail: str) -> Change:
    return Change(kind, field["name"], _header(field), detail)


def _header(field: JsonSchema) -> str:
    return str(field.get("header", field["name"]))


def _likely_rename(header: str, added: list[str]) -> str:
    best = process.extractOne(
        header, added, scorer=fuzz.ratio, processor=str.casefold, score_cutoff=RENAMED_MIN_PERCENT
    )
    return f"renamed to {best[0]!r}? {best[1]:.0f} % alike" if best else ""


def _type_change(old: Any, new: Any) -> str:
    was, now = type_text(old), type_text(new)
    if was != now:
        return f"{was} is now {now}"
    symbols, now_symbols = _symbols(old), _symbols(new)
    parts = []
    if more := [symbol for symbol in now_symbols if symbol not in symbols]:
        parts.append(f"{', '.join(more)} added")
    if fewer := [symbol for symbol in symbols if symbol not in now_symbols]:
        parts.append(f"{', '.join(fewer)} removed")
    return f"{now}: {'; '.join(parts) or 'its definition'}"


def _symbols(type_: Any) -> list[str]:
    if isinstance(type_, list):
        return [symbol for branch in type_ for symbol in _symbols(branch)]
    return list(type_.get("symbols", ())) if isinstance(type_, dict) else []


def _without_docs(type_: Any) -> Any:
    if isinstance(type_, list):
        return [_without_docs(part) for part in type_]
    if isinstance(type_, dict):
        return {name: _without_docs(value) for name, value in type_.items() if name != "doc"}
    return type_


def _type_and_default(field: JsonSchema) -> str:
    return f"{type_text(field['type'])}, {_default_text(field.get('default', NOTHING))}"


def _default_text(default: object) -> str:
    return "no default" if default is NOTHING else f"default {default!r}"
