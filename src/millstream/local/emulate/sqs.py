"""An SQS queue, as a mapping polls it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from millstream import clock
from millstream.errors import SourceError
from millstream.local.emulate.destination import queue_url
from millstream.local.emulate.settings import Source
from millstream.local.emulator.messages import Message, Received, event_message
from millstream.sinks import clients
from millstream.sinks.retry import Again, Backoff, retry

IDLE_SECONDS = 0.5
"""After a receipt of nothing."""
CALL_SECONDS = 60.0
_BATCH = 10
_OWN = (
    "ApproximateReceiveCount",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "SenderId",
    "MessageDeduplicationId",
    "ApproximateFirstReceiveTimestamp",
)


class QueueSource:
    """A `queues.Source`. Deletions are gathered, and made by `flush`.

    visibility: the queue's, in seconds. undeleted: receipts by which nothing could be deleted; their messages come again.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.url = source.url or queue_url(source)
        self.undeleted = 0
        self._client = clients.client("sqs", source.region)
        self._due = 0.0
        self._deleting: list[Received] = []
        wanted = ["QueueArn", "VisibilityTimeout"]
        found = self._call("GetQueueAttributes", lambda: self._attributes(wanted), attempts=3)
        self.arn: str = found["QueueArn"]
        self.visibility = float(found["VisibilityTimeout"])

    @property
    def is_fifo(self) -> bool:
        return self.arn.endswith(".fifo")

    @property
    def backlog(self) -> int:
        """How many messages are in the queue, about."""
        names = [f"ApproximateNumberOfMessages{one}" for one in ("", "NotVisible", "Delayed")]
        return sum(map(int, self._call("GetQueueAttributes", lambda: self._attributes(names)).values()))

    def receive(self, count: int, now: float) -> list[Received]:
        """Raises SourceError."""
        if now < self._due:
            return []
        self.flush()
        names = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        answer = self._call(
            "ReceiveMessage",
            lambda: self._client.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=min(count, _BATCH), WaitTimeSeconds=0, **names
            ),
        )
        found = [received(one, self.arn) for one in answer.get("Messages", ())]
        self._due = now if found else now + IDLE_SECONDS
        return found

    def delete(self, received: Received, now: float) -> bool:
        self._deleting.append(received)
        return True

    def flush(self) -> None:
        """Delete what is to be deleted. Raises SourceError."""
        gone, self._deleting = self._deleting, []
        for i in range(0, len(gone), _BATCH):
            self.undeleted += self._batch("DeleteMessage", gone[i : i + _BATCH], self._client.delete_message_batch, {})

    def release(self, received: Sequence[Received]) -> None:
        """Let messages be received again at once. Raises SourceError."""
        for i in range(0, len(received), _BATCH):
            entry = {"VisibilityTimeout": 0}
            self._batch(
                "ChangeMessageVisibility", received[i : i + _BATCH], self._client.change_message_visibility_batch, entry
            )

    def wake(self, now: float) -> float | None:
        return max(now, self._due)

    def _batch(self, action: str, received: Sequence[Received], call: Callable[..., Any], more: dict[str, Any]) -> int:
        """Do something with receipts, and again with those that SQS had trouble with: how many it did not take."""
        waiting = {str(i): {"Id": str(i), "ReceiptHandle": one.receipt, **more} for i, one in enumerate(received)}
        refused = 0

        def attempt() -> None:
            nonlocal refused
            answer = call(QueueUrl=self.url, Entries=list(waiting.values()))
            for one in answer.get("Successful", ()):
                waiting.pop(one["Id"], None)
            for one in answer.get("Failed", ()):
                if one.get("SenderFault"):
                    refused += waiting.pop(one["Id"], None) is not None
            if waiting:
                raise Again(f"{len(waiting)} of {len(received)} messages were not taken")

        self._call(action, attempt)
        return refused

    def _attributes(self, names: list[str]) -> dict[str, str]:
        found: dict[str, str] = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return found

    def _call(self, operation: str, attempt: Callable[[], Any], attempts: int = 8) -> Any:
        doing, action = f"cannot use the queue {self.name}", f"sqs:{operation}"
        until = clock.monotonic() + CALL_SECONDS
        return retry(attempt, Backoff(attempts=attempts), until, doing=doing, action=action, error=SourceError)


def received(found: dict[str, Any], queue: str) -> Received:
    """A message of ReceiveMessage's answer, with the record that an event makes of it. queue: its ARN."""
    system = found["Attributes"]
    message = Message(
        found["MessageId"],
        found["Body"],
        int(system["SentTimestamp"]) / 1000,
        system.get("MessageGroupId"),
        system.get("MessageDeduplicationId"),
        system.get("SequenceNumber"),
        {name: _attribute(one) for name, one in found.get("MessageAttributes", {}).items()},
        int(system["ApproximateReceiveCount"]),
        int(system["ApproximateFirstReceiveTimestamp"]) / 1000,
        receipt=found["ReceiptHandle"],
        sender=system.get("SenderId", ""),
        system={name: value for name, value in system.items() if name not in _OWN},
    )
    return Received(message.id, message.receipt, event_message(message, queue), message.group)


def _attribute(found: dict[str, Any]) -> tuple[str, str]:
    kind: str = found["DataType"]
    return kind, base64.b64encode(found["BinaryValue"]).decode() if kind.startswith("Binary") else found["StringValue"]
