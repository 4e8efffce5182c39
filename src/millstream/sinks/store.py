"""A folder that holds objects: each is written whole or not at all, and never replaced."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from millstream.errors import SettingsError, SinkError, UsageError


class Stored(NamedTuple):
    """An object in a store: its place and its size in bytes. `fresh` is False if the same object stood there before."""

    url: str
    bytes: int
    fresh: bool


class DirectoryStore:
    """Objects as files under a folder, which is made when the first one comes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        self._folders: set[Path] = set()

    def put(self, name: str, body: Any, difference: Callable[[Path], str | None]) -> Stored:
        """Write `body` (a buffer) as the file `name`, folders parted by `/`, or find that the same object stands there.

        `difference` tells how a file that stands there is another object; None if it is the same one.
        Raises SinkError with nothing half-written left.
        """
        path = self.root / name
        self._make_folder(path.parent)
        view = memoryview(body)
        temporary = path.parent / f".millstream-{os.urandom(8).hex()}.tmp"
        try:
            try:
                _write(temporary, view)
                fresh = _link(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror or error}{_advice(error)}") from None
        if fresh:
            return Stored(str(path), view.nbytes, True)
        try:
            size = path.stat().st_size
            other = difference(path)
        except OSError as error:
            raise SinkError(f"{path} stands in the way and cannot be read: {error.strerror or error}") from None
        if other is not None:
            raise SinkError(
                f"{path} stands there already and is another object: {other}; write to another folder, or move it away"
            )
        return Stored(str(path), size, False)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise SinkError(f"cannot write into {folder}: it, or a folder above it, is a file") from None
        except OSError as error:
            raise SinkError(f"cannot make the folder {folder}: {error.strerror or error}{_advice(error)}") from None
        self._folders.add(folder)


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space and run again: what is whole is kept and not written twice"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "; choose a folder that this user may write to"
    return ""


def _write(path: Path, view: memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while view.nbytes:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)  # a name must not outlive its bytes when the machine stops
    finally:
        os.close(descriptor)


def _link(temporary: Path, path: Path) -> bool:
    """Give a whole file its name; False if the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        if path.exists():  # a file system without links: here two writers at once are not told apart
            return False
        os.rename(temporary, path)
    return True


def open_store(url: str | os.PathLike[str], what: str, *, kms_key: str | None = None) -> DirectoryStore:
    """The store at a path or URL; `what` names the setting in errors.

    Raises SettingsError for a URL that this version cannot write to, SinkError for a path that is a file.
    """
    text = os.fspath(url)
    if not text:
        raise SettingsError(f"{what} is empty; write a folder's path")
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise SettingsError(f"{what} is {text!r}; write file:///path")
        text = unquote(parts.path)
    elif scheme:
        raise SettingsError(f"{what} is {text!r}: this version writes to folders only; write a path or file:///path")
    if "\0" in text:
        raise SettingsError(f"{what} has a NUL character in its name; write a folder's path")
    path = Path(text)
    try:
        if os.path.lexists(path) and not stat.S_ISDIR(path.stat().st_mode):
            raise SinkError(f"{what} {text} is a file, not a folder; choose another path")
    except OSError as error:
        raise SinkError(f"{what} {text} cannot be used: {error.strerror}") from None
    return DirectoryStore(path)


def check_apart(sink: DirectoryStore, rejects: DirectoryStore) -> None:
    """Raise UsageError if readers of the sink would find the rejects."""
    if is_within(rejects.root, sink.root):
        raise UsageError(
            f"rejects {rejects.root} are inside the sink, where readers would find them; choose a folder beside it"
        )
    if is_within(sink.root, rejects.root):
        raise UsageError(f"the sink {sink.root} is inside the rejects' folder; choose a folder beside it")


def is_within(path: Path, folder: Path) -> bool:
    """Does a path lead to a folder, or into it? Links are followed."""
    return path.resolve().is_relative_to(folder.resolve())
