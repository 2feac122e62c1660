"""What one object that S3 cannot tell of, or one record that was taken out of a topic, does to those beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from leadstream.errors import BadRecordError, TransientError
from leadstream.settings import KafkaSettings
from processors import receipts
from producer.arrivals import Arrival
from producer.service import ProducerService


def listed(number: int) -> Arrival:
    """An object of a listing; a greater number is younger."""
    at = datetime(2026, 1, 31, 12, number, tzinfo=UTC)
    return Arrival("landing", f"acme/{number}.csv", f"etag{number}", None, at, 1)


async def test_an_object_that_cannot_be_asked_for_holds_up_none_beside_it() -> None:
    """One that fails for now is asked for again, one that may not be read is offered: reading it fails its load."""
    offered: list[str] = []

    async def head(_bucket: str, key: str, *, with_version: bool) -> Arrival:
        assert with_version
        if key == "acme/1.csv":
            raise TransientError("S3 answered 500")
        if key == "acme/2.csv":
            raise BadRecordError("may not be read", code="forbidden")
        return listed(3)

    service: Any = ProducerService.__new__(ProducerService)
    service._offer = lambda _group, arrival: offered.append(arrival.key)
    again = await service._offer_unannounced(None, SimpleNamespace(head=head), [listed(3), listed(2), listed(1)])
    assert (again, offered) == (1, ["acme/2.csv", "acme/3.csv"])


async def test_a_receipt_that_was_taken_out_of_the_topic_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next step begins anew; the newest record of a load is the one that counts."""

    async def read(*_where: Any) -> AsyncIterator[list[Any]]:
        yield [SimpleNamespace(key=b"a", value=b"1"), SimpleNamespace(key=b"b", value=b"1")]
        yield [SimpleNamespace(key=b"a", value=None), SimpleNamespace(key=b"b", value=b"2")]

    monkeypatch.setattr(receipts, "read_partition", read)
    assert await receipts.KnownReceipts(KafkaSettings()).of(0, 1) == {b"b": b"2"}
