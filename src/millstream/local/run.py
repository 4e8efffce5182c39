"""A pipeline over files: chunks in, Parquet or JSON out, the same files whatever the count of threads."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pyarrow as pa

from millstream.decode.chunks import CHUNK_BYTES, Chunk, read_chunks, recorded_as, settings_of
from millstream.decode.compression import FileSource
from millstream.errors import RunError, UsageError
from millstream.ledger.table import open_table
from millstream.ledger.turn import Ledger
from millstream.local.report import PREVIEW_ROWS, Report
from millstream.local.source import InputFile, find_files
from millstream.native.bind import kernels
from millstream.sinks.landed import Landed
from millstream.sinks.landing import Output, land, prepare
from millstream.sinks.origin import Origin
from millstream.sinks.rejects import Rejects, beside, open_rejects
from millstream.sinks.store import DirectoryStore, Store, is_within, open_store

if TYPE_CHECKING:
    from millstream.pipeline import Pipeline

Inputs = Sequence[str | os.PathLike[str]]
Progress = Callable[[int, int], None]
"""Told of bytes of text and of records, as chunks are done."""

_Piece: TypeAlias = tuple[InputFile, Chunk | int | None]
"""A chunk of a file; or how many records it has, where it was done before; or None, at its end."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Done(NamedTuple):
    """What became of a piece. known: its file was done before. ended: the file whose last chunk was done before it."""

    landed: Landed
    bytes_in: int
    preview: pa.RecordBatch | None = None
    known: bool = False
    ended: InputFile | None = None


class _DoneFiles:
    """Files that were done, as the ledger knows them: an item a file, whose last sequence number is the count of its records."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counted = 0

    def records(self, file: InputFile) -> int | None:
        """How many records a file has that was done; None if it was not."""
        committed = self._ledger.look("file", file.identity, math.inf).committed
        return None if committed is None else int(committed)

    def count(self, done: _Done) -> None:
        """Count what was done, and keep that a file is. Raises LedgerError."""
        if done.ended is None:
            self._counted += 0 if done.known else done.landed.counts["delivered"]
            return
        turn = self._ledger.look("file", done.ended.identity, math.inf)
        if turn.committed is None:  # nobody else did it meanwhile: both wrote the same objects
            turn.pass_over(str(self._counted))
        self._counted = 0


def run_files(
    pipeline: Pipeline,
    inputs: Inputs,
    *,
    sink: str | os.PathLike[str],
    rejects: str | os.PathLike[str] | None = None,
    ledger: str | None = None,
    namespace: str = "main",
    jobs: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
) -> Report:
    """Run a pipeline over files, folders (their supported files, by name) and glob patterns; write to `sink`.

    The sink is a folder or `s3://bucket/prefix/`. Rejected records go to `rejects`, which may also be a queue
    (`sqs+https://QUEUE_URL`); by default to a folder or prefix beside the sink: `<sink>-rejects`. With `jobs` threads the files are
    the same as with one. With a `ledger` (`sqlite:///path` or `dynamodb://TABLE`) a file that was done before is not read again: its
    records count as duplicate. Change `namespace` to read it anew. Raises UsageError for what the caller can fix, SourceError,
    SinkError and LedgerError for what fails on the way: then whole files stay, nothing half-written does, and running again
    completes the work.
    """
    report, error = attempt(
        pipeline,
        inputs,
        sink=sink,
        rejects=rejects,
        ledger=ledger,
        namespace=namespace,
        jobs=jobs,
        chunk_bytes=chunk_bytes,
    )
    if error is not None:
        raise error
    return report


def attempt(
    pipeline: Pipeline,
    inputs: Inputs,
    *,
    sink: str | os.PathLike[str],
    rejects: str | os.PathLike[str] | None = None,
    ledger: str | None = None,
    namespace: str = "main",
    jobs: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
    progress: Progress | None = None,
) -> tuple[Report, RunError | None]:
    """`run_files`, but what failed on the way comes back beside the report of what was done until then."""
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}; write 1 or more")
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    files = find_files(inputs, pipeline.input["format"])
    kernels.load()
    started = time.perf_counter()
    output = Output.of(dict(pipeline.output or {}), pipeline.plan().schema)
    sink_store = open_store(sink, "the sink")
    rejects_to = open_rejects(beside(sink_store) if rejects is None else rejects, "the rejects' place", sink_store)
    for file in files:
        if isinstance(sink_store, DirectoryStore) and is_within(file.path, sink_store.root):
            raise UsageError(
                f"the input {file.path} is inside the sink, where readers would take it for output; choose another"
            )
    done_files = None
    if ledger is not None:
        table = open_table(ledger)
        done_files = _DoneFiles(Ledger.of(table, namespace, pipeline, output.partition_by, sink_store, rejects_to))
    settings = settings_of(pipeline.input)
    fingerprint = pipeline.fingerprint
    report = Report(pipeline.name, fingerprint, "file", rejects=rejects_to.url)

    def chunks() -> Iterator[_Piece]:
        for file in files:
            report.deliveries += 1
            if done_files is not None and (known := done_files.records(file)) is not None:
                yield file, known
                continue
            for chunk in read_chunks(FileSource(file.path), chunk_bytes=chunk_bytes, **settings):
                yield file, chunk
            yield file, None

    def work(piece: _Piece) -> _Done:
        file, part = piece
        if part is None:
            return _Done(Landed(), 0, ended=file)
        if isinstance(part, int):
            return _Done(Landed.duplicate(part), 0, known=True)
        return _land_chunk(pipeline, fingerprint, file, part, output, sink_store, rejects_to)

    error: RunError | None = None
    # More threads than that gain nothing, and each holds a chunk.
    results = _in_order(chunks(), work, min(jobs, 2 * (os.cpu_count() or 1)))
    try:
        for done in results:
            report.add(done.landed, done.bytes_in)
            if progress is not None:
                progress(done.bytes_in, done.landed.counts["delivered"])
            if report.preview is None and done.preview is not None and done.preview.num_rows and done.landed.rows:
                report.preview = done.preview
            if done.landed.error is not None:
                error = done.landed.error
                break
            if done_files is not None:
                done_files.count(done)
    except RunError as found:
        error = found
    finally:
        results.close()
    report.seconds = time.perf_counter() - started
    return report, error


def _in_order(chunks: Iterator[_Piece], work: Callable[[_Piece], _Done], jobs: int) -> Generator[_Done, None, None]:
    """Results in the order of chunks. With several jobs, at most one chunk more than there are threads is held."""
    if jobs == 1:
        yield from map(work, chunks)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="millstream") as pool:
        waiting: deque[Future[_Done]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(work, chunk))
                if len(waiting) > jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _land_chunk(
    pipeline: Pipeline,
    fingerprint: str,
    file: InputFile,
    chunk: Chunk,
    output: Output,
    sink: Store,
    rejects: Rejects,
) -> _Done:
    changed = _EPOCH + timedelta(milliseconds=file.changed_ns // 1_000_000)
    base = f"{file.identity}-{chunk.number}"
    origin = Origin(
        base=base,
        range=f"{chunk.first}+{chunk.records}",
        source=file.path.as_uri(),
        identity=lambda position: base,
        arrived=lambda position: changed,
        arrival=changed.date(),
        first=chunk.first,
        format=recorded_as(pipeline.input),
        context=chunk.header,
    )
    outcome = pipeline.run(chunk.payloads)
    prepared = prepare(outcome, output, chunk.payload, chunk.rejects())
    preview = outcome.head(PREVIEW_ROWS)
    return _Done(land(prepared, origin, output, fingerprint, sink, rejects), chunk.bytes_in, preview)
