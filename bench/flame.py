"""A flame graph as a picture: folded stacks in, one SVG out. Pure: no input or output.

The format of the stacks is that of the flame graph tools: frames from the outermost on, joined by ``;``, then a space
and how often this stack was seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

OWN = ("leadstream", "producer", "processors", "schemas", "sink")
WIDTH_PIXELS = 1_200
ROW_PIXELS = 17
LETTER_PIXELS = 6.6
HEADER_PIXELS = 30
LEAST_SHARE = 0.004
"""A frame that is seen less often is left out of the picture; its time stays in its caller's."""
OWN_COLOR, OTHER_COLOR, LOOP_COLOR = "#5aa9c4", "#d9b36c", "#cfd4d6"

WAITING = ("selectors:", "threading:", "concurrent.futures.thread:_worker")
"""Innermost frames of a thread that has nothing to do: the profiler does not always see that it sleeps."""

_FRAME = re.compile(r"(?P<function>.+?) \((?P<file>[^()]*?)(:\d+)?\)$")
_OUTSIDE = re.compile(r".*(site-packages|python3\.\d+)/")

Stack = tuple[str, ...]
"""Frames as ``module:function``, the outermost first."""


def stacks(folded: str, root: str) -> dict[Stack, int]:
    """How often each stack was seen, those left out that only wait. What runs every task alike (the event loop,
    threads) is cut off at its outer end.

    ``root``: the folder of the project; no file is named by its place on the machine.
    """
    found: dict[Stack, int] = {}
    for line in folded.splitlines():
        text, _space, count = line.rpartition(" ")
        frames = [_name(frame, root) for frame in text.split(";")]
        loops = [at for at, frame in enumerate(frames) if frame.startswith(("asyncio.events:", "threading:"))]
        stack = tuple(frames[loops[-1] + 1 :] if loops else frames)
        if not stack or stack[-1].startswith(WAITING):
            continue
        found[stack] = found.get(stack, 0) + int(count)
    return found


def shares(found: dict[Stack, int], most: int) -> list[tuple[str, float]]:
    """Where the time goes: the innermost function of ours in each stack, and the library it waits in; most first."""
    total = sum(found.values())
    by_place: dict[str, int] = {}
    for stack, count in found.items():
        by_place[_place(stack)] = by_place.get(_place(stack), 0) + count
    ranked = sorted(by_place.items(), key=lambda item: -item[1])
    return [(place, round(count / total, 3)) for place, count in ranked[:most]]


def svg(found: dict[Stack, int], title: str) -> str:
    """The picture: callers below, what they call above, as wide as it was seen often."""
    root = _Node("all")
    for stack, count in found.items():
        root.add(stack, count)
    least = root.count * LEAST_SHARE
    height = HEADER_PIXELS + ROW_PIXELS * root.depth(least)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PIXELS} {height}" '
        f'font-family="monospace" font-size="11">',
        f'<rect width="{WIDTH_PIXELS}" height="{height}" fill="#ffffff"/>',
        f'<text x="6" y="19" font-size="14">{escape(title)}</text>',
    ]
    _draw(root, 0.0, height - ROW_PIXELS, WIDTH_PIXELS / root.count, least, root.count, parts)
    return "\n".join([*parts, "</svg>", ""])


@dataclass
class _Node:
    name: str
    count: int = 0
    children: dict[str, _Node] = field(default_factory=dict)

    def add(self, stack: Sequence[str], count: int) -> None:
        self.count += count
        if stack:
            self.children.setdefault(stack[0], _Node(stack[0])).add(stack[1:], count)

    def shown(self, least: float) -> Iterable[_Node]:
        return (child for _name, child in sorted(self.children.items()) if child.count >= least)

    def depth(self, least: float) -> int:
        return 1 + max((child.depth(least) for child in self.shown(least)), default=0)


def _draw(node: _Node, x: float, y: float, scale: float, least: float, total: int, parts: list[str]) -> None:
    width = node.count * scale
    letters = int((width - 4) / LETTER_PIXELS)
    label = node.name if len(node.name) <= letters else node.name.rpartition(":")[2][:letters]
    parts.append(
        f'<g><title>{escape(node.name)} {node.count / total:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
        f'height="{ROW_PIXELS - 1}" fill="{_color(node.name)}"/>'
        + (f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(label)}</text>' if letters > 2 else "")
        + "</g>"
    )
    for child in node.shown(least):
        _draw(child, x, y - ROW_PIXELS, scale, least, total, parts)
        x += child.count * scale


def _color(name: str) -> str:
    if name.startswith(OWN):
        return OWN_COLOR
    return LOOP_COLOR if name.startswith(("asyncio", "all")) else OTHER_COLOR


def _name(frame: str, root: str) -> str:
    match = _FRAME.match(frame)
    if match is None:
        return frame.rpartition("/")[2]
    file = _OUTSIDE.sub("", match["file"].removeprefix(root).lstrip("/"))
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{module}:{match['function']}"


def _place(stack: Stack) -> str:
    inner = next((frame for frame in reversed(stack) if frame.startswith(OWN)), None)
    library = stack[-1].partition(":")[0].partition(".")[0]
    if inner is None:
        outer = next((frame for frame in stack if not frame.startswith("asyncio")), stack[0])
        return outer.partition(":")[0].partition(".")[0] + " (its own tasks)"
    return inner if library in OWN else f"{inner} → {library}"
