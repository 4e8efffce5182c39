"""Where items are kept: a table whose writes name what they replace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from millstream.classes import Protocol
from millstream.errors import SettingsError

if TYPE_CHECKING:  # settings are read by functions that have no ledger
    from millstream.ledger.item import Item

_EXPECTED = "write dynamodb://TABLE or sqlite:///path"


class Table(Protocol):
    """Items by id."""

    @property
    def url(self) -> str:
        """The place, as logs and errors tell it."""

    def load(self) -> None:
        """Load what the first call would. Raises SettingsError."""

    def read(self, id: str, until: float) -> Item:  # noqa: A002
        """An item as it is now; that of version 0 if there is none. Raises LedgerError."""

    def swap(self, id: str, after: Item, until: float) -> Item:  # noqa: A002
        """Write an item in the place of the one whose version is one less. Returns what stands there then: `after`, if it was written.

        It was written also if another attempt of this very call wrote it, whose answer was lost. Raises LedgerError.
        """

    def all(self, prefix: str, until: float) -> Iterator[tuple[str, Item]]:
        """Items whose id starts so, with their ids. Raises LedgerError."""

    def remove(self, id: str, version: int, until: float) -> bool:  # noqa: A002
        """Remove an item that is still of this version. Is it gone then, whoever removed it? Raises LedgerError."""


def open_table(url: str) -> Table:
    """The table at dynamodb://TABLE or sqlite:///path. Raises SettingsError."""
    try:
        checked_ledger(url)
    except ValueError as error:
        raise SettingsError(f"the ledger is {url!r}: {error}") from None
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        from millstream.ledger.sqlite import SqliteTable

        return SqliteTable(unquote(parts.path))
    from millstream.sinks.store import require_boto3

    require_boto3(f"the ledger {url}")
    from millstream.ledger.dynamodb import DynamoTable

    return DynamoTable(parts.netloc)


def checked_ledger(value: str) -> str:
    """A ledger's URL. Raises ValueError with what to write."""
    parts = urlsplit(value)
    if parts.query or parts.fragment or "\0" in unquote(value):
        raise ValueError(_EXPECTED)
    if parts.scheme == "dynamodb" and parts.netloc and not parts.path.strip("/"):
        name = parts.netloc
        if 3 <= len(name) <= 255 and all(one.isascii() and (one.isalnum() or one in "_-.") for one in name):
            return value
    if parts.scheme == "sqlite" and parts.path.strip("/") and not parts.netloc:
        return value
    raise ValueError(_EXPECTED)
