"""Find and load the compiled loops of users' functions: built beside the pipeline, or compiled on first use into the cache.

A folder has functions.so and manifest.json; in the cache, functions.o as well, for machines without a linker. What was built is in
millstream_udf/<target>/, beside the function's file or in the Lambda function's folder; in a Lambda function nothing is ever compiled.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.errors import BackendError, PlanError
from millstream.native import bind, build, user_build

BUILT = "millstream_udf"
"""The folder of what `millstream build` made."""


@dataclass(frozen=True)
class Wanted:
    """A function to be loaded.

    digest: of what the compiler sees. code: what the compiler needs. file: where it is written. arguments: how many it takes.
    """

    digest: str
    name: str
    code: Mapping[str, Any]
    file: Path
    arguments: int


@dataclass(frozen=True)
class Loaded:
    """A compiled loop: call(count, dense, valid, out, values, validity, …) with addresses. folder: where it came from."""

    call: Callable[..., int]
    folder: Path
    cpu: str


class _Functions:
    """Those of this process, by their digests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, Loaded] = {}
        self._opened: dict[Path, _Object] = {}
        self._failed: dict[str, str] = {}

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Compile those that are nowhere, all in one go. What fails is told by `load`."""
        if bind.in_function():
            return
        with self._lock:
            missing = {one.digest: one for one in wanted if one.digest not in self._loaded and _find(one) is None}
            self._compile(list(missing.values()))

    def load(self, one: Wanted) -> Loaded:
        """A function's loop. Raises PlanError where it cannot be compiled, BackendError where it is not there and nothing can be done."""
        with self._lock:
            if one.digest not in self._loaded:
                found = _find(one)
                if found is None:
                    _refuse_to_compile(one)
                    self._compile([one])
                    if one.digest in self._failed:
                        raise PlanError(f"{one.name} cannot be compiled: {self._failed[one.digest]}")
                    found = _find(one)
                    if found is None:
                        raise BackendError(f"the function {one.name} was compiled, and {_cached(one.digest)} is not there")
                self._loaded[one.digest] = self._open(one, *found)
            return self._loaded[one.digest]

    def _compile(self, missing: list[Wanted]) -> None:
        missing = [one for one in missing if one.digest not in self._failed]
        if not missing or _numba_version() is None:
            return
        target = build.host_target()
        place = _cached("x").parent
        try:
            bind.cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
            place.mkdir(exist_ok=True, mode=0o700)
            told = ", ".join(one.name for one in missing)
            sys.stderr.write(f"millstream: compiling {told} once, into {place}\n")
            folders = [user_build.Folder(str(_cached(one.digest)), target, [one.digest], True) for one in missing]
            answer = user_build.build_in_child({one.digest: one.code for one in missing}, folders)
        except OSError as error:
            raise BackendError(
                f"functions cannot be compiled into {place}: {error}; set MILLSTREAM_CACHE_DIR to a folder of yours"
            ) from None
        except RuntimeError as error:
            raise BackendError(f"functions cannot be compiled:\n{error}") from None
        self._failed |= answer["failed"]

    def _open(self, one: Wanted, folder: Path, manifest: Mapping[str, Any]) -> Loaded:
        if folder not in self._opened:
            self._opened[folder] = _Object(folder, manifest)
        address = self._opened[folder].address(user_build.symbol_of(one.digest))
        words = [ctypes.c_void_p] * (2 + 2 * one.arguments)
        call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, *words)(address)
        return Loaded(call, folder, manifest["cpu"])


def _refuse_to_compile(one: Wanted) -> None:
    """Raise BackendError where nothing can be compiled here, with the command that helps."""
    if bind.in_function():
        stale = next((folder for folder, manifest in _built(one) if _names(manifest, one.name)), None)
        why = (
            f"has changed since {stale} was made"
            if stale is not None
            else f"has no compiled object for {build.host_target()} in this function's {BUILT}/"
        )
        raise BackendError(f"the function {one.name} of {one.file.name} {why}: run `millstream build PIPELINE -o DIR` where the "
                           "function's folder is DIR, and deploy that")  # fmt: skip
    if _numba_version() is None:
        raise BackendError(
            f"the function {one.name} is not compiled, and numba is not installed to compile it: "
            "run `pip install 'millstream[udf]'`, or `millstream build PIPELINE -o DIR` where it is installed"
        )


def _names(manifest: Mapping[str, Any], name: str) -> bool:
    return any(one.get("name") == name for one in manifest["functions"].values())


def _numba_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("numba")
    except PackageNotFoundError:
        return None


_source: list[str] = []


def _cached(digest: str) -> Path:
    """The cache's folder of a function: by what it is, by the compiler, and by the CPU."""
    import hashlib

    if not _source:
        here = Path(user_build.__file__).parent
        sources = [here / "build.py", *sorted(here.glob("user_*.py")), *sorted((here.parent / "kernels" / "user").glob("*.py"))]
        _source.append(hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest())
    told = f"{digest} {_source[0]} {_numba_version()}"
    return bind.cache_folder() / "functions" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}-{build.host_target()}"


def _places(one: Wanted) -> Iterator[Path]:
    target = build.host_target()
    yield one.file.parent / BUILT / target
    root = os.environ.get("LAMBDA_TASK_ROOT")
    if root:
        yield Path(root) / BUILT / target


def _built(one: Wanted) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in dict.fromkeys(_places(one)):
        manifest = _manifest(folder)
        if manifest is not None:
            yield folder, manifest


def _find(one: Wanted) -> tuple[Path, dict[str, Any]] | None:
    """The folder with a function's object, and its manifest."""
    for folder, manifest in _built(one):
        if one.digest in manifest["functions"]:
            return folder, manifest
    if bind.in_function():
        return None
    folder = _cached(one.digest)
    kept = _manifest(folder)
    if kept is None:
        return None
    if not bind._trusted(folder):
        raise BackendError(
            f"{folder}, or a folder it is in, can be written by others, so its code is not run: "
            "delete it, or set MILLSTREAM_CACHE_DIR to a folder that only you can write to"
        )
    return folder, kept


_KEYS = {"version": int, "target": str, "cpu": str, "shared": str | None, "object": str | None, "functions": dict}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """What stands in a folder's manifest; None where there is none. Raises BackendError where it is no such thing."""
    path = folder / "manifest.json"
    remedy = "delete the folder and run `millstream build` again"
    try:
        with path.open("rb") as file:
            read = json.loads(file.read(1 << 22))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise BackendError(f"cannot read the functions' manifest {path}: {error}; {remedy}") from None
    if not isinstance(read, dict) or read.get("version") != user_build.MANIFEST_VERSION:
        found = read.get("version") if isinstance(read, dict) else None
        raise BackendError(f"{path} has version {found!r}, this millstream reads {user_build.MANIFEST_VERSION}: {remedy}")
    if any(not isinstance(read.get(key), kind) for key, kind in _KEYS.items()) or not all(
        isinstance(entry, dict) for entry in read["functions"].values()
    ):
        raise BackendError(f"{path} is no manifest of functions: {remedy}")
    if read["target"] != build.host_target():
        raise BackendError(f"{path} is for {read['target']}, this machine is {build.host_target()}: {remedy}")
    return read


class _Object:
    """An object that is loaded, and stays so."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        import hashlib

        lacking = bind.missing_cpu_features(manifest["cpu"])
        if lacking:
            raise BackendError(f"this CPU lacks {', '.join(lacking)}, which functions compiled for {manifest['cpu']} need")
        by_system = manifest["shared"] is not None and (os.environ.get("MILLSTREAM_BACKEND") != "jit" or not manifest["object"])
        self._path = folder / ("functions.so" if by_system else "functions.o")
        try:
            code = self._path.read_bytes()
        except OSError as error:
            raise BackendError(f"cannot read {self._path}: {error.strerror}; run `millstream build` again") from None
        if hashlib.sha256(code).hexdigest() != manifest["shared" if by_system else "object"]:
            raise BackendError(
                f"{self._path} is not the file its manifest describes: it was changed or cut short; run `millstream build` again"
            )
        self._keep, self._address = bind.by_system(self._path) if by_system else bind.by_llvm(self._path, code)

    def address(self, symbol: str) -> int:
        try:
            found = self._address(symbol)
        except (AttributeError, ValueError):
            found = 0
        if not found:
            raise BackendError(f"{self._path} has no {symbol}, which its manifest names; run `millstream build` again")
        return found


functions = _Functions()
"""The compiled functions of this process."""
