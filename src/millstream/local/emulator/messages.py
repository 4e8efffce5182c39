"""An SQS queue in memory: standard or FIFO, with visibility, receive counts and dead letters."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from millstream.classes import dataclass, field
from millstream.errors import UsageError
from millstream.local.emulator.failures import random_uuid

DEDUPLICATION = 300.0
"""Seconds in which a FIFO queue takes a message with the same deduplication id for the same message."""
_FIRST = 18849496460467696128


@dataclass(eq=False)
class Message:
    """A message as its queue keeps it. sent, first_received, visible: in seconds; it is in flight until it is visible.

    sender: the id of who sent it. system: more of its system attributes, by name.
    """

    id: str
    body: str
    sent: float
    group: str | None = None
    deduplication: str | None = None
    sequence: str | None = None
    attributes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    receives: int = 0
    first_received: float = 0.0
    visible: float = 0.0
    receipt: str = ""
    sender: str = "AIDAIENQZJOLO23YVJ4VO"
    system: Mapping[str, str] = field(default_factory=dict)


class Received(NamedTuple):
    """One receipt of a message, and the record an event makes of it."""

    id: str
    receipt: str
    event: dict[str, Any]
    group: str | None


@dataclass(eq=False)
class Queue:
    """visibility: seconds for which a received message is in flight. maximum_receives: then it is a dead letter; 0 is without end.

    duplicates, reordering: the chance, for a message of a standard queue to be handed out and yet stay, and for a receipt of several
    to be in any order. A name ending in .fifo is a FIFO queue's.
    """

    random: Random
    arn: str = "arn:aws:sqs:us-east-1:123456789012:orders"
    visibility: float = 30.0
    maximum_receives: int = 0
    duplicates: float = 0.0
    reordering: float = 0.0
    messages: list[Message] = field(default_factory=list)
    deleted: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    sent_so_far: int = 0
    _recent: dict[str, Message] = field(default_factory=dict)
    _deduplicated: dict[str, float] = field(default_factory=dict)

    @property
    def is_fifo(self) -> bool:
        return self.arn.endswith(".fifo")

    @property
    def backlog(self) -> int:
        """How many messages are neither deleted nor dead letters."""
        return len(self.messages)

    def send(
        self,
        body: str,
        now: float,
        *,
        group: str | None = None,
        deduplication: str | None = None,
        attributes: Mapping[str, tuple[str, str]] | None = None,
    ) -> Message:
        """A new message, or the one that a FIFO queue takes it for. attributes: name to (data type, value).

        A FIFO queue's message without a deduplication id is known by its body, as with ContentBasedDeduplication.
        Raises UsageError for a group that is missing or not taken.
        """
        if self.is_fifo == (group is None):
            raise UsageError(f"messages of a FIFO queue have a group, and no others have; the queue is {self.arn}")
        if self.is_fifo:
            deduplication = deduplication or hashlib.sha256(body.encode()).hexdigest()
            if now - self._deduplicated.get(deduplication, -DEDUPLICATION) < DEDUPLICATION:
                return self._recent[deduplication]
        sequence = str(_FIRST + 256 * self.sent_so_far) if self.is_fifo else None
        message = Message(random_uuid(self.random), body, now, group, deduplication, sequence, dict(attributes or {}))
        self.sent_so_far += 1
        self.messages.append(message)
        if deduplication is not None and self.is_fifo:
            self._recent[deduplication], self._deduplicated[deduplication] = message, now
        return message

    def receive(self, count: int, now: float) -> list[Received]:
        """Up to `count` visible messages, in flight from now on. What was received too often becomes a dead letter instead."""
        found: list[Received] = []
        for message in self._offered(now):
            if len(found) == count:
                break
            stays = not self.is_fifo and self.duplicates > 0 and self.random.random() < self.duplicates
            message.receives += 1
            message.first_received = message.first_received or now
            message.visible = now if stays else now + self.visibility
            # Each receipt has a handle of its own, and only the newest one deletes.
            message.receipt = base64.b64encode(self.random.randbytes(24)).decode()
            found.append(Received(message.id, message.receipt, event_message(message, self.arn), message.group))
        return found

    def delete(self, received: Received, now: float) -> bool:
        """Delete by a receipt. False where that does nothing: the message is gone, was received again, or is FIFO and visible again."""
        for message in self.messages:
            if message.id == received.id:
                if message.receipt != received.receipt or (self.is_fifo and message.visible <= now):
                    return False
                self.messages.remove(message)
                self.deleted.append(message)
                return True
        return False

    def wake(self, now: float) -> float | None:
        """The next time at which a message could be received; None while there is none."""
        if not self.is_fifo:
            return max(now, min(one.visible for one in self.messages)) if self.messages else None
        groups: dict[str | None, float] = {}
        for one in self.messages:
            groups[one.group] = max(groups.get(one.group, now), one.visible)
        return min(groups.values(), default=None)

    def _offered(self, now: float) -> Sequence[Message]:
        """The messages that may be received now, in an order in which they may."""
        visible = [one for one in self.messages if one.visible <= now]
        if self.is_fifo:
            # A group waits while one of its messages is in flight: not only those behind that one, as none may overtake.
            blocked = {one.group for one in self.messages if one.visible > now}
            visible = [one for one in visible if one.group not in blocked]
        dead = [one for one in visible if 0 < self.maximum_receives <= one.receives]
        for one in dead:
            self.messages.remove(one)
            self.dead.append(one)
        offered = [one for one in visible if one not in dead] if dead else visible
        if not self.is_fifo and self.reordering > 0 and self.random.random() < self.reordering:
            self.random.shuffle(offered)
        return offered


def event_message(message: Message, queue: str) -> dict[str, Any]:
    """A message as an event holds it, keys in the service's order."""
    attributes = {"ApproximateReceiveCount": str(message.receives), "SentTimestamp": _milliseconds(message.sent)}
    fifo = {"SequenceNumber": message.sequence, "MessageGroupId": message.group}
    attributes |= {name: value for name, value in fifo.items() if value is not None}
    attributes["SenderId"] = message.sender
    if message.deduplication is not None:
        attributes["MessageDeduplicationId"] = message.deduplication
    attributes["ApproximateFirstReceiveTimestamp"] = _milliseconds(message.first_received)
    attributes |= message.system
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {name: _attribute(*one) for name, one in message.attributes.items()},
        "md5OfMessageAttributes": _md5_of_attributes(message.attributes) if message.attributes else None,
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": queue.split(":")[3],
    }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _attribute(kind: str, value: str) -> dict[str, Any]:
    name = "binaryValue" if kind.startswith("Binary") else "stringValue"
    return {name: value, "stringListValues": [], "binaryListValues": [], "dataType": kind}


def _md5_of_attributes(attributes: Mapping[str, tuple[str, str]]) -> str:
    """As SQS counts it: by name, each part after its length; one byte says whether the value is text or binary."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, (kind, value) in sorted(attributes.items()):
        binary = kind.startswith("Binary")
        content = base64.b64decode(value) if binary else value.encode()
        for part in (name.encode(), kind.encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update((b"\2" if binary else b"\1") + struct.pack(">I", len(content)) + content)
    return digest.hexdigest()
