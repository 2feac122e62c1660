"""Whether a reader survives what a writer with another version of a schema wrote. Pure.

The rules are those of the Avro 1.12 specification, "Schema Resolution"
(https://avro.apache.org/docs/1.12.0/specification/#schema-resolution), which the registry's level
``FULL_TRANSITIVE`` applies in both directions and to every version; on top of them, the meaning of a number
(its ``logicalType``) may not change. What the rules allow is tried with records as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType, expand_schema

from schemas.records import JsonSchema

NAMED_TYPES = frozenset({"record", "enum", "fixed"})
PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""What a reader may make of a writer's type, besides the type itself."""

_SAMPLES: dict[str, list[Any]] = {
    "null": [None],
    "boolean": [True, False],
    "int": [0, -1, 2**31 - 1],
    "long": [0, -1, 2**45],
    "float": [0.0, -1.5],
    "double": [0.0, -1.5],
    "bytes": [b"", b"text"],
    "string": ["", "text"],
}

_Type = Any  # a type as JSON: a name, a list (union), or an object


def obstacles(writer: JsonSchema, reader: JsonSchema) -> list[str]:
    """Why a reader of ``reader`` cannot read what was written with ``writer``, in plain words; empty: it can."""
    try:
        written, read = expand_schema(writer), expand_schema(reader)
    except (SchemaParseException, UnknownType) as exc:
        return [f"not an Avro schema: {exc}"]
    return list(_obstacles(written, read, "")) or list(_failed_trials(writer, reader))


def type_text(type_: _Type) -> str:
    """A type in one line, e.g. ``null | long (timestamp-millis)``."""
    if isinstance(type_, list):
        return " | ".join(map(type_text, type_))
    if isinstance(type_, str):
        return type_
    kind = type_["type"]
    if kind == "array":
        return f"array of {type_text(type_['items'])}"
    if kind == "map":
        return f"map of {type_text(type_['values'])}"
    if kind in NAMED_TYPES:
        return f"{kind} {_short(type_['name'])}"
    logical = type_.get("logicalType")
    return f"{type_text(kind)} ({logical})" if logical else type_text(kind)


def _obstacles(writer: _Type, reader: _Type, path: str) -> Iterator[str]:
    if isinstance(writer, list):
        for branch in writer:
            yield from _obstacles(branch, reader, path)
        return
    if isinstance(reader, list):
        if all(any(_obstacles(writer, branch, path)) for branch in reader):
            yield f"{_place(path)}{type_text(writer)} may be written, the reader takes only {type_text(reader)}"
        return
    written, read = _kind(writer), _kind(reader)
    if written != read:
        if read not in PROMOTIONS.get(written, set()):
            yield f"{_place(path)}{type_text(writer)} is written, the reader takes only {type_text(reader)}"
    elif written in NAMED_TYPES and not _same_name(writer, reader):
        yield f"{_place(path)}{type_text(writer)} is written, the reader knows {type_text(reader)} (another name)"
    elif written == "record":
        yield from _record_obstacles(writer, reader, path)
    elif written == "enum":
        unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
        if unknown and "default" not in reader:
            yield f"{_place(path)}the reader does not know the symbols {', '.join(unknown)} and has no default for them"
    elif written == "fixed":
        if writer["size"] != reader["size"]:
            yield f"{_place(path)}{writer['size']} bytes are written, the reader takes {reader['size']}"
    elif written in ("array", "map"):
        inner = "items" if written == "array" else "values"
        yield from _obstacles(writer[inner], reader[inner], f"{path}[]")
    if _logical(writer) != _logical(reader):
        yield f"{_place(path)}{type_text(writer)} is written, the reader takes it for {type_text(reader)}"


def _record_obstacles(writer: JsonSchema, reader: JsonSchema, path: str) -> Iterator[str]:
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        inner = f"{path}.{field['name']}".lstrip(".")
        names = [name for name in (field["name"], *field.get("aliases", ())) if name in written]
        if names:
            yield from _obstacles(written[names[0]]["type"], field["type"], inner)
        elif "default" not in field:
            yield f"{_place(inner)}is not written, and the reader has no default for it"


def _failed_trials(writer: JsonSchema, reader: JsonSchema) -> Iterator[str]:
    """What goes wrong when sample records are written, read with the other schema, and written again with that."""
    written, read = parse_schema(writer), parse_schema(reader)
    for record in _samples(expand_schema(writer)):
        buffer = io.BytesIO()
        schemaless_writer(buffer, written, record)
        buffer.seek(0)
        try:
            schemaless_writer(io.BytesIO(), read, schemaless_reader(buffer, written, read))
        # fastavro raises whatever the value's type leads to
        except Exception as exc:
            yield f"a sample record cannot be read: {type(exc).__name__}: {exc}"
            return


def _samples(type_: _Type) -> list[Any]:
    """Values of a type in which each branch of a union and each symbol of an enum comes up."""
    if isinstance(type_, list):
        return [value for branch in type_ for value in _samples(branch)]
    kind = _kind(type_)
    if kind == "record":
        columns = {field["name"]: _samples(field["type"]) for field in type_["fields"]}
        count = max(map(len, columns.values()), default=1)
        return [{name: values[at % len(values)] for name, values in columns.items()} for at in range(count)]
    if kind == "enum":
        return list(type_["symbols"])
    if kind == "fixed":
        return [b"\0" * type_["size"]]
    if kind == "array":
        return [[], _samples(type_["items"])]
    if kind == "map":
        return [{}, {str(at): value for at, value in enumerate(_samples(type_["values"]))}]
    # Of a number with a meaning, every value may not be allowed: a date ends with the year 9999.
    return _SAMPLES[kind][:1] if _logical(type_) else _SAMPLES[kind]


def _kind(type_: _Type) -> str:
    if isinstance(type_, str):
        return type_
    inner: _Type = type_["type"]
    return inner if isinstance(inner, str) else _kind(inner)


def _logical(type_: _Type) -> str | None:
    return type_.get("logicalType") if isinstance(type_, dict) else None


def _same_name(writer: JsonSchema, reader: JsonSchema) -> bool:
    known = {_short(name) for name in (reader["name"], *reader.get("aliases", ()))}
    return _short(writer["name"]) in known


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _place(path: str) -> str:
    return f"field {path}: " if path else ""
