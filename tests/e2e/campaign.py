"""Four sources at once, and what goes wrong meanwhile; then all that stands in the lake is read back."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.crash import server
from tests.crash.server import ROOT, own
from tests.crash.soak import Flights
from tests.e2e import flights, sources
from tests.e2e.functions import Poller, kill_at_work, runtime, unbalanced
from tests.e2e.stack import Stack, deploy
from tests.lambda_runtime import sandbox
from tests.lambda_runtime.fetch import FOLDER, fetch
from tests.local import kinesis_local

TIMEOUT, VISIBILITY = 10, 12
"""Of functions and queues here, in seconds: what a killed function had comes again after the second, which the template has at 11 minutes."""
BURST = 3.0
KILLED_WITHIN = 300.0
"""Seconds in which each function's process is found at work; on a machine with other work that takes long."""
PATIENCE = 900.0
PARAMETERS = {
    "Release": "1",
    "Timeout": "60",
    "StreamBatchSize": "1000",
    "QueueBatchSize": "500",
    "ShardCount": "2",
    "FifoSource": "true",
}
ONCE = {"kinesis", "s3"}
"""Sources of which each record comes once; queues have no ledger by the template's defaults."""


def campaign(records: int, data: Path, layer: Path, say: Callable[[str], Any]) -> list[str]:
    """Run, and tell of it. What is wrong, line by line."""
    began, every = time.monotonic(), Flights(data, 0)
    sent = {
        "kinesis": flights.draw(every, 0, records, text=False),
        "sqs": flights.draw(every, records, records, text=True),
        "s3": flights.draw(every, 2 * records, records, text=False),
        "fifo": flights.draw(every, 3 * records, records, text=True),
    }
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        code = folder / "function"
        shutil.copytree(ROOT / "examples" / "flights", code)
        box = sandbox.unzip(layer, folder / "layer")
        parts = fetch(FOLDER, box.python)
        kinesis = held.enter_context(kinesis_local.running(kinesis_local.fetch()))
        held.enter_context(server.running("tests.e2e.server"))
        stack = deploy("flights", PARAMETERS, code)
        say(f"deployed {len(stack.resources)} resources in {time.monotonic() - began:.0f} s")
        endpoints = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "AWS_ENDPOINT_URL_KINESIS": kinesis}
        places = _places(stack, kinesis_local.client(kinesis))
        polled = {}
        for source, (logical, url, options) in places.items():
            function = stack.function(logical)
            assert [url.rpartition("/")[2]] == [arn.rpartition("/")[2].rpartition(":")[2] for arn in function.sources]
            made = runtime(function, code, box, parts, endpoints, TIMEOUT)
            polled[source] = Poller(url, logical, held.enter_context(made), endpoints, "--timeout", str(TIMEOUT), *options)
            held.callback(polled[source].stop)
        faults = _send(stack, sent, kinesis_local.client(kinesis), polled, say)
        told = {source: one.ended(PATIENCE) for source, one in _idle(polled, places)}
        found = flights.landed(_bucket(stack.outputs["Sink"]), _bucket(stack.outputs["Rejects"]))
        wrong = _compare(sent, found, polled, faults) + _left(stack)
    for line in _summary(sent, found, told, polled, faults, time.monotonic() - began):
        say(line)
    for line in [f"violations {len(wrong)}", *(f"  {one}" for one in wrong[:20])]:
        say(line)
    return wrong


def _places(stack: Stack, stream: Any) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """By source: the function's logical id, what is polled, how."""
    stream.create_stream(StreamName=stack.outputs["StreamName"], ShardCount=int(PARAMETERS["ShardCount"]))
    stream.get_waiter("stream_exists").wait(StreamName=stack.outputs["StreamName"], WaiterConfig={"Delay": 1})
    for logical in ("Queue", "ObjectsQueue", "FifoQueue"):
        own("sqs").set_queue_attributes(
            QueueUrl=_local(stack.resources[logical]), Attributes={"VisibilityTimeout": str(VISIBILITY)}
        )
    failures = f"s3://{stack.resources['FailuresBucket']}"
    return {
        "kinesis": (
            "StreamFunction",
            stack.outputs["StreamName"],
            ("--window", "1", "--destination", failures, "--until-idle", "8"),
        ),
        "sqs": ("QueueFunction", _local(stack.resources["Queue"]), ("--window", "1")),
        "s3": ("ObjectsFunction", _local(stack.resources["ObjectsQueue"]), ("--window", "1")),
        "fifo": ("FifoFunction", _local(stack.resources["FifoQueue"]), ()),
    }


def _local(url: str) -> str:
    """A queue of moto's, which names AWS's host."""
    return os.environ["AWS_ENDPOINT_URL"] + url.partition("amazonaws.com")[2]


def _bucket(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix


class Faults:
    """What went wrong on purpose."""

    def __init__(self) -> None:
        self.killed: list[str] = []
        self.refused = 0


def _send(
    stack: Stack, sent: dict[str, flights.Flown], stream: Any, polled: dict[str, Poller], say: Callable[[str], Any]
) -> Faults:
    """All records, while S3 refuses for a while and each function's process is killed once."""
    faults = Faults()
    raised: list[BaseException] = []

    def guarded(work: Callable[..., Any], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def kill(source: str) -> None:
        if kill_at_work(polled[source].runtime, KILLED_WITHIN):
            faults.killed.append(source)

    threads = [
        guarded(sources.put_records, stream, stack.outputs["StreamName"], sent["kinesis"].records),
        guarded(sources.send_messages, _local(stack.resources["Queue"]), sent["sqs"].records),
        guarded(sources.send_groups, _local(stack.resources["FifoQueue"]), sent["fifo"].records),
        guarded(sources.put_objects, stack.outputs["RawBucketName"], "in/", sent["s3"].records),
        *(guarded(kill, source) for source in polled),
    ]
    bucket, prefix = _bucket(stack.outputs["Sink"])
    deadline = time.monotonic() + 60
    while (
        not own("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount") and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    _burst(BURST)
    told = time.monotonic()
    while any(one.is_alive() for one in threads) and not raised:
        if time.monotonic() > told + 60:
            told = time.monotonic()
            say("  ".join(f"{source}: {unbalanced(one.runtime.lines)[0]:,} batches" for source, one in polled.items()))
        for source, one in polled.items():
            if one.process.poll() not in (None, 0):
                raise SystemExit(f"{source}: {one.ended(1)}")
        time.sleep(0.1)
    if raised:
        raise raised[0]
    time.sleep(BURST)
    faults.refused = int(_burst(0))
    return faults


def _burst(seconds: float) -> bytes:
    """S3 refuses for so long from now on. How many requests it refused until now."""
    request = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/burst", str(seconds).encode(), method="PUT")
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def _idle(polled: dict[str, Poller], places: dict[str, Any]) -> Iterator[tuple[str, Poller]]:
    """Each poller, when its source has nothing left; those of queues are told to end."""
    deadline = time.monotonic() + PATIENCE
    for source, one in polled.items():
        if source != "kinesis":
            while any(_depths(places[source][1])):
                if one.process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            one.process.send_signal(signal.SIGTERM)
        yield source, one


def _depths(url: str) -> list[int]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = own("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return [int(found[one]) for one in names]


def _compare(sent: dict[str, flights.Flown], found: flights.Landed, polled: dict[str, Poller], faults: Faults) -> list[str]:
    wrong = []
    for source, one in sent.items():
        wrong += flights.violations(source, one, found, once=source in ONCE)
        batches, told = unbalanced(polled[source].runtime.lines)
        wrong += [f"{source}: {line}" for line in told]
        if not batches:
            wrong.append(f"{source}: no batch was logged")
        if source not in faults.killed:
            wrong.append(f"{source}: its process was never at work, so it was not killed")
    for what in ("rows", "rejects"):
        expected = set().union(*(getattr(one, what) for one in sent.values()))
        if foreign := sum(count for one, count in getattr(found, what).items() if one not in expected):
            wrong.append(f"{foreign} {what} are of no record")
    if not faults.refused:
        wrong.append("S3 refused nothing")
    return wrong


def _left(stack: Stack) -> list[str]:
    """What nobody should have been given up: dead letters, batches in the failures' bucket."""
    wrong = []
    for logical in ("QueueDead", "FifoDead", "ObjectsDead", "UndeliveredQueue"):
        if count := sum(_depths(_local(stack.resources[logical]))):
            wrong.append(f"{logical} holds {count} messages")
    if count := own("s3").list_objects_v2(Bucket=stack.resources["FailuresBucket"]).get("KeyCount", 0):
        wrong.append(f"the bucket of failures holds {count} objects")
    return wrong


def _summary(
    sent: dict[str, flights.Flown],
    found: flights.Landed,
    told: dict[str, Any],
    polled: dict[str, Poller],
    faults: Faults,
    took: float,
) -> Iterator[str]:
    yield f"e2e: {took:,.0f} s; {found.objects:,} objects with {found.rows.total():,} rows; {found.rejects.total():,} rejects stored"
    yield f"  S3 refused {faults.refused:,} requests; killed at work: {', '.join(faults.killed) or 'none'}"
    for source, one in sent.items():
        rows = sum(found.rows[row] for row in one.rows)
        rejects = sum(found.rejects[payload] for payload in one.rejects)
        batches, _ = unbalanced(polled[source].runtime.lines)
        yield (
            f"  {source}: {len(one.records):,} records sent: {one.rows.total():,} rows expected, {rows:,} found; "
            f"{one.rejects.total():,} rejects expected, {rejects:,} found; {one.filtered:,} filtered; {batches:,} batches; emulate: {told[source]['counts']}"
        )
