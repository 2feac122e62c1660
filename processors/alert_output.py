"""Alerts on their way out: a line in the log and a record on ``leads.alerts`` for each, at least once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leadstream.alerts import alerts, failed_share
from leadstream.log import get_logger
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
    delivery = await topic.send(key=alert["source"].encode(), value=encoder.encode(dict(alert)))
    await delivery
