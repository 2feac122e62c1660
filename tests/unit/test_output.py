"""How results look on terminals of any width, and in a pipe."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest

from leadstream.cli.output import print_table

COLUMNS = ("count", "code", "seen", "message")
ROWS = [(1200, "too_few_cells", datetime(2026, 1, 31, 8, tzinfo=UTC), "the row has 3 cells, the header has 14")]


class Terminal(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def shown(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    """The lines of the table on a terminal of ``width`` columns, without styles."""
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, ROWS, empty="")
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()


def test_a_table_wraps_sentences_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes and times stay whole; every line keeps within the terminal."""
    lines = shown(monkeypatch, 70)
    assert "1,200   too_few_cells   2026-01-31 08:00:00" in lines[2] and len(lines) > 3
    assert max(map(len, lines)) <= 70


def test_a_row_stands_alone_where_the_table_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell a line, none of them cut or folded."""
    assert shown(monkeypatch, 50) == [
        "count    1200",
        "code     too_few_cells",
        "seen     2026-01-31 08:00:00",
        "message  the row has 3 cells, the header has 14",
    ]


def test_in_a_pipe_a_table_is_never_wrapped_and_no_line_ends_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be compared and cut."""
    print_table(COLUMNS, [*ROWS, (1, "short", None, "")], empty="")
    lines = capsys.readouterr().out.splitlines()
    assert [line == line.rstrip() for line in lines] == [True] * 4
