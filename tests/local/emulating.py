"""What tests of `millstream emulate` run against: a function behind the Invoke API, and streams and queues of a moto server."""

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from millstream.cli import main
from millstream.sinks import clients

Answered = tuple[int, bytes]


class Behind:
    """A function: what it was invoked with, and what it answers, as (status, body)."""

    def __init__(self, behave: Callable[[dict[str, Any]], Any]) -> None:
        self.behave = behave
        self.events: list[dict[str, Any]] = []
        self.paths: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.url = ""
        self._lock = threading.Lock()

    def take(self, path: str, body: bytes) -> Answered:
        event = json.loads(body)
        with self._lock:
            self.events.append(event)
            self.paths.add(path)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        answer = self.behave(event)
        with self._lock:
            self.at_once -= 1
        return answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())

    @property
    def payloads(self) -> list[list[str]]:
        """What each event held."""
        return [[payload(one) for one in event["Records"]] for event in self.events]


def payload(record: dict[str, Any]) -> str:
    return base64.b64decode(record["kinesis"]["data"]).decode() if "kinesis" in record else record["body"]


def identifier(record: dict[str, Any]) -> str:
    return record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["messageId"]


def naming(event: dict[str, Any], *payloads: str) -> dict[str, Any]:
    """The answer that these failed."""
    failed = [identifier(one) for one in event["Records"] if payload(one) in payloads]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}


@contextmanager
def function(behave: Callable[[dict[str, Any]], Any] = lambda _: None) -> Iterator[Behind]:
    """A function that can be invoked, at its `url`."""
    behind = Behind(behave)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, body = behind.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    behind.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield behind
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unhandled(kind: str = "ValueError") -> dict[str, Any]:
    """What the Runtime Interface Emulator answers where a function raised."""
    return {"errorMessage": "no", "errorType": kind, "requestId": "1", "stackTrace": []}


def new_stream(*payloads: str, shards: int = 1) -> str:
    name = f"stream-{uuid.uuid4().hex[:12]}"
    clients.client("kinesis").create_stream(StreamName=name, ShardCount=shards)
    put(name, *payloads)
    return name


def put(stream: str, *payloads: str, key: str | None = None) -> None:
    for one in payloads:
        clients.client("kinesis").put_record(StreamName=stream, Data=one.encode(), PartitionKey=key or one[:20])


def new_queue(*bodies: str, fifo: bool = False, **attributes: str) -> str:
    """A queue's URL. In a FIFO queue a message's group is its first letter."""
    sqs = clients.client("sqs")
    name = f"queue-{uuid.uuid4().hex[:12]}"
    if fifo:
        name, attributes = f"{name}.fifo", attributes | {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    for one in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=one, **({"MessageGroupId": one[0]} if fifo else {}))
    return url


def bodies(queue: str) -> list[str]:
    """The messages that can be received now."""
    found: list[str] = []
    while more := clients.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [one["Body"] for one in more]
    return found


def run(capsys: Any, *words: Any) -> tuple[int, dict[str, Any], str]:
    """The command, in this process: its status, its report and what it wrote to stderr."""
    status = main(["emulate", *map(str, words), "--json"])
    told = capsys.readouterr()
    report = json.loads(told.out) if told.out else {}
    if report:
        counts = report["counts"]
        ends = ("filtered", "acknowledged", "given_up", "returned", "held")
        assert counts["received"] == sum(counts[name] for name in ends), counts
    return status, report, told.err
