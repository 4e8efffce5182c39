"""A lookup that is read once, and looked at again after a while: where that fails, what is known stays in use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from millstream import clock
from millstream.columns import Vector
from millstream.errors import MillstreamError, PlanError
from millstream.lookups.formats import checked_format, parsed
from millstream.lookups.index import checked_kinds, joined_type, key_types, loaded
from millstream.lookups.matching import Matched, Policy, is_rehearsal, settle
from millstream.lookups.sources import Source, remote, source_of
from millstream.schema import Type
from millstream.tables import Lookup

AGAIN_SECONDS = 60.0
"""After a refresh that failed the next one is tried after so long, or after `refresh` where that is shorter."""

_log = logging.getLogger("millstream.lookups")


class TableMatcher:
    """A lookup in memory.

    fields: the columns that it adds. version: what tells whether its source has changed. looks, loads, failures: how often it was
    looked at again, found changed and read, or could not be read.
    """

    def __init__(self, one: Lookup, kinds: Sequence[Type], policy: Policy) -> None:
        """Read it, to be asked with columns of these types. Raises PlanError saying what does not fit, RunError where it cannot be read."""
        self._one, self._kinds, self._policy = one, tuple(kinds), policy
        self._lock = threading.Lock()
        self._source: Source | None = None
        self.looks = self.loads = self.failures = 0
        self.version: str | None = None
        self._types: dict[str, pa.DataType] = {}
        if one.scheme:
            checked_format(one)
            self._source = source_of(one)
            self._looked = clock.now()
            content = self._source.read(None)
            assert content is not None
            table = self._first(content.data)
            self.version = content.version
        else:
            table = one.source
        self._loaded = loaded(one, table, self._kinds, policy)
        self.fields: Mapping[str, Type] = self._loaded.fields
        if one.scheme:
            # A column without a value in it has no type yet: a key's is that of what it is compared with.
            keys = dict(zip(one.key, self._kinds, strict=False))
            self._types = {
                field.name: joined_type(keys[field.name]) if field.name in keys and pa.types.is_null(field.type) else field.type
                for field in table.schema
            }
        self._wait = one.refresh

    def match(self, keys: Sequence[Vector]) -> Matched:
        """See `Matcher`."""
        self._refresh()
        found = self._loaded
        rows = found.index.probe(keys)
        valid = settle(rows, self._policy, found.default_row)
        return Matched(rows, found.columns, valid)

    def _first(self, data: bytes) -> pa.Table:
        schema = self._one.schema
        if schema is not None:
            return parsed(self._one, data, {name: field.holds.arrow for name, field in schema.items()}, is_whole=False)
        return parsed(self._one, data, key_types(self._one, self._kinds), is_whole=True)

    def _refresh(self) -> None:
        """Look at the source again where it is time; other threads go on with what there is meanwhile."""
        if self._wait is None or self._source is None or is_rehearsal():
            return
        # By the time of day: in a snapshot that is woken later, it is the only clock that has gone on.
        if 0 <= clock.now() - self._looked < self._wait or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked, self._wait = clock.now(), self._one.refresh
            self.looks += 1
            content = self._source.read(self.version)
            if content is not None:
                table = parsed(self._one, content.data, self._types, is_whole=False)
                self._loaded = loaded(self._one, table, self._kinds, self._policy)
                self.version = content.version
                self.loads += 1
        except MillstreamError as error:
            self.failures += 1
            self._wait = min(self._one.refresh or AGAIN_SECONDS, AGAIN_SECONDS)
            _log.warning("a lookup was not refreshed, and the table from before stays in use: %s", error)
        finally:
            self._lock.release()


def matcher_of(one: Lookup, kinds: Sequence[Type], policy: Policy) -> Any:
    """What a lookup is asked by, with columns of these types. Raises PlanError, and RunError where it cannot be read."""
    if len(kinds) != len(one.asks):
        raise PlanError(f"on names {len(kinds)} columns, {one.told} is asked with {len(one.asks)}: {', '.join(one.asks)}")
    checked_kinds(one, kinds)
    if one.scheme == "dynamodb":
        return remote(one)(one, kinds, policy)
    return TableMatcher(one, kinds, policy)
