"""SQS, as far as it is sent to."""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import ClientError

from tests.faults.services import Service

MESSAGE_BYTES = 1_048_576
SAME_SECONDS = 300
"""How long a FIFO queue knows what came."""


class SQS(Service):
    """Queues that collect: `messages[url]` holds the entries, in the order in which they came."""

    service = "sqs"
    operations = ("send_message_batch",)
    throttled = "RequestThrottled", 403
    internal = "InternalFailure", 500
    denied = "AccessDenied", 403
    expired = "ExpiredToken", 403

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self._known: dict[tuple[str, str], float] = {}

    def create(self, url: str) -> list[dict[str, Any]]:
        return self.messages.setdefault(url, [])

    def key(self, asked: dict[str, Any]) -> str:
        return str(asked.get("QueueUrl"))

    def told(self, operation: str, answer: dict[str, Any]) -> str:
        return f"{len(answer['Successful'])} taken"

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        for entry in Entries:
            if not entry.keys() <= {"Id", "MessageBody", "MessageGroupId", "MessageDeduplicationId"}:
                raise NotImplementedError(f"sqs: an entry with {sorted(entry)}")
        if QueueUrl not in self.messages:
            raise self._error("NonExistentQueue", "The specified queue does not exist.")
        if not Entries:
            raise self._error("EmptyBatchRequest")
        if len(Entries) > 10:
            raise self._error("TooManyEntriesInBatchRequest")
        if len({entry["Id"] for entry in Entries}) < len(Entries):
            raise self._error("BatchEntryIdsNotDistinct")
        if sum(len(entry["MessageBody"].encode()) for entry in Entries) > MESSAGE_BYTES:
            raise self._error("BatchRequestTooLong")
        taken = len(Entries) // 2 if self.is_part else len(Entries)
        for entry in Entries[:taken]:
            self._take(QueueUrl, entry)
        told = self.answer(
            Successful=[
                {"Id": one["Id"], "MessageId": self.world.token(), "MD5OfMessageBody": _md5(one["MessageBody"])}
                for one in Entries[:taken]
            ]
        )
        if taken < len(Entries):
            told["Failed"] = [{"Id": one["Id"], "Code": "InternalError", "SenderFault": False} for one in Entries[taken:]]
        return told

    def _take(self, url: str, entry: dict[str, Any]) -> None:
        if url.endswith(".fifo"):
            same = url, entry["MessageDeduplicationId"]
            if self.world.time - self._known.get(same, -SAME_SECONDS) < SAME_SECONDS:
                return
            self._known[same] = self.world.time
        self.messages[url].append(dict(entry))

    def _error(self, code: str, message: str = "") -> ClientError:
        return self.error(f"AWS.SimpleQueueService.{code}", 400, message)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
