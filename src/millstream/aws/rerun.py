"""Records that come again from stored objects, run by a command: the way of a Kinesis batch, with a key of each object's own in the ledger.

The key is made of the object's bytes, not of its place: a copy of it is the same object, and gives its records once.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from millstream.aws.handler import Place
from millstream.aws.kinesis import KinesisHandler
from millstream.classes import replace
from millstream.errors import MillstreamError, RunError, SettingsError, SinkError, SourceError, UsageError
from millstream.local.report import Report
from millstream.native.bind import kernels
from millstream.sinks.landed import Landed
from millstream.sinks.rejects import beside
from millstream.sinks.store import DirectoryStore, Found, Store, near, open_store

if TYPE_CHECKING:
    from millstream.aws.envelope import Deliveries
    from millstream.aws.once import Done
    from millstream.ledger.turn import Turn
    from millstream.pipeline import Pipeline

Progress = Callable[[int, int], None]
"""Told of bytes and of records, as objects are done."""


class Rerun(KinesisHandler):
    """A handler that a command drives. Nothing is logged."""

    source = "rerun"

    def __init__(self, pipeline: Pipeline, *, sink: Place, rejects: Place | None, ledger: str, namespace: str) -> None:
        if rejects is None:
            rejects = beside(open_store(sink, "the sink"))
        super().__init__(pipeline, sink=sink, rejects=rejects, ledger=ledger)
        # What is read from an object is in its order, and nobody else reads it for the same key at a time.
        self.settings = replace(self.settings, parallelization="1", namespace=namespace)
        self.once.ledger.namespace = namespace
        kernels.load()

    def rerun(self, deliveries: Deliveries) -> Landed:
        """Land what was not landed before, in as many attempts as it takes."""
        whole = Landed()
        while deliveries.count:
            stages = {"envelope": 0.0, "ledger": 0.0}
            done, landed, reason = self.once.land(deliveries, stages, math.inf, partial(self._land_all, stages))
            left = deliveries.count - done
            if done and left and landed.error is None:  # what is left comes now, and is counted then
                landed.counts["failed"] -= left
                landed.counts["delivered"] -= left
            elif left and landed.error is None:
                landed.error = RunError(reason)
            whole.add(landed)
            if not done:
                break
            deliveries = deliveries.only(range(done, deliveries.count))
        return whole

    def _land_all(self, stages: dict[str, float], deliveries: Deliveries, turn: Turn) -> Done:
        return self._land(self._ready(deliveries, stages), stages, math.inf, turn)


class Problem(NamedTuple):
    """An object that could not be dealt with, or not wholly, and why."""

    url: str
    why: str


class Rerunning:
    """What a command goes on with: its report, and what is wrong with single objects, which keeps no other from being done."""

    def __init__(self, handler: Rerun, source: str, progress: Progress | None) -> None:
        self.handler, self.progress = handler, progress
        assert handler.rejects is not None
        self.report = Report(handler.pipeline.name, handler.fingerprint, source, rejects=handler.rejects.url)
        self.problems: list[Problem] = []

    def add(self, landed: Landed, bytes_in: int, deliveries: int, url: str) -> None:
        self.report.add(landed, bytes_in)
        self.report.deliveries += deliveries
        if landed.error is not None:
            self.problems.append(Problem(url, str(landed.error)))
        if self.progress is not None:
            self.progress(bytes_in, landed.counts["delivered"])

    def each(self, url: str, work: Callable[[], None]) -> None:
        """Do what is to be done with an object; what is wrong with it is noted."""
        try:
            work()
        except SettingsError:
            raise
        except MillstreamError as error:
            self.problems.append(Problem(url, str(error)))

    def to_dict(self) -> dict[str, Any]:
        """The report, with what could not be done."""
        return self.report.to_dict() | {"problems": [one._asdict() for one in self.problems]}

    @property
    def error(self) -> RunError | None:
        if not self.problems:
            return None
        told = [f"{near(one.url)}: {one.why}" for one in self.problems[:_TOLD]]
        more = len(self.problems) - len(told)
        told += [f"and {more:,} more"] if more else []
        return RunError(f"{len(self.problems):,} of the objects could not be done wholly: {'; '.join(told)}")


_TOLD = 5


def digest(body: bytes) -> str:
    """What an object is called by in the ledger."""
    return hashlib.sha256(body).hexdigest()[:32]


def objects_in(place: str | os.PathLike[str], what: str) -> tuple[Store, Iterator[Found]]:
    """The store at a path or URL and what lies in it; of the path or URL of one object, that object. Raises UsageError, RunError."""
    text = os.fspath(place)
    if text.startswith("s3://") and not text.endswith("/"):
        folder, _, name = text.rpartition("/")
        if folder.count("/") >= 2 and name:
            store = open_store(folder + "/", what)
            if store.tags(name, math.inf) is not None:
                return store, iter([Found(name, 0, 0.0)])
    elif "://" not in text and os.path.isfile(text):
        path = os.path.abspath(text)
        return DirectoryStore(os.path.dirname(path)), iter([Found(os.path.basename(path), os.path.getsize(path), 0.0)])
    store = open_store(text, what)
    if isinstance(store, DirectoryStore) and not store.root.is_dir():
        raise UsageError(f"{what} {text} is not there: name a folder, a file or s3://bucket/prefix/")
    return store, store.listed(math.inf)


def read(store: Store, name: str) -> bytes:
    """An object's bytes. Raises SourceError."""
    try:
        return store.read(name, math.inf)
    except SinkError as error:
        raise SourceError(str(error)) from None
