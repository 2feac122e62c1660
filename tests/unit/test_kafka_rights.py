"""The table of Kafka rights, and what is written from it."""

from __future__ import annotations

import os
import subprocess

from schemas.kafka_rights import RIGHTS, script, table
from tests.system import ROOT

SCRIPT = ROOT / "ops" / "kafka-acls.sh"


def test_the_script_and_the_page_say_what_the_table_says() -> None:
    """Whoever gives rights by either gives those that are tested."""
    assert SCRIPT.read_text() == script(), "python -m schemas.kafka_rights > ops/kafka-acls.sh"
    assert table() in (ROOT / "docs" / "security.md").read_text(), "copy schemas.kafka_rights.table() there"


def test_the_script_gives_each_right_once() -> None:
    """It runs in a plain shell; here with a tool that only prints what it is told."""
    environment = {"PATH": os.environ["PATH"], "ADMIN": "--bootstrap-server broker:9093", "KAFKA_ACLS": "echo"}
    done = subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(set(lines)) == sum(len(rights) for rights in RIGHTS.values())
    assert (
        "--bootstrap-server broker:9093 --add --allow-principal User:sink --operation Read --topic leads.canonical"
        in lines
    )


def test_no_right_stands_twice() -> None:
    """Taking a line away takes the right away."""
    for rights in RIGHTS.values():
        places = [(right.resource, right.name, right.is_prefix) for right in rights]
        assert len(places) == len(set(places))
