"""A YAML file as plain values, with the line of each of them, so that every error can name its place."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from leadstream.errors import MappingError

YamlPath = tuple[str | int, ...]
Places = dict[YamlPath, tuple[Path, int]]
"""Where each value of a document stands: file and line (1-based)."""


def read_yaml(file: Path) -> tuple[dict[str, Any], Places]:
    """The mapping in ``file`` and the place of each value; see :func:`parse_yaml`.

    Raises:
        MappingError: the file cannot be read, is no YAML, or holds no mapping; names the line.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise MappingError(f"cannot be read: {exc}", file=file, hint="save it as readable UTF-8 text") from exc
    return parse_yaml(text, file)


def parse_yaml(text: str, file: Path) -> tuple[dict[str, Any], Places]:
    """The mapping in a text, and the place of each value as if the text stood in ``file``.

    Keys become text (``true:`` is the key ``"true"``), dates ISO text. What a merge key (``<<``) or an alias brings in
    has the place where it is written.

    Raises:
        MappingError: it is no YAML, or holds no mapping; names the line.
    """
    try:
        document = YAML(typ="rt").load(text)
    except YAMLError as exc:
        raise _syntax_error(exc, file) from exc
    except Exception as exc:  # e.g. AttributeError, for a merge key that brings in the mapping it stands in
        raise MappingError(f"is no YAML ({type(exc).__name__})", file=file, hint="correct its aliases (`*`)") from exc
    if document is None:
        document = CommentedMap()
    if not isinstance(document, CommentedMap):
        raise MappingError("holds no mapping", file=file, line=1, hint="write `key: value` lines")
    places: Places = {(): (file, 1)}
    plain: dict[str, Any] = _plain(document, (), file, places)
    return plain, places


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``: mappings at the top are merged by entry, all else is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = below | value if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def merge_places(base: Places, over: Places) -> Places:
    """The places of a merged document: what the upper file says stands there."""
    replaced = {path for path in over if len(path) == 2}
    return {path: place for path, place in base.items() if path[:2] not in replaced or len(path) < 2} | over


def place_of(places: Places, path: YamlPath) -> tuple[Path, int]:
    """The place of the value at ``path``, or of the nearest value around it."""
    while path and path not in places:
        path = path[:-1]
    return places[path]


def _plain(node: Any, path: YamlPath, file: Path, places: Places) -> Any:
    if isinstance(node, CommentedMap):
        result: dict[str, Any] = {}
        for key, value in node.items():
            name = str(key).lower() if isinstance(key, bool) else str(key)
            places[(*path, name)] = (file, _line_of(node, key))
            result[name] = _plain(value, (*path, name), file, places)
        return result
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            places[(*path, index)] = (file, node.lc.item(index)[0] + 1)
        return [_plain(value, (*path, index), file, places) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, datetime.date):
        return node.isoformat()
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)  # ruamel's scalars remember their style; we do not want it
    return str(node)


def _line_of(node: CommentedMap, key: Any) -> int:
    """The line of a key, its own or one that a merge key brings in."""
    while key not in (node.lc.data or ()):
        node = next(merged for merged in node.merge if key in merged)
    line: int = node.lc.key(key)[0] + 1
    return line


def _syntax_error(exc: YAMLError, file: Path) -> MappingError:
    if isinstance(exc, MarkedYAMLError):
        mark = exc.problem_mark or exc.context_mark
        problem = " ".join(str(exc.problem or exc.context or "cannot be parsed").split())
        line = mark.line + 1 if mark is not None else 0
    else:
        problem, line = " ".join(str(exc).split()), 0
    hint = "correct the YAML; quote values that hold `: `, `#` or start with one of `*&!%@`"
    return MappingError(f"is no YAML: {problem}", file=file, line=line, hint=hint)
