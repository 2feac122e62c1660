"""Every topic: its name, what is in it, how it is keyed and kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

CANONICAL = "leads.canonical"
DEAD_LETTERS = "leads.dlq"
LOADS = "leads.loads"
RECEIPTS = "leads.receipts"
LEDGER = "leads.ledger"
COMMANDS = "leads.commands"
ALERTS = "leads.alerts"
RAW_PREFIX = "leads.raw."
STATE_PREFIX = "leads.state."

MAX_DEAD_LETTER_BYTES = 16 * 1024 * 1024
MAX_RAW_BYTES = 8 * 1024 * 1024
MAX_LEAD_BYTES = 8 * 1024 * 1024
CHANGES_KEPT_DAYS = 30
"""How long leads.canonical keeps every change, also overtaken ones and deletes: a subscriber, or the sink, that is away
for less misses nothing."""
COMPACTED_WITHIN_DAYS = 7
"""After that a record that may be compacted away is, also on a topic to which little is written."""
ALERTS_KEPT_DAYS = 90
DAY_MILLISECONDS = 24 * 60 * 60 * 1000

SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Topic:
    """A topic as it is created: ``schema`` is the .avsc's stem (``None``: the value is not one fixed Avro record)."""

    name: str
    partitions: int
    schema: str | None
    config: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Registry subject of the values (TopicNameStrategy)."""
        return value_subject(self.name)


def value_subject(topic: str) -> str:
    """Registry subject of a topic's values, by TopicNameStrategy."""
    return f"{topic}-value"


def raw_topic(source: str) -> str:
    """The topic of a source's rows, as the vendor sent them."""
    return RAW_PREFIX + source


def state_topic(source: str) -> str:
    """The changelog of what the processors know of a source's leads; same partitions as its raw topic."""
    return STATE_PREFIX + source


def shared_topics(lanes: int) -> list[Topic]:
    """The topics that exist once, whatever the sources."""
    compacted = {"cleanup.policy": "compact"}
    forever = {"retention.ms": "-1"}
    return [
        Topic(
            CANONICAL,
            lanes,
            "lead",
            compacted
            | {
                "min.compaction.lag.ms": str(CHANGES_KEPT_DAYS * DAY_MILLISECONDS),
                "delete.retention.ms": str(CHANGES_KEPT_DAYS * DAY_MILLISECONDS),
                "max.compaction.lag.ms": str((CHANGES_KEPT_DAYS + COMPACTED_WITHIN_DAYS) * DAY_MILLISECONDS),
                "max.message.bytes": str(MAX_LEAD_BYTES),
            },
        ),
        # Values are the original bytes of whatever failed, as Kafka Connect does it; the headers tell the rest.
        Topic(DEAD_LETTERS, lanes, None, forever | {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES + 65536)}),
        Topic(LOADS, lanes, "load_step", forever),
        Topic(RECEIPTS, lanes, "receipt", compacted),
        Topic(LEDGER, lanes, "ledger_entry", compacted),
        Topic(COMMANDS, lanes, "command", forever),
        Topic(ALERTS, lanes, "alert", {"retention.ms": str(ALERTS_KEPT_DAYS * DAY_MILLISECONDS)}),
    ]


def source_topics(source: str, lanes: int, raw_retention_days: int) -> list[Topic]:
    """The two topics of one source."""
    return [
        Topic(
            raw_topic(source),
            lanes,
            None,  # one schema a header; registered when a file with that header arrives
            {
                "retention.ms": str(raw_retention_days * DAY_MILLISECONDS),
                "max.message.bytes": str(MAX_RAW_BYTES),
            },
        ),
        Topic(
            state_topic(source),
            lanes,
            "lead_state",
            {
                "cleanup.policy": "compact",
                "max.compaction.lag.ms": str(COMPACTED_WITHIN_DAYS * DAY_MILLISECONDS),
                "max.message.bytes": str(MAX_LEAD_BYTES),
            },
        ),
    ]
