"""Where a batch came from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from millstream.classes import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a batch came from, and what its objects are called.

    base: the start of the objects' names. range: the records of the source that the batch holds, as text.
    identity, arrived, sub: of a record, by its position; sub is its number within its delivery. first: the number of the batch's
    first record in its source. token: of the ledger's attempt that the objects belong to, where there is one. format: of the records,
    json or csv. context: of a record, by its position, what it cannot be read without: its CSV header.
    """

    base: str
    range: str
    source: str
    identity: Callable[[int], str]
    arrived: Callable[[int], datetime]
    arrival: date
    format: str = "json"
    first: int = 0
    sub: Callable[[int], int] = lambda position: 0
    token: str | None = None
    context: Callable[[int], bytes | None] = lambda position: None

    def tags(self, fingerprint: str, digest: str) -> dict[str, str]:
        """What tells an object of this batch from others."""
        told = {"fingerprint": fingerprint, "source": self.range, "digest": digest}
        return told if self.token is None else told | {"token": self.token}
