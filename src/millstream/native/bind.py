"""Find the compiled kernels, load them, and call them.

Three back ends run the same object code through the same ctypes calls:

- `native`: kernels.so by the system's loader; the only one allowed in a function;
- `jit`: kernels.o by llvmlite's in-process linker, where no kernels.so can be made (no linker, macOS, Windows);
- `checked`: an object compiled with range tests in every access, for tests and fuzzing.

`MILLSTREAM_BACKEND` forces one. Nothing falls back silently: `backend()` says which runs and why.
"""

from __future__ import annotations

# Importing this is part of every cold start: what only a build or a refusal needs (hashlib, subprocess, pickle) comes late.
import ctypes
import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.errors import BackendError, SettingsError
from millstream.native import build

BACKENDS = ("native", "jit", "checked")

# What each CPU that kernels are compiled for has beyond its architecture's baseline, as /proc/cpuinfo names it.
CPU_NEEDS = {"x86-64-v3": ("avx2", "bmi1", "bmi2", "fma", "movbe", "f16c"), "neoverse-n1": ("asimd", "atomics")}

_PACKAGED = Path(__file__).parent / "objects"
_ROOT = Path(__file__).parents[2]
_IN_CHECKOUT = _ROOT.name == "src" and (_ROOT.parent / "pyproject.toml").exists()
_LAYOUT = {"int64": "q", "float64": "d"}
_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_ITEMSIZE = {"uint8[]": 1, "int32[]": 4, "uint32[]": 4, "int64[]": 8, "uint64[]": 8, "float32[]": 4, "float64[]": 8}


@dataclass(frozen=True)
class Backend:
    """What runs: its name, the folder its object came from, its manifest, and why it was chosen."""

    name: str
    folder: Path
    manifest: dict[str, Any]
    reason: str


def in_function() -> bool:
    """Are we inside a Lambda function?"""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "AWS_LAMBDA_RUNTIME_API" in os.environ


def cache_folder() -> Path:
    """Where built objects are kept: MILLSTREAM_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("MILLSTREAM_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millstream"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        raise BackendError(
            "no home folder to keep compiled kernels in: set MILLSTREAM_CACHE_DIR to a folder of yours"
        ) from None


def missing_cpu_features(cpu: str) -> list[str]:
    """What the object's CPU has and this machine lacks, by the kernel's names; empty where that cannot be told."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            head = file.read(8192)
    except OSError:
        return []
    for line in head.splitlines():
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [feature for feature in CPU_NEEDS.get(cpu, ()) if feature not in present]
    return []


def _remedy(folder: Path) -> str:
    return "reinstall millstream" if _PACKAGED in folder.parents else f"delete {folder}, it is made again"


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BackendError(
            f"cannot read the kernels' manifest {folder / 'manifest.json'}: {error}; {_remedy(folder)}"
        ) from None
    if manifest.get("version") != build.MANIFEST_VERSION:
        raise BackendError(
            f"{folder / 'manifest.json'} has version {manifest.get('version')!r}, "
            f"this millstream reads {build.MANIFEST_VERSION}: {_remedy(folder)}"
        )
    return manifest


def _trusted(folder: Path) -> bool:
    """Loading an object runs it: a cache that another user can write to is not used."""
    if not hasattr(os, "getuid"):
        return True
    for path in (*folder.iterdir(), folder, folder.parent, folder.parent.parent):
        status = path.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            return False
    return True


def build_into_cache(checked: bool, target: str | None = None) -> tuple[Path, dict[str, Any]]:
    """The cache's object for the source as it stands, for this machine unless told, compiled first if need be."""
    import importlib.util
    import subprocess

    target = target or build.host_target()
    folder = cache_folder() / "kernels" / f"{build.source_hash()[:16]}-{target}{'-checked' if checked else ''}"
    manifest = _read_manifest(folder)
    if manifest is not None:
        if not _trusted(folder):
            raise BackendError(
                f"{folder}, or a folder it is in, can be written by others, so its code is not run: "
                "delete it, or set MILLSTREAM_CACHE_DIR to a folder that only you can write to"
            )
        return folder, manifest
    if importlib.util.find_spec("numba") is None:
        raise BackendError(
            "the compiled kernels are not there and numba is not installed to compile them: "
            "install a millstream wheel for this platform, or run: pip install 'millstream[udf]'"
        )
    print("millstream: compiling the kernels once, into", folder, file=sys.stderr, flush=True)
    try:
        # One at a time, since `parents` would give the upper one the mode that the umask leaves.
        cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = folder.parent / "families"
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        kept.mkdir(exist_ok=True, mode=0o700)
        build.build_in_child(folder, target, checked, kept if _trusted(kept) else None)
    except subprocess.CalledProcessError as error:
        told = "\n".join(error.stderr.strip().splitlines()[-12:])
        raise BackendError(f"the kernels could not be compiled:\n{told}") from error
    except OSError as error:
        raise BackendError(
            f"the kernels could not be compiled into {folder}: {error}; set MILLSTREAM_CACHE_DIR to a folder of yours"
        ) from None
    manifest = _read_manifest(folder)
    assert manifest is not None
    return folder, manifest


def _find(forced: str) -> tuple[Path, dict[str, Any], str]:
    """The folder of the object to run, its manifest, and the reason."""
    if forced in ("", "native"):  # what is packaged is kernels.so, without range tests
        packaged = _PACKAGED / build.host_target()
        manifest = _read_manifest(packaged)
        # An installed package was built whole. In a checkout the source may have moved on since; then the cache serves.
        if manifest is not None and not (_IN_CHECKOUT and manifest["source"] != build.source_hash()):
            return packaged, manifest, "it came with the installed package"
    if in_function():
        raise BackendError(
            f"no compiled kernels for {build.host_target()} in this layer: attach the layer built for this architecture"
        )
    folder, manifest = build_into_cache(forced == "checked")
    return folder, manifest, f"compiled from {'this source checkout' if _IN_CHECKOUT else 'the installed source'}"


class Kernels:
    """Every kernel as an attribute, made on first use: `kernels.take_int64(source, indices, out)`.

    Array arguments are `Memory`; their item sizes are compared with the kernel's in the checked back end, where an
    access outside an array raises IndexError with the kernel's file and line.
    """

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._keep: Any = None
        self._lock = threading.Lock()
        self._made: Callable[[str], Callable[..., int]] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kernels = self.load().manifest["kernels"]
        if name not in kernels:
            raise AttributeError(f"no kernel {name!r} in the manifest")
        assert self._made is not None
        made = self.__dict__[name] = self._made(name)
        return made

    def load(self) -> Backend:
        """Load the object if that has not been done. Raises BackendError with the reason and the remedy."""
        if self._backend is not None:
            return self._backend
        with self._lock:  # one object: callers of a second one would outlive the first, or the other way round
            return self._backend if self._backend is not None else self._loaded()

    def _loaded(self) -> Backend:
        forced = os.environ.get("MILLSTREAM_BACKEND", "")
        if forced and forced not in BACKENDS:
            raise SettingsError(f"MILLSTREAM_BACKEND is {forced!r}; it may be {', '.join(BACKENDS)}, or unset")
        if in_function() and forced not in ("", "native"):
            raise SettingsError(f"MILLSTREAM_BACKEND is {forced!r}; in a Lambda function only native runs: unset it")
        folder, manifest, reason = _find(forced)
        lacking = missing_cpu_features(manifest["cpu"])
        if lacking:
            raise BackendError(
                f"this CPU lacks {', '.join(lacking)}, which kernels compiled for {manifest['cpu']} need: "
                "run on a CPU from 2015 or later, or an emulator with these features"
            )
        name = forced or ("native" if manifest["shared"] else "jit")
        address = self._open(name, folder, manifest)

        def made(kernel: str) -> Callable[..., int]:
            entry = manifest["kernels"][kernel]
            return _caller(kernel, entry["parameters"], address(entry["symbol"]), manifest["checked"])

        self._made = made
        self._backend = Backend(name, folder, manifest, reason)
        return self._backend

    def _open(self, name: str, folder: Path, manifest: dict[str, Any]) -> Callable[[str], int]:
        import hashlib

        use_shared = name != "jit" and manifest["shared"] is not None
        if name == "native" and not use_shared:
            raise BackendError(
                "no linker was found when the kernels were compiled: "
                f"install one (binutils) and delete {folder}, or unset MILLSTREAM_BACKEND"
            )
        path = folder / ("kernels.so" if use_shared else "kernels.o")
        try:
            code = path.read_bytes()
        except OSError as error:
            raise BackendError(f"cannot read {path}: {error.strerror}; {_remedy(folder)}") from None
        if hashlib.sha256(code).hexdigest() != manifest["shared" if use_shared else "object"]:
            raise BackendError(f"{path} is not the file its manifest describes: it was changed or cut short; {_remedy(folder)}")
        self._keep, address = by_system(path) if use_shared else by_llvm(path, code)
        return address


def by_system(path: Path) -> tuple[Any, Callable[[str], int]]:
    """A shared object that the system's loader opens, and what tells a symbol's address. Raises BackendError."""
    try:
        library = ctypes.CDLL(str(path), mode=os.RTLD_NOW)
    except OSError as error:
        raise BackendError(f"the system cannot load {path}: {error}") from None
    return library, lambda symbol: ctypes.cast(library[symbol], ctypes.c_void_p).value or 0


def by_llvm(path: Path, code: bytes) -> tuple[Any, Callable[[str], int]]:
    """The same of an object file's bytes, by llvmlite's linker. Raises BackendError."""
    try:
        import llvmlite.binding as llvm
    except ImportError:
        raise BackendError(
            f"{path.name} is loaded by llvmlite, which is not installed: pip install 'millstream[udf]', "
            "or install a linker (binutils)"
        ) from None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, lambda symbol: int(engine.get_function_address(symbol))


def _caller(name: str, parameters: list[list[str]], address: int, checked: bool) -> Callable[..., int]:
    """A Python callable over a kernel's C function, which takes one pointer: see `build._wrapper`."""
    shape = tuple([kind in _ITEMSIZE for _, kind in parameters])
    layout = "".join(["qq" if kind in _ITEMSIZE else _LAYOUT[kind] for _, kind in parameters])
    pack = struct.Struct(layout + "q" * checked).pack
    function = _FUNCTION(address)

    def call(*arguments: Any) -> Any:
        words: list[Any] = []
        for is_array, argument in zip(shape, arguments, strict=True):
            if is_array:
                words += (argument.address, argument.count)
            else:
                words.append(argument)
        return function(pack(*words))

    def checked_call(*arguments: Any) -> int:
        words: list[Any] = []
        for (parameter, kind), argument in zip(parameters, arguments, strict=True):
            if kind in _ITEMSIZE:
                if argument.itemsize != _ITEMSIZE[kind]:
                    raise TypeError(f"{name}: {parameter} is {kind}, got items of {argument.itemsize} bytes")
                words += (argument.address, argument.count)
            else:
                words.append(argument)
        trap = ctypes.c_void_p()
        result = int(function(pack(*words, ctypes.addressof(trap))))
        if trap.value:
            raise _described(name, trap.value)
        return result

    chosen = checked_call if checked else _QUICK[shape](function, pack) if shape in _QUICK else call
    chosen.__name__ = chosen.__qualname__ = name
    return chosen


_A, _S = True, False
_QUICK: dict[tuple[bool, ...], Callable[[Any, Any], Callable[..., int]]] = {
    (_A,): lambda f, p: lambda a: f(p(a.address, a.count)),
    (_S, _A): lambda f, p: lambda s, a: f(p(s, a.address, a.count)),
    (_A, _A): lambda f, p: lambda a, b: f(p(a.address, a.count, b.address, b.count)),
    (_A, _S, _A): lambda f, p: lambda a, s, b: f(p(a.address, a.count, s, b.address, b.count)),
    (_A, _A, _A): lambda f, p: lambda a, b, c: f(p(a.address, a.count, b.address, b.count, c.address, c.count)),
    (_A, _A, _A, _A): lambda f, p: (
        lambda a, b, c, d: f(p(a.address, a.count, b.address, b.count, c.address, c.count, d.address, d.count))
    ),
    (_A, _A, _A, _A, _A): lambda f, p: (
        lambda a, b, c, d, e: f(
            p(a.address, a.count, b.address, b.count, c.address, c.count, d.address, d.count, e.address, e.count)
        )
    ),
    (_A, _A, _A, _A, _A, _A): lambda f, p: (
        lambda a, b, c, d, e, g: f(
            p(
                a.address, a.count, b.address, b.count, c.address, c.count,
                d.address, d.count, e.address, e.count, g.address, g.count,
            )
        )
    ),
    (_A, _A, _S, _A, _A, _A): lambda f, p: (
        lambda a, b, s, c, d, e: f(
            p(a.address, a.count, b.address, b.count, s, c.address, c.count, d.address, d.count, e.address, e.count)
        )
    ),
    (_A, _A, _A, _S, _A, _A, _A): lambda f, p: (
        lambda a, b, c, s, d, e, g: f(
            p(
                a.address, a.count, b.address, b.count, c.address, c.count, s,
                d.address, d.count, e.address, e.count, g.address, g.count,
            )
        )
    ),
    (_A, _A, _A, _S): lambda f, p: lambda a, b, c, s: f(p(a.address, a.count, b.address, b.count, c.address, c.count, s)),
    (_S, _A, _A): lambda f, p: lambda s, a, b: f(p(s, a.address, a.count, b.address, b.count)),
    (_A, _S, _A, _A): lambda f, p: lambda a, s, b, c: f(p(a.address, a.count, s, b.address, b.count, c.address, c.count)),
    (_A, _A, _S, _A): lambda f, p: lambda a, b, s, c: f(p(a.address, a.count, b.address, b.count, s, c.address, c.count)),
    (_A, _A, _S, _A, _A): lambda f, p: (
        lambda a, b, s, c, d: f(p(a.address, a.count, b.address, b.count, s, c.address, c.count, d.address, d.count))
    ),
    (_A, _A, _A, _S, _A, _A): lambda f, p: (
        lambda a, b, c, s, d, e: f(
            p(a.address, a.count, b.address, b.count, c.address, c.count, s, d.address, d.count, e.address, e.count)
        )
    ),
    (_A, _A, _A, _A, _S, _A): lambda f, p: (
        lambda a, b, c, d, s, e: f(
            p(a.address, a.count, b.address, b.count, c.address, c.count, d.address, d.count, s, e.address, e.count)
        )
    ),
    (_A, _S, _S, _A): lambda f, p: lambda a, s, t, b: f(p(a.address, a.count, s, t, b.address, b.count)),
    (_A, _S, _S, _A, _A): lambda f, p: (
        lambda a, s, t, b, c: f(p(a.address, a.count, s, t, b.address, b.count, c.address, c.count))
    ),
    (_A, _S, _S, _S, _A): lambda f, p: lambda a, s, t, u, b: f(p(a.address, a.count, s, t, u, b.address, b.count)),
}  # fmt: skip
"""Callers of the shapes that come most often, array or scalar: without a loop they take half the time."""


def _described(name: str, address: int) -> IndexError:
    """What a checked kernel says of an access outside an array. Its text is our own object's constant."""
    import pickle

    data = ctypes.c_void_p.from_address(address).value
    size = ctypes.c_int32.from_address(address + 8).value
    where: object = "somewhere"
    if data and size > 0:
        parts = pickle.loads(ctypes.string_at(data, size))  # noqa: S301 (a constant compiled into our own checked object)
        where = parts
    return IndexError(f"kernel {name}: {where}")


kernels = Kernels()
"""The one set of kernels of this process."""
