"""Handlers for AWS Lambda: each wires an event source to a pipeline and a sink.

All take the same: `sink` is where rows go, a folder or s3://bucket/prefix/; `rejects` where rejected records go, likewise, or
sqs+https://QUEUE_URL. Without `rejects`, `on_reject` says what a rejected record does: "fail" has its delivery come again until it expires,
"drop-and-count" leaves it to the counts. `ledger` is dynamodb://TABLE, which remembers what was committed of Kinesis shards, as
sqlite:///path does, and what was done of S3 objects. What is None is read from the environment: `millstream settings` lists it. All raise
SettingsError or PlanError at once for what cannot work.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from millstream.aws.kinesis import KinesisHandler
    from millstream.aws.s3 import S3Handler
    from millstream.aws.sqs import SqsHandler
    from millstream.pipeline import Pipeline

__all__ = ["kinesis_handler", "s3_handler", "sqs_handler"]

Place: TypeAlias = "str | os.PathLike[str] | None"


def kinesis_handler(
    pipeline: Pipeline | None = None,
    *,
    sink: Place = None,
    rejects: Place = None,
    on_reject: str | None = None,
    ledger: str | None = None,
) -> KinesisHandler:
    """A handler for Kinesis streams. Its function's event source mapping reports batch item failures."""
    from millstream.aws.kinesis import KinesisHandler

    return KinesisHandler(pipeline, sink=sink, rejects=rejects, on_reject=on_reject, ledger=ledger)


def sqs_handler(
    pipeline: Pipeline | None = None,
    *,
    sink: Place = None,
    rejects: Place = None,
    on_reject: str | None = None,
    ledger: str | None = None,
) -> SqsHandler:
    """A handler for SQS queues, standard and FIFO. Its function's event source mapping reports batch item failures.

    A message is a record, an array of records, or a notification that S3 objects were created: then they are processed.
    """
    from millstream.aws.sqs import SqsHandler

    return SqsHandler(pipeline, sink=sink, rejects=rejects, on_reject=on_reject, ledger=ledger)


def s3_handler(
    pipeline: Pipeline | None = None,
    *,
    sink: Place = None,
    rejects: Place = None,
    on_reject: str | None = None,
    ledger: str | None = None,
) -> S3Handler:
    """A handler for S3 objects: told of by S3 itself, SNS or EventBridge, or by messages of SQS that hold such notifications."""
    from millstream.sinks.store import require_boto3

    require_boto3("s3_handler")
    from millstream.aws.s3 import S3Handler

    return S3Handler(pipeline, sink=sink, rejects=rejects, on_reject=on_reject, ledger=ledger)
