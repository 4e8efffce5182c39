"""Rejected records, run again through a pipeline that takes them.

Each is run at most once: the ledger has an item for each rejects object and code, which counts the rows that are done. With the code in it,
records of some codes may be run first and the rest later. A day is a folder, so a choice of days is one of whole objects.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Collection, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from millstream.aws.envelope import Deliveries, Listed
from millstream.aws.handler import Place
from millstream.aws.rerun import Progress, Rerun, Rerunning, digest, objects_in, read
from millstream.classes import dataclass, replace
from millstream.decode.chunks import recorded_as
from millstream.decode.payloads import Payloads
from millstream.errors import RunError, SettingsError, SourceError, UsageError
from millstream.ledger.collect import url_of
from millstream.schema import Code
from millstream.sinks import parquet
from millstream.sinks.landed import Landed
from millstream.sinks.landing import Prepared
from millstream.sinks.origin import Origin
from millstream.sinks.rejects import SCHEMA, StoredRejects
from millstream.sinks.store import Store

if TYPE_CHECKING:
    from millstream.pipeline import Pipeline

SOURCE = "rejects"
"""The source of replayed records, as the ledger's keys have it."""
_DAY = re.compile(r"(?:^|/)date=(\d{4}-\d\d-\d\d)(?:/|$)", re.ASCII)


@dataclass(frozen=True)
class Selection:
    """Which rejected records to run: of these codes (none given: all), that arrived from one day to another, both included."""

    codes: Collection[str] = ()
    since: date | None = None
    until: date | None = None

    @classmethod
    def of(cls, codes: Sequence[str], since: str | None, until: str | None) -> Selection:
        """From words. Raises SettingsError."""
        known = [one.name for one in Code]
        for code in codes:
            if code not in known:
                raise SettingsError(f"code is {code!r}, which no record is rejected with; write {', '.join(known)}")
        days = [_day(name, text) for name, text in (("since", since), ("until", until))]
        return cls(frozenset(codes), *days)

    def takes_day(self, store: Store, name: str) -> bool:
        """Does it take objects of this name? Raises SourceError where it cannot be told."""
        if self.since is None and self.until is None:
            return True
        found = _DAY.search(name) or _DAY.search(store.url.rstrip("/"))
        try:
            day = date.fromisoformat(found[1] if found else "")
        except ValueError:
            raise SourceError(
                "it is in no folder date=YYYY-MM-DD, so its day is not known: leave --since and --until out"
            ) from None
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


def _day(name: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; write a day like 2026-11-30") from None


def replay(
    stored: str | os.PathLike[str],
    *,
    pipeline: Pipeline,
    sink: Place,
    ledger: str,
    rejects: Place | None = None,
    namespace: str = "main",
    selection: Selection | None = None,
    progress: Progress | None = None,
) -> Rerunning:
    """Run the stored rejects of a folder or prefix. Raises UsageError, RunError."""
    if os.fspath(stored).startswith(("sqs+", "sqs:")):
        raise UsageError(
            "REJECTS is a queue: replay reads stored rejects, of a folder or s3://bucket/prefix/; a queue is moved by SQS"
        )
    handler = _Replay(pipeline, sink=sink, rejects=rejects, ledger=ledger, namespace=namespace)
    store, listed = objects_in(stored, "REJECTS")
    _check_apart(store, handler)
    chosen, started = selection or Selection(), time.perf_counter()
    run = Rerunning(handler, "replay", progress)
    found = [one.name for one in listed if _is_rejects(one.name)]
    if not found:
        raise UsageError(
            f"REJECTS {os.fspath(stored)} holds no rejects: name the folder that has date=YYYY-MM-DD/*.parquet in it"
        )
    # Asked after the objects were listed, and before any is read: who is not under way by now is committed, or claimed when it is read.
    ours = handler.once.ledger
    pending = {item.intent.token for _, item in ours.table.all(f"{namespace}#", math.inf) if item.intent is not None}
    for name in found:
        url = url_of(store, name)
        run.each(url, partial(_replay, run, handler, store, name, url, chosen, pending))
    run.report.seconds = time.perf_counter() - started
    return run


def _is_rejects(name: str) -> bool:
    return name.endswith(parquet.SUFFIX) and not name.rpartition("/")[2].startswith(("_", "."))


def _check_apart(store: Store, handler: _Replay) -> None:
    places: list[tuple[str, Store]] = [("the sink", handler.sink)]
    if isinstance(handler.rejects, StoredRejects):
        places.append(("the place of what is rejected again", handler.rejects.store))
    for what, other in places:
        if store.covers(other) or other.covers(store):
            raise UsageError(
                f"{what} is {other.url}, and REJECTS {store.url}: one is inside the other, where a replay would read what it writes; "
                "choose another place" + ("" if what == "the sink" else " by --rejects")
            )


def _replay(run: Rerunning, handler: _Replay, store: Store, name: str, url: str, chosen: Selection, pending: set[str]) -> None:
    if not chosen.takes_day(store, name):
        return
    body = read(store, name)
    table, tags = _rows(body, recorded_as(handler.pipeline.input))
    if not table.num_rows:  # a claim
        return
    if tags.get("token") in pending:
        raise SourceError("the attempt that wrote it is under way: run this again later, or millstream gc if its shard is idle")
    codes: list[str] = table.column("code").to_pylist()
    for code in dict.fromkeys(codes):
        if chosen.codes and code not in chosen.codes:
            continue
        places = [i for i, one in enumerate(codes) if one == code]
        landed, bytes_in = handler.replay(table.take(pa.array(places)), [i + 1 for i in places], f"{digest(body)}-{code}")
        run.add(landed, bytes_in, len(places), url)


def _rows(body: bytes, form: str) -> tuple[pa.Table, dict[str, str]]:
    """The rows of a rejects object, and its tags. Raises SourceError."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        names = file.schema_arrow.names
        missing = [one for one in SCHEMA.names if one not in names]
        table = None if missing else file.read(SCHEMA.names)
    except (pa.ArrowException, OSError, ValueError):
        raise SourceError("it is no Parquet file that can be read") from None
    if table is None:
        raise SourceError(f"it holds no rejects: it has no column {missing[0]}")
    try:
        table = table.cast(SCHEMA)
    except (pa.ArrowException, ValueError):
        raise SourceError("it holds no rejects: its columns are of other types") from None
    told = file.metadata.metadata or {}
    prefix = parquet.PREFIX.encode()
    tags = {
        key.removeprefix(prefix).decode(): value.decode(errors="replace")
        for key, value in told.items()
        if key.startswith(prefix)
    }
    others = [one for one in dict.fromkeys(table.column("format").to_pylist()) if one != form]
    if others:
        raise SourceError(
            f"its records are {others[0]!r}, and the pipeline reads {form}: replay it with one whose input is of that format"
        )
    if len(set(table.column("source").to_pylist())) > 1:
        raise SourceError("its records are of several sources: rejects are replayed from the objects that they were written to")
    return table, tags


def _whole(rows: pa.Table) -> list[bytes]:
    """Each record with what it cannot be read without: a CSV row behind its header."""
    pairs = zip(rows.column("context").to_pylist(), rows.column("payload").to_pylist(), strict=True)
    return [payload if context is None else context + b"\n" + payload for context, payload in pairs]


class _Replay(Rerun):
    """What a record was called when it was rejected first, it is called when it is rejected again."""

    source = "replay"
    _rows: dict[str, Any]

    def replay(self, rows: pa.Table, numbers: Sequence[int], shard: str) -> tuple[Landed, int]:
        """Run rows of one object, which have these numbers in it. What became of them, and their bytes."""
        payloads: list[bytes | None] = rows.column("payload").to_pylist()
        kept = [i for i, payload in enumerate(payloads) if payload is not None]
        lost = len(payloads) - len(kept)
        landed = Landed.failed(lost)
        if lost:
            landed.error = RunError(f"{lost:,} rejected records were kept without their bytes, and cannot be run again")
        if not kept:
            return landed, 0
        rows = rows.take(pa.array(kept))
        self._rows = rows.select(["source", "identity", "sub"]).to_pydict() | {"number": [str(numbers[i]) for i in kept]}
        arrivals = rows.column("arrived_at").cast(pa.int64()).to_pylist()
        deliveries = Deliveries(
            source=SOURCE,
            shard=shard,
            payloads=Payloads.of_records(_whole(rows)),
            identities=Listed(self._rows["number"]),
            arrivals=Listed([str(one) for one in arrivals]),
            per_second=1000,
        )
        landed.add(self.rerun(deliveries))
        return landed, deliveries.payloads.bytes_in

    def land(self, prepared: Prepared, origin: Origin, until: float) -> Landed:
        rows = self._rows
        places = {number: place for place, number in enumerate(rows["number"])}

        def place(position: int) -> int:
            return places[origin.identity(position)]

        kept = replace(
            origin,
            source=rows["source"][0],
            identity=lambda position: rows["identity"][place(position)],
            sub=lambda position: rows["sub"][place(position)] + origin.sub(position),
        )
        return super().land(prepared, kept, until)
