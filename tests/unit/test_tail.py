"""Which change records `tail` shows, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import typer
from aiokafka import TopicPartition

from leadstream.cli.tail import in_order, wanted_leads

LEADS: dict[str, dict[str, Any]] = {
    "insert": {"source": "acme", "op": "c", "changed_fields": []},
    "phone": {"source": "acme", "op": "u", "changed_fields": ["phone"]},
    "both": {"source": "other", "op": "u", "changed_fields": ["phone", "city"]},
    "delete": {"source": "other", "op": "d", "changed_fields": []},
}


@pytest.mark.parametrize(
    ("source", "ops", "changed", "shown"),
    [
        (None, set(), set(), {"insert", "phone", "both", "delete"}),
        ("acme", set(), set(), {"insert", "phone"}),
        (None, {"c", "d"}, set(), {"insert", "delete"}),
        (None, set(), {"city"}, {"both"}),
        (None, set(), {"city", "phone"}, {"phone", "both"}),
        ("acme", {"u"}, {"phone"}, {"phone"}),
        (None, {"c"}, {"phone"}, set()),
    ],
)
def test_a_record_is_shown_when_every_filter_lets_it_through(
    source: str | None, ops: set[str], changed: set[str], shown: set[str]
) -> None:
    """Of a repeated option any value will do; of several options all must."""
    wanted = wanted_leads(source, frozenset(ops), frozenset(changed))
    assert {name for name, lead in LEADS.items() if wanted(lead)} == shown


def test_a_field_that_is_none_is_wrong_use_with_a_suggestion() -> None:
    """A misspelt field would otherwise show nothing for ever."""
    with pytest.raises(typer.BadParameter, match="did you mean 'phone'"):
        wanted_leads(None, frozenset(), frozenset({"phnoe"}))


def test_records_come_by_time_but_never_against_the_order_of_their_partition() -> None:
    """A clock that went back must not turn two changes of a lead around."""
    first, second = TopicPartition("t", 0), TopicPartition("t", 1)
    batches = {
        first: [SimpleNamespace(name=name, timestamp=at) for name, at in (("a", 5), ("b", 3), ("c", 9))],
        second: [SimpleNamespace(name=name, timestamp=at) for name, at in (("x", 4), ("y", 7))],
    }
    assert [record.name for record in in_order(batches)] == ["x", "a", "b", "y", "c"]  # type: ignore[arg-type, attr-defined]  # in place of Kafka's records
