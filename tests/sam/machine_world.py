"""What the template makes for the state machine, in moto, and what a test looks at when an execution has ended."""

import json
import time
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.aws import s3_handler
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from tests.aws import events
from tests.sam import machine_definition as definition

PIPELINE = Pipeline({"id": "int64", "kind": "string"}, name="machine", output={"partition_by": ["kind"]})


class World:
    """What the template makes of it: buckets, a table, a queue, a topic somebody listens to, a function, the machine."""

    def __init__(self, cloud, **handler):
        self.cloud = cloud
        self.raw, self.curated, self.table = "raw", "curated", "state"
        self.s3, self.sqs, self.dynamodb = (clients.client(name) for name in ("s3", "sqs", "dynamodb"))
        for name in (self.raw, self.curated):
            self.s3.create_bucket(Bucket=name)
        self.dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.queue = self.sqs.create_queue(QueueName="quarantine")["QueueUrl"]
        self.mailbox = self.sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        self.sns = clients.client("sns")
        self.topic = self.sns.create_topic(Name="topic")["TopicArn"]
        (arn,) = self.sqs.get_queue_attributes(QueueUrl=self.mailbox, AttributeNames=["QueueArn"])["Attributes"].values()
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        options = {
            "sink": f"s3://{self.curated}/data/",
            "rejects": f"s3://{self.curated}/rejects/",
            "ledger": f"dynamodb://{self.table}",
        }
        self.function = cloud.function("transform", s3_handler(PIPELINE, **options | handler))
        self.values = {
            "TransformFunctionArn": self.function.arn,
            "TopicArn": self.topic,
            "QuarantineQueueUrl": self.queue,
            "StateTable": self.table,
            "RawBucket": self.raw,
            "CuratedBucket": self.curated,
            "RejectsBucket": self.curated,
            "RejectsPrefix": "rejects",
            "OutputPrefix": "backfills",
        }
        self.steps = clients.client("stepfunctions")
        self.define()

    def define(self, change=lambda text: text):
        self.machine = self.steps.create_state_machine(
            name=f"machine-{uuid.uuid4().hex[:8]}",
            definition=change(definition.substituted(self.values)),
            roleArn="arn:aws:iam::123456789012:role/machine",
        )["stateMachineArn"]

    def put(self, key, *kinds, body=None):
        """An object of a record a kind, with the event that tells of it."""
        if body is None:
            body = b"".join(json.dumps({"id": i, "kind": kind}).encode() + b"\n" for i, kind in enumerate(kinds))
        etag = self.s3.put_object(Bucket=self.raw, Key=key, Body=body)["ETag"].strip('"')
        return events.s3_eventbridge(events.Stored(key, len(body), self.raw, etag))

    def run(self, given, seconds=60):
        """An execution's end: status, error, output."""
        execution = self.steps.start_execution(stateMachineArn=self.machine, name=uuid.uuid4().hex, input=json.dumps(given))[
            "executionArn"
        ]
        until = time.monotonic() + seconds
        while True:
            found = self.steps.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                return found["status"], found.get("error"), json.loads(found.get("output") or "null")
            assert time.monotonic() < until, "it does not end"
            time.sleep(0.02)

    def received(self, queue):
        found = []
        while messages := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for one in messages:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
                found.append(json.loads(one["Body"]))
        return found

    def quarantined(self):
        return self.received(self.queue)

    def notified(self):
        return self.received(self.mailbox)

    def remembered(self):
        """What the table holds of the machine, by id."""
        items = self.dynamodb.scan(TableName=self.table)["Items"]
        return {one["id"]["S"]: one for one in items if one["id"]["S"].startswith("orchestration#")}

    def rows(self):
        found = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.curated, Prefix="data/"):
            for one in page.get("Contents", ()):
                body = self.s3.get_object(Bucket=self.curated, Key=one["Key"])["Body"].read()
                kind = one["Key"].split("kind=")[1].split("/")[0]
                found += [(row["id"], kind) for row in pq.read_table(pa.BufferReader(body)).to_pylist()]
        return sorted(found)
