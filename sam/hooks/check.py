"""CodeDeploy calls this before new versions get traffic: each is given a made-up batch, and must answer that all of it is done.

The batch is one record that is no JSON. So it is decoded, rejected, and stored with the rejects: pipeline, settings, layer, ledger,
encryption and rights are used as they will be, and no row comes into the lake. Anything but such an answer rolls the deploy back.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import boto3

RECORD = "a record that is no JSON, by the check before a deploy"
SHARD = "shardId-999999999999"  # one that no stream has: `millstream gc --closed` takes its item of the ledger away
DONE = {"batchItemFailures": []}

Event = dict[str, Any]

log = logging.getLogger()
log.setLevel(logging.INFO)


class CheckError(Exception):
    """A new version did not answer as it must: told with what it did."""


def handler(event: Event, context: Any) -> dict[str, str]:
    """Check every new version; tell CodeDeploy, and say what was found."""
    try:
        found = {name: check(name, version) for name, version in versions().items()}
        failed = [f"{name}: {what}" for name, what in found.items() if what]
    except Exception as error:  # CodeDeploy must be told, else it waits for an hour
        failed = [f"{type(error).__name__}: {error}"]
    status = "Failed" if failed else "Succeeded"
    log.log(logging.ERROR if failed else logging.INFO, "%s", json.dumps({"status": status, "failed": failed}))
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status}


def versions() -> dict[str, str]:
    """The new versions that are deployed, by function: STREAM_VERSION and its like, which are empty for a source that is off."""
    return {name: version for name in CHECKS if (version := os.environ.get(f"{name}_VERSION"))}


def check(name: str, version: str) -> str | None:
    """What is wrong with a version; None if it answered as it must."""
    try:
        CHECKS[name](version, os.environ.get(f"{name}_SOURCE", ""))
    except CheckError as error:
        return str(error)
    return None


def check_stream(version: str, source: str) -> None:
    """A batch of the stream."""
    # Higher than any before it, for the ledger knows what was done of this shard.
    sequence = f"49{time.time_ns():054d}"
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "check",
        "sequenceNumber": sequence,
        "data": base64.b64encode(RECORD.encode()).decode(),
        "approximateArrivalTimestamp": time.time(),
    }
    record = {
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{SHARD}:{sequence}",
        "eventName": "aws:kinesis:record",
        "awsRegion": source.split(":")[3],
        "eventSourceARN": source,
        "kinesis": kinesis,
    }
    expect(DONE, invoke(version, {"Records": [record]}))


def check_queue(version: str, source: str) -> None:
    """A batch of a queue, standard or FIFO."""
    expect(DONE, invoke(version, message(source, RECORD)))


def check_objects(version: str, source: str) -> None:
    """A message that an object came."""
    with_object(lambda told: expect(DONE, invoke(version, message(source, json.dumps(told)))))


def check_workflow(version: str, source: str) -> None:
    """An event that an object came, which is answered by a report."""

    def run(told: Event) -> None:
        counts = invoke(version, told).get("counts", {})
        expect({"delivered": 1, "rejected": 1}, {name: counts.get(name) for name in ("delivered", "rejected")})

    with_object(run)


CHECKS: dict[str, Callable[[str, str], None]] = {
    "STREAM": check_stream,
    "QUEUE": check_queue,
    "FIFO": check_queue,
    "OBJECTS": check_objects,
    "WORKFLOW": check_workflow,
}


def message(source: str, body: str) -> Event:
    """A batch of one message."""
    sent = str(int(time.time() * 1000))
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": sent, "ApproximateFirstReceiveTimestamp": sent}
    if source.endswith(".fifo"):
        attributes |= {"MessageGroupId": "check", "SequenceNumber": str(time.time_ns())}
    record = {
        "messageId": f"check-{time.time_ns()}",
        "receiptHandle": "check",
        "body": body,
        "attributes": attributes,
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": source,
        "awsRegion": source.split(":")[3],
    }
    return {"Records": [record]}


def with_object(run: Callable[[Event], None]) -> None:
    """Run something with an object in the raw bucket, and take it away again. It is told of as EventBridge does."""
    s3, bucket = boto3.client("s3"), os.environ["RAW_BUCKET"]
    key = f"_check/{time.time_ns()}"
    put = s3.put_object(Bucket=bucket, Key=key, Body=f"{RECORD}\n".encode())
    told = {"key": key, "size": len(RECORD) + 1, "etag": put["ETag"].strip('"'), "version-id": put.get("VersionId", "")}
    try:
        run({"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": bucket}, "object": told}})
    finally:
        s3.delete_object(Bucket=bucket, Key=key)


def invoke(version: str, event: Event) -> Event:
    """A version's answer. Raises CheckError where it failed."""
    reply = boto3.client("lambda").invoke(FunctionName=version, Payload=json.dumps(event).encode())
    answer = json.loads(reply["Payload"].read())
    if reply.get("FunctionError"):
        raise CheckError(f"{answer.get('errorType')}: {answer.get('errorMessage')}")
    if not isinstance(answer, dict):
        raise CheckError(f"it answered with a {type(answer).__name__}")
    return answer


def expect(wanted: Event, found: Event) -> None:
    if found != wanted:
        raise CheckError(f"it answered {json.dumps(found)[:500]}, not {json.dumps(wanted)}")
