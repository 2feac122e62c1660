"""From a vendor's row to a lead: a source's YAML made into plain functions on the cells of a row.

``compile_mapping`` checks the YAML against the catalogue of transforms, ``bind`` fits it to one header, ``map`` turns a
row into the lead's fields. Nothing is looked up, parsed or compiled per row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leadstream.errors import MappingError
from leadstream.source_config import GroupSpec, SourceConfig, ValueSpec
from leadstream.source_yaml import YamlPath
from leadstream.text import clean, clean_header
from processors.transforms import KIND_NAMES, Step, TransformError, WrongUseError, build
from processors.validation import Check, canonical_kinds, check_for
from schemas.headers import Reason
from schemas.records import lead_fields

CACHED_CELLS = 16_384

Cells = Sequence[str | None]
Read = Callable[[Cells], Any]
Body = dict[str, Any]

_REFERENCE_HINT = "the mapping reference describes every transform"
_TRANSFORM_FOR = {"whole number": "integer", "date": "date", "yes or no": "boolean"}


@dataclass(frozen=True)
class _Target:
    """What fills one field, or several (a group)."""

    names: tuple[str, ...]
    spec: ValueSpec
    steps: tuple[Step, ...]
    checks: Mapping[str, Check | None]

    @property
    def is_group(self) -> bool:
        return isinstance(self.spec, GroupSpec)


class CompiledMapping:
    """A source's mapping, checked; fits any header by :meth:`bind`."""

    def __init__(self, config: SourceConfig, targets: Sequence[_Target]) -> None:
        self._config = config
        self._targets = targets

    def bind(self, columns: Sequence[str]) -> BoundMapping:
        """Fit the mapping to a header: the names of its columns, in the order of the cells.

        A mapped column that the header lacks counts as empty, and is named in ``missing``.
        """
        positions = {clean_header(name): index for index, name in reversed(list(enumerate(columns)))}
        return BoundMapping(self._config, self._targets, positions)


class BoundMapping:
    """A mapping that fits one header.

    ``missing``: the mapped columns that the header lacks; ``missing_required``: those without which no row may be
    mapped; ``used``: the positions of the cells that are read.
    """

    def __init__(self, config: SourceConfig, targets: Sequence[_Target], positions: Mapping[str, int]) -> None:
        self.missing = tuple(name for name in config.columns if clean_header(name) not in positions)
        self.missing_required = tuple(name for name in config.required_columns if clean_header(name) not in positions)
        self.used = frozenset(positions[name] for name in map(clean_header, config.columns) if name in positions)
        fields: list[tuple[str, Read, bool]] = []
        groups: list[tuple[tuple[str, ...], Read, Mapping[str, Check | None], bool]] = []
        for target in targets:
            lenient = target.spec.on_error is None
            read = _target_reader(target, positions)
            if target.is_group:
                groups.append((target.names, read, target.checks, lenient))
            else:
                fields.append((target.names[0], _checked(read, target.checks[target.names[0]]), lenient))
        self._fields = tuple(fields)
        self._groups = tuple(groups)
        self._required = config.required
        self._empty: Body = dict.fromkeys(lead_fields())

    def map(self, cells: Cells) -> tuple[Body, list[Reason]]:
        """The lead of a row, and everything that is wrong with it (empty: it may pass).

        The lead has every canonical field; what the row does not say is ``None``, no age groups an empty list.
        The reasons never hold a value of the row.
        """
        body = self._empty.copy()
        reasons: list[Reason] = []
        for name, read, lenient in self._fields:
            try:
                body[name] = read(cells)
            except Exception as exc:  # also a mistake in a transform: it costs this row, not the lane
                if not lenient:
                    reasons.append(_reason(name, exc))
        for names, read, checks, lenient in self._groups:
            try:
                parts = read(cells)
                if parts is None:
                    continue
                if not isinstance(parts, dict):
                    raise TransformError("wrong_type", f"is of type {type(parts).__name__}, not a mapping of fields")
            except Exception as exc:  # as above
                if not lenient:
                    reasons.append(_reason(names[0], exc))
                continue
            for name in names:
                value = parts.get(name)
                check = checks[name]
                try:
                    if value is not None and check is not None:
                        check(value)
                    body[name] = value
                except TransformError as exc:
                    if not lenient:
                        reasons.append(_reason(name, exc))
        youngest, oldest = body["min_age"], body["max_age"]
        if youngest is not None and oldest is not None and youngest > oldest:
            reasons.append(Reason("min_age", "ages_reversed", "is above max_age"))
        body["ages_served"] = list(body["ages_served"] or ())
        for name in self._required:
            if not body[name] and body[name] in (None, []) and all(reason.field != name for reason in reasons):
                reasons.append(Reason(name, "required", "is required, and the row does not say it"))
        return body, reasons


def compile_mapping(config: SourceConfig) -> CompiledMapping:
    """A source's mapping, ready to be bound to a header.

    Raises:
        MappingError: the first thing that is wrong, with file and line.
    """
    targets, errors = _compile(config)
    if errors:
        raise errors[0]
    return CompiledMapping(config, targets)


def check_mapping(config: SourceConfig) -> list[MappingError]:
    """Everything that is wrong with a source's transforms; empty when all is well."""
    return _compile(config)[1]


def _compile(config: SourceConfig) -> tuple[list[_Target], list[MappingError]]:
    kinds = canonical_kinds()
    targets: list[_Target] = []
    errors: list[MappingError] = []
    for name, field in config.fields.items():
        path: YamlPath = ("fields", name)
        default = config.transforms.get(name, ())
        where: YamlPath = ("transforms", name) if field.transforms is None and default else (*path, "transforms")
        _add_target(config, (name,), field, default, path, where, kinds, targets, errors)
    for index, group in enumerate(config.groups):
        path = ("groups", index)
        _add_target(config, group.into, group, (), path, (*path, "transforms"), kinds, targets, errors)
    return targets, errors


def _add_target(
    config: SourceConfig,
    names: tuple[str, ...],
    spec: ValueSpec,
    default: Sequence[Any],
    path: YamlPath,
    transforms_path: YamlPath,
    kinds: Mapping[str, type],
    targets: list[_Target],
    errors: list[MappingError],
) -> None:
    steps: list[Step] = []
    for index, named in enumerate(default if spec.transforms is None else spec.transforms):
        try:
            step = build(named.name, named.argument)
        except WrongUseError as exc:
            errors.append(config.error((*transforms_path, index), exc.message, hint=exc.hint))
            return
        try:
            _check_fits(step, steps, spec)
        except WrongUseError as exc:
            # A transform that suits the field, but not the value that this source gives it, is not the defaults' fault.
            place = path if transforms_path == ("transforms", *names) else (*transforms_path, index)
            errors.append(config.error(place, exc.message, hint=exc.hint))
            return
        steps.append(step)
    try:
        given = _check_result(names, spec, steps, kinds)
        last = steps[-1].transform.name if steps else None
        checks = {
            name: check_for(name, kinds[name], object if given is object else kinds[name], last) for name in names
        }
        target = _Target(names, spec, tuple(steps), checks)
        if spec.constant is not None:
            _checked(_piped(lambda _cells: spec.constant, target.steps), checks[names[0]])(())
    except WrongUseError as exc:
        errors.append(config.error(path, exc.message, hint=exc.hint))
    except TransformError as exc:
        errors.append(config.error((*path, "constant"), f"the constant {exc.message}", hint="correct it"))
    else:
        targets.append(target)


def _check_fits(step: Step, before: Sequence[Step], spec: ValueSpec) -> None:
    """Refuse a transform that cannot work on what stands before it.

    Raises:
        WrongUseError: says why.
    """
    name, takes = step.transform.name, step.transform.takes
    kind = _kind_after(before, spec)
    if kind is tuple:
        if takes != "cells" and name != "function":
            raise WrongUseError(
                f"transform {name!r} takes one value, not {len(spec.columns or ())} columns",
                hint="use `column`, `first_of` or `join`",
            )
        wanted = step.transform.columns
        if wanted is not None and len(spec.columns or ()) != wanted:
            raise WrongUseError(
                f"transform {name!r} takes {wanted} columns, not {len(spec.columns or ())}",
                hint="list them in order; see the mapping reference",
            )
        return
    if takes == "cells":
        raise WrongUseError(f"transform {name!r} takes several columns", hint="give `columns: [...]`, and put it first")
    if takes == "raw" and (before or spec.used_columns == () or spec.join):
        raise WrongUseError(f"transform {name!r} reads the cell as it was sent", hint="put it first, on a `column`")
    if takes in {"text", "raw"} and kind not in {str, object}:
        raise WrongUseError(
            f"transform {name!r} takes text, but is given: {KIND_NAMES.get(kind, kind.__name__)}",
            hint="change the order of the transforms" if before else "write the constant in quotes",
        )
    if step.transform.gives is None and kind not in {step.gives, object}:
        raise WrongUseError(
            f"transform {name!r} gives {KIND_NAMES[step.gives]} where "
            f"{KIND_NAMES.get(kind, kind.__name__)} is expected",
            hint="put it before the transform that changes the type",
        )


def _check_result(names: tuple[str, ...], spec: ValueSpec, steps: Sequence[Step], kinds: Mapping[str, type]) -> type:
    """The type that comes out; refuses one that the canonical field cannot hold.

    Raises:
        WrongUseError: says what is missing.
    """
    given = _kind_after(steps, spec)
    if isinstance(spec, GroupSpec):
        if given is not dict and given is not object:
            raise WrongUseError(
                "the last transform of a group must give several parts",
                hint="e.g. full_address, street_address, person_name, age_labels, age_flags, function",
            )
        parts = steps[-1].transform.parts
        for name in names:
            if given is dict and name not in parts:
                raise WrongUseError(
                    f"transform {steps[-1].transform.name!r} gives no {name!r}", hint=f"it gives {', '.join(parts)}"
                )
        return given
    wanted = kinds[names[0]]
    if given in {wanted, object}:
        return given
    if given is tuple:
        raise WrongUseError(
            f"{len(spec.columns or ())} columns need a transform that takes several",
            hint="e.g. weekly_schedule or function; or use first_of or join",
        )
    if given is dict:
        raise WrongUseError(
            f"transform {steps[-1].transform.name!r} gives several parts", hint="use it under `groups:`"
        )
    needed = KIND_NAMES[wanted]
    hint = f"add the transform {_TRANSFORM_FOR[needed]}" if needed in _TRANSFORM_FOR else "write it in quotes"
    raise WrongUseError(
        f"{names[0]!r} holds {needed}, but is given: {KIND_NAMES.get(given, given.__name__)}", hint=hint
    )


def _kind_after(steps: Sequence[Step], spec: ValueSpec) -> type:
    if steps:
        return steps[-1].gives
    if spec.columns is not None:
        return tuple
    return type(spec.constant) if spec.constant is not None else str


def _target_reader(target: _Target, positions: Mapping[str, int]) -> Read:
    """From the cells to the value after all transforms."""
    column, steps = target.spec.column, target.steps
    index = positions.get(clean_header(column)) if column is not None else None
    if index is None or len(steps) != 1 or steps[0].transform.takes != "text" or steps[0].transform.takes_empty:
        return _piped(_reader(target, positions), steps)
    apply = steps[0].apply

    def read(cells: Cells) -> Any:  # what most fields are, in one call instead of two
        text = clean(cells[index])
        return None if text is None else apply(text)

    return read


def _reader(target: _Target, positions: Mapping[str, int]) -> Read:
    """The value a target starts from: cleaned, ``None`` when the cells say nothing."""
    spec = target.spec
    if spec.constant is not None:
        constant = spec.constant
        return lambda _cells: constant
    indexes = [positions.get(clean_header(column)) for column in spec.used_columns]
    if spec.columns is not None:
        return functools.partial(_all_cells, indexes, _cleaned_cells())
    present = [index for index in indexes if index is not None]
    if spec.join is not None:
        return functools.partial(_joined_cells, present, spec.separator)
    raw = bool(target.steps) and target.steps[0].transform.takes == "raw"
    if len(present) == 1 and not raw:
        (index,) = present
        return lambda cells: clean(cells[index])
    return functools.partial(_first_cell, present, raw)


def _first_cell(indexes: Sequence[int], raw: bool, cells: Cells) -> str | None:
    for index in indexes:
        text = cells[index] if raw else clean(cells[index])
        if text and not text.isspace():
            return text
    return None


def _joined_cells(indexes: Sequence[int], separator: str, cells: Cells) -> str | None:
    texts = (clean(cells[index]) for index in indexes)
    return separator.join(text for text in texts if text is not None) or None


def _all_cells(
    indexes: Sequence[int | None], cleaned: Callable[[tuple[str | None, ...]], Any], cells: Cells
) -> tuple[str | None, ...] | None:
    result: tuple[str | None, ...] | None = cleaned(tuple([None if i is None else cells[i] for i in indexes]))
    return result


def _cleaned_cells() -> Callable[[tuple[str | None, ...]], Any]:
    @functools.lru_cache(CACHED_CELLS)  # opening hours and age groups come in few combinations
    def cleaned(cells: tuple[str | None, ...]) -> tuple[str | None, ...] | None:
        texts = tuple(map(clean, cells))
        return texts if any(texts) else None

    return cleaned


def _piped(read: Read, steps: Sequence[Step]) -> Read:
    """``read``, then each step; a step that does not take empty values is passed over by them."""
    for step in steps:
        read = _then(read, step)
    return read


def _then(read: Read, step: Step) -> Read:
    apply = step.apply
    if step.transform.takes_empty:
        return lambda cells: apply(read(cells))
    if step.transform.takes == "raw":
        return lambda cells: None if (value := read(cells)) is None else clean(apply(value))
    return lambda cells: None if (value := read(cells)) is None else apply(value)


def _checked(read: Read, check: Check | None) -> Read:
    if check is None:
        return read

    def read_and_check(cells: Cells) -> Any:
        value = read(cells)
        if value is not None:
            check(value)
        return value

    return read_and_check


def _reason(field: str, exc: Exception) -> Reason:
    if isinstance(exc, TransformError):
        return Reason(field, exc.code, exc.message)
    return Reason(field, "transform_crashed", f"a transform raised {type(exc).__name__}")
