"""The events that ship with the template, and the check before a deploy, run through the handlers that the template names."""

import importlib.util
import json
import re
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from millstream.aws import kinesis_handler, s3_handler, sqs_handler
from millstream.sinks.clients import client
from tests.sam.stack import FOLDER

pytestmark = pytest.mark.once

PIPELINE = FOLDER / "function" / "pipeline.yaml"
EVENTS = {"stream": kinesis_handler, "queue": sqs_handler, "fifo": sqs_handler, "objects": s3_handler, "workflow": s3_handler}
OBJECT = FOLDER / "events" / "flights.ndjson"
CONTEXT = SimpleNamespace(
    get_remaining_time_in_millis=lambda: 60_000,
    function_name="f",
    memory_limit_in_mb=1,
    invoked_function_arn="a",
    aws_request_id="r",
)


def pipeline():
    from millstream import Pipeline

    return Pipeline.from_spec(PIPELINE)


@pytest.fixture
def settings(aws, table, monkeypatch):
    """The template's settings that are not given to a handler."""
    monkeypatch.setenv("MILLSTREAM_PARALLELIZATION", "1")
    return {"ledger": f"dynamodb://{table}"}


def handler_of(name, bucket, settings):
    """As the template has it."""
    places = {"sink": f"s3://{bucket}/data/", "rejects": f"s3://{bucket}/rejects/"}
    more = {} if name in ("queue", "fifo") else settings
    return EVENTS[name](pipeline(), **places, **more)


def keys(bucket, prefix):
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_gives_rows_of_the_table(name, bucket, settings):
    s3 = client("s3")
    s3.create_bucket(Bucket="raw-bucket")
    event = json.loads((FOLDER / "events" / f"{name}.json").read_text())
    for key in ("in/flights.ndjson", "workflow/flights.ndjson"):
        s3.put_object(Bucket="raw-bucket", Key=key, Body=OBJECT.read_bytes())
    answer = handler_of(name, bucket, settings)(event, CONTEXT)
    if name == "workflow":
        assert {key: answer["counts"][key] for key in ("written", "filtered", "rejected")} == {
            "written": 2,
            "filtered": 1,
            "rejected": 0,
        }
    else:
        assert answer == {"batchItemFailures": []}
    rows = [key for key in keys(bucket, "data/") if key.endswith(".parquet")]
    assert rows
    assert all(re.match(r"data/month=1/[^/]+\.parquet$", key) for key in rows)
    assert not keys(bucket, "rejects/")


def test_an_event_is_that_of_every_source():
    assert {path.stem for path in (FOLDER / "events").glob("*.json")} == EVENTS.keys()


# ---- the check before traffic


@pytest.fixture
def check(aws, bucket, settings, monkeypatch):
    """The hook, with functions behind Lambda's Invoke API and a CodeDeploy that keeps what it is told.

    What is put into `.broken` is what a function answers instead, with headers.
    """
    told, broken, raw = [], {}, client("s3")
    handler = cache(lambda version: handler_of(version.removesuffix(":2"), bucket, settings))

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            match = re.fullmatch(r"/2015-03-31/functions/([^/]+)/invocations", self.path)
            if match is None:
                assert self.headers["X-Amz-Target"] == "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"
                told.append(json.loads(body))
                return self.reply({})
            name = match[1].replace("%3A", ":")
            if name in broken:
                return self.reply(*broken[name])
            return self.reply(handler(name)(json.loads(body), CONTEXT))

        def reply(self, answer, headers=None):
            data = json.dumps(answer).encode()
            self.send_response(200)
            for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    raw.create_bucket(Bucket=f"{bucket}-raw")
    monkeypatch.setenv("RAW_BUCKET", f"{bucket}-raw")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CODEDEPLOY", url)

    def deployed(*names):
        for name in EVENTS:
            monkeypatch.setenv(f"{name.upper()}_VERSION", f"{name}:2" if name in names else "")

    deployed(*EVENTS)
    monkeypatch.setenv("STREAM_SOURCE", "arn:aws:kinesis:us-east-1:123456789012:stream/s")
    for name in ("queue", "objects"):
        monkeypatch.setenv(f"{name.upper()}_SOURCE", f"arn:aws:sqs:us-east-1:123456789012:{name}")
    monkeypatch.setenv("FIFO_SOURCE", "arn:aws:sqs:us-east-1:123456789012:q.fifo")
    spec = importlib.util.spec_from_file_location("check", FOLDER / "hooks" / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    event = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
    yield SimpleNamespace(run=lambda: module.handler(event, None), deployed=deployed, told=told, broken=broken, bucket=bucket)
    server.shutdown()
    server.server_close()


def test_new_versions_that_answer_well_get_traffic_and_no_row_is_written(check):
    assert check.run() == {"status": "Succeeded"}
    assert check.told == [{"deploymentId": "d-1", "lifecycleEventHookExecutionId": "e-1", "status": "Succeeded"}]
    rows = [key for key in keys(check.bucket, "data/") if key.endswith(".parquet")]
    assert not rows
    assert len([key for key in keys(check.bucket, "rejects/") if key.endswith(".parquet")]) == len(EVENTS)
    assert not keys(f"{check.bucket}-raw", ""), "it takes its object away"


def test_the_check_can_be_made_again_and_does_its_work_anew(check):
    check.run()
    check.run()
    assert [one["status"] for one in check.told] == ["Succeeded", "Succeeded"]
    assert len([key for key in keys(check.bucket, "rejects/") if key.endswith(".parquet")]) == 2 * len(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_a_new_version_that_fails_is_rolled_back(name, check, caplog):
    error = {"errorType": "SettingsError", "errorMessage": "no sink"}
    check.deployed(name)
    check.broken[f"{name}:2"] = error, {"X-Amz-Function-Error": "Unhandled"}
    assert check.run() == {"status": "Failed"}
    assert check.told[0]["status"] == "Failed"
    assert f"{name.upper()}: SettingsError: no sink" in caplog.text
    assert not keys(f"{check.bucket}-raw", "")


@pytest.mark.parametrize("answer", [{"batchItemFailures": [{"itemIdentifier": "1"}]}, {}, None, "done"])
def test_an_answer_of_another_kind_is_not_taken_for_done(answer, check):
    check.deployed("queue")
    check.broken["queue:2"] = (answer,)
    assert check.run() == {"status": "Failed"}


def test_what_cannot_be_checked_is_told_too(check, monkeypatch):
    monkeypatch.delenv("RAW_BUCKET")
    assert check.run() == {"status": "Failed"}
    assert check.told[0]["status"] == "Failed"


def test_a_source_that_is_off_is_not_checked(check):
    check.deployed("queue")
    assert check.run() == {"status": "Succeeded"}
    assert len([key for key in keys(check.bucket, "rejects/") if key.endswith(".parquet")]) == 1
