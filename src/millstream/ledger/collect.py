"""What the ledger's attempts left behind, found and collected: claims, attempts that nobody goes on with, what belongs to nobody.

Nothing is touched but what has a name that we give and the tags that go with it, and was left alone for longer than any writer lives:
a claim keeps a container that is thought to be gone from writing, and may go only when that container surely is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from millstream import clock
from millstream.classes import dataclass, field
from millstream.errors import LedgerError, RunError, SettingsError, UsageError
from millstream.ledger.item import Item, Shard
from millstream.ledger.names import MANIFEST, MARKER, Attempted, is_ours, parse
from millstream.ledger.turn import Turn
from millstream.sinks.rejects import StoredRejects
from millstream.sinks.store import Found, near

if TYPE_CHECKING:
    from millstream.ledger.turn import Ledger
    from millstream.sinks.store import Store

T = TypeVar("T")

LEAST_SECONDS = 3600
"""A function lives for 15 minutes at most; its clock and the store's may differ."""
CLAIM_BYTES = 64 << 10
"""A claim is no larger: of larger objects nobody is asked for tags."""
_EMPTY = {b"[]", b""}
KINDS = {
    "claims": "claims",
    "attempts": "attempts that nobody goes on with",
    "doubled": "objects whose records another attempt wrote too",
    "manifests": "lists of attempts that are over",
    "unfinished": "half-written objects",
    "shards": "items of shards that their stream no longer has",
    "lost": "marks of items that the ledger no longer has",
}


class Entry(NamedTuple):
    """Something that was found. done: it was collected. why: it is not, and for what reason."""

    name: str
    bytes: int
    done: bool = False
    why: str = ""


@dataclass
class Collection:
    """What was found, by kind. young: what is like it but not left alone for long enough."""

    pipeline: str
    namespace: str
    sink: str
    ledger: str
    older_than: int
    deletes: bool
    found: dict[str, list[Entry]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    young: int = 0
    objects: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def error(self) -> RunError | None:
        """What has to be looked at by somebody."""
        told = list(self.errors)
        doubled = [one for one in self.found["doubled"] if not one.done]
        if doubled:
            told.append(
                f"the rows of {len(doubled):,} objects are in the sink twice, which the ledger never does by itself: see what else "
                "wrote there, or removed claims"
            )
        if self.found["lost"]:
            told.append(
                f"the ledger lost items, {len(self.found['lost']):,} in all: restore its table before their shards deliver again, or "
                "process them anew into another sink or namespace"
            )
        return LedgerError("; ".join(told)) if told else None

    def to_dict(self) -> dict[str, Any]:
        found = {
            kind: {
                "count": len(entries),
                "bytes": sum(one.bytes for one in entries),
                "collected": sum(one.done for one in entries),
                "names": [one.name for one in entries],
                "kept": {one.name: one.why for one in entries if one.why},
            }
            for kind, entries in self.found.items()
        }
        return {
            "version": 1,
            "pipeline": self.pipeline,
            "namespace": self.namespace,
            "sink": self.sink,
            "ledger": self.ledger,
            "older_than_seconds": self.older_than,
            "deleted": self.deletes,
            "objects": self.objects,
            "young": self.young,
            "found": found,
            "errors": self.errors,
        }

    def render(self) -> str:
        """A summary to read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"pipeline {self.pipeline}, namespace {self.namespace}: {self.objects:,} objects in {near(self.sink)}"
        for kind, entries in self.found.items():
            if not entries:
                continue
            done, size = sum(one.done for one in entries), sum(one.bytes for one in entries)
            yield f"  {KINDS[kind]}: {len(entries):,}, {size:,} bytes" + (f", {done:,} collected" if self.deletes else "")
            for one in entries[:_SHOWN]:
                yield f"    {near(one.name)}" + (f"  ({one.why})" if one.why else "")
            if len(entries) > _SHOWN:
                yield f"    and {len(entries) - _SHOWN:,} more"
        if not any(self.found.values()):
            yield "  nothing is left behind"
        if self.young:
            yield f"  {self.young:,} more are younger than {_span(self.older_than)}, and stay"
        if not self.deletes and any(self.found[kind] for kind in KINDS if kind != "lost"):
            yield "nothing was removed: this was a dry run; --delete collects"


_SHOWN = 20


class _Object(NamedTuple):
    store: Store
    found: Found
    name: Attempted

    @property
    def url(self) -> str:
        return url_of(self.store, self.found.name)


def collect(
    ledger: Ledger,
    *,
    older_than: int,
    delete: bool = False,
    closed: bool = False,
    shards_of: Callable[[str], set[str]] | None = None,
) -> Collection:
    """Find what was left behind for `older_than` seconds; collect it with `delete`.

    closed: also items of shards that `shards_of(stream ARN)` does not tell of. Raises UsageError, RunError.
    """
    if older_than < LEAST_SECONDS:
        raise UsageError(
            f"older-than is {_span(older_than)}; write {_span(LEAST_SECONDS)} or more: a claim keeps a function that is thought to be "
            "gone from writing, and must outlive it"
        )
    return _Collector(ledger, older_than, delete).run(closed, shards_of or shards_of_stream)


class _Collector:
    def __init__(self, ledger: Ledger, older_than: int, delete: bool) -> None:
        self.ledger, self.delete = ledger, delete
        self.limit = clock.now() - older_than
        sink, table = ledger.sink, ledger.table
        self.result = Collection(ledger.pipeline, ledger.namespace, sink.url, table.url, older_than, delete)
        self.ended: set[tuple[str, str, int]] = set()
        self.stores: list[tuple[Store, bool]] = [(sink, False)]
        if isinstance(ledger.rejects, StoredRejects):
            self.stores.append((ledger.rejects.store, True))

    def run(self, closed: bool, shards_of: Callable[[str], set[str]]) -> Collection:
        items = dict(self._items())
        self._attempts(items)
        if self.delete:  # some are over now
            items = dict(self._items())
        objects, markers = self._objects(items)
        self._markers(items, markers)
        self._claims(objects, items)
        for store, rejects in self.stores:
            for found in store.unfinished(math.inf):
                if found.upload and not is_ours(found.name, rejects=rejects):
                    continue
                self._take("unfinished", store, found, partial(store.abandon, found, math.inf))
        if closed:
            self._closed(items, shards_of)
        return self.result

    def _items(self) -> Iterator[tuple[Shard, Item]]:
        ledger = self.ledger
        prefix = Shard(ledger.namespace, ledger.pipeline, ledger.sink.url, "", "").id.removesuffix("#")
        for id, item in ledger.table.all(prefix, math.inf):  # noqa: A001
            source, _, name = id.removeprefix(prefix).rpartition("#")
            shard = Shard(ledger.namespace, ledger.pipeline, ledger.sink.url, source, name)
            if item.intent is not None or not shard.is_batch:  # a queue has an item for each of its batches
                yield shard, item

    def _attempts(self, items: Mapping[Shard, Item]) -> None:
        """Attempts under way whose writer is gone: they are ended as the shard's next batch would end them, were there one."""
        for shard, item in items.items():
            if item.intent is None:
                continue
            if datetime.fromisoformat(item.intent.at).timestamp() > self.limit:
                self.result.young += 1
                continue

            told = f"{shard.source} {shard.shard} attempt {item.intent.attempt}"
            self.result.found["attempts"].append(self._done(told, 0, partial(self._end, shard, item)))

    def _end(self, shard: Shard, item: Item) -> None:
        turn = Turn(self.ledger, shard, item, math.inf, remembered=False)
        turn.resolve()
        turn.drop()
        self.ended.add((shard.short, shard.shard, item.attempt))

    def _objects(self, items: Mapping[Shard, Item]) -> tuple[list[_Object], list[Found]]:
        """What attempts wrote; and the marks of items. Manifests are dealt with."""
        listed = {item.intent.manifest for item in items.values() if item.intent is not None}
        objects: list[_Object] = []
        markers: list[Found] = []
        for store, rejects in self.stores:
            for found in store.listed(math.inf):
                self.result.objects += 1
                name = parse(found.name, rejects=rejects)
                if name is not None:
                    objects.append(_Object(store, found, name))
                elif MARKER.fullmatch(found.name) and not rejects:
                    markers.append(found)
                elif MANIFEST.fullmatch(found.name) and not rejects and found.name not in listed:
                    self._take("manifests", store, found, partial(store.remove, found.name, math.inf))
        return objects, markers

    def _markers(self, items: Mapping[Shard, Item], markers: Sequence[Found]) -> None:
        """Rows of an item that is not there: the next batch of its shard is refused, so that nothing is written twice."""
        known = {shard.marker for shard in items}
        ledger = self.ledger
        for found in markers:
            if found.name in known:
                continue
            told = _object_of(ledger.sink.read(found.name, math.inf))
            id, table = str(told.get("id")), told.get("ledger")  # noqa: A001
            namespace, pipeline = [*id.split("#", 2), "", ""][:2]
            ours = (namespace, pipeline, table) == (ledger.namespace, ledger.pipeline, ledger.table.url)
            if ours and ledger.table.read(id, math.inf).version == 0:  # it may have been made meanwhile
                self.result.found["lost"].append(Entry(url_of(ledger.sink, found.name), found.bytes, why=id))

    def _claims(self, objects: Sequence[_Object], items: Mapping[Shard, Item]) -> None:
        """Claims, and rows that are there twice. Young objects are asked only where another attempt's range crosses theirs."""
        shards = {(one.short, one.shard): (one, item) for one, item in items.items()}
        crossing = _crossing(objects)
        asked = [
            one for one in objects if one in crossing or (one.found.bytes <= CLAIM_BYTES and one.found.changed <= self.limit)
        ]
        tags = dict(zip(asked, self._each(self._tags, asked), strict=True))
        rows: list[_Object] = []
        for one in asked:
            told = tags[one]
            if self._is_claim(one, told):
                if self._is_pending(shards.get((one.name.source, one.name.shard)), one, told):
                    continue
                if (one.name.source, one.name.shard, one.name.attempt) in self.ended:  # it was made just now
                    self.result.young += 1
                    continue
                self._take("claims", one.store, one.found, partial(one.store.remove, one.found.name, math.inf))
            elif one in crossing and told is not None and told.get("token") and told.get("source") == one.name.range:
                rows.append(one)
        for one, higher in _lower(rows):
            self._doubled(one, higher, shards.get((one.name.source, one.name.shard)), tags[one])

    def _tags(self, one: _Object) -> dict[str, str] | None:
        told = one.store.tags(one.found.name, math.inf)
        if told == {} and one.name.suffix != ".parquet" and one.found.bytes <= 2:
            # JSON in a folder has no tags: a file without rows is what nobody but a claim writes.
            return {"claim": "1"} if one.store.read(one.found.name, math.inf) in _EMPTY else {}
        return told

    def _is_claim(self, one: _Object, told: Mapping[str, str] | None) -> bool:
        return told is not None and "claim" in told and one.found.bytes <= CLAIM_BYTES

    def _is_pending(self, known: tuple[Shard, Item] | None, one: _Object, told: Mapping[str, str] | None) -> bool:
        intent = None if known is None else known[1].intent
        if intent is None:
            return False
        return intent.attempt == one.name.attempt or (told or {}).get("token") == intent.token

    def _doubled(self, one: _Object, higher: _Object, known: tuple[Shard, Item] | None, told: Mapping[str, str] | None) -> None:
        """Rows that a later attempt wrote too. They go only where this ledger surely wrote both."""
        why = ""
        if known is None or known[1].attempt < higher.name.attempt:
            why = "the ledger knows of no such attempt: it may be another's"
        elif self._is_pending(known, one, told):
            why = "the attempt is under way"
        if why:
            self.result.found["doubled"].append(Entry(one.url, one.found.bytes, why=why))
        else:
            self._take("doubled", one.store, one.found, partial(one.store.remove, one.found.name, math.inf))

    def _closed(self, items: Mapping[Shard, Item], shards_of: Callable[[str], set[str]]) -> None:
        streams: dict[str, set[str] | None] = {}
        for shard, item in items.items():
            if not _is_stream(shard):
                continue
            if shard.source not in streams:
                try:
                    streams[shard.source] = shards_of(shard.source)
                except RunError as error:
                    self.result.errors.append(str(error))
                    streams[shard.source] = None
            there = streams[shard.source]
            if there is None or shard.shard in there:
                continue
            told = f"{shard.source} {shard.shard}"
            if item.intent is not None:
                self.result.found["shards"].append(
                    Entry(told, 0, why="an attempt at it is under way: it goes once that is ended")
                )
                continue
            self.result.found["shards"].append(self._done(told, 0, partial(self._forget, shard, item)))

    def _forget(self, shard: Shard, item: Item) -> None:
        """The mark goes first: a mark without an item tells of a loss, an item without a mark is found and removed the next time."""
        ledger = self.ledger
        text = ledger.sink.noted(shard.marker, math.inf)
        if text is not None:
            ledger.sink.remove(shard.marker, math.inf)
        if not ledger.table.remove(shard.id, item.version, math.inf):
            if text is not None:
                ledger.sink.replace(shard.marker, text, math.inf)
            raise LedgerError(f"somebody works on {shard.source} {shard.shard}: it stays")

    def _take(self, kind: str, store: Store, found: Found, remove: Callable[[], None]) -> None:
        """Collect what was left alone for long enough."""
        if found.changed > self.limit:
            self.result.young += 1
            return
        self.result.found[kind].append(self._done(url_of(store, found.name), found.bytes, remove))

    def _done(self, name: str, size: int, work: Callable[[], None]) -> Entry:
        if not self.delete:
            return Entry(name, size)
        try:
            work()
        except RunError as error:
            self.result.errors.append(str(error))
            return Entry(name, size, why=str(error))
        return Entry(name, size, done=True)

    def _each(self, work: Callable[[_Object], T], objects: Sequence[_Object]) -> Iterable[T]:
        threads = self.ledger.sink.threads
        if threads <= 1 or len(objects) < 2:
            return map(work, objects)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads, thread_name_prefix="millstream-collect") as pool:
            return list(pool.map(work, objects))


def _crossing(objects: Sequence[_Object]) -> set[_Object]:
    """Objects whose range overlaps with that of another attempt at the same shard."""
    found: set[_Object] = set()
    active: list[_Object] = []
    for one in sorted(objects, key=lambda one: (one.name.source, one.name.shard, one.name.first)):
        here = one.name
        active = [
            other
            for other in active
            if (other.name.source, other.name.shard) == (here.source, here.shard) and other.name.last >= here.first
        ]
        crossed = [other for other in active if other.name.attempt != here.attempt]
        if crossed:
            found.add(one)
            found.update(crossed)
        active.append(one)
    return found


def _lower(rows: Sequence[_Object]) -> Iterator[tuple[_Object, _Object]]:
    """Rows that a higher attempt wrote too, each with such a one."""
    shards: dict[tuple[str, str], list[_Object]] = {}
    for one in rows:
        shards.setdefault((one.name.source, one.name.shard), []).append(one)
    for one in rows:
        for other in shards[one.name.source, one.name.shard]:
            if (
                other.name.attempt > one.name.attempt
                and one.name.first <= other.name.last
                and other.name.first <= one.name.last
            ):
                yield one, other
                break


def url_of(store: Store, name: str) -> str:
    """Where an object lies."""
    return f"{store.url}{'' if store.url.endswith('/') else '/'}{name}"


def _object_of(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_stream(shard: Shard) -> bool:
    parts = shard.source.split(":")
    return len(parts) == 6 and parts[2] == "kinesis" and shard.shard.startswith("shardId-") and shard.shard[8:].isdigit()


def shards_of_stream(arn: str) -> set[str]:
    """The shards that a stream has, closed ones too while it keeps their records. Raises RunError, SettingsError."""
    from millstream.sinks.clients import client
    from millstream.sinks.retry import Backoff, retry
    from millstream.sinks.store import require_boto3

    require_boto3(f"the stream {arn}")
    stream = arn.split("/consumer/")[0]
    found: set[str] = set()
    request = {"StreamARN": stream}

    def ask() -> Any:
        return client("kinesis", arn.split(":")[3]).list_shards(**request)

    while True:
        page = retry(
            ask,
            Backoff(),
            math.inf,
            doing=f"cannot ask for the shards of {stream}",
            action="kinesis:ListShards",
        )
        found.update(one["ShardId"] for one in page["Shards"])
        if not page.get("NextToken"):
            return found
        request = {"NextToken": page["NextToken"]}


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def seconds_of(text: str) -> int:
    """A time like 24h in seconds. Raises SettingsError."""
    sizes = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not (unit in sizes and number.isascii() and number.isdigit() and len(number) <= 9):
        raise SettingsError(f"older-than is {text!r}; write a number with s, m, h or d behind it, like 24h")
    return int(number) * sizes[unit]
