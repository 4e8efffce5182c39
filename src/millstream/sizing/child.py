"""The process that is measured: a handler as a function has it, and batches through it, one after another.

It imports as little as can be before the handler: what it imports is measured too. A line of JSON for what was done goes to a file, so
that what was done before a kill is known.
"""

from __future__ import annotations

import os
import sys
import time


def main(job: str) -> None:
    """job: the file of a `Job` as JSON."""
    import json

    with open(job, encoding="utf-8") as file:
        told = json.load(file)
    for name in told["absent"]:
        sys.modules[name] = None  # type: ignore[assignment]
    results = os.open(told["results"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(stage: str, wall: float, cpu: float, delay: float, **more: object) -> None:
        line = {"stage": stage, "wall": wall, "cpu": cpu, "delay": delay, "peak": peak(), **more}
        os.write(results, json.dumps(line).encode() + b"\n")

    try:
        from millstream.aws import entry

        handler = getattr(entry, told["source"])
        handler.load()  # as a handler does by itself in a function
    except Exception as error:
        tell("init", 0, 0, 0, error=f"{type(error).__name__}: {error}", usage=_is_usage(error))
        return
    tell("init", time.monotonic() - told["started"], time.process_time(), delay())

    from millstream.aws.raw import RawEvent

    for number, path in enumerate(told["events"]):
        with open(path, "rb") as opened:
            event = RawEvent(opened.read())
        before = delay()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            answer = handler(event, None)
        except Exception as error:
            tell(
                "batch", 0, 0, 0, error=f"{type(error).__name__}: {error}", usage=_is_usage(error), event=os.path.basename(path)
            )
            return
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        failed = answer.get("batchItemFailures") if isinstance(answer, dict) else None
        tell("batch" if number else "first", wall, cpu, delay() - before, failed=len(failed or ()))


def peak() -> int:
    """The most memory that was resident so far, in bytes."""
    with open("/proc/self/status", "rb") as file:
        return peak_in(file.read())


def peak_in(status: bytes) -> int:
    """What /proc/PID/status says of it; 0 where it does not: of a process that has ended."""
    found = status.partition(b"VmHWM:")[2].split(None, 1)
    return int(found[0]) << 10 if found else 0


def delay() -> float:
    """Seconds for which this thread was ready to run and did not; 0 where the kernel does not count them."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _is_usage(error: Exception) -> bool:
    from millstream.errors import UsageError

    return isinstance(error, UsageError)
