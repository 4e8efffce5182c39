"""A function, invoked through Lambda's Invoke API: Lambda itself, or AWS's Runtime Interface Emulator."""

from __future__ import annotations

import json
import threading
from queue import Empty, SimpleQueue
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    ReadTimeoutError,
)

from millstream import clock
from millstream.errors import RunError
from millstream.local.emulator.answers import THROTTLED, TIMED_OUT, Answer, Invocation
from millstream.sinks import clients
from millstream.sinks.retry import code_of, judge

START_SECONDS = 15.0
"""Beside a function's timeout: what its container may take to start."""
UNREACHABLE_SECONDS = 60.0
_EXCEPTION = {"errorMessage", "errorType", "requestId", "stackTrace", "cause"}
_NEVER_INVOKED = frozenset(["TooManyRequestsException", "ServiceException", "429", "500", "503"])


class Function:
    """Invokes in threads of its own. What comes of it is taken by `wait`.

    endpoint: where the Invoke API is, None as the AWS settings say. timeout: the function's, in seconds.
    """

    def __init__(self, name: str, endpoint: str | None, region: str | None, timeout: float) -> None:
        where = {} if endpoint is None else {"endpoint_url": endpoint}
        self.name, self._place = name, endpoint or "Lambda"
        self._client = clients.make("lambda", region, read_seconds=timeout + START_SECONDS, **where)
        self._mail: SimpleQueue[tuple[Invocation, Answer | RunError] | None] = SimpleQueue()
        self._unreachable_since: float | None = None

    def start(self, invocation: Invocation) -> None:
        """Invoke it, in a thread: one that hangs must not keep the process."""
        threading.Thread(target=self._run, args=(invocation,), daemon=True).start()

    def wait(self, seconds: float | None) -> list[tuple[Invocation, Answer]]:
        """What has been answered; wait so long for the first. Raises RunError where no invocation can succeed."""
        found: list[tuple[Invocation, Answer]] = []
        try:
            mail = self._mail.get(timeout=seconds) if seconds is None or seconds > 0 else self._mail.get_nowait()
            while True:
                if mail is not None:
                    invocation, answer = mail
                    if isinstance(answer, RunError):
                        if found:  # these first; it comes up at the next call
                            self._mail.put(mail)
                            return found
                        raise answer
                    found.append((invocation, answer))
                mail = self._mail.get_nowait()
        except Empty:
            return found

    def wake(self) -> None:
        """End a wait. May be called by the handler of a signal."""
        self._mail.put(None)

    def _run(self, invocation: Invocation) -> None:
        try:
            answer: Answer | RunError = self._invoke(invocation.event)
        except RunError as error:
            answer = error
        except Exception as error:  # whatever it is, the loop must not wait for this invocation for ever
            answer = RunError(f"cannot invoke {self.name}: {type(error).__name__}")
        self._mail.put((invocation, answer))

    def _invoke(self, event: dict[str, Any]) -> Answer:
        payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            answer = self._client.invoke(FunctionName=self.name, Payload=payload)
            body = answer["Payload"].read()
        except ClientError as error:
            return self._refused(error)
        except ReadTimeoutError:
            return TIMED_OUT
        except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError) as error:
            return self._unreachable(error)
        except BotoCoreError as error:
            fault = judge(error, "lambda:InvokeFunction")
            if not fault.again:
                raise RunError(f"cannot invoke {self.name}: {fault.found}; {fault.advice}") from None
            return Answer(error=fault.found)
        self._unreachable_since = None
        return read_answer(body, answer.get("FunctionError"))

    def _refused(self, error: ClientError) -> Answer:
        self._unreachable_since = None
        code, status = code_of(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _NEVER_INVOKED or status in (429, 500, 503):
            return THROTTLED
        if status in (502, 504) or code in ("502", "504", "RequestTooLargeException", "413"):
            return Answer(error="the function ended without an answer")
        fault = judge(error, "lambda:InvokeFunction")
        raise RunError("; ".join(filter(None, (f"cannot invoke {self.name} at {self._place}: {fault.found}", fault.advice))))

    def _unreachable(self, error: Exception) -> Answer:
        """A function that is being started again comes back; one that was never there does not."""
        now = clock.monotonic()
        since = self._unreachable_since = self._unreachable_since or now
        if now - since >= UNREACHABLE_SECONDS:
            fault = judge(error, "lambda:InvokeFunction")
            raise RunError(
                f"cannot invoke {self.name} at {self._place}: {fault.found}, for {UNREACHABLE_SECONDS:g} s; start it"
            )
        return THROTTLED


def read_answer(body: bytes, function_error: str | None) -> Answer:
    """What an HTTP answer with the status 200 says. Lambda tells an error by a header, the Runtime Interface Emulator by its body."""
    try:
        value = json.loads(body) if body else None
    except ValueError:
        return Answer(error="the answer is no JSON")  # so the emulator tells of a timeout
    told = isinstance(value, dict) and "errorMessage" in value and value.keys() <= _EXCEPTION
    if function_error or told:
        kind = value.get("errorType") if isinstance(value, dict) else None
        return Answer(error=kind if isinstance(kind, str) else function_error or "error")
    return Answer(value)
