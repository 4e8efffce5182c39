"""The state machine on moto's interpreter, with Millstream's own handler behind Lambda's API: what lands, what is retried, what is kept aside."""

import json

import pytest
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl

from millstream.errors import RunError, SinkError
from millstream.sinks import clients
from tests.aws import events
from tests.sam.machine_cloud import BROKEN, REGION, THROTTLED, Cloud, hasten
from tests.sam.machine_world import PIPELINE, World
from tests.servers import CREDENTIALS

pytestmark = pytest.mark.once


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


@pytest.fixture
def world(cloud, waits):
    return World(cloud)


def test_an_object_that_arrived_lands(world):
    event = world.put("in/a b+ü.ndjson", "x", "y", "x")
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
