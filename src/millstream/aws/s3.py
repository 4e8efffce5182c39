"""Objects of S3 in, Parquet out: by S3's own events, by SQS, SNS or EventBridge."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from millstream.aws.envelope import keys_of
from millstream.aws.handler import Answer, Event, milliseconds_since
from millstream.aws.notification import EXPECTED, objects_of
from millstream.aws.objects import Objects
from millstream.aws.raw import RawEvent
from millstream.aws.sqs import SqsHandler, sqs_event, sqs_text
from millstream.errors import RunError, UsageError
from millstream.local.report import Report
from millstream.sinks.clients import client


class S3Handler(SqsHandler):
    """Runs S3 objects through a pipeline; see `millstream.aws.s3_handler`."""

    source = "s3"
    expected = f"{EXPECTED}, from S3, SNS or EventBridge, or in messages of SQS"
    only_notifications = True

    def load(self) -> None:
        """See `Handler.load`; objects are read by the client too."""
        super().load()
        client("s3")

    def __call__(self, event: Event, context: Any = None) -> Answer:
        """Land the objects that an event tells of. Answers SQS by the ids of the messages that must come again, else with a report.

        Raises UsageError for an event of another kind, RunError where the event must come again.
        """
        started = time.perf_counter()
        until = self.until(context)
        parsed = self._parsed(RawEvent(bytes(event)) if isinstance(event, bytes | bytearray) else event)
        if _is_queue(parsed):
            raw = event.raw if isinstance(event, RawEvent) else None
            queues = (sqs_text(raw) if raw is not None else None) or sqs_event(parsed)
            return self.land_queues(queues, milliseconds_since(started), until, context)
        objects = objects_of(parsed)
        if objects is None:
            raise UsageError(f"the event is no notification of S3's (its keys: {keys_of(parsed)}); {self.expected}")
        runner = Objects(self, until, context)
        report = Report(self.pipeline.name, self.fingerprint, "s3", rejects=None if self.rejects is None else self.rejects.url)
        failures: list[RunError] = []
        for one in objects:
            report.deliveries += 1
            try:
                landed = runner.land(one)
            except RunError as error:  # the others are done meanwhile
                failures.append(error)
            else:
                report.add(landed, landed.bytes_in)
        if failures:
            raise RunError("; ".join(dict.fromkeys(map(str, failures)))) from None
        report.seconds = time.perf_counter() - started
        return report.to_dict()


def _is_queue(event: Mapping[str, Any]) -> bool:
    records = event.get("Records")
    return (
        isinstance(records, list)
        and bool(records)
        and isinstance(records[0], Mapping)
        and records[0].get("eventSource") == "aws:sqs"
    )
