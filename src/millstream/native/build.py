"""Compile all kernels ahead of time into one object for one CPU target, with its manifest.

    python -m millstream.native.build --out DIR [--target x86_64|aarch64] [--checked]

writes kernels.o, kernels.so (where a linker is found) and manifest.json. This is the only module that imports numba. It
runs in a process of its own, because Numba's optimisation level and the checked mode are fixed when it is imported.

How: Numba translates each kernel to unoptimised LLVM IR (optimised IR has the build host's vector widths baked in), a
wrapper with a plain C signature is put around each, everything else is made private, and LLVM's own pipeline optimises
the whole for the target.
"""

# `bind` imports this module in every process, for its names and hashes: what only a build needs is imported where it is used.
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST_VERSION = 2

TARGETS = {
    "x86_64": ("x86_64-unknown-linux-gnu", "x86-64-v3"),
    "aarch64": ("aarch64-unknown-linux-gnu", "neoverse-n1"),
}

# What an object may ask of the process that loads it: all of it is in libc, which is always there.
ALLOWED_SYMBOLS = frozenset({"memset", "memcpy", "memmove", "memcmp"})

_CTYPE = {"int64": "i64", "float64": "double"}


def source_hash(folder: Path | None = None) -> str:
    """The hash of everything the object is made from: kernels and this file."""
    import hashlib

    root = folder or Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted([*(root / "kernels").glob("*.py"), root / "native" / "build.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def host_target() -> str:
    """The name of this machine's target: its architecture, with the system's name where that is not Linux."""
    if hasattr(os, "uname"):
        machine = os.uname().machine
    else:
        import platform

        machine = platform.machine()
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return machine if sys.platform == "linux" else f"{machine}-{sys.platform}"


def _wrapper(name: str, parameters: tuple[tuple[str, str], ...], mangled: str, checked: bool) -> str:
    """LLVM IR of `int64 ms_<name>(words)` around a function of the same module in Numba's calling convention.

    words: of each array its address and its count, of each scalar its eight bytes, one after another: ctypes brings one pointer to C in
    the time that a second argument would take. A checked kernel has one more word, the address where a raised exception's description
    goes. Numba flattens an array to seven words: meminfo, parent, items, item size, data, shape, stride.
    """
    from millstream.kernels.spec import ITEMSIZE

    loads: list[str] = []
    theirs: list[str] = ["ptr %ret", "ptr %exc"]

    def loaded(llvm: str, name: str) -> None:
        """The next word."""
        place = f"%at{len(loads)}"
        loads.append(f"{place} = getelementptr i64, ptr %words, i64 {len(loads)}\n  %{name} = load {llvm}, ptr {place}")

    for i, (_, kind) in enumerate(parameters):
        if kind in ITEMSIZE:
            loaded("ptr", f"a{i}")
            loaded("i64", f"n{i}")
            size = ITEMSIZE[kind]
            theirs += ["ptr null", "ptr null", f"i64 %n{i}", f"i64 {size}", f"ptr %a{i}", f"i64 %n{i}", f"i64 {size}"]
        else:
            loaded(_CTYPE[kind], f"a{i}")
            theirs.append(f"{_CTYPE[kind]} %a{i}")
    if checked:
        loaded("ptr", "trap")
    words = "\n  ".join(loads)
    trap = """
  %bad = icmp ne i32 %status, 0
  br i1 %bad, label %raised, label %fine
raised:
  %info = load ptr, ptr %exc
  store ptr %info, ptr %trap
  ret i64 0
fine:"""
    return f"""
define i64 @ms_{name}(ptr %words) {{
  {words}
  %ret = alloca i64
  %exc = alloca ptr
  store i64 0, ptr %ret
  store ptr null, ptr %exc
  %status = call i32 @{mangled}({", ".join(theirs)}){trap if checked else ""}
  %value = load i64, ptr %ret
  ret i64 %value
}}
"""


def _numba_signature(parameters: tuple[tuple[str, str], ...]) -> Any:
    from numba import types

    def numba_type(text: str) -> Any:
        if text.endswith("[]"):
            return types.Array(getattr(types, text[:-2]), 1, "C")
        return getattr(types, text)

    return types.int64(*[numba_type(kind) for _, kind in parameters])


def _never_called_from_python() -> None:
    """Take out of Numba, in this process, what only serves functions that Python calls: it takes a fifth of the time."""
    from numba.core import codegen, cpu, event

    def nothing(*_: Any, **__: Any) -> None:
        pass

    # Flags of `njit` would do for the wrappers, but they become part of every symbol's name.
    cpu.CPUContext.create_cpython_wrapper = nothing
    cpu.CPUContext.create_cfunc_wrapper = nothing
    codegen.JITCodeLibrary._finalize_specific = nothing  # machine code for this process
    codegen.JITCPUCodegen.set_env = nothing  # asks for the address of what has no machine code
    event.broadcast = nothing  # timers: every call into LLVM tells each function that waits to be compiled


def compile_family(family: str, checked: bool) -> dict[str, Any]:
    """The unoptimised LLVM module of the kernels of one family and of those that go with it, its functions never to inline, and the
    manifest's word on each kernel."""
    import gc
    import importlib

    import llvmlite.binding as llvm
    from numba import njit

    from millstream.kernels.spec import CHECKED, KERNELS, OUTLINED

    if checked != CHECKED:
        raise RuntimeError("MILLSTREAM_KERNELS_CHECKED was not set for this process")
    gc.disable()  # the process ends with this family: nearly all that it makes stays until then
    _never_called_from_python()
    own = {importlib.import_module(f"millstream.kernels.{name}").__name__ for name in members(family)}
    whole: Any = None  # linked here already: it takes time by the size of what is linked into
    entries: dict[str, Any] = {}
    for one in KERNELS.values():
        if one.function.__module__ not in own:
            continue  # another family's, imported for its helpers
        compiled = njit(
            _numba_signature(one.parameters), _nrt=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
        )(one.function)
        result = compiled.overloads[compiled.signatures[0]]
        if str(result.signature.return_type) != "int64":
            raise TypeError(f"kernel {one.name} returns {result.signature.return_type}, not int64")
        text = str(result.library._final_module) + _wrapper(one.name, one.parameters, result.fndesc.mangled_name, checked)
        whole = _linked(whole, llvm.parse_assembly(text))
        entries[one.name] = {"symbol": f"ms_{one.name}", "parameters": [list(pair) for pair in one.parameters]}
    outlined = [result.fndesc.mangled_name for one in OUTLINED for result in one.overloads.values()]
    return {"module": str(whole), "outlined": outlined, "kernels": entries}


def members(family: str) -> tuple[str, ...]:
    """A family, and those that are compiled with it."""
    from millstream import kernels

    return family, *kernels.WITH.get(family, ())


def sources(family: str) -> list[Path]:
    """The files of a family and of those that go with it, and those of their folder that they import, and they in turn."""
    import re

    found: dict[str, Path] = {}
    waiting = list(members(family))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = Path(__file__).parent.parent / "kernels" / f"{name}.py"
            waiting += re.findall(r"^from millstream\.kernels\.(\w+) import", found[name].read_text(), re.MULTILINE)
    return [found[name] for name in sorted(found)]


def _family_file(family: str, checked: bool, kept: Path) -> Path:
    """Where a family's module is in a folder, by what it is made from."""
    import hashlib

    import numba

    digest = hashlib.sha256(f"{numba.__version__} {checked}".encode() + Path(__file__).read_bytes())
    for path in sources(family):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return kept / f"{family}{'-checked' if checked else ''}.{digest.hexdigest()[:16]}.json"


def family_module(family: str, checked: bool, kept: Path, here: bool = False) -> dict[str, Any]:
    """What `compile_family` makes, in a process of its own; found again in the folder `kept` while its sources are the same.

    `here` says that this process is one of its own already.
    """
    file = _family_file(family, checked, kept)
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        pass
    text = json.dumps(compile_family(family, checked)) if here else _in_child(["--family", family], checked)
    for old in kept.glob(f"{file.name.partition('.')[0]}.*.json"):
        old.unlink(missing_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(text)
    temporary.rename(file)
    return dict(json.loads(text))


def _compile_in_forks(families: list[str], checked: bool, kept: Path) -> None:
    """Compile families into a folder, each in a fork of this process, which imports numba and fills its tables once."""
    import traceback

    from numba.core.registry import cpu_target

    from millstream.kernels import spec  # noqa: F401

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    waiting = list(reversed(families))
    running: dict[int, str] = {}
    failed: list[str] = []
    while running or (waiting and not failed):
        if waiting and not failed and len(running) < (os.cpu_count() or 1):
            process = os.fork()
            if process == 0:
                status = 1
                try:
                    family_module(waiting[-1], checked, kept, here=True)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            running[process] = waiting.pop()
        else:
            process, status = os.wait()
            family = running.pop(process)
            failed += [family] if status else []
    if failed:
        raise SystemExit(f"not compiled: {', '.join(failed)}")


def compile_module(checked: bool, kept: Path | None) -> tuple[Any, dict[str, Any]]:
    """One unoptimised LLVM module of all kernels, and what the manifest says of each.

    Each family is compiled in a process of its own: on all cores, and with the same names whatever was compiled before it.
    `kept` is a folder for modules of families whose sources have not changed.
    """
    import tempfile
    from concurrent.futures import ThreadPoolExecutor

    from millstream import kernels

    if kept is None:
        with tempfile.TemporaryDirectory() as folder:
            return compile_module(checked, Path(folder))
    longest_first = sorted(kernels.FAMILIES, key=lambda family: -sum(path.stat().st_size for path in sources(family)))
    changed = [family for family in longest_first if not _family_file(family, checked, kept).exists()]
    if changed and sys.platform == "linux":  # macOS has a fork too, which its own libraries may not survive
        _compile_in_forks(changed, checked, kept)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {family: pool.submit(family_module, family, checked, kept) for family in longest_first}
        made = [running[family].result() for family in kernels.FAMILIES]
    return joined(made), {name: entry for family in made for name, entry in family["kernels"].items()}


def _linked(whole: Any, piece: Any) -> Any:
    """A module with another linked in; the other where there was none."""
    if whole is None:
        return piece
    piece.triple = whole.triple
    piece.data_layout = whole.data_layout
    whole.link_in(piece)
    return whole


def joined(families: list[dict[str, Any]]) -> Any:
    """The modules of families as one, in which only the wrappers can be seen from outside. Raises where two do not fit."""
    import llvmlite.binding as llvm

    whole: Any = None
    for family in families:
        whole = _linked(whole, llvm.parse_assembly(family["module"]))
    outlined = {name for family in families for name in family["outlined"]}
    for function in whole.functions:
        if not function.is_declaration and not function.name.startswith("ms_"):
            function.linkage = "internal"
        if function.name in outlined:
            function.add_function_attribute("noinline")
    for variable in whole.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    whole.verify()
    return whole


def optimised(text: str, target: str, prepare: Callable[[Any], None] | None = None) -> tuple[Any, Any, str]:
    """A module's IR optimised for a target: the machine that emits it, the module, and the name of the CPU it needs.

    prepare: called with the module before LLVM's passes.
    """
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    if target in TARGETS:
        triple, cpu = TARGETS[target]
    else:  # macOS, Windows: only ever loaded on the machine that made it
        triple, cpu = llvm.get_process_triple(), llvm.get_host_cpu_name()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, reloc="pic", codemodel="default")
    module = llvm.parse_assembly(text)
    module.triple = triple
    module.data_layout = str(machine.target_data)
    if prepare is not None:
        prepare(module)
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = True
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    return machine, module, cpu


def emit(module: Any, target: str) -> tuple[bytes, str]:
    """Optimise for a target; the object's bytes and the name of the CPU it needs."""
    machine, module, cpu = optimised(str(module), target)
    wanted = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if wanted - ALLOWED_SYMBOLS:
        raise SystemExit(f"the kernels need symbols that no function has: {', '.join(sorted(wanted - ALLOWED_SYMBOLS))}")
    return machine.emit_object(module), cpu


def linkers(target: str) -> list[str]:
    """The linkers for a target that are on this machine: a bare one is enough."""
    import shutil

    triple = TARGETS.get(target, ("", ""))[0].replace("unknown-", "")
    own = ["ld", "cc", "gcc", "clang"] if target == host_target() else []
    found = (shutil.which(name) for name in [*own, f"{triple}-ld", f"{triple}-gcc", "ld.lld"])
    return [path for path in found if path]


def link(obj: Path, shared: Path, target: str) -> bool:
    """Make a shared object with whatever linker is there; False where there is none."""
    import subprocess

    for found in linkers(target):
        start = "-Wl," if found.endswith(("cc", "clang")) else ""
        flags = [f"{start}-z,noexecstack", f"{start}--build-id=none"] if start else ["-z", "noexecstack", "--build-id=none"]
        extra = ["-nostdlib"] if start else []
        command = [found, "-shared", "-s", *extra, *flags, "-o", str(shared), str(obj)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return True
    return False


def build(out: Path, target: str, checked: bool, kept: Path | None = None) -> dict[str, Any]:
    """Compile into a folder; returns the manifest. The folder appears whole or not at all. `kept`: see `compile_module`."""
    import hashlib
    import shutil
    import tempfile

    import llvmlite
    import numba

    module, entries = compile_module(checked, kept)
    code, cpu = emit(module, target)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=out.parent))
    try:
        (work / "kernels.o").write_bytes(code)
        linked = link(work / "kernels.o", work / "kernels.so", target)
        manifest = {
            "version": MANIFEST_VERSION,
            "target": target,
            "cpu": cpu,
            "checked": checked,
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
            "source": source_hash(),
            "object": hashlib.sha256(code).hexdigest(),
            "shared": hashlib.sha256((work / "kernels.so").read_bytes()).hexdigest() if linked else None,
            "kernels": entries,
        }
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        work.chmod(0o755)
        try:
            work.rename(out)
        except OSError:  # another process was faster, or an old build stands there
            if (out / "manifest.json").exists() and json.loads((out / "manifest.json").read_text()) == manifest:
                return manifest
            shutil.rmtree(out)
            work.rename(out)
        return manifest
    finally:
        shutil.rmtree(work, ignore_errors=True)


def build_in_child(out: Path, target: str, checked: bool, kept: Path | None = None) -> None:
    """`build` in a fresh interpreter with the settings it needs. Raises CalledProcessError with its output."""
    _in_child(["--out", str(out), "--target", target, *(["--kept", str(kept)] if kept else [])], checked)


def _in_child(arguments: list[str], checked: bool) -> str:
    import subprocess

    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment.update(
        NUMBA_OPT="0", NUMBA_CPU_NAME="generic", OPENBLAS_NUM_THREADS="1", MILLSTREAM_KERNELS_CHECKED="1" if checked else "0"
    )
    # This very source, whatever is installed: PYTHONPATH would not do, an isolated build takes installed folders out of it.
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from millstream.native.build import main; main()"
    command = [sys.executable, "-c", start, str(Path(__file__).parents[2]), *arguments, *(["--checked"] if checked else [])]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def main() -> None:
    import argparse
    import subprocess

    parser = argparse.ArgumentParser(prog="python -m millstream.native.build", description="Compile the kernels ahead of time.")
    parser.add_argument("--out", type=Path, help="the folder to write; replaced if it stands")
    parser.add_argument("--target", default=host_target(), help="%(default)s unless told; x86_64 or aarch64 for a layer")
    parser.add_argument("--checked", action="store_true", help="compile range tests in, for tests and fuzzing")
    parser.add_argument("--kept", type=Path, help="a folder of yours alone, for families that have not changed since")
    parser.add_argument("--family", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    prepared = os.environ.get("NUMBA_OPT") == "0" and os.environ.get("MILLSTREAM_KERNELS_CHECKED") == str(
        int(arguments.checked)
    )
    try:
        if arguments.family:
            json.dump(compile_family(arguments.family, arguments.checked), sys.stdout)
        elif arguments.out is None:
            parser.error("--out is needed: the folder to write")
        elif prepared:
            build(arguments.out.absolute(), arguments.target, arguments.checked, arguments.kept)
        else:
            build_in_child(arguments.out.absolute(), arguments.target, arguments.checked, arguments.kept)
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.stderr.strip()) from None


if __name__ == "__main__":
    main()
