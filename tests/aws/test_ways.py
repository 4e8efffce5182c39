"""The ways an event comes to a handler: its bytes, its bytes as the runtime wraps them, a dict. All end alike."""

import gzip
import inspect
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.aws import kinesis_handler, s3_handler, sqs_handler
from millstream.aws.raw import RawEvent
from millstream.errors import MillstreamError
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client
from tests.aws import events
from tests.aws.events import CANARY

SAM = Path(__file__).parent / "data" / "sam"
HANDLERS = {"kinesis": kinesis_handler, "sqs": sqs_handler, "s3": s3_handler}
PIPELINE = Pipeline({"id": "int64", "kind": "string", "message": "string"}, name="ways", output={"partition_by": ["kind"]})
REJECTS = {"kept": {}, "fail": {"on_reject": "fail"}, "dropped": {"on_reject": "drop-and-count"}}
WAYS = {
    "bytes": lambda text: text,
    "RawEvent": RawEvent,
    "dict": json.loads,
}


def outcome(folder, source, event, options):
    """All that a handler does with an event, but for times, ids of requests and where the folder is."""
    told = []
    places = {"sink": folder / "out"} | ({} if options else {"rejects": folder / "bad"})
    handler = HANDLERS[source](PIPELINE, **places, **options)

    def note(batch, landed):
        told.append(
            {name: getattr(batch, name) for name in ("source", "source_id", "shard", "first", "last", "deliveries", "bytes_in")}
        )
        told.append([landed.counts, landed.rejected_by_code, landed.rows, landed.bytes_out, str(landed.error)])

    handler.report = note
    try:
        answer = dict(handler(event))
        answer.pop("seconds", None)
    except MillstreamError as error:
        answer = {type(error).__name__: re.sub(r"request \w+", "request", str(error))}
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}
    return json.loads(json.dumps([answer, told]).replace(str(folder), "FOLDER")), files


def check_alike(folder, source, text, options, ways=WAYS):
    """What came of it, the same each way."""
    found = {way: outcome(folder / way, source, made(text), options) for way, made in ways.items()}
    for one in found.values():
        assert one == found["dict"]
    return found["dict"]


def sam(name):
    return json.loads((SAM / f"{name}.json").read_text())


def good(i):
    return json.dumps({"id": i, "kind": f"{CANARY}/{i % 2}", "more": ['\\"\n', "ü\U0001f600"]}).encode()


BAD = f'{{"id":"{CANARY}"}}'.encode()
PAYLOADS = (good(1), BAD, events.kpl_aggregate([good(2), BAD]), events.cloudwatch_logs("one"), gzip.compress(good(3)), b"\xff")
STORED = events.Stored("in/a b+ü.json")
MADE = {  # and what the sources write of it
    "kinesis": (events.kinesis(*PAYLOADS), "kinesis"),
    "kinesis_as_sam": (events.kinesis_as_sam(*PAYLOADS), "kinesis"),
    "in_window": (events.in_window(events.kinesis(*PAYLOADS)), "kinesis"),
    "sqs": (events.sqs(good(1), BAD, b"[%s,%s]" % (good(2), good(3)), json.dumps(events.s3_test()), ""), "sqs"),
    "sqs_fifo": (events.sqs_fifo(("a", good(1)), ("b", good(2)), ("a", BAD), ("b", good(3)), ("a", good(4))), "sqs"),
    "cloudwatch_logs_to_lambda": (events.cloudwatch_logs_to_lambda("one"), ""),
    "s3": (events.s3(STORED), "s3"),
    "s3_test": (events.s3_test(), ""),
    "s3_eventbridge": (events.s3_eventbridge(STORED), "s3"),
    "sns": (events.sns(CANARY), ""),
    "s3_by_sns": (events.s3_by_sns(STORED), "s3"),
    "s3_by_sqs": (events.s3_by_sqs(STORED), "sqs s3"),
    "s3_by_sns_and_sqs": (events.s3_by_sns_and_sqs(STORED), "sqs s3"),
    "sam kinesis_get_records": (sam("kinesis_get_records"), "kinesis"),
    "sam sqs_receive_message": (sam("sqs_receive_message"), "sqs"),
    "sam s3_put": (sam("s3_put"), ""),
    "sam sns_notification": (sam("sns_notification"), ""),
    "sam cloudwatch_logs": (sam("cloudwatch_logs"), ""),
}
OF_RECORDS = {"kinesis_record", "sqs_message", "s3_record"}
CASES = [
    (name, source, options)
    for name, (_, writes) in MADE.items()
    for source in HANDLERS
    for options in (REJECTS if source in writes.split() else ["kept"])
]


def test_each_maker_has_its_event():
    makers = {
        name
        for name, one in vars(events).items()
        if inspect.isfunction(one) and name[0] != "_" and inspect.signature(one).return_annotation is events.Event
    }
    assert makers - OF_RECORDS <= set(MADE)
    assert {f"sam {path.stem}" for path in SAM.glob("*.json")} <= set(MADE)


@pytest.fixture
def uploads(aws):
    """The bucket that events tell of, with the object they tell of; its ETag."""
    s3 = client("s3")
    s3.create_bucket(Bucket="uploads")
    yield s3.put_object(Bucket="uploads", Key=STORED.key, Body=good(1) + b"\n" + BAD)["ETag"].strip('"')
    s3.delete_object(Bucket="uploads", Key=STORED.key)
    s3.delete_bucket(Bucket="uploads")


@pytest.mark.parametrize(("name", "source", "options"), CASES)
def test_every_event_in_every_way(tmp_path, uploads, name, source, options):
    event, writes = MADE[name]
    text = events.to_bytes(event).replace(STORED.etag.encode(), uploads.encode())
    _, files = check_alike(tmp_path, source, text, REJECTS[options])
    if options == "kept":
        assert bool(files) is (source in writes.split())


records = st.one_of(
    st.integers(0, 99).map(good),
    st.just(BAD),
    st.text(max_size=20).map(lambda text: json.dumps({"id": 1, "kind": text}).encode()),
    st.text(max_size=20).map(lambda text: json.dumps({"kind": text}, ensure_ascii=False).encode()),
    st.sampled_from([b"", b" ", b"\n", b"{}", b"[]", b"[{}]", b"null", b"1", b'{"id":1}x', b'{"id":1']),
    st.lists(st.integers(0, 99).map(good), max_size=4).map(lambda some: b"[" + b",".join(some) + b"]"),
)
binary = st.one_of(
    records,
    st.binary(max_size=40),
    st.lists(records, max_size=4).map(events.kpl_aggregate),
    st.lists(records, min_size=1, max_size=3).map(events.kpl_aggregate).map(lambda data: data[:-1] + b"?"),
    st.lists(records, max_size=4).map(lambda some: gzip.compress(b"\n".join(some), mtime=0)),
    st.lists(st.text(max_size=20), max_size=4).map(lambda some: events.cloudwatch_logs(*some)),
    records.map(lambda data: gzip.compress(data, mtime=0)[:-3]),
)
texts = st.one_of(
    records,
    st.text(max_size=40).map(str.encode),
    st.sampled_from(
        [events.s3_test(), events.s3("x", name="ObjectRemoved:Delete"), events.s3_eventbridge("x") | {"detail-type": "?"}]
    )
    .map(json.dumps)
    .map(str.encode),
)
kinesis_events = st.builds(
    lambda make, some, first: make(events.kinesis(*some, first=first)),
    st.sampled_from([lambda event: event, events.in_window, lambda event: {"more": {"Records": []}, **event}]),
    st.lists(binary, min_size=1, max_size=8),
    st.integers(1, 10**56),
)
sqs_events = st.one_of(
    st.lists(texts, min_size=1, max_size=8).map(lambda some: events.sqs(*some)),
    st.lists(st.tuples(st.sampled_from("abü"), texts), min_size=1, max_size=8).map(lambda some: events.sqs_fifo(*some)),
)
writers = st.sampled_from(
    [
        events.to_bytes,
        lambda event: json.dumps(event, indent=1).encode(),
        lambda event: json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"),
        lambda event: events.to_bytes(event).replace(b"/", rb"\/"),
    ]
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(
    of=st.one_of(st.tuples(st.just("kinesis"), kinesis_events), st.tuples(st.just("sqs"), sqs_events)),
    write=writers,
    options=st.sampled_from(list(REJECTS)),
)
def test_any_payloads_in_both_ways(tmp_path_factory, of, write, options):
    source, event = of
    both = {way: WAYS[way] for way in ("bytes", "dict")}
    check_alike(tmp_path_factory.mktemp("ways"), source, write(event), REJECTS[options], both)
