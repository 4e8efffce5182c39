"""moto, where one request is served after another, and one that did not come whole has no effect: as with AWS, a condition and its write are one.

moto itself checks and then writes, in a thread for each connection: two writers at once could both find that nothing stands there.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millstream.sinks import clients
from tests.servers import CREDENTIALS, _wait_for

ROOT = Path(__file__).parents[2]


class OneByOne:
    """A WSGI application, one request at a time, each read before: a client that is stopped while it sends stops nobody else."""

    def __init__(self, application: Any) -> None:
        self.application, self.lock = application, threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        length = environ.get("CONTENT_LENGTH")
        if length:
            body = environ["wsgi.input"].read(int(length))
            whole = len(body) == int(length)
        else:
            body = environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else b""
            whole = True
        if not whole:
            start_response("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        with self.lock:
            return list(self.application(environ, start_response))


def serve(port: int, around: Any = OneByOne) -> None:
    """Serve until the process ends. `around`: makes an application of moto's that meets the requests first."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)

    class Quick(MotoRequestHandler):
        disable_nagle_algorithm = (
            True  # headers and body are sent apart: the second would wait 40 ms for the first one's receipt
        )

    application = around(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=Quick)


@contextmanager
def running(module: str = "tests.crash.server") -> Iterator[int]:
    """A server that answers, and the environment in which boto3 talks to it; its process's id. `module` runs it on a port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    before = dict(os.environ)
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_LAMBDA_FUNCTION_NAME"):
        os.environ.pop(name, None)
    os.environ |= CREDENTIALS | {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "MILLSTREAM_PARALLELIZATION": "1",
    }
    environment = os.environ | {"MOTO_PORT": str(port)}
    command = [sys.executable, "-m", module, str(port)]
    server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _forget()
    try:
        _wait_for(url, server)
        yield server.pid
    finally:
        _forget()
        server.terminate()
        server.wait(10)
        os.environ.clear()
        os.environ |= before


def own(service: str) -> Any:
    """A client of this process alone: those of `clients` stay without connections, for its children."""
    if service not in _own:
        _own[service] = clients.make(service)
    return _own[service]


_own: dict[str, Any] = {}


def _forget() -> None:
    clients.forget()
    _own.clear()


def make_bucket() -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    own("s3").create_bucket(Bucket=name)
    return name


def make_table() -> str:
    name = f"table-{uuid.uuid4().hex[:12]}"
    own("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def objects(bucket: str, prefix: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """What stands under a prefix, but for notes: name, bytes, metadata."""
    client = own("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Contents", ()):
            if not one["Key"].rpartition("/")[2].startswith("_"):
                found = client.get_object(Bucket=bucket, Key=one["Key"])
                yield one["Key"].removeprefix(prefix), found["Body"].read(), found["Metadata"]


def delete(bucket: str, keys: list[str]) -> None:
    for start in range(0, len(keys), 1000):
        named = [{"Key": key} for key in keys[start : start + 1000]]
        own("s3").delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})


def resident_mb(pid: int) -> float:
    """What a process has in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    serve(int(sys.argv[1]))
