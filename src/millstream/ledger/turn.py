"""One batch's turn with its shard: what is done already, an attempt at the rest, its commit.

Every write of an item replaces the one that was read, or is not done. An attempt's objects are written under names that no other attempt
has, and only where nothing stands. So whoever comes later can end an attempt for good: it claims the names that are free. If rows stand
under all of them, the attempt is as good as committed, and is; else it is marked dead, and its rows are replaced by claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from millstream import clock
from millstream.classes import dataclass, field, replace
from millstream.errors import LedgerError, RunError
from millstream.ledger.claims import Names
from millstream.ledger.item import Intent, Item, Shard, folders, is_behind, place_of
from millstream.sinks import parquet
from millstream.sinks.rejects import SCHEMA as REJECTS
from millstream.sinks.rejects import StoredRejects

if TYPE_CHECKING:
    from millstream.ledger.table import Table
    from millstream.pipeline import Pipeline
    from millstream.sinks.rejects import Rejects
    from millstream.sinks.store import Store

LISTED_FOLDERS = 200
LISTED_BYTES = 16 << 10
"""An intent with more folders, or longer ones, keeps them in a manifest beside the rows: an item is paid for by its size."""
_COMMIT_SECONDS = 1.0
KEPT_SECONDS = 31 * 86400
"""How long what was done of a message is known: it lives for 14 days in its queue, then for 14 in a dead-letter queue."""


def expiration() -> int:
    """When what is written now of a message may go, in seconds since 1970."""
    return int(clock.now()) + KEPT_SECONDS


class StaleError(LedgerError):
    """What was remembered of a shard is no longer so. `Ledger` knows better now: another turn is worth it."""


@dataclass
class Ledger:
    """What was committed of the shards that one pipeline writes to one sink.

    schema: of the objects of the sink. The rejected records of an attempt belong to it where `rejects` is a store.
    """

    table: Table
    namespace: str
    pipeline: str
    fingerprint: str
    sink: Store
    rejects: Rejects | None
    schema: pa.Schema
    _known: dict[str, Item] = field(default_factory=dict)
    _overwritten: dict[str, str] = field(default_factory=dict)
    """By shard, the token of the dead attempt that this container has put claims in the place of: once is enough."""

    @classmethod
    def of(
        cls, table: Table, namespace: str, pipeline: Pipeline, by: Sequence[str], sink: Store, rejects: Rejects | None
    ) -> Ledger:
        """A pipeline's. by: what its rows are partitioned by."""
        schema = pipeline.plan().schema
        for name in by:
            schema = schema.remove(schema.get_field_index(name))
        return cls(table, namespace, pipeline.name, pipeline.fingerprint, sink, rejects, schema)

    def turn(self, source: str, shard: str, until: float) -> Turn:
        """A shard's turn: an attempt that somebody left behind is ended first. Raises RunError."""
        one = Shard(self.namespace, self.pipeline, self.sink.url, source, shard)
        known = self._known.get(one.id)
        turn = Turn(self, one, Item() if known is None else known, until, remembered=known is not None)
        turn.open()
        return turn

    def look(self, source: str, shard: str, until: float) -> Turn:
        """How things stand with a shard: nothing is ended, or begun. Raises RunError."""
        turn = Turn(self, Shard(self.namespace, self.pipeline, self.sink.url, source, shard), Item(), until, remembered=False)
        turn.read()
        return turn

    def remember(self, shard: Shard, item: Item) -> None:
        """An item as it was just read: the shard's turn begins with it."""
        self._known[shard.id] = item

    def forget(self) -> None:
        """Remember nothing."""
        self._known.clear()
        self._overwritten.clear()

    def names_of(self, shard: Shard, intent: Intent, until: float) -> list[Names]:
        """The names of an attempt's objects, in the sink and in the rejects' store. Raises LedgerError, SinkError."""
        base = shard.base(intent.first, intent.last, intent.attempt)
        listed: Sequence[str] = intent.folders
        if intent.manifest is not None:
            listed = self._manifest(intent.manifest, until)
        rows = [f"{folder}/{base}-0000{intent.suffix}".lstrip("/") for folder in listed]
        found = [Names(self.sink, rows, intent.suffix, self.schema, intent.token)] if rows else []
        if intent.rejects is not None:
            if not isinstance(self.rejects, StoredRejects) or place_of(self.rejects.url) != intent.rejects_at:
                raise LedgerError(
                    f"an attempt at {shard.source} {shard.shard} that has to be ended wrote rejected records to another place than "
                    "this one does: set MILLSTREAM_REJECTS, or --rejects, as it was until the attempt is ended"
                )
            name = f"{intent.rejects}/{base}{parquet.SUFFIX}"
            found.append(Names(self.rejects.store, [name], parquet.SUFFIX, REJECTS, intent.token))
        return found

    def _manifest(self, name: str, until: float) -> Sequence[str]:
        text = self.sink.noted(name, until)
        if text is None:
            raise LedgerError(f"{self.sink.url}{name}, which lists what an attempt wrote, is gone: restore it")
        try:
            return folders(orjson.loads(text))
        except ValueError:
            raise LedgerError(f"{self.sink.url}{name} does not list what an attempt wrote: restore it") from None


class Turn:
    """See `Ledger.turn`. committed: the sequence number up to which all is done."""

    def __init__(self, ledger: Ledger, shard: Shard, item: Item, until: float, remembered: bool) -> None:
        self.ledger, self.shard, self.until = ledger, shard, until
        self._item, self._remembered = item, remembered

    @property
    def committed(self) -> str | None:
        return self._item.committed

    @property
    def intent(self) -> Intent | None:
        return self._item.intent

    def open(self) -> None:
        if not self._remembered:
            self.read()
        if self._item.intent is not None:
            self.resolve()

    def is_done(self, sequence: str) -> bool:
        """Was this delivery committed before?"""
        return not is_behind(sequence, self._item.committed)

    def read(self) -> None:
        """What stands in the ledger. Raises RunError, also where it lost something."""
        ledger, shard = self.ledger, self.shard
        self._item = ledger.table.read(shard.id, self.until)
        if self._item.version == 0 and ledger.sink.noted(shard.marker, self.until) is not None:
            self._item = ledger.table.read(shard.id, self.until)  # it may have been made meanwhile
            if self._item.version == 0:
                raise LedgerError(
                    f"{ledger.table.url} has nothing of {shard.source} {shard.shard}, but {ledger.sink.url} holds rows that were "
                    "written by it: the item was lost, and records may come that are written already. Restore the table; or, to "
                    "process the stream anew, write to another sink; or move the rows away and set another MILLSTREAM_NAMESPACE"
                )

    def resolve(self) -> None:
        """End the attempt that was left behind: it is committed, or dead and without rows. Raises RunError."""
        intent = self._item.intent
        assert intent is not None
        try:
            names = self.ledger.names_of(self.shard, intent, self.until)
        except LedgerError as error:
            if not self._remembered:
                raise
            # Perhaps somebody else ended it, and its manifest is gone for that. The table knows.
            self.ledger._known.pop(self.shard.id, None)
            raise StaleError(str(error)) from None
        if not intent.dead:
            if all(one.claim(self.until) for one in names):
                self._swap(self._item.settled())
                self._drop_manifest(intent)
                return
            # From here on it cannot be committed: what stands there is not of use to anyone, whenever it is replaced.
            self._swap(self._item.given_up())
        if self.ledger._overwritten.get(self.shard.id) != intent.token:
            for one in names:
                one.overwrite(self.until)
            self.ledger._overwritten[self.shard.id] = intent.token

    def intend(self, first: str, last: str, folders: Sequence[str], suffix: str, rejects: str | None) -> tuple[str, str]:
        """Begin an attempt at a range of sequence numbers. The base of its objects' names, and the token they bear. Raises RunError."""
        ledger, before = self.ledger, self._item
        token, manifest = self.shard.shard if self.shard.is_batch else clock.token(), None
        if len(folders) > LISTED_FOLDERS or sum(map(len, folders)) > LISTED_BYTES:
            manifest = f"_millstream-manifest-{token}"
            ledger.sink.replace(manifest, orjson.dumps(list(folders)), self.until)
        intent = Intent(
            attempt=before.attempt + 1,
            token=token,
            first=first,
            last=last,
            folders=() if manifest else tuple(folders),
            manifest=manifest,
            suffix=suffix,
            rejects=rejects,
            rejects_at=place_of(ledger.rejects.url) if rejects is not None and ledger.rejects is not None else None,
            fingerprint=ledger.fingerprint,
            at=datetime.fromtimestamp(clock.now(), UTC).isoformat(),
        )
        self._swap(before.intended(intent))
        if before.intent is not None:
            self._drop_manifest(before.intent)
        if before.committed is None and not self.shard.is_batch:
            ledger.sink.replace(self.shard.marker, orjson.dumps({"ledger": ledger.table.url, "id": self.shard.id}), self.until)
        return self.shard.base(first, last, intent.attempt), token

    def commit(self) -> None:
        """All of the attempt is written. Raises RunError where it cannot be told that it is committed."""
        intent = self._item.intent
        assert intent is not None
        self.until = max(self.until, clock.monotonic() + _COMMIT_SECONDS)  # out of the margin
        self._swap(self._item.settled())
        self._drop_manifest(intent)

    def drop(self) -> None:
        """After `resolve`, where no records come that another attempt could be made at: forget the dead one."""
        intent = self._item.intent
        if intent is not None:
            self._swap(self._item.dropped())
            self._drop_manifest(intent)

    def pass_over(self, last: str) -> None:
        """All up to a sequence number is done, and needs no attempt. Raises RunError."""
        intent = self._item.intent
        self._swap(self._item.passed(last))
        if intent is not None:  # it is dead
            self._drop_manifest(intent)

    def _swap(self, after: Item) -> None:
        if self.shard.is_batch and (after.intent is None or after.intent.dead):
            after = replace(after, expiration=expiration())
        known, id = self.ledger._known, self.shard.id  # noqa: A001
        was_remembered, self._remembered = self._remembered, False
        try:
            found = self.ledger.table.swap(id, after, self.until)
        except RunError:
            known.pop(id, None)  # it may have been written
            raise
        known[id] = found
        if found.version == 0:  # it is gone: the next turn asks what that means
            del known[id]
        if found == after:
            self._item = after
            return
        if was_remembered:
            raise StaleError(f"another function went on with {self.shard.source} {self.shard.shard}")
        raise LedgerError(f"another function works on {self.shard.source} {self.shard.shard}: what is left comes again")

    def _drop_manifest(self, intent: Intent) -> None:
        if intent.manifest is not None:
            self.ledger.sink.forget(intent.manifest, self.until)
