"""The patch of a source's YAML: other column names, not a byte more; what cannot be patched is shown with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leadstream import log
from leadstream.cli import drift
from leadstream.cli.app import run
from leadstream.errors import MappingError
from leadstream.settings import settings
from leadstream.source_patch import named_columns, rename_columns
from leadstream.sources import check_sources, load_sources, read_trial
from producer.drift import judge
from tests.system import ROOT
from tests.unit.test_drift import YAML

TOP = "key: [{column: Id}] # the licence\nrequired: []\n"


def test_the_patch_changes_column_names_and_nothing_else() -> None:
    """In key, fields, groups and lists; comments, order, quotes and layout stay."""
    new = rename_columns(YAML, {"phone#": "Phone", "Since": "Issued", "Street": "St: No", "Id": "Id #"})
    assert new == (
        YAML.replace("Phone#", "Phone")
        .replace("Since", "Issued")
        .replace("column: Street", "column: 'St: No'")
        .replace("column: Id", "column: 'Id #'")
    )
    assert rename_columns(new, {"Phone#": "Phone"}) == new


@pytest.mark.parametrize(
    "name", ["yes", "12", "null", "it's", "a, b", "- x", "[x]", '"q"', "Größe ✓", "x\ny", "{a}", "~", "&a", "*a", "!b"]
)
def test_a_patched_file_reads_as_the_new_name_whatever_it_is(name: str, tmp_path: Path) -> None:
    """What would mean something else in YAML is quoted."""
    fields = "{company: Old, county: \"Old\", operator: {join: [Old, 'Old']}}"
    text = f"key: [{{column: Id}}]\r\nrequired: []\r\nfields: {fields}\r\n"
    (tmp_path / "acme.yaml").write_bytes(rename_columns(text, {"Old": name}).encode())
    assert load_sources(tmp_path)["acme"].columns == tuple(sorted(["Id", " ".join(name.split())]))
    assert (tmp_path / "acme.yaml").read_bytes().count(b"\r\n") == 3


def test_the_mappings_that_come_along_are_patched_in_place() -> None:
    """A rename in each vendor's YAML changes the lines that name the column, no more."""
    for vendor, old in (("nevada", "Credential Number"), ("oklahoma", "Primary Caregiver"), ("texas", "Operation #")):
        before = (ROOT / "sources" / f"{vendor}.yaml").read_text()
        after = rename_columns(before, {old: "Licence"})
        changed = [new for was, new in zip(before.splitlines(), after.splitlines(), strict=True) if was != new]
        assert len(changed) == 2 and all("Licence" in line for line in changed)


@pytest.mark.parametrize(
    "fields",
    [
        "  phone: &tel Old # office\n  phone2: *tel\n",
        "  phone: &tel !!str 'Old' # office\n  phone2: *tel\n",
        "  phone: &tel {column: Old, on_error: null} # office\n  phone2: *tel\n",
        "  phone: &tel {column: Old, on_error: null} # office\n  phone2:\n    <<: *tel\n    on_error: fail # both\n",
        "  <<: &tel {phone: Old} # office\n  county: County\n",
        "  <<: [{phone: Old}, {phone: X, phone2: Old}] # office\n  county: County\n",
        "  company: {first_of: &all [Old, 'Old', \"Old\"]} # office\n  operator: {join: *all}\n"
        "required_columns: *all\n",
        "  company:\n    join: [\n      Old, # office\n      County,\n      'Old' ]\n"
        "required_columns: [ Old ,County]\n",
        "  company:\n    columns:\n      # all of them\n      - Old # office\n      - County\n    transforms: [x]\n",
    ],
    ids=lambda fields: fields.strip().replace("\n", "⏎"),
)
def test_anchors_aliases_merge_keys_and_lists_are_patched_where_they_are_written(fields: str, tmp_path: Path) -> None:
    """The name is replaced once, where it stands; every alias follows; nothing else moves."""
    text = TOP + "fields:\n" + fields
    file = tmp_path / "acme.yaml"
    file.write_text(text)
    before = load_sources(tmp_path)["acme"]
    after = rename_columns(text, {"old": "New#"})
    assert after == text.replace("Old", "New#")
    mended = read_trial(file, tmp_path, "acme", after)
    assert [place.column for place in named_columns(mended)] == [
        place.column.replace("Old", "New#") for place in named_columns(before)
    ]


def test_what_a_merge_key_brings_in_and_is_overridden_is_left_alone() -> None:
    """It is not in force; who reads the file may want to know what it was."""
    text = TOP + "fields:\n  <<: {phone: Old, county: Old}\n  phone: Old\n"
    assert rename_columns(text, {"Old": "New"}) == text.replace("county: Old", "county: New").replace(
        "\n  phone: Old", "\n  phone: New"
    )


def test_merge_keys_and_aliases_have_the_line_where_they_are_written(tmp_path: Path) -> None:
    """An error about what they bring in is an error of that line, and costs no more than its source."""
    text = TOP + "fields:\n  phone: &tel {column: Tel,\n    on_error: fail}\n  phone2: {<<: *tel}\n"
    (tmp_path / "acme.yaml").write_text(text)
    places = {place.path: place.line for place in named_columns(load_sources(tmp_path)["acme"])}
    assert places == {("key", 0, "column"): 1, ("fields", "phone", "column"): 4, ("fields", "phone2", "column"): 4}
    (tmp_path / "acme.yaml").write_text(text.replace("on_error: fail", "on_error: what"))
    assert {error.line for error in check_sources(tmp_path)} == {5}
    (tmp_path / "acme.yaml").write_text("fields: &all\n  phone: Tel\n  <<: *all\n")
    (error,) = check_sources(tmp_path)
    assert isinstance(error, MappingError) and "acme.yaml: is no YAML" in str(error)


class Shown:
    """What ``sources drift`` says of one source, given the header of the newest file (held, as load-1)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "sources" / "acme.yaml"
        self.defaults = folder / "sources" / "_defaults.yaml"
        self.file.parent.mkdir()
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("LEADSTREAM_SOURCES_DIR", str(self.file.parent))
        monkeypatch.setattr(log, "configure", lambda *_args, **_options: None)  # it holds for the whole process

    def drift(self, header: list[str], *options: str) -> tuple[int, str]:
        """Exit code and standard output."""

        async def find(_settings: object, config: Any) -> Any:
            return drift._Finding("landing", "acme/2.csv", "load-1", judge(config, header, None))

        self._monkeypatch.setattr(drift, "_find", find)
        settings.cache_clear()
        code = run(["sources", "drift", "acme", *options])
        settings.cache_clear()
        return code, self._capsys.readouterr().out


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """A folder of sources and the command."""
    return Shown(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("fields", "line", "path"),
    [
        ("  phone:\n    column: |-\n      Phone#\n", 5, "fields.phone.column"),
        ("  phone: >-\n    Phone#\n", 4, "fields.phone.column"),
        ('  phone: "Pho\\\n    ne#"\n', 4, "fields.phone.column"),
        ("  company:\n    join:\n      - Id\n      - |-\n        Phone#\n", 7, "fields.company.join.1"),
    ],
)
def test_a_name_over_several_lines_is_shown_with_its_line(shown: Shown, fields: str, line: int, path: str) -> None:
    """It is not written anew: its layout is somebody's choice. The load stays held, and that is said."""
    text = TOP + "fields:\n" + fields
    shown.file.write_text(text)
    code, out = shown.drift(["Id", "Phone"], "--apply")
    assert (code, shown.file.read_text()) == (1, text)
    assert f"{shown.file}:{line}: {text.splitlines()[line - 1].strip()}\n    {path}: 'Phone#' is now 'Phone'" in out
    assert "write it on one" in out and "written: " not in out and "--apply writes this" not in out


def test_a_name_in_the_defaults_is_shown_with_its_line_there(shown: Shown) -> None:
    """The defaults are those of other sources, too: nobody but their owner changes them."""
    defaults = "# all\nkey: [{column: Id}]\nrequired: []\nfields:\n  phone: Phone#\n"
    shown.defaults.write_text(defaults)
    shown.file.write_text("fields:\n  company: Name#\n")
    code, out = shown.drift(["Id", "Phone", "Name"], "--apply")
    assert code == 1
    assert (shown.defaults.read_text(), shown.file.read_text()) == (defaults, "fields:\n  company: Name\n")
    assert f"{shown.defaults}:5: phone: Phone#\n    fields.phone.column: 'Phone#' is now 'Phone'" in out
    assert f"what concerns this one alone is said in {shown.file}" in out
    assert out.endswith(f"written: {shown.file}; the held load goes on once the rest is mended\n")
    code, out = shown.drift(["Id", "Phone", "Name"], "--json")
    assert (code, json.loads(out)["patch"]) == (1, "")
    assert json.loads(out)["by_hand"] == [
        {"file": str(shown.defaults), "line": 5, "path": "fields.phone.column", "column": "Phone#", "new": "Phone"}
    ]
    shown.file.write_text("fields:\n  company: Name\n  phone: Phone\n")
    assert shown.drift(["Id", "Phone", "Name"])[0] == 0


def test_defaults_that_the_source_overrides_need_no_hand(shown: Shown) -> None:
    """Only what is in force is shown."""
    shown.defaults.write_text("key: [{column: Phone#}]\nrequired: []\nfields:\n  phone: Phone#\n")
    shown.file.write_text("key: [{column: Id}]\nfields:\n  phone: Phone#\n")
    code, out = shown.drift(["Id", "Phone"], "--apply")
    assert code == 0 and "by hand" not in out
    assert out.endswith(f"written: {shown.file}; the held load now goes on by itself\n")


def test_a_lost_column_that_is_not_required_does_not_fail(shown: Shown) -> None:
    """It is suggested and patched all the same; exit code 0 before and after."""
    shown.file.write_text(TOP + "required_columns: [Id]\nfields:\n  phone: Phone#\n")
    assert shown.drift(["Id", "Phone"])[0] == 0
