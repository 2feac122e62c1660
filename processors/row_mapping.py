"""A mapping that fits one header: what runs once a row.

Everything that a row does not decide is decided before: one function is generated for the header, and a field's value
is looked up by what its cells say. Vendors repeat themselves; a cell that was seen before is not cleaned, transformed
and checked again. That is right because a transform gives the same for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leadstream.generated import function
from leadstream.source_config import GroupSpec, SourceConfig, ValueSpec
from leadstream.text import clean, clean_header
from processors.transforms import Step, TransformError
from processors.validation import Check
from schemas.headers import Reason
from schemas.records import lead_fields

REMEMBERED_VALUES = 4_096
"""A field's values that are kept, so some hundred kilobytes; a field whose values hardly repeat keeps none."""
MIN_HITS = 0.1
LONGEST_REMEMBERED_CHARACTERS = 200
LONGEST_VALUE_CHARACTERS = 10_000
"""No canonical field has use for more; and a lead, with what it was before, must fit into one message."""

Cells = Sequence[str | None]
Body = dict[str, Any]
Make = Callable[[Any], Any]
"""From a cell, or a tuple of cells, to a value."""


@dataclass(frozen=True)
class Target:
    """What fills one field, or several (a group)."""

    names: tuple[str, ...]
    spec: ValueSpec
    steps: tuple[Step, ...]
    checks: Mapping[str, Check | None]

    @property
    def is_group(self) -> bool:
        return isinstance(self.spec, GroupSpec)


class BoundMapping:
    """A mapping that fits one header.

    ``missing``: the mapped columns that the header lacks; ``missing_required``: those without which no row may be
    mapped; ``used``: the positions of the cells that are read.
    """

    def __init__(self, config: SourceConfig, targets: Sequence[Target], positions: Mapping[str, int]) -> None:
        self.missing = tuple(name for name in config.columns if clean_header(name) not in positions)
        self.missing_required = tuple(name for name in config.required_columns if clean_header(name) not in positions)
        self.used = frozenset(positions[name] for name in map(clean_header, config.columns) if name in positions)
        self._rows = 0
        self._required = config.required
        self._fill = self._filler(targets, positions)

    def map(self, cells: Cells) -> tuple[Body, list[Reason]]:
        """The lead of a row, and everything that is wrong with it (empty: it may pass).

        The lead has every canonical field; what the row does not say is ``None``, no age groups an empty list.
        The reasons never hold a value of the row.
        """
        self._rows += 1
        reasons: list[Reason] = []
        body: Body = self._fill(cells, reasons)
        youngest, oldest = body["min_age"], body["max_age"]
        if youngest is not None and oldest is not None and youngest > oldest:
            reasons.append(Reason("min_age", "ages_reversed", "is above max_age"))
        body["ages_served"] = list(body["ages_served"] or ())
        for name in self._required:
            if not body[name] and body[name] in (None, []) and all(reason.field != name for reason in reasons):
                reasons.append(Reason(name, "required", "is required, and the row does not say it"))
        return body, reasons

    def _filler(self, targets: Sequence[Target], positions: Mapping[str, int]) -> Callable[..., Body]:
        """The function that fills the fields of a lead from the cells, and adds to the reasons."""
        empty: Body = dict.fromkeys(lead_fields())
        names: dict[str, Any] = {"empty": empty, "RefusedError": _RefusedError}
        lines = ["body = empty.copy()"]
        for at, target in enumerate(targets):
            cells = [_cell(positions.get(clean_header(column))) for column in target.spec.used_columns]
            given = cells[0] if target.spec.column is not None else f"({', '.join(cells)},)"
            if target.spec.constant is not None:
                given = "None"
            names[f"values_{at}"] = _Values(explained(target), lambda: self._rows)
            fill = f"body.update(values_{at}[{given}])"
            if not target.is_group:
                fill = f"body[{target.names[0]!r}] = values_{at}[{given}]"
            lines += ["try:", f"    {fill}", "except RefusedError as refused:", "    reasons += refused.reasons"]
        return function("fill(cells, reasons)", [*lines, "return body"], names)


class _RefusedError(Exception):
    """The reasons why a value must not pass."""

    def __init__(self, reasons: list[Reason]) -> None:
        super().__init__(len(reasons))
        self.reasons = reasons


class _Values(dict[Any, Any]):
    """The values that a target gave, by cell (or cells); one that is not there is made.

    Once ``REMEMBERED_VALUES`` are there no more are added; and when the ``rows`` so far hardly met one twice (names,
    telephone numbers) they are forgotten.
    """

    def __init__(self, make: Make, rows: Callable[[], int]) -> None:
        super().__init__()
        self._make = make
        self._rows = rows
        self._is_full = False

    def __missing__(self, given: Any) -> Any:
        value = self._make(given)
        if not self._is_full and _characters(given) <= LONGEST_REMEMBERED_CHARACTERS:
            self[given] = value
            if len(self) >= REMEMBERED_VALUES:
                self._is_full = True
                if self._rows() * (1 - MIN_HITS) < len(self):
                    self.clear()
        return value


def _characters(given: Any) -> int:
    return sum(map(_characters, given)) if isinstance(given, tuple) else len(given or "")


def made_from(target: Target) -> Make:
    """From the cell (or the tuple of cells) that a target reads to its value; of a group, to its fields' values.

    The function raises what a transform or check raises.
    """
    start, checks = _start(target), target.checks
    for step in target.steps:
        start = _then(start, step)
    return start if target.is_group else _checked(start, checks[target.names[0]])


def explained(target: Target) -> Make:
    """As :func:`made_from`; the function raises ``_RefusedError`` alone, and not where the YAML drops a bad value."""
    make, lenient, names = made_from(target), target.spec.on_error is None, target.names

    def value(given: Any) -> Any:
        try:
            return make(given)
        except Exception as exc:  # also a mistake in a transform: it costs this row, not the lane
            if lenient:
                return None
            raise _RefusedError([_reason(names[0], exc)]) from exc

    def values(given: Any) -> Body:
        try:
            parts = make(given)
            if parts is None:
                return {}
            if not isinstance(parts, dict):
                raise TransformError("wrong_type", f"is of type {type(parts).__name__}, not a mapping of fields")
        except Exception as exc:  # as above
            if lenient:
                return {}
            raise _RefusedError([_reason(names[0], exc)]) from exc
        return _checked_parts(target, parts, lenient)

    return values if target.is_group else value


def _checked_parts(target: Target, parts: Body, lenient: bool) -> Body:
    good: Body = {}
    reasons = []
    for name in target.names:
        value, check = parts.get(name), target.checks[name]
        try:
            if value is not None and check is not None:
                check(value)
            good[name] = value
        except TransformError as exc:
            reasons.append(_reason(name, exc))
    if reasons and not lenient:
        raise _RefusedError(reasons)
    return good


def _cell(position: int | None) -> str:
    return "None" if position is None else f"cells[{position}]"


def _start(target: Target) -> Make:
    """The value a target starts from: cleaned, ``None`` when the cells say nothing."""
    spec = target.spec
    if spec.constant is not None:
        return lambda _nothing: spec.constant
    if spec.columns is not None:
        return _all_cells
    if spec.join is not None:
        separator = spec.separator
        return lambda cells: _not_too_long(separator.join(filter(None, map(clean, cells))) or None)
    take = _unless_blank if target.steps and target.steps[0].transform.takes == "raw" else _said
    if spec.column is not None:
        return take
    return lambda cells: next(filter(None, map(take, cells)), None)


def _said(cell: str | None) -> str | None:
    text = clean(cell)
    return text if text is None or len(text) <= LONGEST_VALUE_CHARACTERS else _not_too_long(text)


def _unless_blank(cell: str | None) -> str | None:
    return _not_too_long(cell if cell and not cell.isspace() else None)


def _not_too_long(text: str | None) -> str | None:
    if text is not None and len(text) > LONGEST_VALUE_CHARACTERS:
        raise TransformError("too_long", f"has {len(text):,} characters, more than {LONGEST_VALUE_CHARACTERS:,}")
    return text


def _all_cells(cells: tuple[str | None, ...]) -> tuple[str | None, ...] | None:
    texts = tuple(map(_said, cells))
    return texts if any(texts) else None


def _then(make: Make, step: Step) -> Make:
    """``make``, then a step; one that does not take empty values is passed over by them."""
    apply = step.apply
    if step.transform.takes_empty:
        return lambda given: apply(make(given))
    if step.transform.takes == "raw":
        return lambda given: None if (value := make(given)) is None else clean(apply(value))
    return lambda given: None if (value := make(given)) is None else apply(value)


def _checked(make: Make, check: Check | None) -> Make:
    if check is None:
        return make

    def make_and_check(given: Any) -> Any:
        value = make(given)
        if value is not None:
            check(value)
        return value

    return make_and_check


def _reason(field: str, exc: Exception) -> Reason:
    if isinstance(exc, TransformError):
        return Reason(field, exc.code, exc.message)
    return Reason(field, "transform_crashed", f"a transform raised {type(exc).__name__}")
