"""The .avsc files as Python values, and the names that everyone derives from them."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from fastavro import parse_schema

JsonSchema = dict[str, Any]

FIRST_BODY_FIELD = "company"
"""In lead.avsc, the fields before this one are the envelope (what happened), those from it on the lead itself."""


@functools.cache
def schema_json(name: str) -> JsonSchema:
    """The schema in ``schemas/<name>.avsc`` as JSON."""
    document: JsonSchema = json.loads(resources.files("schemas").joinpath(f"{name}.avsc").read_text("utf-8"))
    return document


@functools.cache
def parsed(name: str) -> Any:
    """The schema in ``schemas/<name>.avsc``, parsed by fastavro."""
    return parse_schema(schema_json(name))


@functools.cache
def lead_fields() -> tuple[str, ...]:
    """Names of the canonical fields a mapping may fill, in schema order."""
    return tuple(field["name"] for field in _split_lead()[1])


@functools.cache
def lead_envelope_fields() -> tuple[str, ...]:
    """Names of the fields that say what happened and where it came from, in schema order."""
    return tuple(field["name"] for field in _split_lead()[0])


@functools.cache
def lead_body_schema() -> Any:
    """The lead's own fields as a record.

    An Avro record is the concatenation of its fields' encodings (Avro 1.12 specification, "Complex Types: Records"),
    so envelope bytes + body bytes = the bytes of a Lead; the body is encoded once, hashed, and reused.
    """
    return parse_schema({"type": "record", "name": "LeadBody", "namespace": "leadstream", "fields": _split_lead()[1]})


@functools.cache
def lead_envelope_schema() -> Any:
    """The envelope fields as a record; see :func:`lead_body_schema`."""
    return parse_schema(
        {"type": "record", "name": "LeadEnvelope", "namespace": "leadstream", "fields": _split_lead()[0]}
    )


def _split_lead() -> tuple[list[JsonSchema], list[JsonSchema]]:
    fields: list[JsonSchema] = schema_json("lead")["fields"]
    at = next(i for i, field in enumerate(fields) if field["name"] == FIRST_BODY_FIELD)
    return fields[:at], fields[at:]
