"""What Powertools costs a batch: the log line, the metrics, and Idempotency around an object. Nothing leaves this process.

DynamoDB is answered before a request is sent, so of its two writes only the client's own time is counted: what the network and the
service take comes on top. Before each run the processor's caches are swept, as a batch sweeps them in a function.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import measure
from botocore.awsrequest import AWSResponse

from millstream import Pipeline
from millstream.aws import s3_handler
from millstream.aws.notification import ObjectRef
from millstream.aws.objects import Objects
from millstream.aws.observe import Batch, emit_metrics, report_batch
from millstream.sinks.clients import client
from millstream.sinks.landed import Landed
from millstream.sinks.store import Stored

RUNS = 300
SWEPT = bytearray(32 << 20)
BATCH = Batch(
    pipeline="orders",
    fingerprint="4c709976fb4b",
    source="kinesis",
    source_id="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    shard="shardId-000000000000",
    first="49590338271490256608559692538361571095921575989136588898",
    last="49590338271490256608559692540925702759324208523137515618",
    deliveries=5000,
    bytes_in=2_000_000,
    iterator_age_ms=1200,
    raw=True,
    stage_ms={"envelope": 4.1, "decode": 3.2, "steps": 0.6, "write": 9.4},
)
COUNTS = {"delivered": 5000, "written": 4100, "filtered": 897, "duplicate": 0, "rejected": 3, "failed": 0}


def landed(objects: int, codes: int) -> Landed:
    """A batch that made so many objects, with rejects of so many codes."""
    file = Stored("s3://lake/orders/country=DE/0f6b2a1e-shardId-000000000000-1-2-a1-0000.parquet", 46_000, True)
    return Landed(dict(COUNTS), 4100, {f"CODE_{i}": 1 for i in range(codes)}, [(file, 4100)] * objects)


class _Raw(io.BytesIO):
    def stream(self) -> Any:
        yield self.read()


def answered(request: Any, **_: Any) -> AWSResponse:
    """DynamoDB's answer to a write, without DynamoDB."""
    return AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.0"}, _Raw(b"{}"))


def median(run: Callable[[], Any]) -> float:
    """Seconds of a run, the median of so many after two that are not counted."""
    taken = []
    for _ in range(RUNS + 2):
        bytes(SWEPT)
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


def main() -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name in ("AWS_LAMBDA_FUNCTION_NAME", "POWERTOOLS_METRICS_NAMESPACE"):
        os.environ.pop(name, None)
    client("dynamodb").meta.events.register("before-send.dynamodb", answered)
    ref = ObjectRef("raw", "in/orders.ndjson", None, "5d41402abc4b2a76b9719d911017c592", 1_700_000_000_000)
    with tempfile.TemporaryDirectory() as folder:
        handler = s3_handler(
            Pipeline({"id": "int64"}, name="orders"), sink=folder, on_reject="drop-and-count", ledger="dynamodb://orders"
        )
        one = Objects(handler, math.inf, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
        one._landed = lambda ref: landed(1, 0)  # type: ignore[method-assign]
        plain, many, bad = landed(1, 0), landed(20, 0), landed(1, 3)
        with contextlib.redirect_stdout(io.StringIO()):
            taken = {
                "the log line": median(lambda: report_batch(BATCH, plain)),
                "metrics": median(lambda: emit_metrics(BATCH, plain)),
                "metrics, 20 objects": median(lambda: emit_metrics(BATCH, many)),
                "metrics, rejects of 3 codes": median(lambda: emit_metrics(BATCH, bad)),
                "idempotency of an object": median(lambda: one.land(ref)),
            }
    print(measure.machine(["millstream", "aws-lambda-powertools", "boto3"]))
    print(f"medians of {RUNS} runs")
    for name, seconds in taken.items():
        print(f"  {name:<30}{seconds * 1e3:>8.3f} ms")


if __name__ == "__main__":
    main()
