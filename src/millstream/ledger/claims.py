"""Names of a dead attempt are claimed: an object without rows stands there, so that nothing else can.

What a container that is thought to be gone still writes finds the name taken. An object without rows, not without bytes: those break
readers of Parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from millstream.errors import LedgerError
from millstream.sinks import parquet
from millstream.sinks.store import Store, TakenError

T = TypeVar("T")

_EMPTY = {".json": b"[]", ".ndjson": b"\n"}


class Names:
    """The names of an attempt's objects in one store. schema: of what they hold."""

    def __init__(self, store: Store, names: Iterable[str], suffix: str, schema: pa.Schema, token: str) -> None:
        self.store, self.names, self.token = store, list(names), token
        self.tags = {"token": token, "claim": "1"}
        self._is_parquet = suffix == parquet.SUFFIX
        if self._is_parquet:
            columns = [pa.nulls(0, one.type) for one in schema]
            self._body: bytes = parquet.encode_batch(pa.RecordBatch.from_arrays(columns, schema=schema), self.tags).to_pybytes()
        else:
            self._body = _EMPTY[suffix]

    def claim(self, until: float) -> bool:
        """Claim each name that is free. Were rows written under all of them? Raises SinkError, LedgerError."""
        return all([*self._each(lambda name: self._claim(name, until))])

    def _claim(self, name: str, until: float) -> bool:
        found: dict[str, str] = {}
        try:
            self.store.put(name, self._body, self.tags, lambda path: self._difference(path, found), until)
        except TakenError as taken:
            told: Mapping[str, str] = found if taken.found is None else taken.found
            if told.get("token", self.token) != self.token:
                raise LedgerError(
                    f"{self.store.url} holds {name}, which is of another attempt than the ledger tells: the ledger lost an item, or "
                    "two ledgers are used for one sink; restore the ledger's table, or write to another sink"
                ) from None
            return "claim" not in told
        return False

    def _difference(self, path: Path, found: dict[str, str]) -> str | None:
        """For a store without tags. Parquet has them in the file; text that is no claim's is rows."""
        if self._is_parquet:
            found.update(parquet.read_metadata(path))
            return parquet.difference(path, self.tags)
        return None if path.read_bytes() == self._body else "it holds rows"

    def overwrite(self, until: float) -> None:
        """Claims in the place of all that stands there. Raises SinkError."""
        for _ in self._each(lambda name: self.store.replace(name, self._body, until, self.tags)):
            pass

    def _each(self, work: Callable[[str], T]) -> Iterable[T]:
        threads = min(self.store.threads, len(self.names))
        if threads <= 1:
            return map(work, self.names)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads, thread_name_prefix="millstream-claim") as pool:
            return [one.result() for one in [pool.submit(work, name) for name in self.names]]
