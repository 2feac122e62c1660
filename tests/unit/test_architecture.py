"""The shape of the code: what may import what, and what a reader may rely on."""

from __future__ import annotations

import ast
import gc
import re
import subprocess
from pathlib import Path

import pytest

from tests.system import ROOT

STAGES = {"producer", "processors", "sink"}
MAX_LINES = 500


def _imports(file: Path) -> set[str]:
    """Top-level packages that a module imports, wherever in it."""
    found = set()
    gc.disable()  # Python 3.11 fails to parse when the collector runs code that parses, as a traceback does
    try:
        tree = ast.parse(file.read_text())
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_never_imports_another(stage: str) -> None:
    """They meet in the topics that schemas/ describes, and nowhere else."""
    for module in _modules(stage):
        assert not _imports(module) & (STAGES - {stage}), module


def test_the_contracts_know_nothing_of_the_stages() -> None:
    """schemas/ stands below everything but the shared settings and errors."""
    for module in _modules("schemas"):
        assert not _imports(module) & STAGES, module


def test_what_all_stages_share_knows_none_of_them_but_in_the_command_line() -> None:
    """leadstream/ is below the stages; only the command line, which starts them, is above."""
    for module in _modules("leadstream"):
        if "cli" not in module.relative_to(ROOT).parts:
            assert not _imports(module) & STAGES, module


def test_no_file_hides_a_second_concept_behind_its_length() -> None:
    """Past 500 lines there is a second concept in a file."""
    for package in ("leadstream", "schemas", "tests", "bench", *STAGES):
        for module in _modules(package):
            assert len(module.read_text().splitlines()) <= MAX_LINES, module


@pytest.mark.parametrize("name", ["requirements.lock", "bench/requirements.lock"])
def test_the_locks_pin_every_dependency_by_hash_and_name_no_host(name: str) -> None:
    """An install gives the same bytes everywhere, from whatever registry the machine uses."""
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins and all("==" in line and line.endswith("\\") for line in pins)


def test_make_help_lists_every_target() -> None:
    """Who types make sees what there is."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    declared = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = declared[1].replace("\\", " ").split() if declared else []
    assert "install" in targets and "bench-lock" in targets
    for target in targets:
        assert f"make {target} " in shown, target
