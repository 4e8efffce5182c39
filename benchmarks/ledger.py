"""What the ledger adds to a Kinesis batch of 5,000 records: CPU time of the function's process, requests, write units.

The same handler, over the same events, with a ledger and without, in turn. The ledger is a table of a moto server, which is a process
of its own: its time does not count; the client, its signing and its HTTP do. Rows go to memory, as in handlers.py.
"""

from __future__ import annotations

import measure

measure.one_thread_each()

import contextlib
import gc
import io
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import events
from handlers import PIPELINE, MemoryStore

from millstream.aws import kinesis_handler
from millstream.sinks import clients

ROUNDS = 41
RECORDS = 5000
BAR = 0.05


class Notes(MemoryStore):
    """A sink in memory that takes notes too."""

    def noted(self, name: str, until: float) -> None: ...

    def replace(self, name: str, body: bytes, until: float, tags: Any = None) -> None: ...


@contextlib.contextmanager
def table() -> Any:
    """A table of a moto server's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "MILLSTREAM_PARALLELIZATION": "1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        clients.client("dynamodb").create_table(
            TableName="ledger",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield "dynamodb://ledger"
    finally:
        server.terminate()
        server.wait(10)


def batches(count: int) -> list[bytes]:
    """Events of one shard, each behind the one before."""
    text = events.kinesis(events.orders(RECORDS))
    marker = b'"sequenceNumber":"'
    start = text.index(marker) + len(marker)
    prefix = text[start : start + 12]
    return [text.replace(prefix, b"49%010d" % number) for number in range(count)]


def handler(ledger: str | None) -> Callable[[bytes], None]:
    """A handler that writes to memory."""
    made = kinesis_handler(PIPELINE, sink="/tmp/millstream-bench/rows", rejects="/tmp/millstream-bench/rejects", ledger=ledger)
    made.sink, made.rejects = Notes(), Notes()
    if ledger is not None:
        made.once.ledger.sink, made.once.ledger.rejects = made.sink, made.rejects

    def run(event: bytes) -> None:
        assert made(event, None) == {"batchItemFailures": []}

    return run


def main() -> None:
    measure.one_core()
    print(measure.machine(["botocore"]))
    with table() as url, contextlib.redirect_stdout(io.StringIO()):
        calls: list[str] = []
        units: list[float] = []
        clients.client("dynamodb").meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        runs = {"without": handler(None), "with": handler(url)}
        taken: dict[str, list[float]] = {who: [] for who in runs}
        made = batches(ROUNDS + 3)
        gc.collect()
        gc.disable()
        for number, event in enumerate(made):
            calls.clear()
            for who, run in runs.items():
                started = time.process_time()
                run(event)
                if number >= 3:
                    taken[who].append(time.process_time() - started)
            if number == 0:
                first = list(calls)
            gc.collect()
        item = clients.client("dynamodb").scan(TableName="ledger")["Items"][0]
        units.append(len(str(item)))
    plain, more = (statistics.median(taken[who]) for who in ("without", "with"))
    share = more / plain - 1
    print(f"Kinesis, {RECORDS:,} records, CPU time of the process, medians of {ROUNDS}")
    print(f"  without a ledger  {1000 * plain:7.2f} ms")
    print(f"  with DynamoDB     {1000 * more:7.2f} ms  {100 * share:+.1f} %")
    print(f"  requests of a container's first batch: {', '.join(first)}; of each later one: {', '.join(calls)}")
    print(f"  bar {100 * BAR:.0f} %: {'met' if share <= BAR else 'MISSED'} with {100 * share:.1f} %")


if __name__ == "__main__":
    main()
