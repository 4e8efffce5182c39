"""The shape of the package: imports run one way, rooms stay small, nothing heavy is imported to run a pipeline."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import millstream

pytestmark = pytest.mark.once

PACKAGE = Path(millstream.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Each room may import from its own row and from the rows above it.
ROWS = (
    ("_version", "classes", "clock", "errors", "schema", "seed", "types", "values"),
    ("kernels",),
    ("native",),
    ("columns", "hashing", "grouping"),
    ("decode", "encode"),
    ("functions",),
    ("literals", "methods", "reductions"),
    ("notation",),
    ("expr", "across", "grammar", "tables"),
    ("steps",),
    ("lookups", "userfunc"),
    ("binding", "plan", "planned", "aggregates", "partials", "optimise", "nullness"),
    ("engine", "outcome", "lineage"),
    ("documents", "pipeline", "spec", "step_forms", "file_schema"),
    ("sinks", "ledger", "remote"),
    ("aws", "local"),
    ("sizing", "doctor", "publish", "glue", "explain"),
    ("arguments",),
    ("cli", "__main__"),
)
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}

# What a pipeline never imports when it runs, and the rooms that may: the compiler's.
NEVER_AT_RUN_TIME = {"numpy", "numba", "llvmlite", "pandas"}
COMPILERS = ("kernels", "native")

MOST_LINES = 500


class Import(NamedTuple):
    file: str
    line: int
    module: str
    """The full dotted name; of `from a.b import c` both a.b and a.b.c are told, since c may be a module."""
    at_top: bool


def module_name(path: Path) -> str:
    parts = ["millstream", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, name: str, is_package: bool, file: str = "") -> Iterator[Import]:
    """Every import of a module, relative ones resolved, those inside functions included."""
    tree = ast.parse(source)
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        at_top = id(node) not in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, at_top)
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if is_package else name.split(".")[:-1]
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield Import(file, node.lineno, base, at_top)
            for alias in node.names:
                yield Import(file, node.lineno, f"{base}.{alias.name}", at_top)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                yield Import(file, node.lineno, named.value, at_top)


def all_imports() -> Iterator[tuple[str, Import]]:
    for path in FILES:
        name = module_name(path)
        for one in imports_of(path.read_text(), name, path.name == "__init__.py", str(path.relative_to(PACKAGE))):
            yield name, one


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "millstream" and len(parts) > 1 else None


def wrong_way(name: str, one: Import) -> str | None:
    """Why an import is against the rule, or None."""
    here, there = room_of(name), room_of(one.module)
    where = f"{one.file}:{one.line}"
    if here is None or one.module.split(".")[0] != "millstream":
        return None  # __init__ holds the public names and may import all
    if here not in LEVEL:
        return None  # told by test_every_room_has_its_place_in_the_order
    if there is None:
        return None  # `from millstream import x` is judged by its millstream.x
    if there not in LEVEL:
        return f"{where} imports {one.module}: take it from the room it is in, not from the public names"
    if here == "kernels":
        return None if there == "kernels" else f"{where}: kernels import nothing of the package but kernels, not {one.module}"
    if LEVEL[there] > LEVEL[here]:
        return f"{where}: {here} may not import {there}"
    return None


def test_every_room_has_its_place_in_the_order():
    rooms = {room_of(module_name(path)) for path in FILES} - {None}
    assert rooms <= LEVEL.keys(), "a new room: write into ROWS where it stands"


def test_imports_run_one_way():
    wrong = {complaint for name, one in all_imports() if (complaint := wrong_way(name, one))}
    assert not wrong, "\n" + "\n".join(sorted(wrong))


def test_no_modules_import_each_other_when_imported():
    modules = {module_name(path) for path in FILES}
    needs: dict[str, set[str]] = {name: set() for name in modules}
    for name, one in all_imports():
        if one.at_top and one.module in modules and one.module != name and not name.startswith(one.module + "."):
            needs[name].add(one.module)
    while needs:
        ready = {name for name, of in needs.items() if not of & needs.keys()}
        assert ready, f"these import each other: {sorted(needs)}"
        needs = {name: of for name, of in needs.items() if name not in ready}


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("millstream.plan", "from millstream.engine import run", "plan may not import engine"),
        ("millstream.plan", "from . import engine", "plan may not import engine"),
        ("millstream.functions.text", "from ..plan import Plan", "functions may not import plan"),
        ("millstream.engine", "def f():\n    import millstream.aws.kinesis", "engine may not import aws"),
        ("millstream.engine", "import importlib\nimportlib.import_module('millstream.cli')", "engine may not import cli"),
        ("millstream.kernels.json", "from millstream.schema import Code", "kernels import nothing of the package"),
        ("millstream.aws.sqs", "from millstream import Pipeline", "not from the public names"),
        ("millstream.engine", "from millstream.columns import take", None),
        ("millstream.pipeline", "from .spec import read", None),
    ],
)
def test_the_rule_catches_what_it_is_for(name, source, says):
    complaints = [complaint for one in imports_of(source, name, False) if (complaint := wrong_way(name, one))]
    assert len(complaints) <= 2
    assert (says is None and not complaints) or says in complaints[0]


def test_only_the_compiler_imports_compilers():
    found = [
        f"{one.file}:{one.line} imports {one.module}"
        for name, one in all_imports()
        if one.module.split(".")[0] in NEVER_AT_RUN_TIME
        and (room_of(name) not in COMPILERS or (room_of(name) == "native" and one.at_top))
    ]
    assert not found


def test_pyarrow_compute_is_imported_late():
    late = ("pyarrow.compute", "pyarrow.dataset", "pyarrow.acero", "boto3", "botocore")
    found = [
        f"{one.file}:{one.line} imports {one.module} at its top"
        for _, one in all_imports()
        if one.at_top and one.module in late
    ]
    assert not found


# Where source is run, or pickles are read, and why that is no door for a stranger.
DANGEROUS = {
    ("native/bind.py", "pickle.loads"): "a constant compiled into our own checked object",
    ("kernels/spec.py", "exec"): "kernels rewritten from this package's own source",
    (
        "native/user_build.py",
        "exec",
    ): "a user's own function, as text from the process that has run its module, in a child that compiles it",
}


def test_nothing_evaluates_text_or_reads_pickles():
    names = {"eval", "exec", "pickle.load", "pickle.loads", "marshal.loads", "os.system", "yaml.load", "yaml.unsafe_load"}
    found = {
        (str(path.relative_to(PACKAGE)), ast.unparse(node.func))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    }
    assert found <= DANGEROUS.keys()


def test_rooms_stay_small():
    long = {
        str(path.relative_to(PACKAGE)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long, "split each into two rooms"


# Runs in a child: importing what a pipeline never needs fails there, and who tried is told.
GUARD = """
import sys
asked = []
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "numba", "llvmlite", "pandas"}:
            frame = sys._getframe(1)
            while frame and "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            asked.append((name, frame.f_globals.get("__name__", "?") if frame else "?"))
            raise ImportError(name + " is not imported at run time")
sys.meta_path.insert(0, Guard())
"""
TELL = """
import json
ours = [pair for pair in asked if pair[1].split(".")[0] == "millstream"]
print(json.dumps({"asked": ours, "loaded": sorted({"numpy", "numba", "llvmlite", "pandas"} & sys.modules.keys())}))
"""
CLEAN = {"asked": [], "loaded": []}

COLUMNS = """
import pyarrow as pa
from millstream.columns import close, open_array
array = pa.array(["a", None, "c"])
assert close(open_array(array)).equals(array)
"""

PIPELINE = """
from millstream import Pipeline, Schema, col
pipeline = Pipeline(Schema({"name": "string", "price": "float64"})).drop_nulls("price").filter(col("price") > 10)
outcome = pipeline.run([b'{"name": "a", "price": 11}', b'{"name": "b", "price": 9.5}', b'{"name": "c"}', b"nonsense"])
assert outcome.batch.num_rows == 1, outcome.counts
assert outcome.counts["delivered"] == 4 and outcome.counts["rejected"] == 1, outcome.counts
"""


def compiled_natively(child) -> bool:
    return child("from millstream.native.bind import kernels; print(kernels.load().name)").stdout.strip() == "native"


def test_columns_need_no_numpy_and_no_numba(child):
    if not compiled_natively(child):
        pytest.skip("NOT TESTED: no linker on this machine, so llvmlite loads the kernels")
    assert json.loads(child(GUARD + COLUMNS + TELL).stdout) == CLEAN


@pytest.mark.skipif(not hasattr(millstream, "Pipeline"), reason="NOT TESTED: there is no millstream.Pipeline yet")
def test_a_pipeline_needs_no_numpy_and_no_numba(child):
    if not compiled_natively(child):
        pytest.skip("NOT TESTED: no linker on this machine, so llvmlite loads the kernels")
    assert json.loads(child(GUARD + PIPELINE + TELL).stdout) == CLEAN


def test_the_guard_tells_who_asked(child):
    told = json.loads(child(GUARD + "try:\n    import millstream.kernels.spec\nexcept ImportError:\n    pass\n" + TELL).stdout)
    assert told == {"asked": [["llvmlite", "millstream.kernels.spec"]], "loaded": []}


START = """
import sys, time
for name in ("numpy", "numba", "llvmlite", "pandas"):
    sys.modules[name] = None
start = time.process_time()
import {module} as module
[getattr(module, name) for name in {names}]
{then}
print(time.process_time() - start)
"""


DESCRIBE = """
from millstream import Pipeline, Schema, col
Pipeline(Schema({"a": "int64", "b": "string"})).filter(col("a") > 1).with_columns(c=col("a") * 2)
"""


# Measured: 1.0 for the import; 1.4 to 1.5 for a pipeline that is described, 10 of whose 20 ms are `dataclasses` and what that
# imports; 2.0 to 2.4 with every public name touched (YAML, the file runner: more than a handler needs).
@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "then", "bar"),
    [([], "", 1.5), ([], DESCRIBE, 1.75), (list(getattr(millstream, "__all__", [])), "", 3.0)],
    ids=["the import", "a pipeline described", "every name"],
)
def test_import_takes_little_beside_pyarrow(child, names: list[str], then: str, bar: float):
    """Medians of fresh processes in turn, in CPU time; a machine that is busy just then gets another chance."""

    def seconds(module: str, names: list[str], then: str = "") -> float:
        # Compiled bytecode is part of an installation; an environment that writes none would measure Python's compiler.
        return float(child(START.format(module=module, names=names, then=then), PYTHONDONTWRITEBYTECODE=None).stdout)

    seconds("millstream", names, then)
    ratios = []
    for _ in range(4):
        pairs = [(seconds("millstream", names, then), seconds("pyarrow", [])) for _ in range(5)]
        ours, theirs = (sorted(column)[2] for column in zip(*pairs, strict=True))
        ratios.append(ours / theirs)
        if ratios[-1] < bar:
            return
    pytest.fail(f"import millstream took {', '.join(f'{ratio:.2f}' for ratio in ratios)} times as long as import pyarrow")


def test_importing_the_package_alone_imports_nothing_heavy(child):
    told = child(
        "import sys, millstream; print(sorted({'pyarrow', 'boto3', 'aws_lambda_powertools', 'yaml'} & sys.modules.keys()))"
    )
    assert told.stdout.strip() == "[]"
