"""Where a mapping tells of records that it gave up."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Literal

from millstream import clock
from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.local.emulate.settings import Source
from millstream.local.emulator.failures import GivenUp
from millstream.sinks import clients
from millstream.sinks.retry import Backoff, retry

SECONDS = 20.0
"""In which a destination must have taken what it is told."""
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)
_BUCKET = re.compile(r"(?:s3://|arn:aws[a-z-]*:s3:::)([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?", re.ASCII)


@dataclass(frozen=True)
class Destination:
    """kind: s3, sqs or sns. name: the bucket, the queue's URL or the topic's ARN."""

    kind: Literal["s3", "sqs", "sns"]
    name: str
    region: str | None = None

    @classmethod
    def of(cls, text: str) -> Destination:
        """The destination that a word names. Raises UsageError."""
        if found := _BUCKET.fullmatch(text):
            return cls("s3", found[1])
        if found := _TOPIC.fullmatch(text):
            return cls("sns", text, found[1])
        source = None
        with suppress(UsageError):
            source = Source.of(text)
        if source is not None and source.kind == "sqs" and not source.name.endswith(".fifo"):
            return cls("sqs", source.url or queue_url(source), source.region)
        raise UsageError(
            f"--destination is {text!r}; write s3://BUCKET, the URL or ARN of a queue that is not FIFO, a topic's ARN, or none"
        )

    @property
    def form(self) -> Literal["s3", "sqs"]:
        """Which of the two documents it gets: with the records, or with their numbers."""
        return "s3" if self.kind == "s3" else "sqs"

    def tell(self, given_up: GivenUp) -> None:
        """Raises SinkError where it was not taken."""
        client = clients.client(self.kind, self.region)
        text = json.dumps(given_up.document if self.kind == "s3" else given_up.message, separators=(",", ":"))

        def attempt() -> Any:
            match self.kind:
                case "s3":
                    return client.put_object(Bucket=self.name, Key=given_up.key, Body=text.encode())
                case "sqs":
                    return client.send_message(QueueUrl=self.name, MessageBody=text)
            return client.publish(TopicArn=self.name, Message=text)

        action = {"s3": "s3:PutObject", "sqs": "sqs:SendMessage", "sns": "sns:Publish"}[self.kind]
        retry(
            attempt, Backoff(), clock.monotonic() + SECONDS, doing=f"cannot tell {self.name} of records given up", action=action
        )


def queue_url(source: Source) -> str:
    """The URL of a queue that is known by its ARN. Raises UsageError."""
    client = clients.client("sqs", source.region)

    def attempt() -> str:
        found: str = client.get_queue_url(QueueName=source.name, QueueOwnerAWSAccountId=source.account)["QueueUrl"]
        return found

    return retry(
        attempt,
        Backoff(attempts=3),
        clock.monotonic() + SECONDS,
        doing=f"cannot find the queue {source.name}",
        action="sqs:GetQueueUrl",
        error=UsageError,
    )
