"""Items in an SQLite file: for runs on one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson

from millstream import clock
from millstream.errors import LedgerError
from millstream.ledger.item import Item

_WAIT_SECONDS = 10.0
_MADE = "CREATE TABLE IF NOT EXISTS ledger (id TEXT PRIMARY KEY, version INTEGER NOT NULL, item TEXT NOT NULL, updated_at TEXT NOT NULL)"


class SqliteTable:
    """A file of SQLite's, made when it is first used. Several processes of one machine may use it at a time."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.url = f"sqlite://{path}"

    def load(self) -> None: ...

    def read(self, id: str, until: float) -> Item:  # noqa: A002
        with self._open(until) as file:
            return self._standing(file, id)

    def swap(self, id: str, after: Item, until: float) -> Item:  # noqa: A002
        written = orjson.dumps(after.to_dict()).decode()
        now = datetime.fromtimestamp(clock.now(), UTC).isoformat()
        with self._open(until) as file:
            if after.version == 1:
                done = file.execute("INSERT OR IGNORE INTO ledger VALUES (?, 1, ?, ?)", (id, written, now))
            else:
                done = file.execute(
                    "UPDATE ledger SET version = ?, item = ?, updated_at = ? WHERE id = ? AND version = ?",
                    (after.version, written, now, id, after.version - 1),
                )
            return after if done.rowcount == 1 else self._standing(file, id)

    def all(self, prefix: str, until: float) -> Iterator[tuple[str, Item]]:
        with self._open(until) as file:
            found = file.execute(
                "SELECT id FROM ledger WHERE substr(id, 1, ?) = ? ORDER BY id", (len(prefix), prefix)
            ).fetchall()
        for (name,) in found:
            yield name, self.read(name, until)

    def remove(self, id: str, version: int, until: float) -> bool:  # noqa: A002
        with self._open(until) as file:
            if file.execute("DELETE FROM ledger WHERE id = ? AND version = ?", (id, version)).rowcount == 1:
                return True
            return file.execute("SELECT 1 FROM ledger WHERE id = ?", (id,)).fetchone() is None

    def _standing(self, file: sqlite3.Connection, id: str) -> Item:  # noqa: A002
        found = file.execute("SELECT item FROM ledger WHERE id = ?", (id,)).fetchone()
        if found is None:
            return Item()
        try:
            told = orjson.loads(found[0])
        except ValueError:
            told = None
        return Item.of(told, f"{id!r} in {self.url}")

    @contextmanager
    def _open(self, until: float) -> Iterator[sqlite3.Connection]:
        """The file in a transaction of its own. Raises LedgerError."""
        wait = min(_WAIT_SECONDS, until - clock.monotonic())
        if wait <= 0:
            raise LedgerError(f"cannot use the ledger {self.url}: time is up; give it more time, or less to do at once")
        try:
            with closing(sqlite3.connect(self.path, timeout=wait, isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
                file.execute(_MADE)
                yield file
                file.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:  # ValueError: a NUL in the path
            advice = "another process holds it: run again when that has ended"
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                advice = (
                    "write sqlite:///path in a folder that this user may write to, "
                    "of a file that SQLite wrote or that is not there"
                )
            raise LedgerError(f"cannot use the ledger {self.url}: {error}; {advice}") from None
