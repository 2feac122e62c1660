"""Kafka's rights: the path works with exactly those of the table; without one of them the stage says which it lacks."""

from __future__ import annotations

import pytest

from schemas.kafka_rights import RIGHTS
from tests.doors.locked import Doors
from tests.system import System

pytestmark = pytest.mark.doors

STAGES = {"producer": "produce", "processors": "process", "sink": "sink"}
MISSING = [
    ("producer", "leads.", "topic leads."),
    ("producer", "leadstream-producer-lanes", "group leadstream-producer-lanes"),
    ("producer", "leadstream-producer-", "transactional id leadstream-producer-"),
    ("processors", "leads.", "topic leads."),
    ("processors", "leads.commands", "topic leads.commands"),
    ("processors", "leadstream-processors-lanes", "group leadstream-processors-lanes"),
    ("processors", "leadstream-processors-", "transactional id leadstream-processors-"),
    ("processors", "leadstream-receipts", "group leadstream-receipts"),
    ("sink", "leads.", "topic leads."),
    ("sink", "leads.canonical", "topic leads.canonical"),
    ("sink", "leads.dlq", "topic leads.dlq"),
    ("sink", "leadstream-sink", "group leadstream-sink"),
]


@pytest.fixture
def without(request: pytest.FixtureRequest) -> str:
    """A user name of its own for each case."""
    return f"without-{abs(hash(request.node.name))}"


@pytest.mark.parametrize(("stage", "name", "words"), MISSING)
async def test_a_stage_that_lacks_a_right_says_which(
    stage: str, name: str, words: str, doors: Doors, behind: System, without: str
) -> None:
    """Exit code 1, and one line that names the topic, the group or the transactional id."""
    rights = [right for right in RIGHTS[stage] if right.name != name]
    assert len(rights) < len(RIGHTS[stage])
    doors.add_kafka_user(without, rights)
    settings = doors.kafka(without) | doors.registry() | {"POSTGRES_DSN": doors.postgres("writer")}
    done = await behind.command(STAGES[stage], **settings)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and words in errors[0] and "ops/kafka-acls.sh" in errors[0], done.stderr
    assert "Traceback" not in done.stderr


async def test_a_subscriber_who_lacks_the_right_is_told_so(doors: Doors, behind: System, without: str) -> None:
    """The commands say it as the stages do."""
    doors.add_kafka_user(without, [right for right in RIGHTS["subscriber"] if right.resource != "topic"])
    settings = doors.kafka(without) | doors.registry()
    done = await behind.command("tail", "--count", "1", "--from", "earliest", **settings)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "leads.canonical" in done.stderr and "Traceback" not in done.stderr, done.stderr
