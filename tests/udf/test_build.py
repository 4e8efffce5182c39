"""`millstream build`, and what loads its objects: other CPUs, what was changed, what is hostile, and where nothing can be compiled."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream import Pipeline
from millstream.cli import main
from millstream.native import build, user_object
from millstream.userfunc.building import targets_of

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(
        build.host_target() not in build.TARGETS or shutil.which("ld") is None, reason="NOT TESTED: needs Linux and ld"
    ),
]

PRICING = """
import math

from millstream import udf

RATE = 0.25

@udf("float64?(float64, int64)")
def tax(price, qty):
    if price > 100:
        raise ValueError("dear")
    if price > 50:
        return None
    return math.exp(price * 0) * qty * RATE + price % 3.0
"""
ORDERS = """
version: 1
name: orders
schema: {price: float64, qty: int64}
functions: pricing.py
steps:
  - with_columns: {tax: "tax(price, qty)"}
output: {format: ndjson}
"""
RECORDS = [b'{"price": 4, "qty": 2}', b'{"price": 60, "qty": 2}', b'{"price": 101, "qty": 2}', b'{"price": null, "qty": 2}']
RUN = f"""
import json, sys
for name in ("numba", "llvmlite", "numpy"):
    sys.modules[name] = None
from millstream import MillstreamError, Pipeline
try:
    outcome = Pipeline.from_spec(sys.argv[1] if len(sys.argv) > 1 else "orders.yaml").run({RECORDS!r})
except MillstreamError as error:
    print(json.dumps([type(error).__name__, str(error)]))
else:
    print(json.dumps([outcome.batch["tax"].to_pylist(), [one["code"] for one in outcome.rejects.to_pylist()]]))
"""
MADE = [[1.5, None, None], ["UDF_FAILED"]]
IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "orders", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it is deployed, with objects for both CPUs where a linker for the other one is."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "pricing.py").write_text(PRICING)
    (folder / "orders.yaml").write_text(ORDERS)
    targets = [name for name in build.TARGETS if name == build.host_target() or shutil.which(f"{name}-linux-gnu-ld")]
    words = [word for one in targets for word in ("--target", one)]
    assert main(["build", str(folder / "orders.yaml"), "-o", str(folder), *words]) == 0
    return folder


@pytest.fixture
def deployed(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "task"))


Ran = Callable[..., Any]


@pytest.fixture
def ran(layer_like: Path) -> Ran:
    """Run the pipeline of a folder in a process without numba: its result, or the error."""

    def run(folder: Path, before: str = "", **environment: str) -> Any:
        whole = {
            **{k: v for k, v in os.environ.items() if k != "MILLSTREAM_BACKEND"},
            "PYTHONPATH": str(layer_like),
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", before + RUN], cwd=folder, env=whole, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def layer_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with its kernels inside, as a layer has it."""
    from tests.lambda_runtime.runtime import make_layer

    return make_layer(tmp_path_factory.mktemp("layer"))


def host(folder: Path) -> Path:
    return folder / "millstream_udf" / build.host_target()


@pytest.mark.long
def test_the_same_source_makes_the_same_bytes(built: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere" / "again"
    there.mkdir(parents=True)
    (there / "pricing.py").write_text("# Another line.\n" + PRICING)
    (there / "orders.yaml").write_text(ORDERS)
    assert main(["build", str(there / "orders.yaml"), "-o", str(there / "out"), "--target", build.host_target()]) == 0
    made = host(there / "out")
    assert {one.name for one in made.iterdir()} == {"functions.so", "manifest.json"}
    for name in ("functions.so", "manifest.json"):
        assert (made / name).read_bytes() == (host(built) / name).read_bytes()


def test_it_is_loaded_beside_the_file_without_numba_in_a_function_too(ran: Ran, deployed: Path) -> None:
    assert ran(deployed) == MADE
    assert ran(deployed, **IN_LAMBDA) == MADE


def test_it_is_loaded_from_the_functions_folder(ran: Ran, deployed: Path) -> None:
    (deployed / "inner").mkdir()
    for name in ("orders.yaml", "pricing.py"):
        (deployed / name).rename(deployed / "inner" / name)
    kind, said = ran(deployed / "inner", **IN_LAMBDA)
    assert (kind, "has no compiled object for" in said) == ("BackendError", True)
    assert ran(deployed / "inner", **IN_LAMBDA, LAMBDA_TASK_ROOT=str(deployed)) == MADE


@pytest.mark.parametrize(
    ("old", "new"), [("0.25", "0.5"), ("% 3.0", "% 4.0"), ("float64?(float64, int64)", "float64?(float64, int32)")]
)
def test_other_code_is_refused_with_the_command_that_helps(ran: Ran, deployed: Path, old: str, new: str) -> None:
    (deployed / "pricing.py").write_text(PRICING.replace(old, new))
    kind, said = ran(deployed, **IN_LAMBDA)
    assert kind == "BackendError"
    assert "the function tax of pricing.py has changed since" in said
    assert "run `millstream build PIPELINE -o DIR`" in said


def test_code_with_other_lines_around_is_the_same(ran: Ran, deployed: Path) -> None:
    (deployed / "pricing.py").write_text("# A comment.\n" + PRICING + "\nOTHER = 1\n")
    assert ran(deployed, **IN_LAMBDA) == MADE


def test_without_object_and_numba_it_is_refused(ran: Ran, deployed: Path, tmp_path: Path) -> None:
    shutil.rmtree(deployed / "millstream_udf")
    kind, said = ran(deployed, **IN_LAMBDA)
    assert (kind, "has no compiled object for" in said) == ("BackendError", True)
    # Outside of a function it would be compiled; nobody finds numba's metadata here.
    hidden = "import importlib.metadata\ndef absent(name): raise importlib.metadata.PackageNotFoundError(name)\n"
    kind, said = ran(
        deployed, hidden + "importlib.metadata.distribution = absent\n", MILLSTREAM_CACHE_DIR=str(tmp_path / "empty")
    )
    assert kind == "BackendError"
    assert "pip install 'millstream[udf]'" in said


def _manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = host(folder) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _renamed(manifest: dict[str, Any]) -> None:
    """The object of one function under the digest of another is refused by the symbol."""
    manifest["functions"] = {"0" * 64: {"name": "tax", "signature": ""}}


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda f: (host(f) / "functions.so").write_bytes((host(f) / "functions.so").read_bytes()[:-1]), "is not the file its manifest describes"),
    "no object": (lambda f: (host(f) / "functions.so").unlink(), "cannot read"),
    "no JSON": (lambda f: (host(f) / "manifest.json").write_text("{"), "cannot read the functions' manifest"),
    "no text": (lambda f: (host(f) / "manifest.json").write_bytes(b"\xff\xfe\x00"), "cannot read the functions' manifest"),
    "deep": (lambda f: (host(f) / "manifest.json").write_text("[" * 200_000), "cannot read the functions' manifest"),
    "a list": (lambda f: (host(f) / "manifest.json").write_text("[]"), "has version None"),
    "a number": (lambda f: (host(f) / "manifest.json").write_text("1"), "has version None"),
    "another version": (lambda f: _manifest(f, lambda m: m.update(version=2)), "has version 2, this millstream reads 1"),
    "no functions": (lambda f: _manifest(f, lambda m: m.update(functions=None)), "is no manifest of functions"),
    "functions that are none": (lambda f: _manifest(f, lambda m: m.update(functions={"a": 1})), "is no manifest of functions"),
    "no hash": (lambda f: _manifest(f, lambda m: m.update(shared=None)), "cannot read"),
    "another CPU": (lambda f: _manifest(f, lambda m: m.update(target="sparc")), "is for sparc"),
    "other functions": (lambda f: _manifest(f, _renamed), "has changed since"),
    "a folder for a file": (lambda f: ((host(f) / "manifest.json").unlink(), (host(f) / "manifest.json").mkdir()), "cannot read"),
}  # fmt: skip


def test_what_was_changed_is_refused_in_words(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from millstream.errors import BackendError
    from millstream.native.user_load import _Functions

    for variable, value in IN_LAMBDA.items():
        monkeypatch.setenv(variable, value)
    for name, (harm, says) in HOSTILE.items():
        folder = Path(shutil.copytree(built, tmp_path / name))
        harm(folder)
        wanted = _wanted(folder)
        with pytest.raises(BackendError) as error:
            _Functions().load(wanted)
        assert says in str(error.value), name


def _wanted(folder: Path) -> Any:
    from millstream.steps import functions_of
    from millstream.userfunc.scalar import wanted

    (one,) = functions_of(Pipeline.from_spec(folder / "orders.yaml").steps)
    return wanted(one)


def test_an_object_without_the_function_is_refused(built: Path, tmp_path: Path) -> None:
    from millstream.classes import replace
    from millstream.errors import BackendError
    from millstream.native.user_load import _Functions

    folder = Path(shutil.copytree(built, tmp_path / "other"))
    other = "f" * 64
    _manifest(folder, lambda manifest: manifest["functions"].update({other: {"name": "tax", "signature": ""}}))
    with pytest.raises(BackendError, match="has no ms_udf_ffff"):
        _Functions().load(replace(_wanted(folder), digest=other))


def test_objects_ask_for_nothing_but_libm(built: Path) -> None:
    for path in built.glob("millstream_udf/*/functions.so"):
        listed = subprocess.run(["nm", "-D", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()
        needed = {line.split()[-1] for line in listed if " U " in line}
        assert needed <= user_object.LIBM | {"memset", "memcpy", "memmove", "memcmp"}
        assert "exp" in needed
        dynamic = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
        assert dynamic.count("(NEEDED)") == 1
        assert "libm.so.6" in dynamic


def test_both_cpus_make_the_same(built: Path) -> None:
    """The arm64 object under qemu-user; it is loaded there as in a function."""
    from tests.arm64 import machine
    from tests.arm64.fetch import FOLDER, FetchError, fetch

    try:
        machine.emulator()
        if os.environ.get("LAMBDA_TESTS") != "required" and not FOLDER.exists():
            raise FetchError("its parts are not in .cache/arm64")
        parts = fetch()
        machine.linked()
    except (FetchError, machine.MissingError) as error:
        if os.environ.get("LAMBDA_TESTS") == "required":
            pytest.fail(f"arm64 cannot be tested: {error}")
        pytest.skip(f"NOT TESTED on arm64: {error}")
    environment = {k: v for k, v in machine.environment(parts).items() if k != "MILLSTREAM_BACKEND"}
    done = subprocess.run(
        machine.command(parts, "-c", RUN, str(built / "orders.yaml")), env=environment, cwd=machine.ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == MADE


def test_the_command(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain.yaml").write_text("version: 1\nschema: {a: int64}\n")
    assert main(["build", str(tmp_path / "plain.yaml"), "-o", str(tmp_path / "out")]) == 0
    assert "nothing to build" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(["build", str(built / "orders.yaml"), "-o", str(tmp_path), "--target", "sparc"]) == 2
    assert "there is no target 'sparc'; write x86_64, or arm64 for Graviton" in capsys.readouterr().err
    assert targets_of(["arm64", "aarch64"]) == ["aarch64"]
    assert targets_of([]) == ["x86_64", "aarch64"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["build", str(built / "orders.yaml"), "-o", str(tmp_path / "out"), "--target", "arm64"]) == 1
    assert "apt-get install binutils-aarch64-linux-gnu" in capsys.readouterr().err


REFUSED = {
    "x + 'a'": "float64 + text cannot be computed",
    "x.real2": "there is no attribute real2 of float64",
    "[x, x][0]": "takes memory, such as text, a list or an array",
    "math.frexp(x)[0]": "there is no math.frexp for compiled functions",
    "x > 1": None,
    "round(x, int(x))": "round takes its digits as a plain number from 0 to 22",
    "None": "it gives None always, where float64 is declared",
    "x if x > 1 else None": "it may give None, where float64 is declared: declare float64?",
    "(x, x)": "return one number or truth value",
}


def test_numbas_reasons_in_plain_words(tmp_path: Path) -> None:
    from millstream import PlanError, col
    from millstream.userfunc.declared import prepare
    from millstream.userfunc.files import functions_of

    lines = ["import math", "from millstream import udf"]
    for number, text in enumerate(REFUSED):
        lines += ['@udf("float64(float64)")', f"def f{number}(x):", f"    return {text}"]
    lines += ['@udf("int64(float64)")', "def f90(x):", "    return x", '@udf("bool(float64)")', "def f91(x):", "    return 1"]
    (tmp_path / "bad.py").write_text("\n".join(lines) + "\n")
    found = functions_of("bad.py", tmp_path, ())
    prepare(list(found.values()))
    said: dict[str, str | None] = {}
    for name, one in found.items():
        try:
            Pipeline({"x": "float64"}).select(y=one.of(col("x"))).plan()
            said[name] = None
        except PlanError as error:
            said[name] = str(error)
    for number, says in enumerate(REFUSED.values()):
        told = said[f"f{number}"]
        assert (told is None) == (says is None), told
        assert says is None or (told is not None and says in told and told.startswith(f"step 1 (select): `f{number}(x)`: ")), (
            told
        )
    assert "bad.py, line 5: float64 + text" in str(said["f0"])
    assert "it gives a float, where int64 is declared: write int(…)" in str(said["f90"])
    assert "it gives a number, where bool is declared" in str(said["f91"])


@pytest.mark.parametrize("backend", ["native", "jit"])
def test_every_back_end_runs_them(child: Callable[..., Any], backend: str) -> None:
    source = """
import sys
sys.path.insert(0, ".")
from millstream import Pipeline, col
from tests.udf.functions import tax
from millstream.userfunc.scalar import loaded
outcome = Pipeline({"x": "float64", "n": "int64"}).select(y=tax(col("x"), col("n"))).run([b'{"x": 4, "n": 2}'])
print(outcome.batch["y"][0], loaded(tax).folder.name.rpartition("-")[2], "numba" in sys.modules, "llvmlite" in sys.modules)
"""
    done = child(source, MILLSTREAM_BACKEND=backend)
    assert done.stdout.split() == ["6.0", build.host_target(), "False", str(backend == "jit")]
