"""The sources' YAML: what it may say, what is refused and with which words, and how edits are picked up."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
import structlog

from leadstream.errors import BadRecordError, ConfigError, MappingError
from leadstream.sources import SourceCatalog, SourceConfig, check_sources, load_sources, unread_files

DEFAULTS = """
required: [phone]
transforms:
  phone: [phone]
"""
GOOD = """
title: Example Agency
key: [{column: License}]
fields:
  phone: Phone
  company: Name
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A sources directory with defaults and one source."""
    (tmp_path / "_defaults.yaml").write_text(DEFAULTS)
    (tmp_path / "example.yaml").write_text(GOOD)
    return tmp_path


def write(directory: Path, text: str, name: str = "example") -> SourceConfig:
    (directory / f"{name}.yaml").write_text(text)
    return load_sources(directory)[name]


def only_error(directory: Path, text: str, name: str = "example") -> MappingError:
    (directory / f"{name}.yaml").write_text(text)
    errors = check_sources(directory)
    assert len(errors) == 1, [str(error) for error in errors]
    return errors[0]


def test_defaults_lie_under_every_source(directory: Path) -> None:
    """A source has what the defaults say, entry by entry, unless it says otherwise."""
    config = write(directory, GOOD + "transforms: {company: [upper]}\nmax_shrink: 0.5\n")
    assert config.required == ("phone",)
    assert set(config.transforms) == {"phone", "company"}
    assert (config.max_shrink, config.prefix, config.refresh) == (0.5, "example/", "complete")


def test_columns_are_those_that_fields_groups_and_key_read(directory: Path) -> None:
    """The columns of a source are all that its mapping reads, and by default all of them are required."""
    config = write(
        directory,
        "key: [{column: A}]\nfields: {phone: {first_of: [B, C]}, company: {join: [D, E]}, state: {constant: NV}}\n"
        "groups: [{column: F, into: [city], transforms: [full_address]}]\n",
    )
    assert config.columns == config.required_columns == ("A", "B", "C", "D", "E", "F")


def test_listed_required_columns_are_joined_by_those_of_the_key(directory: Path) -> None:
    """A source that lists its required columns cannot lose its key's columns either."""
    config = write(directory, GOOD + "required_columns: [Phone]\n")
    assert config.required_columns == ("License", "Phone")


def test_key_is_the_cleaned_upper_case_cell(directory: Path) -> None:
    """Two spellings of a key that differ in case or white space are one key; headers compare the same way."""
    key_of = load_sources(directory)["example"].compile_key(["Name", " LICENSE "])
    assert key_of(["x", " ab\u00a0 12 "]) == key_of(["y", "AB 12"]) == "AB 12"


def test_key_takes_what_its_pattern_finds(directory: Path) -> None:
    """A pattern takes its group, or the whole match, out of the cell."""
    parts = "key: [{column: License, pattern: '-\\s*(K\\d+)$'}, {column: Site, pattern: '\\d+'}]\n"
    key_of = write(directory, GOOD.replace("key: [{column: License}]\n", parts)).compile_key(["License", "Site"])
    assert key_of(["HOME - k12", "site 7"]) == "K12|7"


@pytest.mark.parametrize("cells", [["", "1"], [None, "1"], ["N/A", "1"], ["A"], ["A", "none"], []])
def test_row_without_a_whole_key_has_none(directory: Path, cells: list[str | None]) -> None:
    """A part that is empty, says nothing, does not match or was cut off leaves the row without a key."""
    parts = "key: [{column: License}, {column: Site, pattern: '\\d'}]\n"
    config = write(directory, GOOD.replace("key: [{column: License}]\n", parts))
    assert config.compile_key(["License", "Site"])(cells) is None


def test_joined_keys_never_meet(directory: Path) -> None:
    """Rows whose parts differ have different keys, even when the parts hold the separator."""
    parts = "key: [{column: License}, {column: Site}]\n"
    key_of = write(directory, GOOD.replace("key: [{column: License}]\n", parts)).compile_key(["License", "Site"])
    assert key_of(["A|B", "C"]) != key_of(["A", "B|C"])


def test_a_key_without_end_is_no_key(directory: Path) -> None:
    """What is longer than 500 characters, in all its parts together, no index would take."""
    parts = "key: [{column: License}, {column: Site}]\n"
    key_of = write(directory, GOOD.replace("key: [{column: License}]\n", parts)).compile_key(["License", "Site"])
    assert key_of(["a" * 250, "b" * 249]) == "A" * 250 + "|" + "B" * 249
    assert key_of(["a" * 250, "b" * 250]) is None
    assert key_of(["a" * 501, "b"]) is None
    assert key_of(["ß" * 300, "b"]) is None  # upper case is longer


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('format: {delimiter: "\\n"}', "ends a line"),
        ('format: {delimiter: "\'", quotechar: "\'"}', "two meanings"),
        ("format: {delimiter: '^', escapechar: '^'}", "two meanings"),
        ("format: {encoding: hex}", "unknown encoding"),
    ],
)
def test_a_format_that_no_file_can_have_is_refused(directory: Path, line: str, words: str) -> None:
    """Before a file arrives that would stop the producer."""
    with pytest.raises(MappingError, match=words):
        write(directory, GOOD + line + "\n")


def test_header_without_the_key_is_a_bad_file(directory: Path) -> None:
    """A header that lacks the key's column is named, with what to do."""
    with pytest.raises(BadRecordError, match=r"lacks column 'License'.*example\.yaml") as caught:
        load_sources(directory)["example"].compile_key(["Name"])
    assert caught.value.code == "key_column_missing"


def test_date_in_the_object_key_is_read_by_its_format(directory: Path) -> None:
    """A date in the key orders files; a key without one has none."""
    config = write(directory, GOOD + "date_in_key: {pattern: '\\d\\d-\\d\\d-\\d{4}', format: '%m-%d-%Y'}\n")
    assert config.date_of("example/07-31-2024 list.csv") == datetime.date(2024, 7, 31)
    assert config.date_of("example/list.csv") is None
    assert config.date_of("example/99-99-2024.csv") is None


def test_version_is_about_meaning_alone(directory: Path) -> None:
    """Comments, the order of keys, quotes, the short form and the title do not change the version."""
    version = load_sources(directory)["example"].version
    same = "fields:\n  company: {column: 'Name'} # who\n  phone: Phone\nkey:\n- column: \"License\"\ntitle: Other\n"
    assert write(directory, same).version == version
    assert len(version) == 12


@pytest.mark.parametrize(
    "change",
    ["fields: {company: Name, phone: Mobile}\n", "refresh: partial\n", "transforms: {company: [upper]}\n"],
)
def test_version_changes_with_meaning(directory: Path, change: str) -> None:
    """Another column, refresh or transform is another version."""
    version = load_sources(directory)["example"].version
    base = GOOD.partition("fields:")[0] if change.startswith("fields:") else GOOD
    assert write(directory, base + change).version != version


def test_version_changes_with_the_defaults(directory: Path) -> None:
    """What the defaults say is part of what a source means."""
    version = load_sources(directory)["example"].version
    (directory / "_defaults.yaml").write_text(DEFAULTS + "max_shrink: 0.9\n")
    assert load_sources(directory)["example"].version != version


def test_version_changes_with_the_code_of_a_named_function(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python function that a mapping names counts with its code, not with its comments."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "vendor_rules.py"
    text = GOOD.replace("company: Name", "company: {column: Name, transforms: [{function: 'vendor_rules:name'}]}")
    versions = []
    for code in (
        "def name(v):\n    return v\n",
        "# why\ndef name(v):\n    return v\n",
        "def name(v):\n    return 'x'\n",
    ):
        module.write_text(code)
        versions.append(write(directory, text).version)
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD + "titel: x\n", 7, "unknown key 'titel' → did you mean 'title'?"),
        (GOOD + "name: x\n", 7, "unknown key 'name'"),
        (GOOD + "  adress1: x\n", 7, "unknown canonical field 'adress1' → did you mean 'address1'?"),
        (GOOD + "  city: {colum: x, constant: y}\n", 7, "unknown key 'colum' → did you mean 'column'?"),
        (GOOD + "  city:\n", 7, "fields.city: holds neither a column nor a mapping"),
        (GOOD + "  city: {column: a, constant: b}\n", 7, "exactly one of column, first_of"),
        (GOOD + "  city: {column: a, transforms: [{x: 1, y: 2}]}\n", 7, "write its name, or one `name: argument`"),
        (GOOD + "  city: {column: a, on_error: skip}\n", 7, "fields.city.on_error"),
        (GOOD + "required: [phone, zip]\n", 7, "required field 'zip' is filled by no column"),
        (GOOD + "groups:\n- {column: a, into: [phone]}\n", 8, "'phone' is filled twice"),
        (GOOD + "prefix: /a/\n", 7, "cannot be a prefix"),
        (GOOD + "prefix: a\n", 7, "cannot be a prefix"),
        (GOOD + "max_shrink: 20\n", 7, "max_shrink"),
        (GOOD + "hold_dead_letters: true\n", 7, "hold_dead_letters needs a dead_letter_rate"),
        (GOOD + "format: {encoding: utf-99}\n", 7, "unknown encoding 'utf-99'"),
        (GOOD + "date_in_key: {pattern: x, format: '%Y-%m'}\n", 7, "names no day"),
        (GOOD.replace("License", "License, pattern: '('"), 3, "is no regular expression"),
        (GOOD.replace("key:", "ke:"), 3, "unknown key 'ke' → did you mean 'key'?"),
        (GOOD + "a: [\n", 8, "is no YAML"),
        (GOOD + "title: x\n", 7, "duplicate key"),
        ("- a\n", 1, "holds no mapping"),
        (
            GOOD.replace("company: Name", "company: {column: Name, transforms: [{function: no_such_module:f}]}"),
            6,
            "no module 'no_such_module'",
        ),
    ],
)
def test_every_mistake_names_its_line_and_what_to_do(directory: Path, text: str, line: int, words: str) -> None:
    """A wrong YAML is refused with file, line and a remedy."""
    (directory / "example.yaml").write_text(text)
    found = [error for error in check_sources(directory) if words in str(error)]
    assert len(found) == 1, [str(error) for error in check_sources(directory)]
    assert (found[0].file.name, found[0].line) == ("example.yaml", line)
    assert found[0].hint


def test_mistake_in_the_defaults_is_told_once_and_there(directory: Path) -> None:
    """What is wrong in the defaults names the defaults' file, once for all sources."""
    (directory / "_defaults.yaml").write_text(DEFAULTS + "refresh: often\n")
    (directory / "other.yaml").write_text(GOOD)
    error = only_error(directory, GOOD)
    assert (error.file.name, error.line) == ("_defaults.yaml", 5)


def test_all_mistakes_of_a_directory_are_told_together(directory: Path) -> None:
    """Checking goes on after the first mistake, within a file and beyond it; loading raises the first."""
    (directory / "example.yaml").write_text(GOOD + "titel: x\nmax_shrink: 7\n")
    (directory / "other.yaml").write_text("a: [")
    assert [error.file.stem for error in check_sources(directory)] == ["example", "example", "other"]
    with pytest.raises(MappingError, match="titel"):
        load_sources(directory)


@pytest.mark.parametrize("prefix", ["example/", "example/new/"])
def test_two_sources_never_share_a_prefix(directory: Path, prefix: str) -> None:
    """An object belongs to one source at most."""
    error = only_error(directory, GOOD + f"prefix: {prefix}\n", "other")
    assert (error.file.name, error.line) == ("other.yaml", 7)
    assert "overlaps prefix 'example/' of source 'example'" in str(error)


def test_overlap_is_found_behind_a_sibling(directory: Path) -> None:
    """Each of several folders under another source's prefix is refused."""
    (directory / "b.yaml").write_text(GOOD + "prefix: example/b/\n")
    (directory / "c.yaml").write_text(GOOD + "prefix: example/c/\n")
    assert [error.file.stem for error in check_sources(directory)] == ["b", "c"]


def test_name_of_a_source_fits_a_topic(directory: Path) -> None:
    """A file whose name cannot be part of a topic's name is refused."""
    assert "cannot be the name of a source" in str(only_error(directory, GOOD, "New York"))


def test_missing_directory_is_a_setting_to_correct(tmp_path: Path) -> None:
    """Without the directory nothing can be read, and the message names the setting."""
    with pytest.raises(ConfigError, match="LEADSTREAM_SOURCES_DIR"):
        load_sources(tmp_path / "nowhere")


def test_catalog_matches_objects_by_prefix(directory: Path) -> None:
    """An object belongs to the source whose folder it lies in."""
    catalog = SourceCatalog(directory)
    matched = catalog.match("example/2024/a.csv")
    assert matched is not None and matched is catalog.get("example")
    assert catalog.match("examples/a.csv") is None
    assert catalog.match("example.csv") is None


def touch(file: Path, text: str, tick: int) -> None:
    file.write_text(text)
    os.utime(file, ns=(tick, tick))


def test_catalog_follows_edits(directory: Path) -> None:
    """A changed, a new and a removed file are seen at the next refresh; nothing changed is no change."""
    catalog = SourceCatalog(directory)
    assert catalog.refresh() is False
    touch(directory / "example.yaml", GOOD + "refresh: partial\n", 1)
    assert catalog.refresh() is True
    assert catalog.configs["example"].refresh == "partial"
    touch(directory / "example.yaml", "# a remark\n" + GOOD + "refresh: partial\n", 2)
    assert catalog.refresh() is False
    (directory / "other.yaml").write_text(GOOD)
    assert catalog.refresh() is True
    (directory / "example.yaml").unlink()
    assert catalog.refresh() is True
    assert list(catalog.configs) == ["other"]


def test_bad_edit_costs_no_source(directory: Path) -> None:
    """A bad edit leaves its source as it was and does not hold up good edits of others; a mend is picked up."""
    (directory / "other.yaml").write_text(GOOD)
    catalog = SourceCatalog(directory)
    before = catalog.configs["example"]
    touch(directory / "example.yaml", "a: [", 1)
    assert catalog.refresh() is False
    assert catalog.configs["example"] is before
    assert [error.file.stem for error in catalog.errors] == ["example"]
    touch(directory / "other.yaml", GOOD + "refresh: partial\n", 2)
    assert catalog.refresh() is True
    assert catalog.configs["other"].refresh == "partial"
    touch(directory / "example.yaml", GOOD + "max_shrink: 0.3\n", 3)
    assert catalog.refresh() is True
    assert (catalog.configs["example"].max_shrink, catalog.errors) == (0.3, [])


def test_bad_defaults_cost_no_source(directory: Path) -> None:
    """When the defaults break, every source stays as it was."""
    catalog = SourceCatalog(directory)
    touch(directory / "_defaults.yaml", "a: [", 1)
    assert catalog.refresh() is False
    assert list(catalog.configs) == ["example"]


def test_bad_source_does_not_keep_a_stage_from_starting(directory: Path) -> None:
    """A stage starts with the sources that can be used; with none it does not."""
    (directory / "broken.yaml").write_text("a: [")
    catalog = SourceCatalog(directory)
    assert (list(catalog.configs), len(catalog.errors)) == (["example"], 1)
    (directory / "example.yaml").unlink()
    with pytest.raises(MappingError, match="broken"):
        SourceCatalog(directory)


def test_a_file_that_ends_in_yml_is_warned_of_once(directory: Path) -> None:
    """A running stage says that it does not read it, whatever else changes in the directory."""
    catalog = SourceCatalog(directory)
    (directory / "ohio.yml").write_text(GOOD)
    with structlog.testing.capture_logs() as logs:
        assert catalog.refresh() is False
        touch(directory / "example.yaml", GOOD + "refresh: partial\n", 1)
        assert catalog.refresh() is True
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == ("source_not_read", "warning")
    assert warning["error"].endswith("name it ohio.yaml") and list(catalog.configs) == ["example"]
    (directory / "ohio.yaml").write_text(GOOD)
    assert [error.hint for error in unread_files(directory)] == ["ohio.yaml beside it is read: remove one of them"]
