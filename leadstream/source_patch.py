"""Other column names in a source's YAML, and not a byte more: comments, order and layout stay as they are.

A parsed and printed document would lose its line breaks and indents; so the parser (ruamel.yaml) only says where the
names stand, and they are replaced there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leadstream.source_config import SourceConfig, ValueSpec
from leadstream.source_yaml import YamlPath
from leadstream.text import clean_header

_COLUMN_KEYS = frozenset({"column", "first_of", "join", "columns"})
"""Keys of a field, a group or a part of the key under which columns are named; see ``leadstream.source_config``."""
_ONE_LINE_STYLES = frozenset({None, "", "'", '"'})
_MERGE_KEY = "<<"
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
"""An anchor and a tag, which the parser counts among a scalar."""


@dataclass(frozen=True)
class NamedColumn:
    """A place where a source names a column: ``path`` in the mapping, ``file`` and ``line`` (1-based)."""

    column: str
    path: YamlPath
    file: Path
    line: int


def named_columns(config: SourceConfig) -> list[NamedColumn]:
    """Every place, in the source's file or in the defaults, that names a column and is in force."""
    paths: list[tuple[str, YamlPath]] = [
        (part.column, ("key", index, "column")) for index, part in enumerate(config.key)
    ]
    specs: list[tuple[YamlPath, ValueSpec]] = [(("fields", name), spec) for name, spec in config.fields.items()]
    specs += [(("groups", index), spec) for index, spec in enumerate(config.groups)]
    for path, spec in specs:
        if spec.column is not None:
            paths.append((spec.column, (*path, "column")))
        for key in ("first_of", "join", "columns"):
            paths += [(column, (*path, key, index)) for index, column in enumerate(getattr(spec, key) or ())]
    paths += [(column, ("required_columns", index)) for index, column in enumerate(config.named_columns or ())]
    return [NamedColumn(column, path, *config.place(path)) for column, path in paths]


def rename_columns(text: str, renames: Mapping[str, str]) -> str:
    """The text of a source's YAML with other column names (old: new), where they stand on one line.

    Columns are compared as everywhere: case and white space do not count. ``text`` must be a source's YAML that can
    be used. What still has an old name afterwards, :func:`named_columns` tells: it stands in the defaults, or is
    written over several lines.
    """
    new_names = {clean_header(old): new for old, new in renames.items()}
    places: dict[int, ScalarNode] = {}  # by position: an alias leads to the same place as its anchor
    for node in _column_nodes(YAML(typ="rt").compose(text)):
        is_on_one_line = node.style in _ONE_LINE_STYLES and node.start_mark.line == node.end_mark.line
        if clean_header(node.value) in new_names and is_on_one_line:
            places[node.start_mark.index] = node
    for start, node in sorted(places.items(), reverse=True):
        new = new_names[clean_header(node.value)]
        properties = _PROPERTIES.match(text[start : node.end_mark.index])
        start += properties.end() if properties else 0
        text = text[:start] + _scalar(" ".join(new.split()), node.style) + text[node.end_mark.index :]
    return text


def _column_nodes(root: Node | None) -> Iterator[ScalarNode]:
    sections = dict(_entries(root))
    for spec in (*_items(sections.get("key")), *_items(sections.get("groups"))):
        yield from _named_by(spec)
    for _field, spec in _entries(sections.get("fields")):
        if isinstance(spec, ScalarNode):
            yield spec
        else:
            yield from _named_by(spec)
    yield from _scalars(sections.get("required_columns"))


def _named_by(spec: Node) -> Iterator[ScalarNode]:
    for key, value in _entries(spec):
        if key in _COLUMN_KEYS:
            yield from _scalars(value)


def _scalars(node: Node | None) -> Iterator[ScalarNode]:
    for item in (node, *_items(node)):
        if isinstance(item, ScalarNode):
            yield item


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    """The entries of a mapping; what merge keys bring in comes last, and is not in force where the key came before."""
    if isinstance(node, MappingNode):
        entries = [(str(key.value), value) for key, value in node.value]
        own = {key for key, _value in entries}
        for key, value in entries:
            if key != _MERGE_KEY:
                yield key, value
        for key, merged in entries:
            for mapping in (merged, *_items(merged)) if key == _MERGE_KEY else ():
                for name, value in _entries(mapping):
                    if name not in own:
                        own.add(name)
                        yield name, value


def _items(node: Node | None) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else []


def _scalar(name: str, style: str | None) -> str:
    """A name as YAML, in the style of the one it replaces where it can be written so."""
    if style == '"' or not name.isprintable():
        return json.dumps(name, ensure_ascii=False)  # a JSON string is a YAML string
    if style != "'" and _is_plain(name):
        return name
    return "'" + name.replace("'", "''") + "'"


def _is_plain(name: str) -> bool:
    """Whether a name needs no quotes, neither on a line of its own nor inside brackets."""
    if name[0] in "&*!":  # an anchor, an alias, a tag
        return False
    try:
        read = YAML(typ="safe", pure=True).load(f"- {{k: [{name}, {name}]}}\n- k: {name}\n")
    except YAMLError:
        return False
    return bool(read == [{"k": [name, name]}, {"k": name}])
