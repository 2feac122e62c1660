"""The mapping reference, written from the code: ``python -m processors.reference > docs/mapping-reference.md``."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from leadstream.source_config import DateInKey, FieldSpec, FormatSpec, GroupSpec, KeyPart, SourceConfig
from processors.transforms import CATALOGUE, KIND_NAMES, TOPICS
from processors.transforms.base import usage
from processors.validation import canonical_kinds
from schemas.records import lead_body_schema

_HIDDEN = {"name", "places"}
_INTRODUCTION = """\
# Mapping reference

Written from the code by `python -m processors.reference > docs/mapping-reference.md`; a test holds it up to date.

A source is one file, `sources/<name>.yaml`. `sources/_defaults.yaml` is laid under each of them: what stands in a
source's file replaces it, under `format`, `transforms` and `fields` entry by entry. `leadstream sources check` tells
what is wrong in any of them, with file and line.

```yaml
title: Example Agency
key: [{column: License}]
fields:
  company: Name # short for {column: Name}
  phone: {first_of: [Phone, Mobile]}
  license_issued: {column: Issued, transforms: [{date: "%m/%d/%Y"}]}
  email: {column: E-mail, on_error: null}
  state: {constant: NV}
groups:
  - {column: Address, into: [address1, address2, city, zip], transforms: [{full_address: {cities: [Reno]}}]}
```

## What becomes of a row

1. Columns are found by their names: trimmed, inner white space collapsed, upper or lower case. Their order does not
   matter. A column without a name is called `column_<n>`, the second `Name` is `Name_2`.
2. Each cell is cleaned (see `clean`); an empty one, or one that says nothing, gives no value.
3. The transforms run in order. Those of `transforms:` for this field, when the field names none of its own.
4. The value is checked: states are USPS codes, ZIPs `12345` or `12345-6789`, dates lie between 1900 and 2100, capacity
   between 0 and 100,000, ages between 0 and 1,200 months and the youngest not above the oldest.
5. A cell of more than 10,000 characters is no value of any field, and one of more than 500 no key.
6. A value that is there but cannot be understood fails the row, unless the field says `on_error: null`: then the field
   stays empty. A required field without a value fails the row, too. A failed row goes to the dead letters with all its
   reasons, not only the first; its lead keeps what was known of it.
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [_INTRODUCTION]
    parts.append(_keys("Keys of a source", SourceConfig, level=2))
    parts.append(_keys("`key`: each entry", KeyPart))
    parts.append(_keys("`fields`: each entry", FieldSpec))
    parts.append(_keys("`groups`: each entry", GroupSpec, only={"into"}, more="Beside the keys of a field:"))
    parts.append(_keys("`format`", FormatSpec))
    parts.append(_keys("`date_in_key`", DateInKey))
    parts.append(_canonical_fields())
    parts.append("## Transforms\n")
    for topic in TOPICS:
        parts.append(_topic(topic))
    return "\n".join(parts)


def _keys(title: str, model: type[BaseModel], *, level: int = 3, only: set[str] | None = None, more: str = "") -> str:
    rows = [
        f"| `{field.alias or name}` | {_default(field)} | {_cell(field.description)} |"
        for name, field in model.model_fields.items()
        if name not in _HIDDEN and (only is None or name in only)
    ]
    intro = more or _prose(model)
    return "\n".join(
        [f"{'#' * level} {title}\n", f"{intro}\n", "| key | default | what it says |", "|---|---|---|", *rows, ""]
    )


def _canonical_fields() -> str:
    docs = {field["name"]: field["doc"] for field in lead_body_schema()["fields"]}
    rows = [f"| `{name}` | {KIND_NAMES[kind]} | {docs[name]} |" for name, kind in canonical_kinds().items()]
    return "\n".join(["## Canonical fields\n", "| field | type | what it is |", "|---|---|---|", *rows, ""])


def _topic(module: Any) -> str:
    lines = []
    for entry in CATALOGUE.values():
        if entry.make.__module__ == module.__name__:
            lines.append(f"### `{usage(entry.name)}`\n")
            lines.append(f"{_prose(entry.make)}\n")
            kind = KIND_NAMES[entry.gives] if entry.gives else "its value"
            gives = ", ".join(f"`{part}`" for part in entry.parts) or kind
            takes = {"text": "text", "raw": "the cell as it was sent", "anything": "any value"}.get(
                entry.takes, f"{entry.columns or 'several'} columns"
            )
            lines.append(f"Takes {takes}, gives {gives}.\n")
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.default
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel) or value in ((), ""):
        return ""
    return f"`[{', '.join(value)}]`" if isinstance(value, tuple) else f"`{value!r}`".replace("'", '"')


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _prose(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(reference())
