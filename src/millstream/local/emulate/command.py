"""`millstream emulate`: the parts put together, and how it ends."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from millstream import clock
from millstream.errors import RunError, SettingsError, SourceError
from millstream.local.emulate.checkpoints import Checkpoints
from millstream.local.emulate.destination import Destination
from millstream.local.emulate.invoke import Function
from millstream.local.emulate.kinesis import StreamSource
from millstream.local.emulate.live import Line, Report
from millstream.local.emulate.loop import Loop
from millstream.local.emulate.settings import Settings, Source, check_command
from millstream.local.emulate.sqs import QueueSource
from millstream.local.emulate.work import QueueWork, StreamWork
from millstream.local.emulator.queues import QueueMapping, QueueSettings
from millstream.local.emulator.streams import StreamMapping, StreamSettings

NEVER = float("inf")
"""When an invocation is due: the client that invokes tells of a timeout, and until it does the function is at work."""


def emulate(arguments: Any) -> Report:
    """Emulate a mapping as the words of the command line say, until it ends. Raises UsageError, and RunError before anything was done."""
    source = Source.of(arguments.source)
    check_command(arguments)
    settings = Settings.of(arguments, source.kind)
    line = Line.on_stderr()
    if settings.filters is not None and settings.filters.metadata:
        names = ", ".join(settings.filters.metadata)
        line.note(
            f"a filter names {names}: the Lambda guide says that only the payload is filtered, and Lambda may not do as is done here"
        )
    name = arguments.name or "function"
    function = Function(name, arguments.invoke, source.region, settings.timeout)
    if source.kind == "sqs":
        return _run(*_queue(source, settings, arguments.concurrency), function, name, arguments.until_idle, line)
    stream = StreamSource(source, settings.starting_position)
    checkpoints = Checkpoints(arguments.checkpoints, stream.arn)
    try:
        work = _stream(stream, settings, name, arguments.concurrency, checkpoints, line.note)
        return _run(stream.arn, work, function, name, arguments.until_idle, line)
    finally:
        checkpoints.close()


def _queue(source: Source, settings: Settings, concurrency: int) -> tuple[str, QueueWork]:
    queue = QueueSource(source)
    if queue.visibility < settings.timeout:
        raise SettingsError(
            f"the queue's visibility timeout is {queue.visibility:g} s, less than the function's timeout of {settings.timeout:g} s, which "
            "Lambda refuses; raise the one, or lower the other by --timeout"
        )
    given = settings.given("batch_size", "window", "report_batch_item_failures", "filters")
    mapping = QueueMapping(QueueSettings(concurrency=concurrency, timeout=NEVER, **given), queue, random.Random())  # noqa: S311
    return queue.arn, QueueWork(mapping, queue)


def _stream(
    stream: StreamSource, settings: Settings, name: str, concurrency: int, checkpoints: Checkpoints, note: Callable[[str], Any]
) -> StreamWork:
    destination = Destination.of(settings.destination) if settings.destination is not None else None
    partition, region, account = (stream.arn.split(":")[i] for i in (1, 3, 4))
    names = (
        *("batch_size", "window", "report_batch_item_failures", "filters"),
        *("parallelization", "maximum_retries", "maximum_age", "backoff_limit"),
    )
    made = StreamSettings(
        stream=stream.arn,
        function=name if name.startswith("arn:") else f"arn:{partition}:lambda:{region}:{account}:function:{name}",
        role=f"arn:{partition}:iam::{account}:role/lambda-role",
        bisect_on_error=settings.bisect,
        concurrency=concurrency,
        destination=destination.form if destination is not None else "none",
        timeout=NEVER,
        **settings.given(*names),
    )
    stream.wanted = 2 * made.batch_size * made.parallelization
    stream.begin(checkpoints.places)
    mapping = StreamMapping(made, stream.shards, random.Random())  # noqa: S311 (for waits and names)
    return StreamWork(mapping, stream, checkpoints, destination, note)


def _run(
    source: str, work: StreamWork | QueueWork, function: Function, name: str, until_idle: float | None, line: Line
) -> Report:
    begun, error = clock.monotonic(), None
    loop = Loop(work, function, until_idle, lambda: line.show(work.counts, work.in_flight))
    try:
        with _stopped_by_signals(loop, function):
            ended = loop.run()
            work.end()
    except RunError as found:
        ended, error = "error", found
        if not isinstance(found, SourceError):
            with suppress(RunError):
                work.end()
    finally:
        line.close()
    places = work.checkpoints.to_dict() if isinstance(work, StreamWork) else {}
    seconds = round(clock.monotonic() - begun, 3)
    return Report(source, name, ended, seconds, work.counts.to_dict(), places, error)


@contextmanager
def _stopped_by_signals(loop: Loop, function: Function) -> Iterator[None]:
    """A first signal is the ordinary end. A second one ends everything at once, by KeyboardInterrupt with its number."""

    def stop(number: int, frame: object) -> None:
        if loop.stopping:
            raise KeyboardInterrupt(number)
        loop.stopping = True
        function.wake()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
