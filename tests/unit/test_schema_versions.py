"""Versions of a schema: what changed from one to another, and whether old and new readers both survive it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leadstream.cli.registry import with_likely_names
from leadstream.cli.schema_check import offline_findings
from schemas.compatibility import obstacles
from schemas.difference import changes
from schemas.records import JsonSchema
from tests.system import ROOT

PHONE = {"name": "phone", "type": ["null", "string"], "default": None, "doc": "Main phone."}
COUNT = {"name": "count", "type": "int"}
STATUS = {"type": "enum", "name": "Status", "symbols": ["open", "unknown"]}
MOMENT = {"type": "long", "logicalType": "timestamp-millis"}


def record(*fields: dict[str, Any], name: str = "Lead", **more: Any) -> JsonSchema:
    """A record of these fields."""
    return {"type": "record", "name": name, "namespace": "test", "fields": list(fields), **more}


def field(type_: Any, **more: Any) -> dict[str, Any]:
    """A field called x."""
    return {"name": "x", "type": type_, **more}


BASE = record(PHONE, COUNT)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(BASE, id="nothing changed"),
        pytest.param(record(PHONE, COUNT, field("string", default="")), id="field with a default added"),
        pytest.param(record(COUNT), id="field with a default removed"),
        pytest.param(record(COUNT, PHONE), id="other order"),
        pytest.param(record(PHONE | {"doc": "Other words."}, COUNT, doc="New."), id="other words"),
        pytest.param(record(PHONE, COUNT | {"default": 0}), id="default added"),
    ],
)
def test_what_both_old_and_new_readers_survive_is_let_through(new: JsonSchema) -> None:
    """Fields with defaults come and go, order and words change freely."""
    assert obstacles(BASE, new) == obstacles(new, BASE) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (BASE, record(PHONE), "field count: is not written, and the reader has no default for it"),
        (record(COUNT), record(COUNT, field("string")), "field x: is not written"),
        (BASE, record(PHONE, COUNT | {"type": "string"}), "field count: int is written, the reader takes only string"),
        (BASE, record(PHONE, COUNT | {"type": "long"}), "field count: long is written, the reader takes only int"),
        (BASE, record(PHONE, COUNT | {"type": ["null", "int"]}), "null is written, the reader takes only int"),
        (BASE, record(PHONE | {"name": "telephone"}, COUNT | {"name": "n"}), "field count: is not written"),
        (BASE, record(PHONE, COUNT, name="Contact"), "the reader knows record"),
        (record(field("long")), record(field(MOMENT)), "long is written, the reader takes it for long (timestamp-mi"),
        (
            record(field(STATUS)),
            record(field(STATUS | {"symbols": ["open", "shut", "unknown"]})),
            "the reader does not know the symbols shut and has no default",
        ),
        (
            record(field({"type": "array", "items": "string"})),
            record(field({"type": "array", "items": "int"})),
            "field x[]: ",
        ),
        (record(field(["null", "string"])), record(field(["null", "int"])), "may be written"),
        (record(field({"type": "fixed", "name": "F", "size": 4})), record(field("bytes")), "fixed F is written"),
        (
            record(field({"type": "fixed", "name": "F", "size": 4})),
            record(field({"type": "fixed", "name": "F", "size": 8})),
            "4 bytes are written, the reader takes 8",
        ),
        (
            record(field(record(COUNT, name="Part"))),
            record(field(record(name="Part"))),
            "field x.count: is not written",
        ),
        (BASE, record(PHONE, COUNT, field("int", default="seven")), "not an Avro schema: Default value <seven>"),
        (BASE, record(PHONE, COUNT, field("Nowhere")), "not an Avro schema: test.Nowhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_break_a_reader_is_found_and_said_in_plain_words(
    old: JsonSchema, new: JsonSchema, said: str
) -> None:
    """In one of the two directions there is an obstacle, and its sentence names the field."""
    assert said in "\n".join([*obstacles(old, new), *obstacles(new, old)])


def test_a_new_symbol_is_survived_by_a_reader_that_has_a_default() -> None:
    """An enum with a default may grow: who does not know the symbol reads the default."""
    old = STATUS | {"default": "unknown"}
    new = old | {"symbols": ["open", "unknown", "shut"]}
    assert obstacles(record(field(new)), record(field(old))) == []


def test_a_field_with_an_alias_is_read_under_its_old_name() -> None:
    """The reader's aliases count, as the specification has it."""
    new = record(PHONE, COUNT | {"name": "number", "aliases": ["count"]})
    assert obstacles(BASE, new) == []
    assert obstacles(new, BASE) != []


def test_every_kind_of_change_is_told_apart() -> None:
    """Added, removed, renamed header, type, default, order, words: one line each."""
    text = {"type": ["null", "string"], "default": None}
    old = record(
        {"name": "Phone", "header": "Phone#", **text},
        {"name": "City", "header": "City", **text},
        {"name": "Fax_Nr", "header": "Fax Nr", **text},
        {"name": "Status", "type": STATUS},
        {"name": "Zip", "header": "Zip", "type": "int"},
    )
    new = record(
        {"name": "City", "header": "City", **text, "doc": "Words."},
        {"name": "Phone", "header": "Phone", **text},
        {"name": "Status", "type": STATUS | {"symbols": ["unknown", "shut"]}},
        {"name": "Zip", "header": "Zip", "type": "string", "default": ""},
        {"name": "Fax_No", "header": "Fax No", **text},
    )
    found = {(str(one.kind), one.header, one.detail) for one in changes(old, new)}
    assert found == {
        ("doc", "City", "its description"),
        ("renamed", "Phone", "'Phone#' is now 'Phone'"),
        ("type", "Status", "enum Status: shut added; open removed"),
        ("type", "Zip", "int is now string"),
        ("default", "Zip", "no default is now default ''"),
        ("added", "Fax No", "null | string, default None"),
        ("removed", "Fax Nr", "renamed to 'Fax No'? 83 % alike"),
        ("order", "", "the fields stand in another order"),
    }


def test_the_new_name_of_a_column_that_is_gone_is_known_by_its_cells_too() -> None:
    """As `sources drift` finds it: the likeliest by name and rows; without rows, by the names alone."""
    old = record({"name": "Phone", "type": "string"}, {"name": "Zip", "type": "string"})
    new = record({"name": "Contact_No", "type": "string"}, {"name": "Zip_Code", "type": "string", "header": "Zip Code"})
    found = changes(old, new)
    phones = [f"702-555-01{number:02}" for number in range(20)]
    details = {
        change.header: change.detail
        for change in with_likely_names(found, {"phone": phones, "contact_no": phones, "zip": ["89501"]})
        if change.kind == "removed"
    }
    assert (
        details["Phone"].startswith("renamed to 'Contact_No'? ")
        and details["Zip"] == "renamed to 'Zip Code'? 80 % alike"
    )
    by_name = {change.header: change.detail for change in with_likely_names(found, {}) if change.kind == "removed"}
    assert by_name == {"Phone": "", "Zip": "renamed to 'Zip Code'? 80 % alike"}
    assert [change.kind for change in with_likely_names(found, {})] == [change.kind for change in found]


def test_the_same_schema_has_no_changes() -> None:
    """Format and the order of keys in the JSON are no difference."""
    assert changes(BASE, json.loads(json.dumps(BASE, sort_keys=True, indent=4))) == []


def test_a_schema_that_would_break_readers_fails_the_check(tmp_path: Path) -> None:
    """Offline, as `make check` and a pull request run it: code 1, with the field and the reason in plain words."""
    packages = ("leadstream", "processors", "producer", "schemas", "sink")
    for package in packages:
        (tmp_path / package).symlink_to(ROOT / package)
    (tmp_path / "schemas").unlink()
    (tmp_path / "schemas").mkdir()
    for file in (ROOT / "schemas").iterdir():
        if file.name not in ("lead.avsc", "__pycache__"):
            (tmp_path / "schemas" / file.name).symlink_to(file)
    lead = json.loads((ROOT / "schemas" / "lead.avsc").read_text())
    lead["fields"].append({"name": "rating", "type": "int"})
    lead["fields"] = [field for field in lead["fields"] if field["name"] != "lead_key"]
    (tmp_path / "schemas" / "lead.avsc").write_text(json.dumps(lead))
    command = [sys.executable, "-m", "leadstream", "schemas", "check", "--offline"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    problems = [
        "lead (released): BREAKS readers",
        "  readers of version 1, new records: field lead_key: is not written, and the reader has no default for it",
        "  new readers, records of version 1: field rating: is not written, and the reader has no default for it",
    ]
    assert all(problem in done.stdout.splitlines() for problem in problems), done.stdout
    assert done.stderr.startswith("error: readers would break: lead → ")


def test_the_schemas_of_this_checkout_break_nobody() -> None:
    """Every schema survives its released versions, in both directions; `make check` runs the same."""
    findings = {finding["schema"]: finding for finding in offline_findings()}
    assert {"lead", "load_step", "receipt", "lead_state", "ledger_entry", "command"} <= findings.keys()
    assert all(finding["versions"] and not finding["problems"] for finding in findings.values())
