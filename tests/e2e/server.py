"""moto, as in tests.crash.server, whose S3 answers 503 for a while when told to: PUT /burst with the seconds as body, which tells how many it did."""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.crash.server import OneByOne, serve

_SLOW = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Bursts:
    """A WSGI application before another, which may refuse S3's requests."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.until = 0.0
        self.refused = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/burst":
            self.until = time.monotonic() + float(environ["wsgi.input"].read())
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(self.refused).encode()]
        if time.monotonic() < self.until and "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
            self.refused += 1
            start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(_SLOW)))])
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else _SLOW]
        return self.application(environ, start_response)


if __name__ == "__main__":
    serve(int(sys.argv[1]), lambda application: OneByOne(Bursts(application)))
