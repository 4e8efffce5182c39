"""An S3 for benchmarks, in a process of its own: serves a folder's files as objects, takes objects and forgets their bytes.

As far as the clients need it: ranges, If-Match, puts that replace nothing, notes that are not there. Signatures are not checked.
Beside it a DynamoDB that says yes to all.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

KEPT = "kept"
"""Objects put into this bucket stay as files of the folder `kept`, so that their rows can be looked at."""
_PIECE = 1 << 20


def etag(path: Path) -> str:
    """Of the version that a file is; not its MD5, which nobody asks for."""
    found = path.stat()
    return f"{found.st_mtime_ns:016x}{found.st_size:016x}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    folder: Path

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.sizes: dict[str, int] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *told: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def _place(self) -> tuple[str, str]:
        bucket, _, key = unquote(self.path.partition("?")[0])[1:].partition("/")
        return bucket, key

    def _answer(self, status: int, body: bytes = b"", size: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _refuse(self, status: int, code: str) -> None:
        self._answer(
            status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), Content_Type="application/xml"
        )

    def do_GET(self) -> None:
        bucket, key = self._place()
        path = self.server.folder / key
        if bucket != "objects" or not path.is_file():
            return self._refuse(404, "NoSuchKey")
        version = f'"{etag(path)}"'
        if self.headers.get("If-Match", version) != version:
            return self._refuse(412, "PreconditionFailed")
        size = path.stat().st_size
        headers = {"ETag": version, "Last_Modified": formatdate(path.stat().st_mtime, usegmt=True), "Accept_Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, end = (int(asked[1]), min(int(asked[2] or size) + 1, size)) if asked else (0, size)
        if asked and first >= size:
            return self._refuse(416, "InvalidRange")
        if asked:
            headers["Content_Range"] = f"bytes {first}-{end - 1}/{size}"
        self._answer(206 if asked else 200, size=end - first, **headers)
        if self.command == "GET":
            with path.open("rb") as file, contextlib.suppress(ConnectionError):  # who has seen enough hangs up
                while first < end:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, end - first)
        return None

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        bucket, key = self._place()
        left = int(self.headers["Content-Length"])
        pieces: list[bytes] = []
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            left -= len(piece)
            if bucket == KEPT:
                pieces.append(piece)
        place = f"{bucket}/{key}"
        if self.headers.get("If-None-Match") == "*" and place in self.server.sizes:
            return self._refuse(412, "PreconditionFailed")
        self.server.sizes[place] = int(self.headers["Content-Length"])
        if pieces:
            path = self.server.folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(pieces))
        self._answer(200, ETag=f'"{len(self.server.sizes):032x}"')
        return None

    def do_POST(self) -> None:
        """DynamoDB's PutItem and UpdateItem, done."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"{}", Content_Type="application/x-amz-json-1.0")

    def do_DELETE(self) -> None:
        self._answer(204)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a folder's files as the bucket `objects`, on the first core. Gives the environment that leads boto3 there."""
    with subprocess.Popen([sys.executable, __file__, folder], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            settings = folder / ".aws"
            settings.write_text("[default]\ns3 =\n  payload_signing_enabled = false\n")  # as it is by HTTPS
            yield {
                "AWS_CONFIG_FILE": str(settings),
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}",
                "AWS_ACCESS_KEY_ID": "benchmark",
                "AWS_SECRET_ACCESS_KEY": "benchmark",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            server.terminate()


def main(folder: str) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    server = _Server(Path(folder))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
