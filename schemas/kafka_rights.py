"""Which rights each stage needs in Kafka, and no others: the one table behind ops/kafka-acls.sh and the tests.

    python -m schemas.kafka_rights > ops/kafka-acls.sh

READ and WRITE include DESCRIBE. A right on a prefix holds for every name that begins with it, sources to come too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas import topics

Resource = Literal["topic", "group", "transactional-id"]
Operation = Literal["DESCRIBE", "READ", "WRITE", "CREATE"]


@dataclass(frozen=True)
class Right:
    """Operations on one topic, group or transactional id, or on all whose names begin so; ``why`` for people."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    why: str
    is_prefix: bool = False


def _topic(name: str, *operations: Operation, why: str) -> Right:
    return Right("topic", name, operations, why, is_prefix=name.endswith("."))


def _group(name: str, why: str) -> Right:
    return Right("group", name, ("READ",), why, is_prefix=name.endswith("-"))


def _transactions(prefix: str) -> Right:
    return Right("transactional-id", prefix, ("WRITE",), "its transactions", is_prefix=True)


ALL = "leads."
_MAKES = _topic(ALL, "DESCRIBE", "CREATE", why="makes the topics that are missing, also those of a new source")

RIGHTS: dict[str, tuple[Right, ...]] = {
    "producer": (
        _MAKES,
        _topic(topics.RAW_PREFIX, "READ", "WRITE", why="the rows; reads earlier ones to judge a changed header"),
        _topic(topics.LEDGER, "READ", "WRITE", why="what was split"),
        _topic(topics.LOADS, "WRITE", why="the steps of a load"),
        _topic(topics.DEAD_LETTERS, "WRITE", why="rows that cannot be split"),
        _topic(topics.COMMANDS, "READ", why="approvals"),
        _group("leadstream-producer-lanes", "shares the lanes"),
        _transactions("leadstream-producer-"),
    ),
    "processors": (
        _MAKES,
        _topic(topics.RAW_PREFIX, "READ", why="the rows"),
        _topic(topics.STATE_PREFIX, "READ", "WRITE", why="what is known of each lead"),
        _topic(topics.CANONICAL, "READ", "WRITE", why="the leads; reads one back to say what changed"),
        _topic(topics.LOADS, "READ", "WRITE", why="the steps of a load"),
        _topic(topics.DEAD_LETTERS, "READ", "WRITE", why="rows that fail, and are tried again"),
        _topic(topics.COMMANDS, "READ", why="approvals, replays, retries"),
        _topic(topics.RECEIPTS, "READ", "WRITE", why="the receipts, folded and read back"),
        _topic(topics.ALERTS, "WRITE", why="alerts"),
        _group("leadstream-processors-lanes", "shares the lanes"),
        _group("leadstream-processors", "how far the raw topics are read"),
        _group("leadstream-receipts", "Faust's group"),
        _transactions("leadstream-processors-"),
    ),
    "sink": (
        _MAKES,
        _topic(topics.CANONICAL, "READ", why="the leads"),
        _topic(topics.LOADS, "READ", why="the steps of a load"),
        _topic(topics.DEAD_LETTERS, "READ", why="the dead letters"),
        _group("leadstream-sink", "shares the partitions"),
    ),
    "subscriber": (
        _topic(topics.CANONICAL, "READ", why="the leads, personal data included"),
        _group("leadstream-tail-", "tail --group; a subscriber's own group beside it"),
    ),
    "operator": (
        _topic(ALL, "READ", "CREATE", why="tail, leads show, previews; makes the topics that are missing"),
        _topic(topics.COMMANDS, "WRITE", why="loads approve, replay, dlq retry, forget"),
        _topic(topics.DEAD_LETTERS, "WRITE", why="forget: what the letters of a person hold is erased"),
        Right("group", "leadstream-processors", ("DESCRIBE",), "forget: waits until it is carried out"),
        _topic(topics.RAW_PREFIX, "WRITE", why="replay, of rows that retention has taken from the topic"),
        _group("leadstream-tail-", "tail --group"),
        _transactions("leadstream-commands-"),
        _transactions("leadstream-restore-"),
    ),
}
"""By who logs in, the rights it needs."""


def script() -> str:
    """A shell script that gives each user its rights, with Kafka's own tool."""
    lines = [
        "#!/bin/sh",
        "# Gives each stage the rights that it needs in Kafka, and no others.",
        "# Written by `python -m schemas.kafka_rights`; a test holds the two together.",
        "#",
        "#   ADMIN='--bootstrap-server broker:9093 --command-config admin.properties' ops/kafka-acls.sh",
        "#",
        "# Each stage logs in as the user of its name; other names: PRODUCER=User:ingest … (with certificates, the",
        "# whole subject: SINK='User:CN=sink,O=example').",
        "set -eu",
        ': "${ADMIN:?options for kafka-acls.sh: --bootstrap-server …}"',
        'acls() { "${KAFKA_ACLS:-kafka-acls.sh}" $ADMIN --add "$@"; }',
    ]
    for user, rights in RIGHTS.items():
        variable = user.upper()
        lines += ["", f': "${{{variable}:=User:{user}}}"']
        for right in rights:
            operations = " ".join(f"--operation {operation.capitalize()}" for operation in right.operations)
            pattern = " --resource-pattern-type prefixed" if right.is_prefix else ""
            lines.append(f"# {right.why}")
            lines.append(f'acls --allow-principal "${variable}" {operations} --{right.resource} {right.name}{pattern}')
    return "\n".join(lines) + "\n"


def table() -> str:
    """The same for people, in Markdown."""
    lines = ["| who | may | of | for |", "|---|---|---|---|"]
    for user, rights in RIGHTS.items():
        for right in rights:
            operations = ", ".join(right.operations)
            name = f"`{right.name}{'*' if right.is_prefix else ''}`"
            lines.append(f"| {user} | {operations} | {right.resource.replace('-', ' ')} {name} | {right.why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(script(), end="")  # noqa: T201 -- it is what this module is run for
