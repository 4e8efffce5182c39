"""What the ledger adds to a Kinesis batch of 5,000 records: CPU time of the function's process, requests.

The same handler, over the same events, without a ledger and with one, in turn. The ledger is a table of dynamodb.py: a process of its
own, whose time does not count, over TLS and connections that stay open. The client's work, signing, TLS and HTTP do count. Rows go to
memory, as in handlers.py.
"""

from __future__ import annotations

import contextlib
import io
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import events
import measure
import pytest
from contest import figure
from handlers import PIPELINE, MemoryStore

from millstream.aws import kinesis_handler
from millstream.ledger import way

RECORDS = 5000
SHARE, REQUESTS = "% of CPU time added", "requests of a batch"


class Notes(MemoryStore):
    """A sink in memory that takes notes too."""

    def noted(self, name: str, until: float) -> None: ...

    def replace(self, name: str, body: bytes, until: float, tags: Any = None) -> None: ...


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A table that is another process, and how it is called."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
        certify(certificate, key)
        for name, value in {
            "AWS_ENDPOINT_URL": f"https://localhost:{port}",
            "AWS_CA_BUNDLE": certificate,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_SESSION_TOKEN": "bench" * 200,  # a role's is about as long
            "AWS_DEFAULT_REGION": "eu-central-1",
            "NO_PROXY": "localhost",
            "MILLSTREAM_PARALLELIZATION": "1",
        }.items():
            monkeypatch.setenv(name, value)
        with measure.other_cores():
            server = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("dynamodb.py")), str(port), certificate, key]
            )
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


class Batches:
    """Events, each behind the one before, on one shard for each handler: what one committed would be a duplicate to the next."""

    def __init__(self) -> None:
        self.text = events.kinesis(events.orders(RECORDS))
        marker = b'"sequenceNumber":"'
        start = self.text.index(marker) + len(marker)
        self._prefix, self._number = self.text[start : start + 12], 0
        self.events: list[bytes] = []

    def advance(self) -> None:
        self._number += 1
        text = self.text.replace(self._prefix, b"49%010d" % self._number)
        self.events = [text.replace(b"shardId-000000000006", b"shardId-00000000000%d" % place) for place in range(2)]


def handler(ledger: str | None) -> Callable[[bytes], None]:
    """A handler that writes to memory."""
    made = kinesis_handler(PIPELINE, sink="/tmp/millstream-bench/rows", rejects="/tmp/millstream-bench/rejects", ledger=ledger)
    made.sink, made.rejects = Notes(), Notes()
    if ledger is not None:
        made.once.ledger.sink, made.once.ledger.rejects = made.sink, made.rejects

    def run(event: bytes) -> None:
        assert made(event, None) == {"batchItemFailures": []}

    return run


def bench_ledger(table: str, contest: Any, processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    ask = way.ask
    monkeypatch.setattr(way, "ask", lambda operation, request: calls.append(operation) or ask(operation, request))
    batches = Batches()

    def prepare() -> None:
        batches.advance()
        calls.clear()

    def figures(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
        added = [one - base for one, base in zip(taken["millstream"], taken["millstream_plain"], strict=True)]
        share = 100 * statistics.median(added) / statistics.median(taken["millstream_plain"])
        return {SHARE: share, REQUESTS: len(calls)}

    with contextlib.redirect_stdout(io.StringIO()):
        plain, kept = handler(None), handler(table)
        contest(
            f"Kinesis, {RECORDS:,} records, processor's time",
            {"millstream": lambda: kept(batches.events[1]), "millstream_plain": lambda: plain(batches.events[0])},
            names={"millstream": "with a ledger in DynamoDB, TLS", "millstream_plain": "without a ledger"},
            size=len(batches.text),
            bars=[figure(5, 5, SHARE), figure(5, 4, REQUESTS)],
            figures=figures,
            prepare=prepare,
            seconds=15,
        )
