"""What a transform is: how it is declared, looked up, and built with the arguments that YAML gives it."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import ValidationError, validate_call

from leadstream.errors import LeadstreamError
from leadstream.text import hint_for

Apply = Callable[[Any], Any]
Factory = TypeVar("Factory", bound=Callable[..., Apply])
Takes = Literal["text", "raw", "cells", "anything"]
"""``text``: a cleaned cell. ``raw``: the cell as it was sent. ``cells``: a tuple of cleaned cells."""

KIND_NAMES: dict[type, str] = {
    str: "text",
    int: "whole number",
    bool: "yes or no",
    datetime.date: "date",
    list: "list",
    dict: "several parts",
    object: "anything",
}


class TransformError(ValueError):
    """A value is there, but it makes no sense. ``message`` tells its shape at most, never the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class WrongUseError(LeadstreamError):
    """The YAML names a transform that does not exist, or gives it arguments it does not take."""


@dataclass(frozen=True)
class Transform:
    """An entry of the catalogue: ``make`` takes the arguments from YAML and gives the function on values."""

    name: str
    make: Callable[..., Apply]
    takes: Takes
    gives: type | None
    """``None``: the type of its argument."""
    parts: tuple[str, ...]
    """With ``gives=dict``: the canonical fields it can fill."""
    columns: int | None
    """With ``takes="cells"``: how many columns it wants; ``None``: any number."""
    takes_empty: bool
    """Whether it is called without a value, too."""


@dataclass(frozen=True)
class Step:
    """A transform with its arguments: ready to run."""

    transform: Transform
    apply: Apply
    gives: type


CATALOGUE: dict[str, Transform] = {}


def transform(
    *,
    takes: Takes = "text",
    gives: type | None = str,
    parts: tuple[str, ...] = (),
    columns: int | None = None,
    takes_empty: bool = False,
) -> Callable[[Factory], Factory]:
    """Declare a factory of transforms; its name (without a last ``_``) and docstring go to the reference."""

    def declare(factory: Factory) -> Factory:
        name = factory.__name__.rstrip("_")
        CATALOGUE[name] = Transform(name, validate_call(factory), takes, gives, parts, columns, takes_empty)
        return factory

    return declare


def build(name: str, argument: Any) -> Step:
    """The transform called ``name`` with the argument from YAML (``None``: none; a mapping: by name).

    Raises:
        WrongUseError: there is no such transform, or it does not take this argument.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        raise WrongUseError(f"unknown transform {name!r}", hint=hint_for(name, CATALOGUE))
    try:
        if argument is None:
            apply = entry.make()
        elif isinstance(argument, dict):
            apply = entry.make(**argument)
        else:
            apply = entry.make(argument)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"transform {name!r} does not take this: argument {where}: {first['msg']}"
        raise WrongUseError(message, hint=f"it is used as {usage(name)}") from exc
    except ValueError as exc:
        raise WrongUseError(f"transform {name!r}: {exc}", hint=f"it is used as {usage(name)}") from exc
    return Step(entry, apply, entry.gives if entry.gives is not None else _type_of_value(argument))


def usage(name: str) -> str:
    """How a transform is written, e.g. ``date(formats)``."""
    parameters = inspect.signature(CATALOGUE[name].make).parameters.values()
    written = []
    for parameter in parameters:
        default = "" if parameter.default is parameter.empty else f"={_yaml(parameter.default)}"
        written.append(parameter.name + default)
    return f"{name}({', '.join(written)})"


def _type_of_value(argument: Any) -> type:
    value = next(iter(argument.values())) if isinstance(argument, dict) else argument
    return type(value)


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
