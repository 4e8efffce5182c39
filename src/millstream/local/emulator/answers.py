"""What a function answered, and how an event source mapping takes it.

Recorded of the service, and told in the Lambda guide: "Configuring partial batch response with Kinesis Data Streams and Lambda",
"Handling errors for an SQS event source in Lambda".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from millstream.classes import dataclass


@dataclass(frozen=True)
class Answer:
    """What came of an invocation: a value as JSON gives it, or an error's text. A throttled one never reached the function."""

    value: Any = None
    error: str | None = None
    throttled: bool = False


TIMED_OUT = Answer(error="Task timed out")
THROTTLED = Answer(throttled=True)


class Invocation(NamedTuple):
    """One batch on its way to the function.

    number: of this mapping's invocations. records: what the event holds. shard: empty of a queue. started, due: in seconds; what is
    not answered when it is due counts as an error. again: the number of the invocation this one repeats; its answer counts for nothing.
    """

    number: int
    event: dict[str, Any]
    records: tuple[Any, ...]
    shard: str
    lane: int
    started: float
    due: float
    request: str
    again: int | None = None


class Verdict(NamedTuple):
    """failed: the positions of records that failed. named: the function said which; else it failed as a whole, or not at all."""

    failed: tuple[int, ...]
    named: bool = False


def judge(answer: Answer, identifiers: Sequence[str], reports: bool) -> Verdict:
    """Which records of a batch failed. `reports`: the mapping has ReportBatchItemFailures."""
    every = Verdict(tuple(range(len(identifiers))))
    if answer.error is not None or answer.throttled:
        return every
    if not reports or answer.value is None or answer.value in ("", [], {}):
        return Verdict(())
    if not isinstance(answer.value, Mapping):  # not told in the guide: a value that holds no such answer is an invalid one
        return every
    listed = answer.value.get("batchItemFailures")
    if listed is None or listed == []:
        return Verdict(())
    if not isinstance(listed, list | tuple):
        return every
    positions = {identifier: i for i, identifier in enumerate(identifiers)}
    failed = set()
    for item in listed:
        identifier = item.get("itemIdentifier") if isinstance(item, Mapping) else None
        if not isinstance(identifier, str) or identifier not in positions:
            return every
        failed.add(positions[identifier])
    return Verdict(tuple(sorted(failed)), True)
