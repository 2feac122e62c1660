"""Alerts on their way out: a line in the log and a record on ``leads.alerts`` for each, at least once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.exceptions import ProducerSendError

from leadstream import kafka
from leadstream.alerts import alerts, failed_share
from leadstream.errors import TransientError
from leadstream.log import get_logger
from leadstream.retry import forever
from schemas.codec import Encoder
from schemas.receipts import standing

Record = dict[str, Any]

log = get_logger("processors")


def new_alerts(before: Record | None, after: Record, step: Record, threshold: float | None) -> list[Record]:
    """What a step gave reason for (records of ``alert.avsc``): nothing that the receipt ``before`` it told already.

    ``threshold``: the ``dead_letter_rate`` of the load's source.
    """
    told = {alert.kind for alert in alerts(standing(before), threshold)} if before is not None else set()
    return [
        {
            **{name: after[name] for name in ("source", "load_id", "bucket", "object_key")},
            "kind": alert.kind.value,
            "text": alert.text,
            **{name: after[name] for name in ("rows", "dead_letters", "deletes_held")},
            "rate": failed_share(after),
            "threshold": threshold,
            "at": step["at"],
        }
        for alert in alerts(standing(after), threshold)
        if alert.kind not in told
    ]


async def send_alert(topic: Any, encoder: Encoder, alert: Mapping[str, Any]) -> None:
    """Tell of an alert; returns when ``topic`` (one of Faust's) has it."""
    log.warning("alert", **{name: value for name, value in alert.items() if name != "at"})
    await sent(topic, alert["source"].encode(), encoder.encode(dict(alert)))


async def sent(topic: Any, key: bytes, value: bytes, partition: int | None = None) -> None:
    """Send a record to a topic of Faust's; returns when Kafka has it, however long it is away. May send it twice."""

    async def send() -> None:
        try:
            with kafka.errors_translated():
                await (await topic.send(key=key, value=value, partition=partition))
        except ProducerSendError as exc:
            raise TransientError(f"Kafka did not take a record of {topic.get_topic_name()}: {exc}") from exc

    await forever(send, what="Kafka")
