"""AWS on this machine for a state machine: moto's services, and functions behind Lambda's Invoke API that do run.

moto's Lambda runs no code, but moto's Step Functions invokes through boto3, at moto's own address. So the same server answers Invoke
itself, with a handler of Millstream's that reads and writes moto's S3; all else goes to moto.
"""

import json
import re
import threading
import time
import traceback
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from moto import backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from werkzeug.serving import make_server

ACCOUNT, REGION = "123456789012", "us-east-1"
FUNCTION_SECONDS = 60
_INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")

Handler = Callable[[Any, Any], Any]


class Refused(Exception):
    """Lambda itself answers with an error, and the function is not run."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(kind)
        self.status, self.kind = status, kind


THROTTLED = Refused(429, "TooManyRequestsException")
BROKEN = Refused(500, "ServiceException")


class Function:
    """A function with one environment: one invocation at a time. `faults` come first, one an invocation; None among them is none."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:live"
        self.handler = handler
        self.faults: deque[Exception | None] = deque()
        self.events: list[Any] = []
        self._lock = threading.Lock()

    def invoke(self, body: bytes) -> tuple[bytes, str | None]:
        """The answer as JSON, and FunctionError. Raises Refused."""
        with self._lock:
            event = json.loads(body)
            self.events.append(event)
            try:
                fault = self.faults.popleft() if self.faults else None
                if fault is not None:
                    raise fault
                return json.dumps(self.handler(event, _context(self.arn))).encode(), None
            except Refused:
                raise
            except Exception as error:  # as awslambdaric tells of it
                told = {
                    "errorMessage": str(error),
                    "errorType": type(error).__name__,
                    "stackTrace": traceback.format_tb(error.__traceback__),
                }
                return json.dumps(told).encode(), "Unhandled"


def _context(arn: str) -> SimpleNamespace:
    until = time.monotonic() + FUNCTION_SECONDS
    return SimpleNamespace(
        function_name="transform",
        function_version="1",
        invoked_function_arn=arn,
        memory_limit_in_mb=1024,
        aws_request_id="8f7c1c7e-0000-4000-8000-000000000001",
        get_remaining_time_in_millis=lambda: int(1000 * (until - time.monotonic())),
    )


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Keep what moto makes anew at each request, step or start: clients, parsed paths, a second's worth of reading the definition."""
    patch.setattr(AmazonStateLanguageParser, "parse", staticmethod(lru_cache(AmazonStateLanguageParser.parse)))
    patch.setattr(json_path, "parse", lru_cache(json_path.parse))
    modules = tuple(backends.list_of_moto_modules())
    patch.setattr(backends, "list_of_moto_modules", lambda: modules)
    made: dict[tuple[Any, ...], Any] = {}
    make = boto_client.boto3.client

    def client(**options: Any) -> Any:
        key = tuple((name, options.get(name)) for name in ("service_name", "region_name", "endpoint_url"))
        return made[key] if key in made else made.setdefault(key, make(**options))

    patch.setattr(boto_client.boto3, "client", client)


class _Quiet(MotoRequestHandler):
    def log_request(self, *_: Any) -> None:
        """Nothing: a backfill makes thousands."""


class Cloud:
    """A server of AWS's services at `url`. functions: by ARN."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.functions: dict[str, Function] = {}
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Cloud":
        self._thread.start()
        self._post("config", {"stepfunctions": {"execute_state_machine": True}})
        return self

    def reset(self) -> None:
        """Nothing is there any more."""
        self._post("reset", {})
        self.functions.clear()

    def _post(self, name: str, value: Any) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"{self.url}/moto-api/{name}", json.dumps(value).encode()).close()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def function(self, name: str, handler: Handler) -> Function:
        made = Function(name, handler)
        self.functions[made.arn] = made
        return made

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = _INVOKE.fullmatch(unquote(environ.get("PATH_INFO", "")))
        if found is None:
            return self._moto(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/json")]
        try:
            answer, error = self.functions[found[1]].invoke(body)
        except Refused as refused:
            told = [("x-amzn-ErrorType", refused.kind), ("x-amzn-RequestId", "8f7c1c7e-0000-4000-8000-000000000002")]
            start_response(f"{refused.status} {refused.kind}", [*headers, *told])
            return [json.dumps({"message": "refused by a test"}).encode()]
        start_response("200 OK", headers if error is None else [*headers, ("X-Amz-Function-Error", error)])
        return [answer]
