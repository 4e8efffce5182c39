"""Notifications of S3: which objects came, from S3 itself, by SNS, or by EventBridge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import orjson

from millstream.aws.envelope import plain
from millstream.errors import UsageError

EXPECTED = "expected a notification of S3's that objects were created (s3:ObjectCreated:*, or EventBridge's Object Created)"


class ObjectRef(NamedTuple):
    """One version of an object. Its key as it is, not encoded. milliseconds: when it came, 0 if that is not told."""

    bucket: str
    key: str
    version: str | None
    etag: str | None
    milliseconds: int

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def objects_of(message: Any) -> list[ObjectRef] | None:
    """The objects that a message tells of; None if it is no notification of S3's. A test event tells of none.

    Raises UsageError for a notification of anything but new objects.
    """
    if not isinstance(message, Mapping):
        return None
    if message.get("Event") == "s3:TestEvent":
        return []
    if message.get("Type") == "Notification" and isinstance(message.get("Message"), str):
        return objects_of(_parsed(message["Message"]))
    if message.get("source") == "aws.s3" and isinstance(message.get("detail"), Mapping):
        return [_bridged(message)]
    records = message.get("Records")
    if not isinstance(records, list) or not records or not all(isinstance(one, Mapping) for one in records):
        return None
    if all(one.get("EventSource") == "aws:sns" for one in records):
        found = [objects_of(_parsed(_at(one, "Sns", "Message"))) for one in records]
        return None if None in found else [one for some in found for one in some or ()]
    if not all(one.get("eventSource") == "aws:s3" for one in records):
        return None
    return [_notified(one) for one in records]


def text_objects(text: bytes) -> list[ObjectRef] | None:
    """`objects_of` a message's text."""
    return objects_of(_parsed(text))


def _parsed(text: Any) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None


def _at(holder: Any, *names: str) -> Any:
    for name in names:
        holder = holder.get(name) if isinstance(holder, Mapping) else None
    return holder


def _text(holder: Any, *names: str) -> str:
    found = _at(holder, *names)
    if not isinstance(found, str) or not found:
        raise UsageError(f"the notification has no {'.'.join(names)}; {EXPECTED}")
    return found


def _or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _notified(record: Mapping[str, Any]) -> ObjectRef:
    name = _text(record, "eventName")
    if not name.removeprefix("s3:").startswith("ObjectCreated:"):
        raise UsageError(f"the notification is of {plain(name) or 'something else'}; {EXPECTED}")
    thing = _at(record, "s3", "object")
    return ObjectRef(
        _text(record, "s3", "bucket", "name"),
        unquote_plus(_text(record, "s3", "object", "key")),  # S3 encodes keys as a form does; EventBridge does not
        _or_none(_at(thing, "versionId")),
        _or_none(_at(thing, "eTag")),
        _milliseconds(record.get("eventTime")),
    )


def _bridged(message: Mapping[str, Any]) -> ObjectRef:
    kind = message.get("detail-type")
    if kind != "Object Created":
        raise UsageError(f"the event's detail-type is {plain(kind) or 'another'}; {EXPECTED}")
    detail = message["detail"]
    thing = _at(detail, "object")
    return ObjectRef(
        _text(detail, "bucket", "name"),
        _text(detail, "object", "key"),
        _or_none(_at(thing, "version-id")),
        _or_none(_at(thing, "etag")),
        _milliseconds(message.get("time")),
    )


def _milliseconds(value: Any) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return 0
