"""S3 event notices in every shape they reach a queue: native, wrapped by SNS, through EventBridge.

Formats: "Event message structure" and "Using EventBridge" of the Amazon S3 user guide, "Amazon SNS message and JSON
formats" of the SNS guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import orjson

from leadstream.errors import BadRecordError
from producer.arrivals import told_version


@dataclass(frozen=True)
class Notice:
    """An object that a notice says was created."""

    bucket: str
    key: str
    version_id: str | None


def parse_notice(body: str | bytes) -> list[Notice]:
    """The objects created according to one queue message; empty for test events and for other events.

    Raises:
        BadRecordError: code ``bad_notice``: the message is in none of the known shapes.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise _unknown("it is not JSON") from exc
    if not isinstance(document, dict):
        raise _unknown("it is not a JSON object")
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        return parse_notice(document["Message"])
    if document.get("Event") == "s3:TestEvent":
        return []
    try:
        if document.get("source") == "aws.s3":
            return _from_eventbridge(document)
        if "Records" in document:
            return [notice for record in document["Records"] for notice in _from_record(record)]
    except (KeyError, TypeError, AttributeError) as exc:
        raise _unknown(f"a part is missing: {exc}") from exc
    raise _unknown("neither S3, SNS nor EventBridge")


def _from_eventbridge(document: dict[str, Any]) -> list[Notice]:
    if document["detail-type"] != "Object Created":
        return []
    detail = document["detail"]
    # Keys are plain in EventBridge events, URL-encoded in S3's own.
    return [Notice(detail["bucket"]["name"], detail["object"]["key"], told_version(detail["object"].get("version-id")))]


def _from_record(record: dict[str, Any]) -> list[Notice]:
    if not record["eventName"].removeprefix("s3:").startswith("ObjectCreated:"):
        return []
    s3 = record["s3"]
    return [
        Notice(s3["bucket"]["name"], unquote_plus(s3["object"]["key"]), told_version(s3["object"].get("versionId")))
    ]


def _unknown(why: str) -> BadRecordError:
    return BadRecordError(
        f"a queue message is no S3 notice: {why}",
        code="bad_notice",
        hint="let only S3, SNS or EventBridge send to this queue",
    )
