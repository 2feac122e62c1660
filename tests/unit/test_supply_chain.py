"""What is installed is what was looked at: every dependency by its version and the hash of its bytes."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.system import ROOT

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
LOCKS = ["requirements.lock", "bench/requirements.lock"]


def _pins(name: str) -> dict[str, list[str]]:
    """The hashes of each pin in a lock file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, list[str]] = {}
    for words in entries:
        requirement = Requirement(" ".join(word for word in words if not word.startswith("--hash=")))
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        Version(specifier.version)
        assert not requirement.url and not requirement.extras
        found[str(requirement)] = [word for word in words if word.startswith("--hash=")]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_has_a_version_and_a_hash(name: str) -> None:
    """A package that somebody replaced in the registry is refused, also one that another one asks for."""
    pins = _pins(name)
    assert len(pins) > 50
    for requirement, hashes in pins.items():
        assert hashes and all(HASH.fullmatch(word) for word in hashes), requirement


def test_every_installation_asks_for_the_hashes() -> None:
    """A lock that an installation does not insist on is a list of wishes."""
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        installs = [line for line in text.splitlines() if "pip install" in line]
        assert installs
        for line in installs:
            assert "--require-hashes" in line or "--no-deps" in line, line


def test_what_the_project_needs_is_in_the_lock() -> None:
    """A dependency that was added without `make lock` would be installed from wherever, or not at all."""
    project = (ROOT / "pyproject.toml").read_text()
    wanted = re.findall(r'^    "([A-Za-z0-9_.-]+)', project.partition("[project.scripts]")[0], re.MULTILINE)
    pinned = {re.sub(r"[-_.]+", "-", re.split(r"[=\[; ]", pin)[0]).lower() for pin in _pins("requirements.lock")}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in wanted} <= pinned


def test_the_java_parts_are_pinned_by_hash() -> None:
    """Kafka and the registry come from Maven Central by version and hash."""
    lines = [
        line
        for line in (ROOT / "leadstream/stack/jars.lock").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines and all(re.search(r"\b[0-9a-f]{64}\b", line) for line in lines)


def test_every_test_that_the_security_page_names_exists() -> None:
    """A promise whose test was renamed away is a promise without one."""
    page = (ROOT / "docs/security.md").read_text()
    file, found = "", 0
    for named, test in re.findall(r"(tests/[\w/]+\.py|…)::(\w+)", page):
        file = file if named == "…" else named
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), (file, test)
        found += 1
    assert found > 5


@pytest.mark.parametrize("page", ["security.md", "broken-files.md"])
def test_every_test_that_a_page_names_without_its_file_exists(page: str) -> None:
    """As above."""
    code = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(?:[\w/.…]+::)?(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert len(named) > 5
    for test in named:
        assert re.search(rf"^(async )?def {test}\(", code, re.MULTILINE), test
