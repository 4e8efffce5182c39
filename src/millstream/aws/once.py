"""Kinesis with a ledger: each delivery's rows are in the sink once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from operator import lt
from typing import TYPE_CHECKING, Any, TypeAlias

from millstream import clock
from millstream.aws.envelope import Deliveries, Spans
from millstream.aws.handler import Handler, milliseconds_since, origin_of
from millstream.decode.records import Records, records_of
from millstream.errors import LedgerError, RunError, SettingsError, UsageError
from millstream.ledger.item import SEQUENCE_DIGITS, is_behind, sequence
from millstream.ledger.turn import Ledger, StaleError, Turn
from millstream.sinks.landed import Landed
from millstream.sinks.rejects import StoredRejects, folder_of

if TYPE_CHECKING:
    from millstream.ledger.table import Table
    from millstream.sinks.landing import Prepared

Done: TypeAlias = tuple[int, Landed, str]
"""How many deliveries are done, what became of their records, and why not more are."""
Work: TypeAlias = Callable[[Deliveries, Turn], Done]

_ASKED_SECONDS = 900.0
"""How long an event source mapping is taken to stay as it was."""
_IN_ORDER = "the ledger needs the batches of a shard one after another, so an event source mapping with ParallelizationFactor 1"


class Once:
    """What a handler of shards does with its ledger."""

    def __init__(self, handler: Handler, table: Table) -> None:
        self.handler = handler
        self.ledger = Ledger.of(
            table,
            handler.settings.namespace,
            handler.pipeline,
            handler.output.partition_by,
            handler.sink,
            handler.rejects,
        )
        self._asked: dict[str, float] = {}

    def load(self) -> None:
        """See `Handler.load`."""
        self.ledger.table.load()
        if self.handler.settings.parallelization is None:
            from millstream.sinks.clients import client

            client("lambda")

    def forget(self) -> None:
        """Remember nothing of any shard."""
        self.ledger.forget()
        self._asked.clear()

    def check(self, deliveries: Deliveries, context: Any) -> None:
        """Raise UsageError where batches of a shard may be at work at once, or a batch is in no order."""
        if self.handler.settings.parallelization is None:
            self._ask(deliveries.source, context)
        identities = deliveries.identities
        if isinstance(identities, Spans) and identities.rise(SEQUENCE_DIGITS):
            return
        names = identities.all()
        if _plainly_in_order(names):
            return
        try:
            in_order = all(is_behind(later, earlier) for earlier, later in pairwise(list(map(sequence, names))))
        except ValueError:
            raise UsageError(
                f"a record's kinesis.sequenceNumber is not of the form that Kinesis gives it; {self.handler.expected}"
            ) from None
        if not in_order:
            raise UsageError(f"the records of {deliveries.shard} are not in the order of their sequence numbers: {_IN_ORDER}")

    def _ask(self, stream: str, context: Any) -> None:
        asked = self._asked.get(stream)
        if asked is not None and clock.monotonic() < asked + _ASKED_SECONDS:
            return
        name = getattr(context, "invoked_function_arn", None) or os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        told = "set MILLSTREAM_PARALLELIZATION=1 if it has that"
        if not name:
            raise SettingsError(f"{_IN_ORDER}, and outside Lambda nobody can be asked: {told}")
        factors = _factors(name, stream, told)
        if not factors:
            raise SettingsError(f"{_IN_ORDER}, and Lambda knows of none from {stream} to {name}: {told}")
        for factor in factors:
            if factor != 1:
                raise SettingsError(f"{_IN_ORDER}; that of {stream} has {factor}: set it to 1, or leave the ledger out")
        self._asked[stream] = clock.monotonic()

    def land(self, deliveries: Deliveries, stages: dict[str, float], until: float, work: Work) -> Done:
        """Land what was not committed before, by `work`, which is called with it and with the shard's turn."""
        try:
            try:
                return self._turn(deliveries, stages, until, work)
            except StaleError:  # what this container remembered; now it knows better
                return self._turn(deliveries, stages, until, work)
        except RunError as error:
            failed = Landed.failed(deliveries.count)
            failed.error = error
            return 0, failed, str(error)

    def _turn(self, deliveries: Deliveries, stages: dict[str, float], until: float, work: Work) -> Done:
        handler, count = self.handler, deliveries.count
        with timed(stages):
            turn = self.ledger.turn(deliveries.source, deliveries.shard, until)
        if not turn.is_done(deliveries.identities(0)):
            return work(deliveries, turn)
        skipped = next((i for i, name in enumerate(deliveries.identities.all()) if not turn.is_done(name)), count)
        known = duplicate(handler, deliveries, range(skipped))
        if skipped == count:
            return count, known, ""
        done, landed, reason = work(deliveries.only(range(skipped, count)), turn)
        known.add(landed)
        return skipped + done, known, reason

    def attempt(
        self, turn: Turn, prepared: Prepared, deliveries: Deliveries, records: Records, done: int, stages: dict[str, float]
    ) -> Landed:
        """Write a batch as an attempt, and commit it. Raises RunError where nothing was written."""
        first, last = deliveries.identities(0), deliveries.identities(done - 1)
        spare = turn.shard.base(first, last, 0)
        return attempt(self.handler, turn, prepared, deliveries, records, (first, last), spare, stages)


def attempt(
    handler: Handler,
    turn: Turn,
    prepared: Prepared,
    deliveries: Deliveries,
    records: Records,
    held: tuple[str, str],
    spare: str,
    stages: dict[str, float],
    begun: Callable[[], None] = lambda: None,
) -> Landed:
    """Write a batch as an attempt, and commit it. Raises RunError where nothing was written.

    held: the first and the last of what it holds, as the ledger counts. spare: what it is called where there is nothing that must not
    be written twice; no object's name, but a queue of type FIFO tells its messages apart by it. begun: called before anything is written.
    """
    rejects = None
    if prepared.rejects.num_rows and isinstance(handler.rejects, StoredRejects):
        rejects = folder_of(deliveries.arrived(0).date())
    folders = [one.folder for one in prepared.partitioned.parts]
    if not folders and rejects is None:
        return handler.land(prepared, origin_of(deliveries, records, spare, ""), turn.until)
    first, last = held
    with timed(stages):
        base, token = turn.intend(first, last, folders, handler.output.suffix, rejects)
        begun()
    origin = origin_of(deliveries, records, base, f"{turn.shard.shard}:{first}-{last}", token)
    landed = handler.land(prepared, origin, turn.until)
    error: RunError | None = landed.error
    if error is None:
        try:
            with timed(stages):
                turn.commit()
        except RunError as found:
            error = found
    if error is not None:
        landed.undo(error)
    return landed


@contextmanager
def timed(stages: dict[str, float]) -> Iterator[None]:
    """What the ledger takes."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        stages["ledger"] = stages.get("ledger", 0.0) + milliseconds_since(begun)


def duplicate(handler: Handler, deliveries: Deliveries, positions: Sequence[int]) -> Landed:
    """Of deliveries that were landed before: their records are counted."""
    again = deliveries.only(positions)
    records = records_of(again.payloads, handler.pipeline.input, again.broken)
    return Landed.duplicate(records.count + again.count - records.deliveries)


def _plainly_in_order(names: Sequence[str]) -> bool:
    """Are these numbers of one length, each beyond the one before? The quick way to tell for what Kinesis sends."""
    length = len(names[0])
    if not "".join(names).encode(errors="replace").isdigit() or names[0].startswith("0") or length > SEQUENCE_DIGITS:
        return False  # bytes: those of a str are looked up one by one, in a table of all of Unicode
    lines, apart = "\n".join(names), len(names) - 1  # no name holds a line's end, so these are all between names
    same_length = len(lines) == len(names) * length + apart and lines[length :: length + 1] == "\n" * apart
    return same_length and all(map(lt, names, names[1:]))


def _factors(name: str, stream: str, told: str) -> list[int]:
    """The parallelisation factors of a function's event source mappings for a stream. Raises SettingsError, LedgerError."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    from millstream.sinks.clients import client
    from millstream.sinks.retry import judge

    found, request = [], {"FunctionName": name}
    while True:
        try:
            page = client("lambda").list_event_source_mappings(**request)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            fault = judge(error, "lambda:ListEventSourceMappings")
            text = f"{_IN_ORDER}, and Lambda does not tell it: {fault.found}"
            if fault.again:
                raise LedgerError(f"{text}; it is asked again") from None
            raise SettingsError(f"{text}; {told}, or {fault.advice}") from None
        found += [one for one in page.get("EventSourceMappings", ()) if _is_of(one, stream)]
        if not page.get("NextMarker"):
            return [int(one.get("ParallelizationFactor", 1)) for one in found]
        request["Marker"] = page["NextMarker"]


def _is_of(mapping: dict[str, Any], stream: str) -> bool:
    """Is it of this stream, or of a consumer that is registered with it?"""
    arn = str(mapping.get("EventSourceArn", ""))
    return arn == stream or arn.startswith(f"{stream}/consumer/") or stream.startswith(f"{arn}/consumer/")
