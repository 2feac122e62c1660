"""Other column names in a source's YAML, and not a byte more: comments, order and layout stay as they are.

A parsed and printed document would lose its line breaks and indents; so the parser (ruamel.yaml) only says where the
names stand, and they are replaced there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leadstream.text import clean_header

_COLUMN_KEYS = frozenset({"column", "first_of", "join", "columns"})
"""Keys of a field, a group or a part of the key under which columns are named; see ``leadstream.source_config``."""
_ONE_LINE_STYLES = frozenset({None, "", "'", '"'})


def rename_columns(text: str, renames: Mapping[str, str]) -> tuple[str, set[str]]:
    """The text of a source's YAML with other column names, and which of ``renames`` (old: new) it does not name.

    Columns are compared as everywhere: case and white space do not count. ``text`` must be a source's YAML that can
    be used.
    """
    new_names = {clean_header(old): new for old, new in renames.items()}
    places: dict[int, ScalarNode] = {}  # by position: an alias leads to the same place as its anchor
    for node in _column_nodes(YAML(typ="rt").compose(text)):
        if clean_header(node.value) in new_names and node.style in _ONE_LINE_STYLES:
            places[node.start_mark.index] = node
    for start, node in sorted(places.items(), reverse=True):
        new = new_names[clean_header(node.value)]
        text = text[:start] + _scalar(" ".join(new.split()), node.style) + text[node.end_mark.index :]
    named = {clean_header(node.value) for node in places.values()}
    return text, {old for old in renames if clean_header(old) not in named}


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
    if isinstance(node, MappingNode):
        yield from ((str(key.value), value) for key, value in node.value)


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
    try:
        read = YAML(typ="safe", pure=True).load(f"- {{k: [{name}, {name}]}}\n- k: {name}\n")
    except YAMLError:
        return False
    return bool(read == [{"k": [name, name]}, {"k": name}])
