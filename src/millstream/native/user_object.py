"""Objects of users' functions: LLVM optimises a module for a CPU, and a linker makes a shared object.

Mathematical functions are libm's, which every Lambda has. Nothing else may be asked of the process that loads an object.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from millstream.native.build import ALLOWED_SYMBOLS, TARGETS, host_target, linkers, optimised

_MATH = (
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "copysign", "cos", "cosh", "erf", "erfc", "exp", "exp2",
    "expm1", "fabs", "floor", "fmod", "hypot", "lgamma", "log", "log10", "log1p", "log2", "nearbyint", "pow", "rint", "round", "sin",
    "sinh", "sqrt", "tan", "tanh", "tgamma", "trunc",
)  # fmt: skip
LIBM = frozenset(name + kind for name in _MATH for kind in ("", "f"))
"""What an object may take from libm."""
_LIBM_NAME = "libm.so.6"


MEMORY = "it makes something that takes memory, such as text, a list or an array: compute with numbers and truth values alone"


class CompileError(Exception):
    """A function that Numba cannot compile. Its text says why, in plain words."""


def emit(text: str, target: str) -> tuple[bytes, str]:
    """A module optimised for a target: its object's bytes, and the name of the CPU it needs. Raises CompileError."""
    machine, module, cpu = optimised(text, target, _hide)
    code = machine.emit_object(module)
    declared = {one.name for one in (*module.functions, *module.global_variables) if one.is_declaration}
    foreign = {name for name in declared if not name.startswith("llvm.")} - ALLOWED_SYMBOLS - LIBM
    if foreign:
        raise CompileError(_needs(foreign))
    return code, cpu


def _hide(module: Any) -> None:
    """All but the loops is seen from inside alone."""
    for one in (*module.functions, *module.global_variables):
        outside = one.name.startswith("ms_udf_") and not one.name.endswith("_row")
        if not one.is_declaration and not outside:
            one.linkage = "internal"
    module.verify()


def _needs(foreign: Iterable[str]) -> str:
    """What a function does that cannot be compiled ahead of time, told by the symbols that it would need."""
    names = sorted(foreign)
    if any(name.startswith("NRT_") for name in names):
        return MEMORY
    if any(name.startswith(("Py", "_Py", "numba_gil")) for name in names):
        return "it calls Python itself, as print does: leave that out"
    called = [f"math.{name.removeprefix('numba_')}" for name in names if name.startswith("numba_")]
    return f"it uses {', '.join(called or names)}, which needs Numba when it runs: write it with other functions of math"


def link(work: Path, names: list[str], target: str) -> bool:
    """Make functions.so of the objects in a folder with whatever linker is there; False where there is none."""
    import subprocess

    for found in linkers(target):
        driver = ["-nostdlib"] if found.endswith(("cc", "clang")) else []
        start = "-Wl," if driver else ""
        flags = [f"{start}-z,noexecstack" if driver else "-znoexecstack", f"{start}--build-id=none", f"{start}--as-needed"]
        whole = [found, "-shared", "-s", *driver, *flags]

        def run(*arguments: str, whole: list[str] = whole) -> bool:
            return subprocess.run([*whole, *arguments], cwd=work, capture_output=True, check=False).returncode == 0

        # A libm for the other CPU need not be here: one that has the names is enough for the object to say that it needs it.
        stub: list[str] = []
        if target in TARGETS and _has_glibc(target):
            (work / "libm.o").write_bytes(_names_alone(target))
            soname = f"-Wl,-soname,{_LIBM_NAME}" if driver else f"-soname={_LIBM_NAME}"
            if run(soname, "-o", _LIBM_NAME, "libm.o"):
                stub = [_LIBM_NAME]
        done = run("-o", "functions.so", *names, *stub)
        for one in ("libm.o", _LIBM_NAME):
            (work / one).unlink(missing_ok=True)
        if done:
            return True
    return False


def _has_glibc(target: str) -> bool:
    """Is libm a file of its own, where the object will run? Everywhere but on this machine that is Lambda."""
    if target != host_target():
        return True
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def _names_alone(target: str) -> bytes:
    """An object that defines the names of libm, and nothing that they do."""
    import llvmlite.binding as llvm

    triple, cpu = TARGETS[target]
    module = llvm.parse_assembly("".join(f"define void @{name}() {{\n  ret void\n}}\n" for name in sorted(LIBM)))
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, reloc="pic", codemodel="default")
    module.data_layout = str(machine.target_data)
    return bytes(machine.emit_object(module))
