"""An S3 on this machine for a function that is measured: it takes objects and keeps none, and gives those of data files.

As far as S3's client asks for it. The client signs, sends and reads as it does with AWS, but for TLS, which is left out.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

NAME = "millstream-rightsize"
"""The bucket that is written to."""
SOURCE = "millstream-rightsize-in"
"""The one that objects are read from."""
_PIECE = 1 << 20
_ETAG = '"00000000000000000000000000000000"'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, objects: Mapping[str, Path], latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects, self.latency = objects, latency

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that was killed leaves its requests; they are nobody's any more."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 (as the class has it)

    def handle_expect_100(self) -> bool:
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def do_PUT(self) -> None:
        self._take()
        self._answer(200, ETag=_ETAG)

    def do_POST(self) -> None:
        """An upload in parts begins, or ends."""
        self._take()
        begins = self.path.partition("?")[2].startswith("uploads")
        kind, told = ("Initiate", "<UploadId>1</UploadId>") if begins else ("Complete", f"<ETag>{_ETAG}</ETag>")
        name = f"{kind}MultipartUploadResult"
        self._answer(200, f"<{name}>{told}</{name}>".encode(), Content_Type="application/xml")

    def _take(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            left -= len(self.rfile.read(min(left, _PIECE))) or left

    def do_DELETE(self) -> None:
        self._answer(204)

    def do_GET(self) -> None:
        bucket, _, key = unquote(self.path.partition("?")[0])[1:].partition("/")
        path = self.server.objects.get(key) if bucket == SOURCE else None
        if path is None:
            body = b"<Error><Code>NoSuchKey</Code><Message>there is no such object</Message></Error>"
            return self._answer(404, body, Content_Type="application/xml")
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": self.headers.get("If-Match", '"0"'), "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if asked is None:
            return self._answer(200, path.read_bytes(), **headers)
        first, end = int(asked[1]), min(int(asked[2] or size) + 1, size)
        if first >= size:
            body = b"<Error><Code>InvalidRange</Code><Message>it is shorter</Message></Error>"
            return self._answer(416, body, Content_Type="application/xml")
        with path.open("rb") as file:
            file.seek(first)
            data = file.read(end - first)
        return self._answer(206, data, Content_Range=f"bytes {first}-{end - 1}/{size}", **headers)

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        if self.server.latency:
            time.sleep(self.server.latency)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()


@contextmanager
def serving(folder: Path, objects: Mapping[str, Path], latency: float = 0.0) -> Iterator[dict[str, str]]:
    """Serve for as long as this lasts; gives the environment that leads boto3 there. latency: seconds before each answer.

    folder: where boto3's settings are written. objects: the files that the bucket `SOURCE` has, by key.
    """
    server = _Server(objects, latency)
    settings = folder / "aws.ini"
    settings.write_text("[default]\ns3 =\n  payload_signing_enabled = false\n")  # as it is with TLS
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield {
            "AWS_CONFIG_FILE": str(settings),
            "AWS_SHARED_CREDENTIALS_FILE": str(settings),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
