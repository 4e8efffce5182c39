"""moto, as in tests.crash.server, whose S3 answers 503 for a while when told to: PUT /burst with the seconds as body, which tells how many it did."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
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


class Attributes(Mapping[str, Any]):
    """A queue's, counted when somebody asks for more than what sending a message asks for."""

    def __init__(self, queue: Any, whole: Callable[[Any], dict[str, Any]]) -> None:
        self.queue, self.whole = queue, whole

    @cached_property
    def found(self) -> dict[str, Any]:
        return self.whole(self.queue)

    def get(self, name: str, default: Any = None) -> Any:
        if name == "ContentBasedDeduplication" and not self.queue.fifo_queue:
            return default
        return self.found.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


def quicken() -> None:
    """moto counts all messages of a queue for each that is sent or received, and reads all of S3's errors for each that it tells."""
    from moto.core.errors import ErrorLookupFactory
    from moto.sqs import models
    from moto.sqs.models import Queue, SQSBackend

    models.unix_time_millis = lambda: time.time() * 1000  # moto goes by a calendar
    whole = Queue.attributes.fget
    Queue.attributes = property(lambda queue: Attributes(queue, whole))

    made = ErrorLookupFactory._create_error_lut
    known: dict[str, Any] = {}

    def once(model: Any) -> Any:
        if model.service_name not in known:
            known[model.service_name] = made(model)
        return known[model.service_name]

    ErrorLookupFactory._create_error_lut = staticmethod(once)
    SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True  # for days


if __name__ == "__main__":
    quicken()
    serve(int(sys.argv[1]), lambda application: OneByOne(Bursts(application)))
