"""What the handlers of all sources share: settings, the way of a batch through the pipeline into its sink, the answer."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from millstream import clock
from millstream.aws import observe, raw, snapstart
from millstream.aws.envelope import Deliveries
from millstream.aws.observe import Batch, draw_sample, report_batch, say
from millstream.aws.raw import RawEvent
from millstream.aws.settings import ON_REJECT, Settings
from millstream.decode.records import BATCH_BYTES, Records
from millstream.errors import RunError, SettingsError, UsageError
from millstream.ledger.table import checked_ledger
from millstream.native.bind import in_function, kernels
from millstream.sinks.landed import Landed
from millstream.sinks.landing import Output, Prepared, land, prepare
from millstream.sinks.origin import Origin
from millstream.sinks.rejects import open_rejects
from millstream.sinks.store import open_store

if TYPE_CHECKING:
    from millstream.aws.notification import ObjectRef
    from millstream.pipeline import Pipeline

Event: TypeAlias = "Mapping[str, Any] | bytes | bytearray"
Answer: TypeAlias = dict[str, Any]
Place: TypeAlias = "str | os.PathLike[str]"


TOO_LARGE = (
    f"more than {BATCH_BYTES >> 20} MiB came out of the compressed payloads before it: "
    "what is left comes again by itself, and smaller batches avoid that"
)
KEPT_IF = (
    " and on_reject is 'fail': name a place for rejects (MILLSTREAM_REJECTS) to have it kept aside, or correct what is sent"
)


class Handler:
    """Callable as `handler(event, context)`. What is not given is read from the environment."""

    _millstream_takes_raw_events = True
    source: ClassVar[str]
    expected: ClassVar[str]

    def __init__(
        self,
        pipeline: Pipeline | None = None,
        *,
        sink: Place | None = None,
        rejects: Place | None = None,
        on_reject: str | None = None,
        ledger: str | None = None,
    ) -> None:
        self.settings = settings = Settings.of()
        sink = sink if sink is not None else settings.sink
        if rejects is None and on_reject is None:
            rejects, on_reject = settings.rejects, settings.on_reject
        self.ledger = ledger if ledger is not None else settings.ledger
        if sink is None:
            raise SettingsError("there is no sink: set MILLSTREAM_SINK, or write sink='s3://bucket/prefix/'")
        _check_rejects(rejects, on_reject)
        self._persistence: Any = None
        self.pipeline = pipeline if pipeline is not None else _named(settings.pipeline)
        self.fails = on_reject == "fail"
        self.fingerprint = self.pipeline.fingerprint
        self.output = Output.of(dict(self.pipeline.output or {}), self.pipeline.plan().schema)
        self.sink = open_store(sink, "sink (MILLSTREAM_SINK)", kms_key=settings.kms_key)
        self.rejects = None
        if rejects is not None:
            self.rejects = open_rejects(rejects, "rejects (MILLSTREAM_REJECTS)", self.sink, kms_key=settings.kms_key)
        self._open_ledger()
        if settings.raw_events:
            raw.install()
        if not snapstart.register(self.warm, self.restored) and in_function():
            self.load()

    def __call__(self, event: Event, context: Any = None) -> Answer:
        raise NotImplementedError

    @property
    def __name__(self) -> str:
        """What decorators ask of a function: Powertools' Tracer names its segments by it."""
        return f"{self.source}_handler"

    def _open_ledger(self) -> None:
        """Raise SettingsError for a ledger that cannot be used: here what was done of S3 objects is kept."""
        if self.ledger is None:
            return
        with suppress(ValueError):
            if checked_ledger(self.ledger).startswith("dynamodb:"):
                return
        raise SettingsError(f"the ledger is {self.ledger!r}: write dynamodb://TABLE, where what was done of S3 objects is kept")

    def load(self) -> None:
        """Have ready what every batch needs: kernels, the logger, clients. A function does it at its start, not in its first batch.

        Raises SettingsError where a client cannot be made, BackendError where there are no kernels.
        """
        kernels.load()
        observe.load(self.pipeline.name)
        self.sink.load()
        if self.rejects is not None:
            self.rejects.load()
        if self.ledger is not None:
            self._load_ledger()

    def _load_ledger(self) -> None:
        self.persistence()

    def warm(self) -> bool:
        """Load all that the first batch would have to load: run made-up records through the pipeline, and write them nowhere.

        Nothing is sent to AWS and nothing logged, but that it failed: then it returns False, and the function works all the same.
        """
        from millstream.aws.warm import warm

        return warm(self)

    def restored(self) -> None:
        """Hold nothing any more that is another environment's: see `millstream.aws.snapstart`."""
        self._persistence = None
        draw_sample(self.pipeline.name)

    def open_object(self, ref: ObjectRef, until: float) -> Any:
        """An object of S3 as a source of bytes."""
        from millstream.aws.ranges import S3Source  # with boto3's client, which batches of records do without

        return S3Source(ref, until)

    def persistence(self) -> Any:
        """The DynamoDB table that Powertools Idempotency keeps what was done in."""
        if self._persistence is None:
            from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

            from millstream.sinks.clients import client

            table = str(self.ledger).removeprefix("dynamodb://").strip("/")
            self._persistence = DynamoDBPersistenceLayer(table_name=table, boto3_client=client("dynamodb"))
        return self._persistence

    def until(self, context: Any) -> float:
        """The time, by clock.monotonic(), after which no new work is begun."""
        remaining = getattr(context, "get_remaining_time_in_millis", None)
        if remaining is None:
            return math.inf
        return clock.monotonic() + (int(remaining()) - self.settings.deadline_margin_ms) / 1000

    def late(self) -> str:
        """Why nothing was begun."""
        return (
            f"time is up, within {self.settings.deadline_margin_ms:,} ms of the function's timeout: "
            "give it a longer timeout, or smaller batches"
        )

    def opened(self, event: Event, read_text: Callable[[bytes], Any], read_event: Callable[[Mapping[str, Any]], Any]) -> Any:
        """The event by its text, where that is as expected, or by its dict. Raises UsageError for one of another kind."""
        text = event.raw if isinstance(event, RawEvent) else bytes(event) if isinstance(event, bytes | bytearray) else None
        if text is not None and self.settings.raw_events:
            found = read_text(text)
            if found is not None:
                return found
        found = read_event(self._parsed(event if text is None else RawEvent(text)))
        if text is not None and self.settings.raw_events:
            say(
                self.pipeline.name,
                f"this {self.source} event is not of the usual shape: it is read the slow way, with the same result",
            )
        return found

    def _parsed(self, event: Any) -> Mapping[str, Any]:
        try:
            return event.parsed() if isinstance(event, RawEvent) else _mapping(event)
        except ValueError:
            raise UsageError(f"the event is not JSON; {self.expected}") from None
        except TypeError as error:
            raise UsageError(f"{error}; {self.expected}") from None

    def prepared(self, records: Records) -> Prepared:
        """Run the pipeline over a batch's records. Those that are none are rejected in their place."""
        payloads, positions = records.good()
        outcome = self.pipeline.run(payloads)
        return prepare(outcome, self.output, records.payloads.payload, records.rejects(), positions=positions)

    def land(self, prepared: Prepared, origin: Origin, until: float) -> Landed:
        """Write a batch's rejects and rows."""
        return land(prepared, origin, self.output, self.fingerprint, self.sink, self.rejects, until)

    def report(self, batch: Batch, landed: Landed) -> None:
        """The log line of a batch, and its metrics."""
        report_batch(batch, landed)

    def line(self, deliveries: Deliveries, stage_ms: dict[str, float]) -> Batch:
        """What the log says of a batch, besides what landed."""
        last = deliveries.count - 1
        age = int(clock.now() * 1000) - deliveries.milliseconds(last)
        return Batch(
            pipeline=self.pipeline.name,
            fingerprint=self.fingerprint,
            source=self.source,
            source_id=deliveries.source,
            shard=deliveries.shard,
            first=deliveries.identities(0),
            last=deliveries.identities(last),
            deliveries=deliveries.count,
            bytes_in=deliveries.payloads.bytes_in,
            iterator_age_ms=max(0, age),
            raw=deliveries.raw,
            stage_ms=stage_ms,
        )


def answer(failed: Sequence[str], done: int, reasons: Sequence[str]) -> Answer:
    """Lambda's answer for deliveries that must come again, when `done` deliveries are done. Raises RunError where none is.

    Where its event source is not told to look for failures in an answer, any answer is taken for success: what failed as a whole
    must not depend on that.
    """
    if failed and not done:
        raise RunError(f"the whole batch must come again: {'; '.join(dict.fromkeys(reasons))}")
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}


def origin_of(deliveries: Deliveries, records: Records, base: str, held: str, token: str | None = None) -> Origin:
    """Where a batch's records came from. base: the start of its objects' names; held: what it holds, as its tags tell."""
    return Origin(
        base=base,
        range=held,
        source=deliveries.source,
        identity=lambda position: deliveries.identities(records.delivery(position)),
        arrived=lambda position: deliveries.arrived(records.delivery(position)),
        sub=records.sub,
        arrival=deliveries.arrived(0).date(),
        token=token,
        format=records.format,
        context=records.payloads.header,
    )


def milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _check_rejects(rejects: Place | None, on_reject: str | None) -> None:
    if rejects is not None and on_reject is not None:
        raise SettingsError("on_reject (MILLSTREAM_ON_REJECT) is for functions without rejects: drop one of the two")
    if rejects is None and on_reject not in ON_REJECT:
        found = "no rejects and no on_reject" if on_reject is None else f"on_reject {on_reject!r}"
        raise SettingsError(
            f"{found}: write rejects='s3://bucket/prefix/' (MILLSTREAM_REJECTS) to keep rejected records, "
            "or on_reject='fail' or 'drop-and-count' (MILLSTREAM_ON_REJECT)"
        )


def _mapping(event: Any) -> Mapping[str, Any]:
    if isinstance(event, Mapping):
        return event
    raise TypeError(f"the event is a {type(event).__name__}")


def _named(text: str | None) -> Pipeline:
    """The pipeline that MILLSTREAM_PIPELINE names, relative to the function's folder."""
    if text is None:
        raise SettingsError(
            "there is no pipeline: set MILLSTREAM_PIPELINE to file.yaml or file.py:name, or hand the handler one"
        )
    from millstream.local.load import load_pipeline

    pipeline: Pipeline = load_pipeline(os.path.join(os.environ.get("LAMBDA_TASK_ROOT", ""), text))
    return pipeline
