"""S3 notices in every shape they reach a queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leadstream.errors import BadRecordError
from producer.notices import Notice, parse_notice


def _native(key: str, event: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    record = {"eventName": event, "s3": {"bucket": {"name": "landing"}, "object": {"key": key, **more}}}
    return {"Records": [record]}


def test_a_native_notice_names_the_object_with_its_key_decoded() -> None:
    """S3 encodes keys as in a form: blanks are plus signs."""
    body = json.dumps(_native("texas/07-07-2023+Texas+DHHS%2BA%26B.csv", versionId="v1"))
    assert parse_notice(body) == [Notice("landing", "texas/07-07-2023 Texas DHHS+A&B.csv", "v1")]


def test_a_notice_wrapped_by_sns_is_unwrapped() -> None:
    """SNS puts the notice as text into its own envelope."""
    body = json.dumps({"Type": "Notification", "Message": json.dumps(_native("nevada/a.csv"))})
    assert parse_notice(body) == [Notice("landing", "nevada/a.csv", None)]


def test_an_eventbridge_event_carries_its_key_as_it_is() -> None:
    """EventBridge does not encode keys: a plus sign is a plus sign."""
    detail = {"bucket": {"name": "landing"}, "object": {"key": "texas/a+b c.csv", "version-id": "v2"}}
    body = json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})
    assert parse_notice(body) == [Notice("landing", "texas/a+b c.csv", "v2")]


@pytest.mark.parametrize(
    "document",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"},
        _native("a.csv", event="ObjectRemoved:Delete"),
        {"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}},
        {"Records": []},
    ],
)
def test_what_announces_no_new_object_is_passed_over(document: dict[str, Any]) -> None:
    """Test events and other events are no arrivals, and no errors."""
    assert parse_notice(json.dumps(document)) == []


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"Records": [{"eventName": "ObjectCreated:Put"}]}'])
def test_what_is_no_notice_says_so(body: str) -> None:
    """A message of something else is named as such, and stays in the queue."""
    with pytest.raises(BadRecordError) as caught:
        parse_notice(body)
    assert caught.value.code == "bad_notice"


def test_the_version_of_an_object_that_has_none_names_no_bytes() -> None:
    """S3 calls it "null", whatever stands there: it must not make two files one load."""
    assert parse_notice(json.dumps(_native("a.csv", versionId="null"))) == [Notice("landing", "a.csv", None)]
