"""A container of its own process that works on one event after another, as Lambda's runtime has it, while some of its calls to AWS fail.

python -m tests.crash.child SEED RATE SINK REJECTS LEDGER: events come on its standard input, each after its length; answers go to its
standard output, one line each.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from millstream.aws import kinesis_handler
from millstream.errors import RunError
from millstream.local.load import load_pipeline
from millstream.sinks import clients
from tests.servers import answer, refusal

PIPELINE = "examples/flights/pipeline.yaml"
DENIED = 0.05
"""Of the faults, those that no other attempt mends: the batch comes again."""


class Context:
    """Lambda's, of a function that has a minute for each invocation."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Faulty:
    """Lets some calls fail: answers 503 and 500, timeouts before and after the effect, refusals. counts: by kind."""

    def __init__(self, seed: str, rate: float) -> None:
        self.random, self.rate = random.Random(seed), rate
        self.calls = 0
        self.counts: dict[str, int] = {}
        self._session = URLLib3Session()  # one for all: what is measured is not the faults' own memory
        self._s3 = {
            "503": answer("SlowDown", 503),
            "500": answer("InternalError", 500),
            "denied": answer("AccessDenied", 403),
        }
        self._dynamodb = {
            "503": refusal("ProvisionedThroughputExceededException"),
            "500": refusal("InternalServerError", 500),
            "denied": refusal("AccessDeniedException"),
        }
        for service in ("s3", "dynamodb"):
            clients.client(service).meta.events.register(f"before-send.{service}", self._met)

    def _met(self, request: Any, event_name: str, **_: Any) -> Any:
        self.calls += 1
        if self.random.random() >= self.rate:
            return None
        kind = "denied" if self.random.random() < DENIED else self.random.choice(["503", "500", "lost before", "lost after"])
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "lost after":
            self._session.send(request)
        if kind.startswith("lost"):
            raise ReadTimeoutError(endpoint_url=request.url)
        return (self._s3 if ".s3." in event_name else self._dynamodb)[kind](request)


def main(seed: str, rate: str, sink: str, rejects: str, ledger: str) -> None:
    events, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log
    container = kinesis_handler(load_pipeline(PIPELINE), sink=sink, rejects=rejects, ledger=ledger)
    container.load()
    faults = Faulty(seed, float(rate))
    counts: list[dict[str, int]] = []
    report = container.report

    def reported(batch: Any, landed: Any) -> None:
        counts.append(dict(landed.counts))
        report(batch, landed)

    container.report = reported
    while length := events.read(4):
        event = events.read(int.from_bytes(length, "big"))
        counts.clear()
        told: dict[str, Any] = {}
        try:
            told["answer"] = container(event, Context())
        except RunError as error:
            told["again"] = str(error)
        except Exception as error:
            told["broken"] = f"{type(error).__name__}: {error}"
        told |= {"counts": counts, "calls": faults.calls, "faults": faults.counts}
        answers.write(json.dumps(told).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
