"""Names of a dead attempt are claimed: an object without rows stands there, so that nothing else can.

What a container that is thought to be gone still writes finds the name taken. An object without rows, as its format has them: Parquet
without bytes breaks its readers.
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

# Readers of lines that tell types by the first file find none in a file with a blank line, and pass over one without bytes.
_EMPTY = {".json": b"[]", ".ndjson": b""}


class Names:
    """The names of an attempt's objects in one store. schema: of what they hold."""

    def __init__(self, store: Store, names: Iterable[str], suffix: str, schema: pa.Schema, token: str) -> None:
        self.store, self.names, self.token = store, list(names), token
        self.tags = {"token": token, "claim": "1"}
        self._is_parquet = suffix == parquet.SUFFIX
        if self._is_parquet:
            columns = [pa.nulls(0, one.type) for one in schema]
            self._body: bytes = parquet.encode_batch(pa.RecordBatch.from_arrays(columns, schema=schema), self.tags).to_pybytes()
        elif suffix in _EMPTY:
            self._body = _EMPTY[suffix]
        else:
            raise LedgerError(
                f"an attempt that has to be ended wrote objects whose names end in {suffix!r}, which this version does not know: "
                "run the version that wrote them until the ledger has no attempt of its"
            )

    def claim(self, until: float) -> bool:
        """Claim each name that is free. Were rows written under all of them? Raises SinkError, LedgerError."""
        return all([*self._each(lambda name: self._claim(name, until))])

    def _claim(self, name: str, until: float) -> bool:
        found: dict[str, str] = {}
        try:
            self.store.put(name, self._body, self.tags, lambda path: self._difference(path, found), until)
        except TakenError as taken:
            if taken.found is None and not self._is_parquet:
                return True  # text in a folder: what is no claim is taken for rows
            told: Mapping[str, str] = found if taken.found is None else taken.found
            if told.get("token") != self.token:
                raise LedgerError(
                    f"{self.store.url} holds {name}, which is not of the attempt that the ledger tells: it lost an item, two ledgers "
                    "are used for one sink, or somebody else wrote it; restore the ledger's table, or write to another sink"
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
