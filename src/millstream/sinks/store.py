"""Places that hold objects: each is written whole or not at all, and never replaced. Folders are here, S3 is in `s3`."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from millstream import clock
from millstream.classes import Protocol
from millstream.errors import SettingsError, SinkError, UsageError


class Stored(NamedTuple):
    """An object in a store: its place and its size in bytes. `fresh` is False if the same object stood there before."""

    url: str
    bytes: int
    fresh: bool


class Found(NamedTuple):
    """Something that lies in a store. changed: when it was written, in seconds since 1970. upload: of what is no object yet."""

    name: str
    bytes: int
    changed: float
    upload: str = ""


class TakenError(SinkError):
    """Another object stands under the name. `found`: its tags, where the store tells them."""

    def __init__(self, message: str, found: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.found = found


class Store(Protocol):
    """Where objects go."""

    @property
    def url(self) -> str:
        """The place, as logs and errors tell it."""

    @property
    def threads(self) -> int:
        """How many puts at a time are worth it."""

    def put(
        self,
        name: str,
        body: Any,
        tags: Mapping[str, str],
        difference: Callable[[Path], str | None],
        until: float = math.inf,
    ) -> Stored:
        """Write `body` (a buffer) as the object `name`, folders parted by `/`, or find that the same object stands there.

        tags: what the object holds, as far as it tells two objects apart; a store that keeps metadata keeps and compares them.
        difference: for a store without, how a file is another object, in words; None if it is the same one.
        until: the time by clock.monotonic() at which no attempt is begun any more, where a put takes several.
        Raises TakenError for another object, SinkError else, with nothing half-written left.
        """

    def load(self) -> None:
        """Load what the first put would. Raises SettingsError."""

    def covers(self, other: Store) -> bool:
        """Would readers of this store find what is written to the other?"""

    def replace(self, name: str, body: bytes, until: float, tags: Mapping[str, str] | None = None) -> None:
        """Write a small object in the place of what stands there: a claim, or a note.

        Readers pass over notes: their names start with `_`.
        """

    def noted(self, name: str, until: float) -> bytes | None:
        """What is kept under a note's name, if there is something."""

    def forget(self, name: str, until: float) -> None:
        """Remove a note."""

    def listed(self, until: float) -> Iterator[Found]:
        """Every object and note, by name. Raises SinkError."""

    def tags(self, name: str, until: float) -> dict[str, str] | None:
        """An object's tags, None if there is no object; empty where its format keeps none. Raises SinkError."""

    def read(self, name: str, until: float) -> bytes:
        """An object's bytes. Raises SinkError."""

    def remove(self, name: str, until: float) -> None:
        """Remove an object; it is no error if there is none. Raises SinkError."""

    def unfinished(self, until: float) -> Iterator[Found]:
        """What writers that are gone, or are at work, left half-written. Raises SinkError."""

    def abandon(self, found: Found, until: float) -> None:
        """Remove what is half-written. Raises SinkError."""


_TEMPORARY = re.compile(r"\.millstream-[0-9a-f]{32}\.tmp", re.ASCII)


class DirectoryStore:
    """Objects as files under a folder, which is made when the first one comes."""

    threads = 1

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        self.url = str(self.root)
        self._folders: set[Path] = set()

    def load(self) -> None: ...

    def covers(self, other: Store) -> bool:
        """Does the other's folder lie in this one, links followed?"""
        return isinstance(other, DirectoryStore) and is_within(other.root, self.root)

    def put(
        self,
        name: str,
        body: Any,
        tags: Mapping[str, str],
        difference: Callable[[Path], str | None],
        until: float = math.inf,
    ) -> Stored:
        """Write a file, or find that the same object stands there; see `Store`. The tags are in the file, if anywhere."""
        path = self.root / name
        self._make_folder(path.parent)
        view = memoryview(body)
        temporary = path.parent / f".millstream-{clock.token()}.tmp"
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
            raise TakenError(
                f"{path} stands there already and is another object: {other}; write to another folder, or move it away"
            )
        return Stored(str(path), size, False)

    def replace(self, name: str, body: bytes, until: float, tags: Mapping[str, str] | None = None) -> None:
        path = self.root / name
        self._make_folder(path.parent)
        temporary = path.parent / f".millstream-{clock.token()}.tmp"
        try:
            try:
                _write(temporary, memoryview(body))
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror or error}{_advice(error)}") from None

    def noted(self, name: str, until: float) -> bytes | None:
        path = self.root / name
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SinkError(f"cannot read {path}: {error.strerror or error}") from None

    def forget(self, name: str, until: float) -> None:
        with suppress(OSError):
            (self.root / name).unlink()

    def listed(self, until: float) -> Iterator[Found]:
        return self._walk(lambda name: not name.startswith("."))

    def tags(self, name: str, until: float) -> dict[str, str] | None:
        from millstream.sinks import parquet

        try:
            if name.endswith(parquet.SUFFIX):
                return parquet.read_metadata(self.root / name)
            return {} if (self.root / name).is_file() else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SinkError(f"cannot read {self.root / name}: {error.strerror or error}") from None

    def read(self, name: str, until: float) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise SinkError(f"cannot read {self.root / name}: {error.strerror or error}") from None

    def remove(self, name: str, until: float) -> None:
        try:
            (self.root / name).unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(f"cannot remove {self.root / name}: {error.strerror or error}{_advice(error)}") from None

    def unfinished(self, until: float) -> Iterator[Found]:
        return self._walk(lambda name: _TEMPORARY.fullmatch(name) is not None)

    def abandon(self, found: Found, until: float) -> None:
        self.remove(found.name, until)

    def _walk(self, wanted: Callable[[str], bool]) -> Iterator[Found]:
        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise SinkError(f"cannot list {error.filename}: {error.strerror}")

        for folder, folders, files in os.walk(self.root, onerror=fail):
            folders.sort()
            for name in sorted(filter(wanted, files)):
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # it is gone since
                    status = path.stat()
                    yield Found(path.relative_to(self.root).as_posix(), status.st_size, status.st_mtime)

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


def open_store(url: str | os.PathLike[str], what: str, *, kms_key: str | None = None) -> Store:
    """The store at a path or URL; `what` names the setting in errors. `kms_key`: what S3 is to encrypt objects with.

    Raises SettingsError for a URL that this version cannot write to, SinkError for a path that is a file.
    """
    text = os.fspath(url)
    if not text:
        raise SettingsError(f"{what} is empty; write a folder's path, or s3://bucket/prefix/")
    if text.startswith("s3://"):
        require_boto3(f"{what} {text}")
        from millstream.sinks.s3 import S3Store, parse_s3

        return S3Store(*parse_s3(text, what), kms_key=kms_key)
    if kms_key is not None:
        raise SettingsError(f"{what} is the folder {text}, which no KMS key encrypts; leave the key out, or write to s3://")
    if "://" in text:
        text = _file_path(text, what)
    if "\0" in text:
        raise SettingsError(f"{what} has a NUL character in its name; write a folder's path")
    path = Path(text)
    try:
        if os.path.lexists(path) and not stat.S_ISDIR(path.stat().st_mode):
            raise SinkError(f"{what} {text} is a file, not a folder; choose another path")
    except OSError as error:
        raise SinkError(f"{what} {text} cannot be used: {error.strerror}") from None
    return DirectoryStore(path)


def _file_path(text: str, what: str) -> str:
    """The path in a text that may be a file's URL. Raises SettingsError."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(text)
    if not parts.scheme:
        return text
    if parts.scheme != "file":
        raise SettingsError(
            f"{what} is {text!r}, which cannot be written to; write a path, file:///path or s3://bucket/prefix/"
        )
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise SettingsError(f"{what} is {text!r}; write file:///path")
    return unquote(parts.path)


def require_boto3(place: str) -> None:
    """Raise SettingsError if boto3 is not installed; it is not imported yet."""
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        raise SettingsError(f"{place} needs boto3, which is not installed: pip install 'millstream[aws]'")


def check_apart(sink: Store, rejects: Store) -> None:
    """Raise UsageError if readers of the sink would find the rejects."""
    if sink.covers(rejects):
        raise UsageError(f"rejects {rejects.url} are inside the sink, where readers would find them; choose a folder beside it")
    if rejects.covers(sink):
        raise UsageError(f"the sink {sink.url} is inside the rejects' folder; choose a folder beside it")


def is_within(path: Path, folder: Path) -> bool:
    """Does a path lead to a folder, or into it? Links are followed."""
    return path.resolve().is_relative_to(folder.resolve())


def near(path: str) -> str:
    """A path as seen from the current folder, where it is inside it."""
    return path.removeprefix(os.path.join(os.getcwd(), ""))
