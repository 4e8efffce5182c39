"""A stream's on-failure objects, run again: batches that Lambda gave up, as it stores them in S3."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from millstream.aws.envelope import Deliveries, keys_of
from millstream.aws.handler import Place
from millstream.aws.kinesis import kinesis_event
from millstream.aws.rerun import Progress, Rerun, Rerunning, digest, objects_in, read
from millstream.classes import replace
from millstream.decode.records import records_of
from millstream.errors import SourceError, UsageError
from millstream.ledger.collect import url_of
from millstream.ledger.item import is_behind
from millstream.ledger.names import parse
from millstream.sinks.landed import Landed
from millstream.sinks.rejects import StoredRejects

if TYPE_CHECKING:
    from millstream.pipeline import Pipeline
    from millstream.sinks.store import Store

_EXPECTED = "expected what Lambda stores in S3 of a Kinesis batch it gave up, {'KinesisBatchInfo': {...}, 'payload': {'Records': [...]}}"


class _Written(NamedTuple):
    """An object that the function itself may have written records of a shard to."""

    store: Store
    name: str
    first: int
    last: int


def redrive(
    source: str | os.PathLike[str],
    *,
    pipeline: Pipeline,
    sink: Place,
    ledger: str,
    rejects: Place | None = None,
    namespace: str = "main",
    progress: Progress | None = None,
) -> Rerunning:
    """Run the on-failure objects of a folder, a file, a prefix or a key. Raises UsageError, RunError."""
    handler = Rerun(pipeline, sink=sink, rejects=rejects, ledger=ledger, namespace=namespace)
    store, found = objects_in(source, "SOURCE")
    run, started = Rerunning(handler, "redrive", progress), time.perf_counter()
    redriver = _Redriver(run)
    count = 0
    for one in found:
        if one.name.rpartition("/")[2].startswith(("_", ".")):
            continue
        count += 1
        url = url_of(store, one.name)
        run.each(url, partial(redriver.redrive, url, store, one.name))
    if not count:
        raise UsageError(f"SOURCE {os.fspath(source)} holds no object; {_EXPECTED}")
    run.report.seconds = time.perf_counter() - started
    return run


class _Redriver:
    def __init__(self, run: Rerunning) -> None:
        self.run, self.handler = run, run.handler
        self._written: dict[tuple[str, str], list[_Written]] | None = None

    def redrive(self, url: str, store: Store, name: str) -> None:
        """Run one object. Raises SourceError for one of another kind, RunError for what else fails."""
        body = read(store, name)
        batches = _batches(body)
        for deliveries in batches:
            self.handler.once.check(deliveries, None)
        for deliveries in batches:
            self._shard(url, deliveries, digest(body))

    def _shard(self, url: str, deliveries: Deliveries, key: str) -> None:
        bytes_in, count = deliveries.payloads.bytes_in, deliveries.count
        own = replace(deliveries, shard=f"{deliveries.shard}-redriven-{key}")
        turn = self.handler.once.ledger.turn(own.source, own.shard, math.inf)
        landed = Landed()
        done = self._done(deliveries)
        rest = [i for i in range(count) if i not in done or turn.is_done(deliveries.identities(i))]
        if len(rest) < count:
            again = own.only([i for i in range(count) if i in done and not turn.is_done(deliveries.identities(i))])
            records = records_of(again.payloads, self.handler.pipeline.input, again.broken)
            landed.add(Landed.duplicate(records.count + again.count - records.deliveries))
            own = own.only(rest)
        landed.add(self.handler.rerun(own))
        last = deliveries.identities(count - 1)
        if landed.error is None and len(rest) < count:
            # What the function wrote may be gone from the sink the next time, by a compaction.
            turn = self.handler.once.ledger.turn(own.source, own.shard, math.inf)
            if not turn.is_done(last):
                turn.pass_over(last)
        self.run.add(landed, bytes_in, count, url)

    def _done(self, deliveries: Deliveries) -> set[int]:
        """Deliveries that the function had written before Lambda gave the batch up: its answer was lost, or came too late.

        The ledger's item does not tell them from those that it never wrote, for it went on to later ones; names of objects do.
        """
        ledger, source, shard = self.handler.once.ledger, deliveries.source, deliveries.shard
        first, last = deliveries.identities(0), deliveries.identities(deliveries.count - 1)
        turn = ledger.look(source, shard, math.inf)
        intent = turn.intent
        if intent is not None and (intent.dead or not (is_behind(first, intent.last) or is_behind(intent.first, last))):
            turn.resolve()
            self._written = None
            intent = turn.intent
        if (intent is None or intent.dead) and is_behind(last, turn.committed):
            turn.pass_over(last)  # Lambda went on behind it: a delivery that is still under way must not write it now
        if self._written is None:
            self._written = self._listed()
        spans = [
            (one.first, one.last)
            for one in self._written.get((turn.shard.short, shard), ())
            if one.first <= int(last)
            and int(first) <= one.last
            and "claim" not in (one.store.tags(one.name, math.inf) or {"claim": ""})
        ]
        numbers = map(int, deliveries.identities.all()) if spans else ()
        return {i for i, number in enumerate(numbers) if any(low <= number <= high for low, high in spans)}

    def _listed(self) -> dict[tuple[str, str], list[_Written]]:
        handler, found = self.handler, dict[tuple[str, str], list[_Written]]()
        stores: list[tuple[Store, bool]] = [(handler.sink, False)]
        if isinstance(handler.rejects, StoredRejects):
            stores.append((handler.rejects.store, True))
        for store, rejects in stores:
            for one in store.listed(math.inf):
                name = parse(one.name, rejects=rejects)
                if name is not None and one.bytes > 2:  # JSON without rows is a claim
                    written = _Written(store, one.name, name.first, name.last)
                    found.setdefault((name.source, name.shard), []).append(written)
        return found


def _batches(body: bytes) -> Sequence[Deliveries]:
    """The records in an on-failure object. Raises SourceError."""
    try:
        told: Any = orjson.loads(body)
    except ValueError:
        raise SourceError(f"it is no JSON; {_EXPECTED}") from None
    if not isinstance(told, Mapping):
        raise SourceError(f"it is a JSON {type(told).__name__}; {_EXPECTED}")
    info = told.get("KinesisBatchInfo")
    if not isinstance(info, Mapping):
        raise SourceError(f"it has no KinesisBatchInfo (its keys: {keys_of(told)}); {_EXPECTED}")
    payload = told.get("payload")
    if payload is None:
        raise SourceError(
            f"it tells of a batch and holds no records, as destinations other than S3 get it: {_batch(info)}; they can only be read "
            "from the stream, while it keeps them. Name an S3 bucket as the on-failure destination to have them kept"
        )
    if isinstance(payload, str):  # the event as text
        try:
            payload = orjson.loads(payload)
        except ValueError:
            raise SourceError(f"its payload is no JSON; {_EXPECTED}") from None
    if not isinstance(payload, Mapping):
        raise SourceError(f"its payload is a JSON {type(payload).__name__}; {_EXPECTED}")
    try:
        return kinesis_event(payload)
    except UsageError as error:
        raise SourceError(f"its payload is no Kinesis event: {error}") from None


def _batch(info: Mapping[str, Any]) -> str:
    """Which records a batch holds."""
    names = ("streamArn", "shardId", "startSequenceNumber", "endSequenceNumber")
    stream, shard, first, last = (str(info.get(name, "?")) for name in names)
    if not all(one.isprintable() and len(one) <= 300 for one in (stream, shard, first, last)):
        return "what it says of the batch cannot be told"
    return f"{stream}, {shard}, sequence numbers {first} to {last}"
