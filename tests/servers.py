"""AWS on this machine: a moto server for the whole session, buckets and queues in it, and faults between it and the client."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ProtocolError

from millstream.sinks import clients

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARY7Q5D0EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key-7q5d0",
    "AWS_SESSION_TOKEN": "canary-session-token-7q5d0",
}
"""What tests talk to the moto server with; it takes any."""


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of a moto server that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"S3_UPLOAD_PART_MIN_SIZE": "1"}  # S3 wants 5 MiB of each part but the last: slow, for tests
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(url, server)
        yield url
    finally:
        clients._clients.clear()
        server.terminate()
        server.wait(60)  # a loaded machine is no failure


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        assert server.poll() is None, "moto's server ended"
        try:
            opener.open(f"{url}/moto-api/data.json", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("moto's server does not answer")


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment in which boto3 talks to the moto server; its URL."""
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return moto_server


@pytest.fixture
def bucket(aws: str) -> str:
    """A bucket with nothing in it."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    clients.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def table(aws: str) -> str:
    """A table with nothing in it, as Powertools Idempotency wants one."""
    name = f"table-{uuid.uuid4().hex[:12]}"
    clients.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


Fault = Callable[..., AWSResponse | None]


class _Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def answer(code: str, status: int = 400, root: str = "Error") -> Fault:
    """An answer of S3's that tells an error, in the place of the call."""
    body = f"<{root}><Code>{code}</Code><Message>secret</Message></{root}>".encode()

    def respond(request):
        headers = {"x-amz-request-id": "4442587FB7D0A2F9"}
        return AWSResponse(request.url, status, headers, _Raw(b"" if request.method == "HEAD" else body))

    return respond


def refusal(code: str, status: int = 400) -> Fault:
    """An answer of DynamoDB's, or of Lambda's, that tells an error, in the place of the call."""

    def respond(request):
        headers = {"x-amzn-requestid": "4442587FB7D0A2F9", "x-amzn-errortype": code}
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "secret"}).encode()
        return AWSResponse(request.url, status, headers, _Raw(body))

    return respond


def passes(request):
    """No fault."""


def lost_before(request):
    """The call does not reach the service."""
    raise ReadTimeoutError(endpoint_url=request.url)


def lost_after(request):
    """The call has its effect; its answer does not come."""
    URLLib3Session().send(request)
    raise ReadTimeoutError(endpoint_url=request.url)


def cut_short(size: int) -> Fault:
    """The connection is lost after so many bytes of the answer."""

    def respond(request):
        found = URLLib3Session().send(request)
        found.raw = _Cut(found.raw, size)
        return found

    return respond


class _Cut:
    def __init__(self, raw, left):
        self._raw, self._left = raw, left

    def __getattr__(self, name):
        return getattr(self._raw, name)

    def read(self, amt=None, **options):
        if not self._left:
            raise ProtocolError("secret")
        found = self._raw.read(min(amt, self._left), **options)
        self._left -= len(found)
        return found


class Faults:
    """Faults of one service, by operation: the first call meets the first one. `calls` names the operations that were called."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.calls: list[str] = []
        self._waiting: dict[str, deque[Fault]] = {}
        clients.client(service).meta.events.register(f"before-send.{service}", self._met)

    def on(self, operation: str, *faults: Fault) -> None:
        self._waiting.setdefault(operation, deque()).extend(faults)

    def _met(self, request, event_name, **_):
        operation = event_name.rpartition(".")[2]
        self.calls.append(operation)
        waiting = self._waiting.get(operation)
        return waiting.popleft()(request) if waiting else None

    def end(self) -> None:
        clients.client(self.service).meta.events.unregister(f"before-send.{self.service}", self._met)


@pytest.fixture
def s3_faults(aws: str) -> Iterator[Faults]:
    faults = Faults("s3")
    yield faults
    faults.end()


@pytest.fixture
def sqs_faults(aws: str) -> Iterator[Faults]:
    faults = Faults("sqs")
    yield faults
    faults.end()


@pytest.fixture
def dynamodb_faults(aws: str) -> Iterator[Faults]:
    faults = Faults("dynamodb")
    yield faults
    faults.end()
