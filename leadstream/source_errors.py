"""What pydantic finds wrong in a source's YAML, told with file, line and remedy."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from leadstream.errors import MappingError
from leadstream.source_config import (
    HINT_MARK,
    RULE_ERROR,
    DateInKey,
    FieldSpec,
    FormatSpec,
    GroupSpec,
    KeyPart,
    SourceConfig,
)
from leadstream.source_yaml import Places, YamlPath, place_of
from leadstream.text import hint_for

_PLAIN_PROBLEMS = {
    "too_short": "is empty",
    "model_type": "holds neither a column nor a mapping",
    "dict_type": "holds no mapping",
    "tuple_type": "holds no list",
    "string_type": "holds no text",
}


def explain(error: ValidationError, places: Places) -> list[MappingError]:
    """Each finding of pydantic as an error that names file, line and remedy."""
    errors = []
    details = error.errors()
    for detail in details:
        path: YamlPath = tuple(part for part in detail["loc"] if part != "[key]") or detail.get("ctx", {}).get(
            "path", ()
        )
        if detail["type"] == "too_short" and any(
            path == other["loc"][: len(path)] for other in details if other is not detail
        ):
            continue  # it only lacks the items that are reported themselves
        name = path[-1] if path else ""
        file, line = place_of(places, path)
        hint = ""
        if detail["type"] == "extra_forbidden":
            message = f"unknown key {name!r}"
            hint = hint_for(str(name), _known_keys(path))
        elif detail["type"] == "missing":
            message = f"key {name!r} is missing"
            hint = "add it; the mapping reference describes every key"
        elif detail["type"] == RULE_ERROR:
            message, _, hint = detail["msg"].partition(HINT_MARK)
        elif detail["type"] in _PLAIN_PROBLEMS:
            message = f"{'.'.join(map(str, path))}: {_PLAIN_PROBLEMS[detail['type']]}"
            hint = "write it, or remove the key"
        else:
            problem, _, hint = detail["msg"].removeprefix("Value error, ").partition(HINT_MARK)
            message = f"{'.'.join(map(str, path))}: {problem}" if path else problem
            hint = hint or "the mapping reference describes every key"
        errors.append(MappingError(message, file=file, line=line, hint=hint))
    return sorted(errors, key=lambda found: found.line)


def _known_keys(path: YamlPath) -> list[str]:
    inner: dict[str | int, type[BaseModel]] = {
        "key": KeyPart,
        "format": FormatSpec,
        "date_in_key": DateInKey,
        "fields": FieldSpec,
        "groups": GroupSpec,
    }
    model = SourceConfig if len(path) == 1 else inner.get(path[0], SourceConfig)
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [name for name in names if name not in {"name", "places"}]
