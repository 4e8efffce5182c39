"""The state machine on moto's interpreter, with Millstream's own handler behind Lambda's API: what lands, what is retried, what is kept aside."""

import json
import time
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cfnlint.api import lint
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl

from millstream import errors
from millstream.aws import s3_handler
from millstream.errors import RunError, SinkError
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from tests.aws import events
from tests.sam import machine_definition as definition
from tests.sam.machine_cloud import BROKEN, REGION, THROTTLED, Cloud, hasten
from tests.servers import CREDENTIALS

pytestmark = pytest.mark.once

PIPELINE = Pipeline({"id": "int64", "kind": "string"}, name="machine", output={"partition_by": ["kind"]})


# --- the definition ------------------------------------------------------------------------------------------------------


def test_it_asks_for_what_the_template_puts_in():
    assert definition.used() == set(definition.SUBSTITUTIONS)


def test_every_state_is_reached_and_leads_on():
    names = [name for name, _ in definition.states()]
    assert len(names) == len(set(names)), "the names of a machine's states differ, those within its map too"
    for level in definition.levels():
        states, seen, waiting = level["States"], set(), [level["StartAt"]]
        while waiting:
            name = waiting.pop()
            assert name in states, f"there is no state {name}"
            if name not in seen:
                seen.add(name)
                waiting += definition.leads_to(states[name])
        assert seen == states.keys()
        for state in states.values():
            assert definition.leads_to(state) or state.get("End") or state["Type"] in ("Succeed", "Fail")


TASKS = [(name, state) for name, state in definition.states() if state["Type"] == "Task"]


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_is_tried_again_and_caught(name, state):
    assert state["TimeoutSeconds"] > 0
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
    for retry in state["Retry"]:
        assert retry["JitterStrategy"] == "FULL"
        assert retry["BackoffRate"] > 1
        assert retry["IntervalSeconds"] < retry["MaxDelaySeconds"] <= 300
        assert "States.ALL" not in retry["ErrorEquals"]


def test_errors_of_the_function_are_tried_again_where_they_may_pass():
    told = [error for retry in definition.machine()["States"]["Transform"]["Retry"] for error in retry["ErrorEquals"]]
    assert len(told) == len(set(told))
    ours = {
        name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.MillstreamError)
    }
    may_pass = {name for name, one in ours.items() if issubclass(one, RunError)} - {"BackendError"}
    assert ours.keys() & set(told) == may_pass
    assert "States.TaskFailed" not in told, "it would match the function's permanent errors"


def test_what_fails_is_kept_aside_before_the_end():
    for level in definition.levels():
        states = level["States"]
        before = {name: {one for one, state in states.items() if name in definition.leads_to(state)} for name in states}
        if "FailedItem" in states:
            assert before["FailedItem"] == {"QuarantineItem"}
        else:
            assert before["Failed"] == {"NotifyFailure"}
            assert before["NotifyFailure"] == {"Quarantine"}
            assert before["NotNotified"] == {"Notify", "BackfillNotify"}


def test_an_item_of_a_backfill_goes_the_way_of_an_object_that_arrived():
    outer, inner = (level["States"] for level in definition.levels())
    pairs = [name.removesuffix("Item") for name in inner if name.removesuffix("Item") in outer]
    assert {"Validate", "Find", "Found", "Transform", "Landed", "Load", "Quarantine"} <= set(pairs)

    def plain(state: Any, suffix: str) -> Any:
        if isinstance(state, dict):
            return {
                key: value.removesuffix(suffix) if key in ("Next", "Default") else plain(value, suffix)
                for key, value in state.items()
                if value != "RefuseBucket"
            }
        if isinstance(state, list):
            kept = [one for one in state if not (isinstance(one, dict) and one.get("Next") == "RefuseBucket")]
            return [plain(one, suffix) for one in kept]
        return state

    for name in pairs:
        ours, theirs = plain(outer[name], ""), plain(inner[f"{name}Item"], "Item")
        if name == "Load":
            assert (ours.pop("Next"), theirs.pop("Next"), theirs.pop("OutputPath")) == ("Notify", "Done", "$.transform.report")
        if name == "Quarantine":
            for one in (ours, theirs):
                del one["Next"], one["Catch"][0]["Next"]
        if name in ("Failed", "RefuseInput"):
            continue
        assert ours == theirs, name


def test_the_definition_passes_the_linter():
    machine = {"Definition": definition.machine(), "DefinitionSubstitutions": dict.fromkeys(definition.SUBSTITUTIONS, "x")}
    properties = machine | {"RoleArn": "arn:aws:iam::123456789012:role/machine"}
    template = {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    assert [str(one) for one in lint(json.dumps(template))] == []


# --- runs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    """The cloud, and the environment in which boto3 talks to it."""
    with pytest.MonkeyPatch.context() as patch, Cloud() as cloud:
        hasten(patch)
        for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.delenv(name, raising=False)
        variables = {"AWS_ENDPOINT_URL": cloud.url, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
        variables |= {"MOTO_PORT": str(cloud.port), "NO_PROXY": "127.0.0.1,localhost"}
        for name, value in (CREDENTIALS | variables).items():
            patch.setenv(name, value)
        clients.forget()
        yield cloud
    clients.forget()


@pytest.fixture
def cloud(server):
    """The cloud with nothing in it."""
    server.reset()
    return server


class Waits:
    """The clock of moto's retries: it tells how long they would have waited, and nobody waits."""

    def __init__(self):
        self.seconds = []

    def sleep(self, seconds):
        self.seconds.append(seconds)


@pytest.fixture
def waits(monkeypatch):
    made = Waits()
    monkeypatch.setattr(retrier_decl, "time", made)
    return made


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


@pytest.fixture
def world(cloud, waits):
    return World(cloud)


def test_an_object_that_arrived_lands(world):
    event = world.put("in/a b+ü.ndjson", "x", "y", "x", body=None)
    assert world.run(event)[:2] == ("SUCCEEDED", None)
    assert world.rows() == [(0, "x"), (1, "y"), (2, "x")]
    assert world.function.events == [event]
    place = f"s3://{world.raw}/in/a b+ü.ndjson"
    item = world.remembered()[f"orchestration#{place}"]
    counts = {name: int(one["N"]) for name, one in item["counts"]["M"].items()}
    assert counts == {"delivered": 3, "written": 3, "filtered": 0, "duplicate": 0, "rejected": 0, "failed": 0}
    assert (item["status"]["S"], item["pipeline"]["S"], item["rows"]["N"], item["files"]["N"]) == (
        "landed",
        "machine",
        "3",
        "2",
    )
    assert item["fingerprint"]["S"] == PIPELINE.fingerprint
    (told,) = world.notified()
    assert (told["status"], told["object"], told["counts"], told["rows"], told["files"]) == ("landed", place, counts, 3, 2)
    assert told["rejects"] == f"s3://{world.curated}/rejects/"
    assert world.quarantined() == []
    assert world.run(event)[0] == "SUCCEEDED"
    assert world.rows() == [(0, "x"), (1, "y"), (2, "x")]
    assert world.notified()[0]["counts"]["duplicate"] == 3


def test_rejected_records_are_counted_and_do_not_fail_it(world):
    assert world.run(world.put("in.ndjson", body=b'{"id": 1, "kind": "x"}\nbad\n'))[0] == "SUCCEEDED"
    (told,) = world.notified()
    assert (told["counts"]["written"], told["rejected_by_code"]) == (1, {"BAD_JSON": 1})


def test_what_may_pass_is_tried_again(world, waits):
    world.function.faults.extend([THROTTLED, BROKEN, RunError("time is up"), SinkError("no answer"), None])
    assert world.run(world.put("in.ndjson", "x"))[0] == "SUCCEEDED"
    assert len(world.function.events) == 5
    assert len(waits.seconds) == 4
    bounds = (2, 2, 2, 4)  # the first of each class, the second of the last: full jitter is below them
    assert all(0 <= waited <= bound for waited, bound in zip(waits.seconds, bounds, strict=True))
    assert (world.rows(), world.quarantined()) == ([(0, "x")], [])


def check_failed(world, error, event, cause=""):
    """One message of each, which tell the same. Returns the one from the quarantine."""
    (kept,) = world.quarantined()
    (told,) = world.notified()
    assert (kept["error"]["Error"], kept["event"]) == (error, event)
    assert cause in kept["error"]["Cause"]
    assert told["status"] == "failed"
    assert {name: told[name] for name in ("error", "event", "execution")} == {
        name: kept[name] for name in ("error", "event", "execution")
    }
    assert ":execution:machine-" in kept["execution"]
    return kept


FAILED = ("FAILED", "Millstream.Quarantined")


def test_what_does_not_pass_ends_in_quarantine_and_can_be_started_again(world, waits):
    world.function.faults.extend([RunError("the sink does not answer")] * 9)
    event = world.put("in.ndjson", "x")
    assert world.run(event)[:2] == FAILED
    assert len(world.function.events) == 9
    assert all(waited <= min(2 * 2**i, 300) for i, waited in enumerate(waits.seconds))
    kept = check_failed(world, "RunError", event, "the sink does not answer")
    assert (world.rows(), world.remembered()) == ([], {})
    assert world.run(kept["event"])[0] == "SUCCEEDED"
    assert world.rows() == [(0, "x")]


def test_a_permanent_failure_of_the_function_is_not_tried_again(cloud, waits):
    """The function writes where it reads, which it refuses by itself."""
    world = World(cloud, sink="s3://raw/in/")
    event = world.put("in/a.ndjson", "x")
    assert world.run(event)[:2] == FAILED
    assert (len(world.function.events), waits.seconds) == (1, [])
    check_failed(world, "SettingsError", event, "each object would trigger the next")


REFUSED = {
    "another bucket": (
        lambda world: events.s3_eventbridge(events.Stored("in.ndjson", 1, world.curated)),
        "Millstream.OtherBucket",
    ),
    "nothing there": (lambda world: events.s3_eventbridge(events.Stored("in.ndjson", 1, world.raw)), "Millstream.NoObject"),
    "a longer key there": (
        lambda world: (world.put("in.ndjson.gz", "x"), events.s3_eventbridge(events.Stored("in.ndjson", 1, world.raw)))[1],
        "Millstream.NoObject",
    ),
    "an object that was removed": (
        lambda world: world.put("in.ndjson", "x") | {"detail-type": "Object Deleted"},
        "Millstream.BadInput",
    ),
    "an event of another service": (lambda world: world.put("in.ndjson", "x") | {"source": "aws.ec2"}, "Millstream.BadInput"),
    "no key": (lambda world: world.put("a", "x") | {"detail": {"bucket": {"name": world.raw}}}, "Millstream.BadInput"),
    "nothing": (lambda world: {}, "Millstream.BadInput"),
    "a backfill without a manifest": (lambda world: {"backfill": {}}, "Millstream.BadInput"),
    "a manifest that is no text": (lambda world: {"backfill": {"manifest": 1}}, "Millstream.BadInput"),
    "no concurrency": (lambda world: {"backfill": {"manifest": "m", "concurrency": 0}}, "Millstream.BadInput"),
    "too much tolerance": (
        lambda world: {"backfill": {"manifest": "m", "tolerated_failure_percentage": 101}},
        "Millstream.BadInput",
    ),
    "a manifest that is not there": (lambda world: {"backfill": {"manifest": "_backfills/none.json"}}, None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_processed_is_kept_aside_without_the_function(world, case):
    make, error = REFUSED[case]
    given = make(world)
    assert world.run(given)[:2] == FAILED
    if error is None:
        (kept,) = world.quarantined()
        assert (kept["event"], world.notified()[0]["status"]) == (given, "failed")
        assert kept["error"]["Error"]
    else:
        check_failed(world, error, given)
    assert world.function.events == []


def test_an_object_that_is_too_large_is_kept_aside(world):
    world.define(lambda text: text.replace("5368709120", "10"))
    event = world.put("in.ndjson", "x")
    assert world.run(event)[:2] == FAILED
    check_failed(world, "Millstream.TooLarge", event)
    assert world.function.events == []


@pytest.mark.parametrize("key", ["in/", "_tmp/a.ndjson", "in/_SUCCESS", ".a", "in/.a.crc", "empty.ndjson"])
def test_what_is_no_file_is_passed_over(world, key):
    event = world.put(key, *([] if key == "empty.ndjson" else ["x"]))
    assert world.run(event)[0] == "SUCCEEDED"
    assert (world.function.events, world.quarantined(), world.notified(), world.remembered()) == ([], [], [], {})


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": []},
        {"counts": {"failed": 1}, "remaining": None},
        {"counts": {"failed": 0}, "remaining": 3},
        None,
        "text",
    ],
)
def test_an_answer_that_tells_of_no_landing_is_a_failure(world, answer):
    world.function.handler = lambda event, context: answer
    event = world.put("in.ndjson", "x")
    assert world.run(event)[:2] == FAILED
    check_failed(world, "Millstream.NotLanded", event)


def test_without_its_topic_it_fails_and_all_landed(world):
    world.sns.delete_topic(TopicArn=world.topic)
    assert world.run(world.put("in.ndjson", "x"))[:2] == ("FAILED", "Millstream.NotNotified")
    assert (world.rows(), len(world.remembered()), world.quarantined()) == ([(0, "x")], 1, [])


def test_without_its_table_the_object_is_kept_aside(world, waits):
    world.values["StateTable"] = "none"
    world.define()
    event = world.put("in.ndjson", "x")
    assert world.run(event)[:2] == FAILED
    assert len(waits.seconds) == 4
    assert world.rows() == [(0, "x")]
    check_failed(world, "DynamoDB.ResourceNotFoundException", event)


def test_without_its_queue_it_tells_all_the_same(world):
    world.sqs.delete_queue(QueueUrl=world.queue)
    event = events.s3_eventbridge(events.Stored("in.ndjson", 1, world.raw))
    assert world.run(event)[:2] == FAILED
    assert world.notified()[0]["error"]["Error"] == "Millstream.NoObject"


def backfill(world, keys, **settings):
    world.s3.put_object(Bucket=world.raw, Key="_backfills/m.json", Body=json.dumps([{"key": key} for key in keys]).encode())
    return {"backfill": {"manifest": "_backfills/m.json", **settings}}


@pytest.mark.parametrize("objects", [12, pytest.param(200, marks=pytest.mark.long)])
def test_a_backfill(world, objects):
    keys = [f"old/{i:03}.ndjson" for i in range(objects)]
    for i, key in enumerate(keys):
        world.put(key, body=b'{"id": %d, "kind": "x"}\n{"id": %d, "kind": "y"}\n' % (i, i))
    world.function.faults.extend([THROTTLED, None, BROKEN, None, RunError("for now")])
    status, error, output = world.run(backfill(world, keys), 300)
    assert (status, error) == ("SUCCEEDED", None)
    assert world.rows() == sorted((i, kind) for i in range(objects) for kind in "xy")
    assert len(world.function.events) == objects + 3
    remembered = world.remembered()
    landed = [one for name, one in remembered.items() if name.startswith(f"orchestration#s3://{world.raw}/old/")]
    assert len(landed) == objects
    assert sum(int(one["counts"]["M"]["written"]["N"]) for one in landed) == 2 * objects
    results = output["ResultWriterDetails"]
    assert (results["Bucket"], results["Key"].startswith("backfills/")) == (world.curated, True)
    assert world.s3.head_object(Bucket=results["Bucket"], Key=results["Key"])["ContentLength"]
    (told,) = world.notified()
    assert told["manifest"] == f"s3://{world.raw}/_backfills/m.json"
    assert (told["status"], told["results"]) == ("backfilled", f"s3://{results['Bucket']}/{results['Key']}")
    assert world.quarantined() == []
    assert len(remembered) == objects + 1


def test_an_object_that_fails_in_a_backfill_is_kept_aside_by_itself(world):
    """However many fail, moto's map succeeds: how many may is for AWS to count."""
    world.put("a.ndjson", "x")
    assert world.run(backfill(world, ["a.ndjson", "none.ndjson"]))[0] == "SUCCEEDED"
    (kept,) = world.quarantined()
    assert (kept["error"]["Error"], kept["event"]["detail"]["object"]["key"]) == ("Millstream.NoObject", "none.ndjson")
    assert (world.rows(), world.function.events[0]["detail"]["object"]["key"]) == ([(0, "x")], "a.ndjson")
    world.put("none.ndjson", "y")
    assert world.run(kept["event"])[0] == "SUCCEEDED"
    assert world.rows() == [(0, "x"), (0, "y")]


def test_an_item_without_a_key_is_kept_aside(world):
    world.s3.put_object(Bucket=world.raw, Key="_backfills/m.json", Body=b'[{"kee": "a"}]')
    assert world.run({"backfill": {"manifest": "_backfills/m.json"}})[0] == "SUCCEEDED"
    (kept,) = world.quarantined()
    assert (kept["error"]["Error"], kept["event"]) == ("Millstream.BadInput", {"kee": "a"})
