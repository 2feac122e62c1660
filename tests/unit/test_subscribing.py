"""The page for subscribers and the programs it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import ROOT

PAGE = ROOT / "docs" / "subscribing.md"
EXAMPLES = sorted((ROOT / "examples").iterdir())
LANGUAGES = {".py": "python", ".sh": "sh"}
MAX_LINES = 44

each_example = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)


@each_example
def test_the_page_shows_each_program_word_for_word(file: Path) -> None:
    """What a reader copies from the page is what the tests run."""
    assert f"\n```{LANGUAGES[file.suffix]}\n{file.read_text()}```\n" in PAGE.read_text()


@each_example
def test_a_program_is_short(file: Path) -> None:
    """An example is read at one glance."""
    assert len(file.read_text().splitlines()) <= MAX_LINES
