"""The command line: it teaches, it says what is wrong in one line, and it is documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadstream.cli.app import command_tree, run
from leadstream.cli.output import json_line
from leadstream.postgres import place

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "commands.md"
NOWHERE = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1",
    "POSTGRES_DSN": "postgresql://reader:secret@127.0.0.1:1/leads",
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": "secret",
}
SOURCE = "key: [{column: Id}]\nfields: {phone: Phone, address1: Street}\n"


def _commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(node, "commands", {})
    if path and (not children or node.invoke_without_command):
        yield path, node
    for name, child in children.items():
        yield from _commands(child, (*path, name))


COMMANDS = dict(_commands(command_tree()))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def _leadstream(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **NOWHERE, "LEADSTREAM_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "leadstream", *arguments],
        check=False,
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one source, acme."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "acme.yaml").write_text(SOURCE)
    (tmp_path / "list.csv").write_text("Id,Phone,Street\n1,555-0100,1 Main St\n")
    return tmp_path


@each_command
def test_every_command_teaches_by_example(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what the command does and shows at least one command line that begins with its name."""
    assert run([*path, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Examples:" in text
    assert "leadstream " + " ".join(path) in text.partition("Examples:")[2]


@each_command
def test_every_option_explains_itself(path: tuple[str, ...]) -> None:
    """No option or argument stands in the help without a sentence."""
    for parameter in COMMANDS[path].params:
        assert parameter.help, f"{path}: {parameter.name}"


@each_command
def test_every_command_and_option_is_in_the_reference(path: tuple[str, ...]) -> None:
    """docs/commands.md has a section for the command that names each of its options."""
    sections = re.split(r"^## ", REFERENCE.read_text(), flags=re.MULTILINE)
    section = next((s for s in sections if s.startswith(f"`leadstream {' '.join(path)}`\n")), None)
    assert section is not None, f"docs/commands.md lacks ## `leadstream {' '.join(path)}`"
    for parameter in COMMANDS[path].params:
        names = [name for name in parameter.opts if name.startswith("--") and name != "--help"]
        assert all(f"`{name}" in section for name in names), f"{path}: {names} in docs/commands.md"


def test_the_reference_names_no_command_that_is_not_there() -> None:
    """A section of docs/commands.md that outlived its command is found."""
    described = re.findall(r"^## `leadstream ([^`]+)`$", REFERENCE.read_text(), flags=re.MULTILINE)
    assert sorted(described) == sorted(" ".join(path) for path in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["loads", "--no-such-option"],
        ["loads", "--limit", "0"],
        ["leads"],
        ["leads", "show"],
        ["put", "no-such-file.csv", "--source", "acme"],
        ["samples", "mars", "--out", "x.csv"],
        ["tail", "--from", "yesterday"],
        ["tail", "--count", "many"],
        ["tail", "--op", "x"],
        ["dlq", "list", "--since", "yesterday"],
        ["export", "--to", "x.csv"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_code_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said on standard error in one line that names the help to read."""
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"error: .+ → leadstream .*--help\n", captured.err)
    assert "Value error" not in captured.err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types only the name sees what there is."""
    assert run([]) == 0
    assert "leadstream demo" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["loads"], "POSTGRES_DSN"),
        (["leads", "show", "acme:1"], "POSTGRES_DSN"),
        (["dlq", "list"], "POSTGRES_DSN"),
        (["migrate"], "POSTGRES_DSN"),
        (["put", "list.csv", "--source", "acme"], "S3_ENDPOINT_URL"),
        (["schemas", "list"], "SCHEMA_REGISTRY_URL"),
        (["tail", "--from", "earliest"], "KAFKA_BOOTSTRAP_SERVERS"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_part_that_is_away_is_said_in_one_line(arguments: list[str], named: str, folder: Path) -> None:
    """No traceback: which part, where, and which setting to check; no password in it. Exit code 1."""
    done = _leadstream(folder, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert named in done.stderr
    assert "secret" not in done.stderr


def test_verbose_adds_the_traceback_wherever_it_stands(folder: Path) -> None:
    """-v is understood before and after the command."""
    for arguments in (["-v", "loads"], ["loads", "-v"]):
        done = _leadstream(folder, *arguments)
        assert done.returncode == 1
        assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "list.csv", "--source", "acmme"],
        ["sources", "show", "acmme"],
        ["sources", "drift", "acmme"],
        ["replay", "--source", "acmme", "--dry-run"],
        ["tail", "--source", "acmme"],
    ],
    ids=" ".join,
)
def test_a_misspelt_source_is_wrong_use_with_a_suggestion(arguments: list[str], folder: Path) -> None:
    """Every command that is about one source tells which was meant, and ends with exit code 2."""
    done = _leadstream(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no source 'acmme' → did you mean acme?\n"


def test_a_key_outside_the_source_is_wrong_use(folder: Path) -> None:
    """put does not drop a file where another source (or none) would take it."""
    done = _leadstream(folder, "put", "list.csv", "--source", "acme", "--key", "other/list.csv")
    assert done.returncode == 2
    assert "acme/" in done.stderr


def test_a_wrong_setting_is_named(folder: Path) -> None:
    """A setting that cannot be used ends in one line that names it."""
    done = _leadstream(folder, "loads", TOPICS_LANES="many")
    assert done.returncode == 1
    assert "lanes" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_dsn_is_printed_as_it_is(folder: Path) -> None:
    """What `dsn` prints can be given to psql."""
    assert _leadstream(folder, "dsn").stdout == NOWHERE["POSTGRES_DSN"] + "\n"


def test_nothing_up_is_told_apart_from_an_error(folder: Path) -> None:
    """status ends with 1 and still prints its document; down has nothing to do and is content."""
    status = _leadstream(folder, "status", "--json")
    assert status.returncode == 1
    assert json.loads(status.stdout)["running"] is False
    assert "leadstream up" in status.stderr
    down = _leadstream(folder, "down")
    assert (down.returncode, down.stderr) == (0, "")


def test_doctor_tells_each_part_apart(folder: Path) -> None:
    """What is away fails with what to do; what is there is ok; the exit code is 1 when anything failed."""
    done = _leadstream(folder, "doctor", "--json")
    assert done.returncode == 1
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert {name for name in ("python", "java", "disk", "sources") if findings[name]["ok"]} == {
        "python",
        "java",
        "disk",
        "sources",
    }
    for name in ("kafka", "registry", "bucket", "postgres", "tables"):
        assert not findings[name]["ok"]
        assert findings[name]["hint"]


def test_sources_are_listed_shown_and_checked(folder: Path) -> None:
    """The source's YAML comes out as the stages read it; a mistake in it comes with file and line."""
    listed = json.loads(_leadstream(folder, "sources", "list", "--json").stdout)
    assert [(one["name"], one["prefix"]) for one in listed] == [("acme", "acme/")]
    assert json.loads(_leadstream(folder, "sources", "show", "acme", "--json").stdout) == listed[0]
    assert _leadstream(folder, "sources", "check").returncode == 0
    (folder / "sources" / "acme.yaml").write_text(SOURCE + "refesh: partial\n")
    checked = _leadstream(folder, "sources", "check")
    assert checked.returncode == 1
    assert "acme.yaml:3: " in checked.stdout
    assert "refresh" in checked.stdout


def test_mistakes_of_every_kind_are_named_in_one_round(folder: Path) -> None:
    """An unknown transform is named beside an unknown key, and a file whose name ends in .yml with what to name it."""
    sources = folder / "sources"
    text = "key: [{column: A}]\nrefesh: partial\nfields:\n  compny: A\n  city: {column: A, transforms: [titel_case]}\n"
    (sources / "acme.yaml").write_text(text)
    (sources / "ohio.yml").write_text(SOURCE)
    checked = _leadstream(folder, "sources", "check")
    assert checked.returncode == 1
    found = [line.partition("sources/")[2] for line in checked.stdout.splitlines()]
    assert [line.split(": ")[0] for line in found] == ["acme.yaml:2", "acme.yaml:4", "acme.yaml:5", "ohio.yml"]
    assert "'title_case'?" in found[2] and found[3].endswith(" → name it ohio.yaml")
    assert "name it ohio.yaml" in _leadstream(folder, "sources", "show", "ohio").stderr
    assert "name it ohio.yaml" in _leadstream(folder, "sources", "list").stderr


def test_samples_say_what_they_hold(folder: Path) -> None:
    """The document of `samples` gives the exact numbers of the file it wrote."""
    done = _leadstream(folder, "samples", "texas", "--rows", "50", "--out", "texas.csv", "--json")
    document = json.loads(done.stdout)
    assert (folder / "texas.csv").read_bytes().count(b"\r\n") == 50
    assert document["rows"] == 50 == document["good"] + len(document["damaged"])
    said = _leadstream(folder, "samples", "texas", "--rows", "2000", "--out", "texas.csv").stdout.splitlines()
    assert said[0].endswith(" 12 damaged") and len(said) == 12 and said[-1] == "  and 2 more"


def test_a_dsn_is_shown_without_its_password() -> None:
    """Errors name the database by host, port and name only."""
    assert place("postgresql://user:secret@db.example:5433/leads") == "db.example:5433/leads"
    assert place("postgresql://user@db.example/leads") == "db.example:5432/leads"


def test_bytes_in_json_are_hexadecimal() -> None:
    """A hash in a JSON document can be read and compared."""
    assert json_line({"content_hash": b"\x01\xff"}) == '{"content_hash":"01ff"}'
