"""From a vendor's row to a lead: a source's YAML made into plain functions on the cells of a row.

``compile_mapping`` checks the YAML against the catalogue of transforms, ``bind`` fits it to one header, ``map`` turns a
row into the lead's fields. Nothing is looked up, parsed or compiled per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leadstream.errors import MappingError
from leadstream.source_config import GroupSpec, SourceConfig, ValueSpec
from leadstream.source_yaml import YamlPath
from leadstream.text import clean_header
from processors.row_mapping import BoundMapping, Target, made_from
from processors.transforms import KIND_NAMES, Step, TransformError, WrongUseError, build
from processors.validation import canonical_kinds, check_for

_REFERENCE_HINT = "the mapping reference describes every transform"
_TRANSFORM_FOR = {"whole number": "integer", "date": "date", "yes or no": "boolean"}


class CompiledMapping:
    """A source's mapping, checked; fits any header by :meth:`bind`."""

    def __init__(self, config: SourceConfig, targets: Sequence[Target]) -> None:
        self._config = config
        self._targets = targets

    def bind(self, columns: Sequence[str]) -> BoundMapping:
        """Fit the mapping to a header: the names of its columns, in the order of the cells.

        A mapped column that the header lacks counts as empty, and is named in ``missing``.
        """
        positions = {clean_header(name): index for index, name in reversed(list(enumerate(columns)))}
        return BoundMapping(self._config, self._targets, positions)


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


def _compile(config: SourceConfig) -> tuple[list[Target], list[MappingError]]:
    kinds = canonical_kinds()
    targets: list[Target] = []
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
    targets: list[Target],
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
            _check_fits(step, steps, spec, kinds[names[0]])
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
        target = Target(names, spec, tuple(steps), checks)
        if spec.constant is not None:
            made_from(target)(None)
    except WrongUseError as exc:
        errors.append(config.error(path, exc.message, hint=exc.hint))
    except TransformError as exc:
        errors.append(config.error((*path, "constant"), f"the constant {exc.message}", hint="correct it"))
    else:
        targets.append(target)


def _check_fits(step: Step, before: Sequence[Step], spec: ValueSpec, holds: type) -> None:
    """Refuse a transform that cannot work on what stands before it; ``holds``: the kind of the canonical field.

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
            hint=_hint_for_order(name, before, kind, holds) if before else "write the constant in quotes",
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
    culprit, better = _giver_of(given, steps), _TRANSFORM_FOR.get(needed)
    if culprit:
        hint = f"put {better} in place of {culprit}" if better else f"take out the transform {culprit}"
    else:
        hint = f"add the transform {better}" if better else "write it in quotes"
    raise WrongUseError(
        f"{names[0]!r} holds {needed}, but is given: {KIND_NAMES.get(given, given.__name__)}", hint=hint
    )


def _hint_for_order(name: str, before: Sequence[Step], kind: type, wanted: type) -> str:
    """What to do about transform ``name``, which takes text, behind one that gives something else."""
    culprit = _giver_of(kind, before)
    if culprit is None or kind is wanted or kind is dict:
        return "change the order of the transforms"
    return f"take out the transform {culprit}: {name} reads the text itself"


def _giver_of(kind: type, steps: Sequence[Step]) -> str | None:
    """The first transform that made a value of ``kind``."""
    return next((step.transform.name for step in steps if step.gives is kind), None)


def _kind_after(steps: Sequence[Step], spec: ValueSpec) -> type:
    if steps:
        return steps[-1].gives
    if spec.columns is not None:
        return tuple
    return type(spec.constant) if spec.constant is not None else str
