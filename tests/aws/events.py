"""Events as AWS sends them to a function: their keys in the services' order, their values in the services' form.

Sources: the Lambda, S3, SNS, EventBridge and CloudWatch Logs guides, and `sam local generate-event` (tests/aws/data/sam).
"""

import base64
import gzip
import hashlib
import json
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote_plus

Event = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "us-east-1"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/orders"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"
FIFO_QUEUE = f"{QUEUE}.fifo"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:uploads"
SHARD = "shardId-000000000006"
FIRST = 49590338271490256608559692538361571095921575989136588898
"""The sequence number of the first record of a Kinesis event."""
ARRIVED = 1545084650.987
"""When it arrived, in seconds; each later one a millisecond after the one before."""
KPL_MAGIC = b"\xf3\x89\x9a\xc2"
CANARY = "canary-5b0e71"
"""In the values of payloads: conftest.py sees to it that no log and no error holds it."""


def to_bytes(event: Event) -> bytes:
    """The event as the runtime receives it."""
    return json.dumps(event, separators=(",", ":")).encode()


def kinesis_record(data: bytes, number: int = 0, *, shard: str = SHARD, stream: str = STREAM, first: int = FIRST) -> Event:
    """The `number`th record of a batch."""
    sequence = str(first + number)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": str(number),
            "sequenceNumber": sequence,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": round(ARRIVED + number / 1000, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/lambda-role",
        "awsRegion": stream.split(":")[3],
        "eventSourceARN": stream,
    }


def kinesis(*payloads: bytes, shard: str = SHARD, stream: str = STREAM, first: int = FIRST) -> Event:
    """A batch of one shard."""
    return {"Records": [kinesis_record(data, i, shard=shard, stream=stream, first=first) for i, data in enumerate(payloads)]}


def kinesis_as_sam(*payloads: bytes) -> Event:
    """The same batch in the key order of `sam local generate-event kinesis get-records`."""
    inner = ("partitionKey", "kinesisSchemaVersion", "data", "sequenceNumber", "approximateArrivalTimestamp")
    outer = (
        "kinesis",
        "eventSource",
        "eventID",
        "invokeIdentityArn",
        "eventVersion",
        "eventName",
        "eventSourceARN",
        "awsRegion",
    )
    records = kinesis(*payloads)["Records"]
    for record in records:
        record["kinesis"] = {key: record["kinesis"][key] for key in inner}
    return {"Records": [{key: record[key] for key in outer} for record in records]}


def in_window(event: Event, *, state: Mapping[str, Any] | None = None, final: bool = False) -> Event:
    """A Kinesis batch of an event source mapping with a tumbling window: more keys, after the records."""
    record = event["Records"][0]
    return {
        **event,
        "window": {"start": "2018-12-17T22:10:00Z", "end": "2018-12-17T22:12:00Z"},
        "state": dict(state or {}),
        "shardId": record["eventID"].partition(":")[0],
        "eventSourceARN": record["eventSourceARN"],
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": False,
    }


class UserRecord(NamedTuple):
    """One record that the Kinesis Producer Library packs with others."""

    data: bytes
    partition_key: str = "a"
    explicit_hash_key: str | None = None
    tags: Sequence[tuple[str, str]] = ()


def kpl_aggregate(records: Iterable[UserRecord | bytes]) -> bytes:
    """The data of one Kinesis record that holds many: magic, protobuf AggregatedRecord, MD5 of the protobuf.

    AggregatedRecord {1: partition keys, 2: explicit hash keys, 3: records}; Record {1: index of its partition key,
    2: index of its explicit hash key, 3: data, 4: tags}; Tag {1: key, 2: value}.
    """
    keys: dict[str, int] = {}
    hash_keys: dict[str, int] = {}
    packed = bytearray()
    for one in records:
        record = one if isinstance(one, UserRecord) else UserRecord(one)
        body = _number(1, keys.setdefault(record.partition_key, len(keys)))
        if record.explicit_hash_key is not None:
            body += _number(2, hash_keys.setdefault(record.explicit_hash_key, len(hash_keys)))
        body += _bytes(3, record.data)
        for key, value in record.tags:
            body += _bytes(4, _bytes(1, key.encode()) + _bytes(2, value.encode()))
        packed += _bytes(3, body)
    tables = b"".join(_bytes(1, key.encode()) for key in keys) + b"".join(_bytes(2, key.encode()) for key in hash_keys)
    message = tables + packed
    return KPL_MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def cloudwatch_logs(*messages: str, group: str = "/aws/lambda/orders", stream: str = "2018/12/17/[$LATEST]0") -> bytes:
    """The data of one Kinesis record of a CloudWatch Logs subscription: gzip of one JSON object."""
    at = int(ARRIVED * 1000)
    return _gzipped(
        {
            "messageType": "DATA_MESSAGE",
            "owner": ACCOUNT,
            "logGroup": group,
            "logStream": stream,
            "subscriptionFilters": ["all"],
            "logEvents": [
                {"id": str(34429538 * 10**48 + i), "timestamp": at + i, "message": message}
                for i, message in enumerate(messages)
            ],
        }
    )


def cloudwatch_logs_control() -> bytes:
    """What CloudWatch Logs sends to see whether the stream can be written to: no log event of anyone."""
    message = "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."
    return _gzipped(
        {
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [{"id": "", "timestamp": int(ARRIVED * 1000), "message": message}],
        }
    )


def cloudwatch_logs_to_lambda(*messages: str) -> Event:
    """The event where the subscription's destination is the function itself."""
    return {"awslogs": {"data": base64.b64encode(cloudwatch_logs(*messages)).decode()}}


def _gzipped(value: Event) -> bytes:
    return gzip.compress(to_bytes(value), mtime=0)


def message_id(number: int) -> str:
    """The id of the `number`th message or event: always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{QUEUE}/{number}"))


def sqs_message(
    body: str | bytes,
    number: int = 0,
    *,
    queue: str = QUEUE,
    group: str | None = None,
    attributes: Mapping[str, tuple[str, str]] | None = None,
    receives: int = 1,
) -> Event:
    """The `number`th message of a batch. `group`: of a FIFO queue. `attributes`: name to (data type, value)."""
    text = body.decode() if isinstance(body, bytes) else body
    sent = int(ARRIVED * 1000) + number
    found: Event = {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(sent)}
    if group is not None:
        found |= {"SequenceNumber": str(18849496460467696128 + 256 * number), "MessageGroupId": group}
    found["SenderId"] = "AIDAIENQZJOLO23YVJ4VO"
    if group is not None:
        found["MessageDeduplicationId"] = hashlib.sha256(text.encode()).hexdigest()
    found["ApproximateFirstReceiveTimestamp"] = str(sent + 12)
    return {
        "messageId": message_id(number),
        "receiptHandle": base64.b64encode(f"receipt handle of message {number}".encode()).decode(),
        "body": text,
        "attributes": found,
        "messageAttributes": {name: _sqs_attribute(*one) for name, one in (attributes or {}).items()},
        "md5OfMessageAttributes": _md5_of_attributes(attributes) if attributes else None,
        "md5OfBody": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": queue.split(":")[3],
    }


def sqs(*bodies: str | bytes, queue: str = QUEUE) -> Event:
    """A batch of a standard queue."""
    return {"Records": [sqs_message(body, i, queue=queue) for i, body in enumerate(bodies)]}


def sqs_fifo(*messages: tuple[str, str | bytes], queue: str = FIFO_QUEUE) -> Event:
    """A batch of a FIFO queue, of (message group, body): it may mix groups."""
    return {"Records": [sqs_message(body, i, queue=queue, group=group) for i, (group, body) in enumerate(messages)]}


def _sqs_attribute(kind: str, value: str) -> Event:
    name = "binaryValue" if kind.startswith("Binary") else "stringValue"
    return {name: value, "stringListValues": [], "binaryListValues": [], "dataType": kind}


def _md5_of_attributes(attributes: Mapping[str, tuple[str, str]]) -> str:
    """As SQS counts it: by name, each part after its length; one byte says whether the value is text or binary."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, (kind, value) in sorted(attributes.items()):
        binary = kind.startswith("Binary")
        for part in (name.encode(), kind.encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        content = base64.b64decode(value) if binary else value.encode()
        digest.update((b"\2" if binary else b"\1") + struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


class Stored(NamedTuple):
    """An object in S3, as events tell of it; `key` as it is, not URL-encoded."""

    key: str
    size: int = 1024
    bucket: str = "uploads"
    etag: str = "0123456789abcdef0123456789abcdef"
    version: str | None = None
    sequencer: str = "0055AED6DCD90281E5"


def _at(seconds: float = ARRIVED, places: str = "milliseconds") -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=places).replace("+00:00", "Z")


def s3_record(stored: Stored | str, name: str = "ObjectCreated:Put") -> Event:
    """What S3 tells of one object. The key is URL-encoded as a form is: a space is a plus, a slash stays."""
    one = Stored(stored) if isinstance(stored, str) else stored
    version = {} if one.version is None else {"versionId": one.version}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": _at(),
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {
                "name": one.bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{one.bucket}",
            },
            "object": {
                "key": quote_plus(one.key, safe="/"),
                "size": one.size,
                "eTag": one.etag,
                **version,
                "sequencer": one.sequencer,
            },
        },
    }


def s3(*objects: Stored | str, name: str = "ObjectCreated:Put") -> Event:
    """What S3 sends to a function, a queue or a topic. S3 puts one record in an event; no document promises it."""
    return {"Records": [s3_record(one, name) for one in objects]}


def s3_test(bucket: str = "uploads") -> Event:
    """What S3 sends to a queue or a topic when a notification is set up: no object, no Records."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _at(),
        "Bucket": bucket,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }


def s3_eventbridge(stored: Stored | str, reason: str = "PutObject") -> Event:
    """EventBridge's "Object Created". The key is as it is: not URL-encoded."""
    one = Stored(stored) if isinstance(stored, str) else stored
    version = {} if one.version is None else {"version-id": one.version}
    return {
        "version": "0",
        "id": message_id(0),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": _at(places="seconds"),
        "region": REGION,
        "resources": [f"arn:aws:s3:::{one.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": one.bucket},
            "object": {"key": one.key, "size": one.size, "etag": one.etag, **version, "sequencer": one.sequencer},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": reason,
        },
    }


_SNS_END = f"https://sns.{REGION}.amazonaws.com/"


def sns(*messages: str, topic: str = TOPIC, subject: str | None = "Amazon S3 Notification") -> Event:
    """What SNS sends to a function. Without a subject, its key is there with null."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:{message_id(-1)}",
                "Sns": {
                    "Type": "Notification",
                    "MessageId": message_id(i),
                    "TopicArn": topic,
                    "Subject": subject,
                    "Message": message,
                    "Timestamp": _at(),
                    "SignatureVersion": "1",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": f"{_SNS_END}SimpleNotificationService-0.pem",
                    "UnsubscribeUrl": f"{_SNS_END}?Action=Unsubscribe&SubscriptionArn={topic}:{message_id(-1)}",
                    "MessageAttributes": {},
                },
            }
            for i, message in enumerate(messages)
        ]
    }


def sns_body(message: str, number: int = 0, *, topic: str = TOPIC, subject: str | None = "Amazon S3 Notification") -> str:
    """What SNS sends to a queue without raw delivery: JSON over several lines, other capitals than in a function's event."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": message_id(number),
            "TopicArn": topic,
            **({} if subject is None else {"Subject": subject}),
            "Message": message,
            "Timestamp": _at(),
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertURL": f"{_SNS_END}SimpleNotificationService-0.pem",
            "UnsubscribeURL": f"{_SNS_END}?Action=Unsubscribe&SubscriptionArn={topic}:{message_id(-1)}",
        },
        indent=2,
        separators=(",", " : "),
    )


def s3_by_sns(*objects: Stored | str) -> Event:
    """S3 → SNS → function."""
    return sns(*(to_bytes(s3(one)).decode() for one in objects))


def s3_by_sqs(*objects: Stored | str) -> Event:
    """S3 → SQS → function."""
    return sqs(*(to_bytes(s3(one)) for one in objects))


def s3_by_sns_and_sqs(*objects: Stored | str) -> Event:
    """S3 → SNS → SQS → function."""
    return sqs(*(sns_body(to_bytes(s3(one)).decode(), i) for i, one in enumerate(objects)))
