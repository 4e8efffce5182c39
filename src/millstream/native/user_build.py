"""Compile users' functions: each becomes a loop over columns, in an object that `millstream.native.user_load` loads.

    build_in_child(functions, [Folder(path, target, digests)])

compiles in a process of its own, which alone imports numba. It gets each function as text, with the constants and the helpers that it
uses (`millstream.userfunc.source`): nobody's module is run for it, and what is compiled is exactly what the digest is of.

How: Numba translates the function to unoptimised LLVM IR, a loop in LLVM IR is put around it, and LLVM optimises both for the target.
Mathematical functions are libm's, which every Lambda has; nothing else may be asked of the process.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from millstream.native.build import _never_called_from_python
from millstream.native.user_loop import Value, loop
from millstream.native.user_object import MEMORY, CompileError, emit, link

MANIFEST_VERSION = 1


class Folder(NamedTuple):
    """What is to be made: a folder with one object of some functions, by their digests. keep: the single function's .o as well."""

    path: str
    target: str
    digests: list[str]
    keep: bool = False


def symbol_of(digest: str) -> str:
    """The name of a function's loop in its object."""
    return f"ms_udf_{digest[:32]}"


def build_in_child(functions: Mapping[str, Mapping[str, Any]], folders: Iterable[Folder]) -> dict[str, Any]:
    """Compile functions, by their digests, into folders. Answers with {"failed": {digest: why}, "unlinked": [targets]}.

    A folder is written whole or not at all, and not if one of its functions failed. Raises RuntimeError with what the child said where
    it broke.
    """
    import subprocess

    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment.update(
        NUMBA_OPT="0", NUMBA_CPU_NAME="generic", NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING="1", OPENBLAS_NUM_THREADS="1",
        PYTHONHASHSEED="0",
    )  # fmt: skip
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from millstream.native.user_build import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, str(Path(__file__).parents[2])],
        input=json.dumps({"functions": dict(functions), "folders": list(folders)}),
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-12:]))
    return dict(json.loads(done.stdout))


# --- in the child --------------------------------------------------------------------------------------------------------


def main() -> None:
    """The child: one JSON object from standard input, one to standard output."""
    import gc
    import warnings

    gc.disable()
    warnings.simplefilter("ignore")
    asked = json.load(sys.stdin)
    _never_called_from_python()
    modules: dict[str, str] = {}
    failed: dict[str, str] = {}
    for digest, function in asked["functions"].items():
        try:
            modules[digest] = _module(digest, function)
        except CompileError as error:
            failed[digest] = str(error)
    unlinked = []
    objects: dict[tuple[str, str], tuple[bytes, str]] = {}
    for folder in (Folder(*one) for one in asked["folders"]):
        try:
            for digest in folder.digests:
                if digest in modules and (digest, folder.target) not in objects:
                    objects[digest, folder.target] = emit(modules[digest], folder.target)
        except CompileError as error:
            failed[digest] = str(error)
        if not failed.keys() & set(folder.digests) and not _write(folder, asked["functions"], objects):
            unlinked.append(folder.target)
    json.dump({"failed": failed, "unlinked": unlinked}, sys.stdout)


def _module(digest: str, function: Mapping[str, Any]) -> str:
    """Unoptimised LLVM IR of a function and the loop around it. Raises CompileError."""
    from numba import njit, types
    from numba.core.errors import NumbaError

    from millstream.kernels.user.arithmetic import JIT

    kinds = {"int64": types.int64, "uint64": types.uint64, "float64": types.float64, "bool": types.boolean}
    arguments = tuple(types.Optional(kinds[kind]) if null else kinds[kind] for kind, null in function["parameters"])
    try:
        compiled = njit(arguments, **JIT)(_python(function["code"]))
        result = compiled.overloads[compiled.signatures[0]]
    except NumbaError as error:
        raise CompileError(_reason(str(error))) from None
    except Exception as error:  # what Numba meets in a user's function may break it anywhere
        raise CompileError(_reason(f"{type(error).__name__}: {error}")) from None
    value = _returned(types.unliteral(result.signature.return_type), function["result"])
    around = loop(symbol_of(digest), function["parameters"], function["result"], value, result.fndesc.mangled_name)
    return str(result.library._final_module) + around


def _python(code: Mapping[str, Any]) -> Any:
    """The Python function that a text is of, among the names that it uses."""
    import ast
    import builtins

    from numba import njit

    from millstream.kernels.user.arithmetic import JIT, NAMES, OPERATORS, Checked
    from millstream.kernels.user.mathematics import MATH, math_module

    namespace: dict[str, Any] = {"__name__": "millstream_functions", **OPERATORS, **NAMES}
    for name, (kind, said) in code["names"].items():
        if kind == "function":
            namespace[name] = njit(**JIT)(_python(said))
        elif kind == "module":
            namespace[name] = math_module()
        elif kind == "member":
            known = MATH if said[0] == "math" else vars(builtins) | NAMES
            if said[1] not in known:
                raise CompileError(f"there is no {'.'.join(said)} for compiled functions")
            namespace[name] = known[said[1]]
        else:
            namespace[name] = _constant(kind, said)
    tree = ast.fix_missing_locations(Checked().visit(ast.parse(code["text"])))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.returns = None
    for argument in definition.args.posonlyargs + definition.args.args:
        argument.annotation = None
    ast.increment_lineno(tree, code["line"] - 1)
    exec(compile(tree, code["file"], "exec"), namespace)  # noqa: S102 (the user's own source, which this very command compiles)
    return namespace[definition.name]


def _constant(kind: str, said: Any) -> Any:
    if kind == "tuple":
        return tuple(_constant(*one) for one in said)
    readers: dict[str, Callable[[Any], Any]] = {"int": int, "float": float.fromhex, "bool": bool, "none": lambda _: None}
    return readers[kind](said)


def _returned(kind: Any, result: Mapping[str, Any]) -> Value:
    """What the function gives, if it fits what was declared. Raises CompileError."""
    from numba import types

    declared, optional = result["type"], isinstance(kind, types.Optional)
    if isinstance(kind, types.NoneType):
        raise CompileError(f"it gives None always, where {declared} is declared: return a value")
    if optional and not result["null"]:
        raise CompileError(
            f"it may give None, where {declared} is declared: declare {declared}?, or return a value on every way"
        )
    kind = types.unliteral(kind.type) if optional else kind
    if isinstance(kind, types.Boolean):
        value = Value("i8", 8, False, "bool")
    elif isinstance(kind, types.Integer):
        value = Value(f"i{kind.bitwidth}", kind.bitwidth, kind.signed, "int")
    elif isinstance(kind, types.Float):
        value = Value("double" if kind.bitwidth == 64 else "float", kind.bitwidth, True, "float")
    else:
        raise CompileError(f"it gives {kind}, where {declared} is declared: return one number or truth value")
    physical = result["physical"]
    if value.family == "float" and physical in ("int64", "uint64"):
        raise CompileError(
            f"it gives a float, where {declared} is declared: write int(…) around what it returns, or declare float64"
        )
    if value.family != "bool" and physical == "bool":
        raise CompileError(f"it gives a number, where bool is declared: return a comparison, or declare {kind}")
    return value


def _write(folder: Folder, functions: Mapping[str, Any], objects: Mapping[tuple[str, str], tuple[bytes, str]]) -> bool:
    """Make a folder, whole or not at all. Is there a shared object in it? Where there is none, it is only written if it keeps the .o."""
    import hashlib
    import shutil
    import tempfile

    import llvmlite
    import numba

    out = Path(folder.path)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=out.parent))
    try:
        digests = sorted(folder.digests)
        names = []
        for digest in digests:
            names.append(f"{symbol_of(digest)}.o")
            (work / names[-1]).write_bytes(objects[digest, folder.target][0])
        linked = link(work, names, folder.target)
        if not linked and not folder.keep:
            return False
        manifest = {
            "version": MANIFEST_VERSION,
            "target": folder.target,
            "cpu": objects[digests[0], folder.target][1],
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
            "shared": hashlib.sha256((work / "functions.so").read_bytes()).hexdigest() if linked else None,
            "object": hashlib.sha256(objects[digests[0], folder.target][0]).hexdigest() if folder.keep else None,
            "functions": {one: {key: functions[one][key] for key in ("name", "signature")} for one in digests},
        }
        for name in names:
            if folder.keep:
                (work / name).rename(work / "functions.o")
            else:
                (work / name).unlink()
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        work.chmod(0o755)
        try:
            work.rename(out)
        except OSError:  # another process was faster, or an old one stands there
            if (out / "manifest.json").exists() and json.loads((out / "manifest.json").read_text()) == manifest:
                return linked
            shutil.rmtree(out)
            work.rename(out)
        return linked
    finally:
        shutil.rmtree(work, ignore_errors=True)


# --- Numba's reasons -----------------------------------------------------------------------------------------------------


def _reason(said: str) -> str:
    """Why Numba refused a function, in one line: the place, and what it cannot do."""
    from millstream.kernels.user.arithmetic import SHOWN

    place = re.findall(r'File "([^"]+)", line (\d+)', said)
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith("Failed in nopython mode pipeline")]
    first = re.sub(r"^\w+Error: ", "", lines[0]) if lines else "no reason was given"
    tried = re.search(r">>> ([\w.]+)\((.*)\)", said)
    if "round takes its digits" in said:
        first = "round takes its digits as a plain number from 0 to 22"
    elif "exception_match" in said:
        first = "except cannot tell kinds of errors apart here: write except Exception, or test before"
    elif "NRT required" in said or "NRT_" in said:
        first = MEMORY
    elif first.startswith("No implementation of function") and tried:
        operator, given = SHOWN.get(tried[1]), _types(tried[2])
        first = f"{tried[1]}({', '.join(given)}) cannot be computed"
        if operator and len(given) == 2:
            first = f"{given[0]} {operator} {given[1]} cannot be computed"
    elif unified := re.match(r"Cannot unify (.+) and (.+) for '([^'.]+)", first):
        first = f"{unified[3]} is {', '.join(_types(unified[1]))} in one place and {', '.join(_types(unified[2]))} in another"
    elif attribute := re.match(r"Unknown attribute '(\w+)' of type (.+)", first):
        first = f"there is no attribute {attribute[1]} of {', '.join(_types(attribute[2]))}"
    elif attribute := re.match(r"module 'math' has no attribute '(\w+)'", first):
        first = f"there is no math.{attribute[1]} for compiled functions"
    first = re.sub(r"\s*Raised from .*$", "", re.sub(r"\$[\w.]+", "a value", first)).rstrip(".")
    where = f"{place[-1][0]}, line {place[-1][1]}: " if place else ""
    return where + first


def _types(said: str) -> list[str]:
    """Numba's names of types as users know them."""
    said = re.sub(r"<iv=[^>]*>", "", said)
    said = re.sub(r"OptionalType\(([^()]*)\)", r"\1?", said)
    parts = [part.strip() for part in re.split(r", (?![^(\[]*[)\]])", said)]
    return [_type(part) for part in parts]


def _type(said: str) -> str:
    for start, name in (
        ("Literal[str]", "text"),
        ("unicode_type", "text"),
        ("Literal[int]", "int64"),
        ("Literal[bool]", "bool"),
    ):
        if said.startswith(start):
            return name
    return {"none": "None", "boolean": "bool"}.get(said, said)


if __name__ == "__main__":
    main()
