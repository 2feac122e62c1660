"""What a source's YAML may say: the shape of the file, its defaults, and what is refused."""

from __future__ import annotations

import ast
import codecs
import datetime
import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from leadstream.errors import BadRecordError, MappingError
from leadstream.source_yaml import Places, YamlPath, place_of
from leadstream.text import clean, clean_header, hint_for
from schemas.records import lead_fields

VERSION_HEX_DIGITS = 12
MAX_KEY_CHARACTERS = 500
"""In UTF-8, with its source's name, less than the 2,704 bytes that an index of Postgres takes."""
HINT_MARK = " → "
FUNCTION = "function"
"""The transform whose argument names Python code, which is part of what a mapping means."""
RULE_ERROR = "rule"

KeyOf = Callable[[Sequence[str | None]], str | None]
"""From a row's cells to the provider's key; ``None`` when the row has none."""


def _pattern(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as exc:
            raise ValueError(f"is no regular expression: {exc}{HINT_MARK}correct the pattern") from exc
    return value


def _day_format(value: object) -> object:
    if isinstance(value, str) and not names_a_day(value):
        raise ValueError(f"{value!r} names no day{HINT_MARK}give year, month and day, e.g. %Y-%m-%d")
    return value


def _encoding(value: object) -> object:
    if isinstance(value, str):
        try:
            codecs.lookup(value)
            "a".encode(value)  # refuses what is no encoding of text, such as hex
        except (LookupError, UnicodeError) as exc:
            raise ValueError(f"unknown encoding {value!r}{HINT_MARK}e.g. utf-8, utf-16, windows-1252") from exc
    return value


def _character(value: object) -> object:
    if isinstance(value, str) and value in ("\r", "\n"):
        raise ValueError(f"{value!r} ends a line{HINT_MARK}name another character")
    return value


def _canonical(value: object) -> object:
    if isinstance(value, str) and value not in lead_fields():
        raise ValueError(f"unknown canonical field {value!r}{HINT_MARK}{hint_for(value, lead_fields())}")
    return value


def _prefix(value: object) -> object:
    if isinstance(value, str) and (not re.fullmatch(r"[^/\s][^/]*(/[^/]+)*/", value) or ".." in value):
        hint = "a folder of the bucket: no / at its start, one / at its end, e.g. nevada/"
        raise ValueError(f"{value!r} cannot be a prefix{HINT_MARK}{hint}")
    return value


def _whole_transform(value: object) -> object:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name == FUNCTION:
            _code(argument)  # refused here, where the line is known
        return {"name": name, "argument": argument}
    raise ValueError(f"is no transform{HINT_MARK}write its name, or one `name: argument`")


Pattern = Annotated[str, BeforeValidator(_pattern)]
ColumnName = Annotated[str, Field(min_length=1)]
CanonicalField = Annotated[str, BeforeValidator(_canonical)]
Character = Annotated[str, BeforeValidator(_character), Field(min_length=1, max_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KeyPart(_Part):
    """A column of the key."""

    column: ColumnName
    """Name of the column, as in the file's header."""
    pattern: Pattern | None = None
    """A regular expression (upper or lower case) whose group 1 or whole match is taken instead of the cell."""


class FormatSpec(_Part):
    """How a file is written, where that cannot be seen from the file itself."""

    delimiter: Character | None = None
    """What parts the cells; found from the first lines when not given."""
    quotechar: Character | None = None
    """What encloses a cell; `"` when not given."""
    escapechar: Character | None = None
    """What makes a delimiter, quote or line end after it a part of the cell, such as `\\`; nothing when not given."""
    encoding: Annotated[str, BeforeValidator(_encoding)] | None = None
    """E.g. `utf-8` or `windows-1252`; found from the bytes when not given."""
    skip_lines: Annotated[int, Field(ge=0)] = 0
    """Lines before the header."""

    @model_validator(mode="after")
    def _tells_its_characters_apart(self) -> FormatSpec:
        special = [one for one in (self.delimiter, self.quotechar, self.escapechar) if one is not None]
        if len(set(special)) < len(special):
            raise ValueError(f"gives one character two meanings{HINT_MARK}name each of them once")
        return self


class DateInKey(_Part):
    """Where a file's date stands in its object key, where files do not arrive in the order of their age."""

    pattern: Pattern
    """A regular expression whose group 1 (or whole match) is the date."""
    format: Annotated[str, BeforeValidator(_day_format)]
    """How the date is written, as in Python's `strptime`, e.g. `%Y-%m-%d`."""


class _TransformSpec(_Part):
    name: str
    argument: Any = None


TransformSpec = _TransformSpec
"""A transform as named in YAML, with its argument (``None``: none, a mapping: keyword arguments)."""

Transforms = tuple[Annotated[TransformSpec, BeforeValidator(_whole_transform)], ...]


class ValueSpec(_Part):
    """Where a value comes from (exactly one of the first five) and what is done to it, in order."""

    column: ColumnName | None = None
    """The cell of this column."""
    first_of: Annotated[tuple[ColumnName, ...], Field(min_length=1)] | None = None
    """The first of these columns that is not empty."""
    join: Annotated[tuple[ColumnName, ...], Field(min_length=1)] | None = None
    """These columns, joined by `separator`; empty ones are left out."""
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)] | None = None
    """These columns, for a transform that takes several."""
    constant: bool | int | str | None = None
    """This value, in every row."""
    separator: str = " "
    """What stands between the columns of `join`."""
    transforms: Transforms | None = None
    """What is done to the value, in order: names, or `name: argument`."""
    on_error: Literal["fail"] | None = "fail"
    """`fail`: a value that cannot be understood sends the row to the dead letters. `null`: the field stays empty."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> ValueSpec:
        origins = [self.column, self.first_of, self.join, self.columns, self.constant]
        if sum(origin is not None for origin in origins) != 1:
            hint = "name exactly one of column, first_of, join, columns, constant"
            raise ValueError(f"does not say where its value comes from{HINT_MARK}{hint}")
        return self

    @property
    def used_columns(self) -> tuple[str, ...]:
        """The vendor's columns it reads."""
        if self.column is not None:
            return (self.column,)
        return self.first_of or self.join or self.columns or ()


class FieldSpec(ValueSpec):
    """One canonical field. ``company: Name`` is short for ``company: {column: Name}``."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value


class GroupSpec(ValueSpec):
    """Several canonical fields from one value: the last transform gives a part for each name in ``into``."""

    into: Annotated[tuple[CanonicalField, ...], Field(min_length=1)]
    """The canonical fields it fills."""


class SourceConfig(_Part):
    """Everything that the YAML of a source and the defaults may say."""

    name: str
    title: str = ""
    """Who sends the files; for people."""
    prefix: Annotated[str, BeforeValidator(_prefix)] = ""
    """Folder of the bucket that the source's files are dropped into; `<name>/` when not given."""
    refresh: Literal["complete", "partial"] = "complete"
    """`complete`: a lead that is absent from a newer file is deleted. `partial`: files hold only what changed."""
    max_shrink: Fraction = 0.2
    """Share of its rows that a complete file may lose before deletes are held. Held files are no measure."""
    dead_letter_rate: Fraction | None = None
    """Share of a load's rows in the dead letters above which an alert is raised; `null`: never."""
    hold_dead_letters: bool = False
    """Whether a load above `dead_letter_rate` is held until the mapping is mended or somebody lets it through."""
    key: Annotated[tuple[KeyPart, ...], Field(min_length=1)]
    """What tells one lead of the source from all others: columns, joined by `|`, in upper case."""
    format: FormatSpec = FormatSpec()
    """How the files are written, where that cannot be seen from them."""
    date_in_key: DateInKey | None = None
    """Where a file's date stands in its key; without it, the time the object was made counts."""
    named_columns: tuple[ColumnName, ...] | None = Field(default=None, alias="required_columns")
    """Columns whose loss holds a load, beside the key's; every mapped column when not given."""
    required: tuple[CanonicalField, ...] = ("phone", "address1")
    """Canonical fields that a row must fill."""
    transforms: dict[CanonicalField, Transforms] = Field(default_factory=dict)
    """By canonical field, what is done to a value whose field names no transforms of its own."""
    fields: dict[CanonicalField, FieldSpec] = Field(default_factory=dict)
    """By canonical field, where its value comes from."""
    groups: tuple[GroupSpec, ...] = ()
    """Values that fill several canonical fields at once."""
    places: Places = Field(exclude=True, repr=False)

    @model_validator(mode="after")
    def _fills_each_field_once(self) -> SourceConfig:
        seen: set[str] = set()
        for path, names in self._filled_fields():
            for name in names:
                if name in seen:
                    raise _wrong(path, f"canonical field {name!r} is filled twice", "keep one of them")
                seen.add(name)
        if not seen:
            raise _wrong(("fields",), "maps no field", "say under `fields:` which column fills which field")
        for index, name in enumerate(self.required):
            if name not in seen:
                hint = "map it under `fields:`, or leave it out of `required:`"
                raise _wrong(("required", index), f"required field {name!r} is filled by no column", hint)
        return self

    @model_validator(mode="after")
    def _has_a_rate_to_hold_at(self) -> SourceConfig:
        if self.hold_dead_letters and self.dead_letter_rate is None:
            hint = "say which share of failed rows is too much, e.g. dead_letter_rate: 0.1"
            raise _wrong(("hold_dead_letters",), "hold_dead_letters needs a dead_letter_rate", hint)
        return self

    def _filled_fields(self) -> Iterator[tuple[YamlPath, tuple[str, ...]]]:
        for name in self.fields:
            yield ("fields", name), (name,)
        for index, group in enumerate(self.groups):
            yield ("groups", index, "into"), group.into

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The vendor's columns that the mapping or the key reads, as the YAML writes them, sorted."""
        specs: list[ValueSpec] = [*self.fields.values(), *self.groups]
        mapped = {column for spec in specs for column in spec.used_columns}
        return tuple(sorted(mapped | {part.column for part in self.key}))

    @functools.cached_property
    def required_columns(self) -> tuple[str, ...]:
        """The columns whose loss holds a load, sorted: the key's, and those listed (default: every mapped one)."""
        if self.named_columns is None:
            return self.columns
        return tuple(sorted({*self.named_columns, *(part.column for part in self.key)}))

    @functools.cached_property
    def version(self) -> str:
        """Hash of what the configuration means, 12 hex digits.

        Comments, the order of keys, format and title do not count. A named Python function counts with its
        module's code.
        """
        meaning = self.model_dump(mode="json", exclude={"title", "places"})
        meaning["code"] = {name: _code(name) for name in sorted(_function_names(self))}
        text = json.dumps(meaning, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:VERSION_HEX_DIGITS]

    def compile_key(self, header: Sequence[str]) -> KeyOf:
        """A function from the cells of a row under ``header`` to the provider's key.

        The key is cleaned and upper-cased, several parts are joined by ``|``. It is ``None`` when a part is
        empty, does not match its pattern, or lies beyond the cells (a cut-off row), and when it is longer than 500
        characters.

        Raises:
            BadRecordError: the header lacks a column of the key (code ``key_column_missing``).
        """
        positions = {clean_header(name): index for index, name in reversed(list(enumerate(header)))}
        parts = []
        for part in self.key:
            index = positions.get(clean_header(part.column))
            if index is None:
                message = f"the header lacks column {part.column!r}, which is the key of source {self.name!r}"
                hint = f"ask the vendor for the column, or correct `key:` in {self.place(('key',))[0].name}"
                raise BadRecordError(message, code="key_column_missing", hint=hint)
            parts.append(_key_part(index, part.pattern))
        return parts[0] if len(parts) == 1 else functools.partial(_joined_key, parts)

    def date_of(self, object_key: str) -> datetime.date | None:
        """The date in an object key, by ``date_in_key``; ``None`` when there is none."""
        if self.date_in_key is None:
            return None
        match = re.search(self.date_in_key.pattern, object_key)
        if match is None:
            return None
        try:
            return datetime.datetime.strptime(_group(match), self.date_in_key.format).date()
        except ValueError:
            return None

    def place(self, path: YamlPath) -> tuple[Path, int]:
        """File and line of the value at ``path``, e.g. ``("fields", "phone")``."""
        return place_of(self.places, path)

    def error(self, path: YamlPath, message: str, *, hint: str) -> MappingError:
        """An error about the value at ``path``."""
        file, line = self.place(path)
        return MappingError(message, file=file, line=line, hint=hint)


def names_a_day(format_: str) -> bool:
    """Whether a date written in a ``strptime`` format can be read back: year, month and day are there."""
    day = datetime.datetime(2003, 12, 31)
    try:
        return datetime.datetime.strptime(day.strftime(format_), format_) == day
    except ValueError:
        return False


def _key_part(index: int, pattern: str | None) -> KeyOf:
    search = re.compile(pattern, re.IGNORECASE).search if pattern is not None else None

    def key_of(cells: Sequence[str | None]) -> str | None:
        text = clean(cells[index]) if index < len(cells) else None
        if text is None:
            return None
        if search is not None:
            match = search(text)
            text = clean(_group(match)) if match else None
        key = text.upper() if text else None
        return key if key is not None and len(key) <= MAX_KEY_CHARACTERS else None

    return key_of


def _joined_key(parts: list[KeyOf], cells: Sequence[str | None]) -> str | None:
    texts = []
    for part in parts:
        text = part(cells)
        if text is None:
            return None
        texts.append(text.replace("\\", "\\\\").replace("|", "\\|"))  # two different rows must never share a key
    key = "|".join(texts)
    return key if len(key) <= MAX_KEY_CHARACTERS else None


def _group(match: re.Match[str]) -> str:
    return (match[1] if match.re.groups else match[0]) or ""


def _function_names(config: SourceConfig) -> Iterator[str]:
    specs = [
        *(spec.transforms for spec in [*config.fields.values(), *config.groups]),
        *config.transforms.values(),
    ]
    for transforms in specs:
        for transform in transforms or ():
            if transform.name == FUNCTION and isinstance(transform.argument, str):
                yield transform.argument


def _code(function: object) -> str:
    """The code of the module that ``package.module:function`` names, without comments and format."""
    module, colon, _ = str(function).partition(":")
    try:
        spec = importlib.util.find_spec(module) if colon and module else None
        if spec is not None and spec.origin is not None:
            return ast.unparse(ast.parse(Path(spec.origin).read_text("utf-8")))
    except (ImportError, ValueError, OSError, SyntaxError) as exc:
        raise ValueError(f"function {function!r}: {exc}{HINT_MARK}name it package.module:function") from exc
    raise ValueError(f"function {function!r}: no module {module!r}{HINT_MARK}name it package.module:function")


def _wrong(path: YamlPath, problem: str, hint: str) -> PydanticCustomError:
    """An error of the whole configuration that still knows its place."""
    return PydanticCustomError(RULE_ERROR, "{problem}", {"problem": problem + HINT_MARK + hint, "path": path})
