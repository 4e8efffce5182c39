"""What the ledger adds to a Kinesis batch of 5,000 records: CPU time of the function's process, requests.

The same handler, over the same events, without a ledger and with one, in turn. The ledger is a table of dynamodb.py: a process of its
own, whose time does not count, over TLS and connections that stay open (--plain: without TLS). The client's work, signing, TLS and HTTP
do count. Rows go to memory, as in handlers.py.
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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import events
from handlers import PIPELINE, MemoryStore

from millstream.aws import kinesis_handler
from millstream.sinks import clients

ROUNDS = 81
RECORDS = 5000
BAR = 0.05


class Notes(MemoryStore):
    """A sink in memory that takes notes too."""

    def noted(self, name: str, until: float) -> None: ...

    def replace(self, name: str, body: bytes, until: float, tags: Any = None) -> None: ...


@contextlib.contextmanager
def table(is_secure: bool) -> Any:
    """A table that is another process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"{'https' if is_secure else 'http'}://localhost:{port}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench" * 200,  # a role's is about as long
        "AWS_DEFAULT_REGION": "eu-central-1",
        "NO_PROXY": "localhost",
        "MILLSTREAM_PARALLELIZATION": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).with_name("dynamodb.py")), str(port)]
        if is_secure:
            command += [f"{folder}/certificate.pem", f"{folder}/key.pem"]
            certify(*command[-2:])
            os.environ["AWS_CA_BUNDLE"] = command[-2]
        server = subprocess.Popen(command)
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                    break
                time.sleep(0.1)
            yield "dynamodb://ledger"
        finally:
            server.terminate()
            server.wait(10)


def certify(certificate: str, key: str) -> None:
    """A certificate of localhost's, by a key as AWS's are."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip


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
    is_secure = "--plain" not in sys.argv
    measure.one_core()
    print(measure.machine(["botocore"]))
    with table(is_secure) as url, contextlib.redirect_stdout(io.StringIO()):
        calls: list[str] = []
        clients.client("dynamodb").meta.events.register(
            "before-send.dynamodb", lambda event_name, **_: calls.append(event_name.rpartition(".")[2])
        )
        runs = {"without": handler(None), "with": handler(url)}
        requests: dict[tuple[str, str], list[str]] = {}
        taken: dict[str, list[float]] = {who: [] for who in runs}
        gc.collect()
        gc.disable()
        # Each has its own shard: what one committed is a duplicate to the next.
        for number, event in enumerate(batches(ROUNDS + 3)):
            for place, (who, run) in enumerate(runs.items()):
                own = event.replace(b"shardId-000000000006", b"shardId-00000000000%d" % place)
                calls.clear()
                started = time.process_time()
                run(own)
                if number >= 3:
                    taken[who].append(time.process_time() - started)
                requests["first" if number == 0 else "later", who] = list(calls)
            gc.collect()
    plain = statistics.median(taken["without"])
    added = statistics.median(one - base for one, base in zip(taken["with"], taken["without"], strict=True))
    share = added / plain
    how = "TLS" if is_secure else "no TLS"
    print(
        f"Kinesis, {RECORDS:,} records, CPU time of the process, {how}; medians of {ROUNDS} rounds, of what is added in each round"
    )
    print(f"  without a ledger              {1000 * plain:6.2f} ms")
    print(f"  with DynamoDB                {1000 * added:+7.2f} ms  {100 * share:+.1f} %")
    first, later = (", ".join(requests[when, "with"]) for when in ("first", "later"))
    print(f"  requests of a container's first batch: {first}; of each later one: {later}")
    print(f"  bar {100 * BAR:.0f} %: {'met' if share <= BAR else 'MISSED'} with {100 * share:.1f} %")


if __name__ == "__main__":
    main()
