"""S3 objects in, Parquet out: one version of an object, chunk by chunk, in bounded memory."""

from __future__ import annotations

from contextlib import closing, suppress
from fnmatch import fnmatchcase
from hashlib import sha256
from time import perf_counter
from typing import Any

import orjson

from millstream.aws.handler import KEPT_IF, Handler
from millstream.aws.notification import ObjectRef
from millstream.aws.observe import Batch, warn
from millstream.aws.ranges import GoneError, S3Source
from millstream.classes import dataclass, replace
from millstream.clock import monotonic, now
from millstream.decode.chunks import Chunk, Start, read_chunks, recorded_as, settings_of
from millstream.decode.compression import told_by_magic
from millstream.errors import RunError, SettingsError, SinkError
from millstream.sinks.gathered import Gathered
from millstream.sinks.landed import Landed
from millstream.sinks.landing import Prepared, prepare
from millstream.sinks.origin import Origin

CHUNK_BYTES = 8 << 20
"""Text of one chunk. It decides the names of what is written: another figure writes an object anew."""
FILE_CHUNKS = 8
"""Chunks of one file a partition, a row group each: 64 MiB of text, some 10 to 20 MB of Parquet. A file is named after its first one."""
_NOTE_SECONDS = 1.0
KEPT_SECONDS = 31 * 86400
"""How long what was done is remembered: longer than a message lives in a queue and then in its dead-letter queue, 14 days each."""


@dataclass
class Objects:
    """Lands objects for a handler, none begun past `until`."""

    handler: Handler
    until: float
    context: Any

    def land(self, ref: ObjectRef) -> Landed:
        """Land an object. Returns what became of its records: all of them duplicates, where it was landed before.

        Raises RunError where it must come again: what was landed of it until then is kept.
        """
        handler = self.handler
        pattern = handler.settings.file_pattern
        if pattern and not fnmatchcase(ref.key if "/" in pattern else ref.key.rpartition("/")[2], pattern):
            return Landed()
        self._refuse_loop(ref)
        if handler.ledger is None:
            return self._landed(ref)
        return self._once(ref)

    def _refuse_loop(self, ref: ObjectRef) -> None:
        for store in (self.handler.sink, getattr(self.handler.rejects, "store", None)):
            bucket, prefix = getattr(store, "bucket", None), getattr(store, "prefix", "")
            if bucket == ref.bucket and ref.key.startswith(prefix):
                raise SettingsError(
                    f"{ref.url} is in s3://{bucket}/{prefix}, where this function writes: each object would trigger the next. "
                    "Write to another bucket, or to a prefix that the trigger leaves out"
                )

    def _once(self, ref: ObjectRef) -> Landed:
        """Land it unless that was done before, or is being done elsewhere."""
        from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
        from aws_lambda_powertools.utilities.idempotency.exceptions import BaseError, IdempotencyAlreadyInProgressError

        config = IdempotencyConfig(expires_after_seconds=KEPT_SECONDS, hash_function="sha256")
        if self.context is not None:
            config.register_lambda_context(self.context)
        place = sha256(self.handler.sink.url.encode()).hexdigest()[:12]

        fresh: list[Landed] = []

        def land_object(*, identity: dict[str, str]) -> dict[str, Any]:
            fresh.append(self._landed(ref))
            return {"counts": fresh[0].counts}

        once = idempotent_function(
            land_object,
            data_keyword_argument="identity",
            persistence_store=self.handler.persistence(),
            config=config,
            key_prefix=f"millstream#{self.handler.pipeline.name}#{place}",
        )
        version = ref.version or ref.etag or self._version(ref)
        try:
            found = once(identity={"bucket": ref.bucket, "key": ref.key, "version": version})
        except IdempotencyAlreadyInProgressError:
            raise RunError(f"{ref.url} is being processed by another invocation; it comes again") from None
        except BaseError as error:
            raise RunError(
                f"the ledger {self.handler.ledger} cannot be used: {type(error).__name__}: {error}; the table needs a string key "
                "named id, and the function dynamodb:PutItem, GetItem, UpdateItem and DeleteItem on it"
            ) from None
        if fresh:
            return fresh[0]
        landed = Landed.duplicate(int(found["counts"]["delivered"]))
        self._report(ref, landed, 0, {}, ("", ""))
        return landed

    def _version(self, ref: ObjectRef) -> str:
        source = self.handler.open_object(ref, self.until)
        source.close()
        return str(source.version)

    def _landed(self, ref: ObjectRef) -> Landed:
        begun = perf_counter()
        try:
            source = self.handler.open_object(ref, self.until)
        except GoneError as error:
            warn(self.handler.pipeline.name, str(error))
            return Landed()
        work = _Object(self.handler, ref, source, self.until)
        try:
            work.run()
        finally:
            source.close()
            work.stages["read"] = 1000 * (perf_counter() - begun) - sum(work.stages.values())
            self._report(ref, work.landed, source.size, work.stages, work.chunks)
        work.landed.bytes_in = source.size
        return work.landed

    def _report(self, ref: ObjectRef, landed: Landed, size: int, stages: dict[str, float], chunks: tuple[str, str]) -> None:
        handler = self.handler
        age = now() * 1000 - ref.milliseconds if ref.milliseconds else 0
        handler.report(
            Batch(
                pipeline=handler.pipeline.name,
                fingerprint=handler.fingerprint,
                source="s3",
                source_id=ref.url,
                shard="",
                first=chunks[0],
                last=chunks[1],
                deliveries=1,
                bytes_in=size,
                iterator_age_ms=max(0, int(age)),
                raw=False,
                stage_ms=stages,
            ),
            landed,
        )


class _Object:
    """One object on its way. Where it ends before its time, how far it came is noted beside the sink, and read when it comes again."""

    def __init__(self, handler: Handler, ref: ObjectRef, source: S3Source, until: float) -> None:
        self.handler, self.ref, self.source, self.until = handler, ref, source, until
        self.landed = Landed()
        self.stages = {"decode": 0.0, "steps": 0.0, "write": 0.0}
        self.chunks = ("", "")
        self.per_file = FILE_CHUNKS if handler.output.format == "parquet" else 1
        self.gathered: Gathered | None = None
        self.first = self.begin = Start()
        name = "\0".join((ref.bucket, ref.key, source.version))
        self.identity = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self.note = f"_millstream-{self.identity}.json"

    def run(self) -> None:
        handler = self.handler
        settings = settings_of(handler.pipeline.input)
        start = self._noted() if self._may_be_long() else Start()
        with closing(read_chunks(self.source, chunk_bytes=CHUNK_BYTES, start=start, **settings)) as chunks:
            try:
                for chunk in chunks:
                    if chunk.number % self.per_file == 0:
                        self._land_gathered()
                        self.begin = chunk.start
                    if monotonic() >= self.until:
                        raise self._late(chunk, start)
                    self._gather(chunk)
                self._land_gathered()
            except RunError:
                if self.begin.number > start.number:  # the next one need not look at what is done
                    self._note(self.begin)
                raise
            finally:
                if self.gathered is not None:  # it goes again
                    self.landed.add(Landed.failed(self.gathered.counts["delivered"]))
        if start.number:
            handler.sink.forget(self.note, self.until)

    def _late(self, chunk: Chunk, start: Start) -> RunError:
        at = max(self.begin.number, start.number)
        return RunError(
            f"time is up before chunk {chunk.number} of {self.ref.url}: it goes on at chunk {at} when it comes again"
        )

    def _may_be_long(self) -> bool:
        """May it be more than one chunk? Of what is compressed nobody knows."""
        return self.source.size > CHUNK_BYTES or told_by_magic(self.source.head[:4]) != "none"

    def _noted(self) -> Start:
        found = self.handler.sink.noted(self.note, self.until)
        if found is None:
            return Start()
        try:
            told = orjson.loads(found)
            grid = (told.get("fingerprint"), told.get("chunk_bytes"), told.get("file_chunks"))
            if grid == (self.handler.fingerprint, CHUNK_BYTES, self.per_file):
                return Start(int(told["chunk"]), int(told["first"]), int(told["offset"]))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            pass
        return Start()

    def _note(self, at: Start) -> None:
        told = {
            "chunk": at.number,
            "first": at.first,
            "offset": at.offset,
            "fingerprint": self.handler.fingerprint,
            "chunk_bytes": CHUNK_BYTES,
            "file_chunks": self.per_file,
        }
        with suppress(SinkError):  # it is a hint
            self.handler.sink.replace(self.note, orjson.dumps(told), monotonic() + _NOTE_SECONDS)  # out of the margin

    def _gather(self, chunk: Chunk) -> None:
        """One more chunk of the file at hand; where output is no Parquet, a file is one chunk."""
        handler = self.handler
        prepared = self._prepared(chunk)
        for name, taken in prepared.stage_ms.items():
            self.stages[name] += taken
        self.chunks = (self.chunks[0] or str(chunk.number), str(chunk.number))
        if handler.fails and prepared.rejects.num_rows:
            self.landed.add(Landed.failed(prepared.counts["delivered"]))
            code = prepared.rejects.column(1)[0]
            raise RunError(f"a record of {self.ref.url}, in chunk {chunk.number}, is rejected ({code}){KEPT_IF}")
        begun = perf_counter()
        origin = replace(self._origin(chunk.start, chunk.records), context=chunk.header)
        if self.per_file == 1:
            self._count(handler.land(prepared, origin, self.until), begun)
            return
        if self.gathered is None:
            self.gathered, self.first = Gathered(handler.output, handler.fingerprint), chunk.start
        self.gathered.add(prepared, origin)
        self.stages["write"] += 1000 * (perf_counter() - begun)

    def _land_gathered(self) -> None:
        """Write the file at hand, if there is one."""
        gathered, self.gathered = self.gathered, None
        if gathered is not None:
            begun = perf_counter()
            origin = self._origin(self.first, gathered.counts["delivered"])
            self._count(gathered.land(origin, self.handler.sink, self.handler.rejects, self.until), begun)

    def _count(self, landed: Landed, begun: float) -> None:
        self.stages["write"] += 1000 * (perf_counter() - begun)
        self.landed.add(landed)
        if landed.error is not None:
            raise landed.error

    def _prepared(self, chunk: Chunk) -> Prepared:
        return prepare(self.handler.pipeline.run(chunk.payloads), self.handler.output, chunk.payload, chunk.rejects())

    def _origin(self, start: Start, records: int) -> Origin:
        base = f"{self.identity}-{start.number}"
        arrived = self.source.changed
        return Origin(
            base=base,
            range=f"{start.first}+{records}",
            source=f"{self.ref.url}?version={self.source.version}",
            identity=lambda position: base,
            arrived=lambda position: arrived,
            arrival=arrived.date(),
            first=start.first,
            format=recorded_as(self.handler.pipeline.input),
        )
