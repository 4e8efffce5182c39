"""`millstream build`: a pipeline's functions, compiled ahead of time for the CPUs that it will run on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millstream.classes import dataclass
from millstream.errors import BackendError, PlanError, UsageError
from millstream.native.build import TARGETS, linkers
from millstream.native.user_build import Folder, build_in_child
from millstream.native.user_load import BUILT
from millstream.userfunc.declared import UserFunction

_ALSO = {"arm64": "aarch64", "amd64": "x86_64"}
"""What targets are called elsewhere; Lambda says arm64."""
PACKAGES = {"x86_64": "binutils-x86-64-linux-gnu", "aarch64": "binutils-aarch64-linux-gnu"}
"""The Debian package with a linker for a target, on machines of another kind."""
_SHOWN = {"aarch64": "arm64"}


@dataclass(frozen=True)
class Built:
    """What was built: the functions as (name, signature), and a folder for each target."""

    functions: tuple[tuple[str, str], ...]
    folders: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """What was built as one JSON object."""
        return {
            "version": 1,
            "functions": [{"name": name, "signature": signature} for name, signature in self.functions],
            "folders": [str(one) for one in self.folders],
        }

    def render(self) -> str:
        """The same to read."""
        if not self.functions:
            return "the pipeline calls no function that is compiled: nothing to build"
        lines = [f"{name}: {signature}" for name, signature in self.functions]
        for folder in self.folders:
            lines.append(f"  {folder / 'functions.so'}  {(folder / 'functions.so').stat().st_size:,} bytes")
        return "\n".join(lines)


def targets_of(said: Sequence[str]) -> list[str]:
    """The targets that a command names; all where it names none. Raises UsageError."""
    names = [_ALSO.get(one, one) for one in said] or list(TARGETS)
    for one in names:
        if one not in TARGETS:
            raise UsageError(f"there is no target {one!r}; write x86_64, or arm64 for Graviton")
    return list(dict.fromkeys(names))


def build(functions: Sequence[UserFunction], out: Path, targets: Sequence[str]) -> Built:
    """Compile functions into OUT/millstream_udf/TARGET/. The same source gives the same bytes.

    Raises PlanError for a function that cannot be compiled, BackendError where the machine lacks what it takes, and UsageError for a
    folder that is none.
    """
    import importlib.util

    asked = {one.digest: one.code for one in functions if not one.batch}
    if not asked:
        return Built((), ())
    if importlib.util.find_spec("numba") is None:
        raise BackendError("numba is not installed, which compiles functions: run `pip install 'millstream[udf]'`")
    absent = [one for one in targets if not linkers(one)]
    if absent:
        others = [one for one in targets if one not in absent]
        instead = f", or leave it out: --target {others[0]}" if others else ""
        raise BackendError(
            f"no linker for {_SHOWN.get(absent[0], absent[0])} is installed: apt-get install {PACKAGES[absent[0]]}{instead}"
        )
    folders = [Folder(str((out / BUILT / target).absolute()), target, sorted(asked)) for target in targets]
    try:
        answer = build_in_child(asked, folders)
    except RuntimeError as error:
        last = str(error).splitlines()[-1:]
        raise BackendError(f"the functions cannot be compiled into {out}: {' '.join(last)}") from None
    for digest, why in answer["failed"].items():
        raise PlanError(f"{asked[digest]['name']} cannot be compiled: {why}")
    if answer["unlinked"]:
        raise BackendError(f"the linker for {answer['unlinked'][0]} failed: {linkers(answer['unlinked'][0])[0]}")
    named = sorted((one["name"], one["signature"]) for one in asked.values())
    return Built(tuple(named), tuple(out / BUILT / target for target in targets))
