"""``python -m tests.unit.hostile_streams NAME SIZE``: a hostile file through the splitter, in a process of its own.

Prints what came of it, and how much the process has grown, as JSON. The streams are made as they are read.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from leadstream.errors import BadRecordError
from producer.splitter import Damaged, Rows, Splitter

CHUNK = 1024 * 1024
HEADER = b"Name,City,Phone\n"
FOLLOWING = b"Blue,Reno,1\nRed,Elko,2\n"


def endless_line(megabytes: int) -> Iterator[bytes]:
    """A cell without an end, then good rows."""
    yield HEADER + b"x,"
    yield from itertools.repeat(b"y" * CHUNK, megabytes)
    yield b"\n" + FOLLOWING


def endless_quoted_cell(megabytes: int) -> Iterator[bytes]:
    """A quote that is never closed, with line ends in the cell; then good rows."""
    yield HEADER + b'x,"'
    yield from itertools.repeat(((b"y" * 4095) + b"\n") * (CHUNK // 4096), megabytes)
    yield b"\n" + FOLLOWING


def endless_header(megabytes: int) -> Iterator[bytes]:
    """A first line without an end."""
    yield from itertools.repeat(b"Name," * (CHUNK // 5), megabytes)


def open_header(megabytes: int) -> Iterator[bytes]:
    """A quote in the header that is never closed."""
    yield b'Name,"City,Phone\n'
    yield from itertools.repeat(b"Blue,Reno,1\n" * (CHUNK // 12), megabytes)


def blank_lines(megabytes: int) -> Iterator[bytes]:
    """Nothing but line ends before the table."""
    yield from itertools.repeat(b"\n" * CHUNK, megabytes)
    yield HEADER + FOLLOWING


def damaged_lines(megabytes: int) -> Iterator[bytes]:
    """Rows of one letter: each is damage of its own."""
    yield HEADER + FOLLOWING * 50  # enough that it passes for a table
    yield from itertools.repeat(b"y\n" * (CHUNK // 2), megabytes)
    yield FOLLOWING


def runaway_quotes(megabytes: int) -> Iterator[bytes]:
    """A wide table in which every line opens a quote that the next line closes and opens again."""
    yield b",".join(b"c%d" % n for n in range(4_000)) + b"\n"
    yield from itertools.repeat(b'x","\n' * (CHUNK // 5), megabytes)


def nul_bytes(megabytes: int) -> Iterator[bytes]:
    """A disk image, as it were."""
    yield from itertools.repeat(bytes(CHUNK), megabytes)


def archive(path: str) -> Iterator[bytes]:
    """A file that stands on the disk."""
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


STREAMS: dict[str, Callable[[int], Iterator[bytes]]] = {
    stream.__name__: stream
    for stream in (
        *(endless_line, endless_quoted_cell, endless_header, open_header, blank_lines, damaged_lines),
        *(runaway_quotes, nul_bytes),
    )
}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(name: str, size: str) -> None:
    """Split the stream (``size`` in megabytes, or ``archive`` and its path) and say what came of it."""
    chunks = archive(size) if name == "archive" else STREAMS[name](int(size))
    before = _peak_bytes()
    splitter = Splitter(name="a.csv")
    counts = {"rows": 0, "damaged": 0}
    code = ""
    try:
        for chunk in itertools.chain(chunks, [None]):
            for event in splitter.finish() if chunk is None else splitter.feed(chunk):
                if isinstance(event, Rows):
                    counts["rows"] += len(event.cells)
                elif isinstance(event, Damaged):
                    counts["damaged"] += 1
    except BadRecordError as exc:
        code = exc.code
    print(json.dumps({"code": code, **counts, "grown_bytes": _peak_bytes() - before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
