"""A layer that was really built: what is in it, that a function runs from it alone, that a changed one is refused."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet
import pytest

from layer import ROOT, elf, pack, trace
from tests.aws import events
from tests.layer.conftest import Layer

pytestmark = [pytest.mark.once, pytest.mark.slow]

FUNCTION = """
import json, sys
sys.path.insert(0, sys.argv[1])
from millstream import Pipeline, Schema, col
from millstream.aws import kinesis_handler
pipeline = Pipeline(Schema({"item": "string", "price": "float64"}), name="orders").filter(col("price") > 10)
handler = kinesis_handler(pipeline, sink=sys.argv[2], rejects=sys.argv[3])
assert handler(json.load(sys.stdin), None) == {"batchItemFailures": []}
names = {name.partition(".")[0] for name in sys.modules}
assert not names & {"numpy", "numba", "llvmlite", "pandas", "boto3", "botocore"}, names
assert "pyarrow.parquet" not in sys.modules
from millstream.native.bind import kernels
print(json.dumps([kernels.load().name, kernels.load().reason]))
"""


def isolated(layer: Layer, source: str, *arguments: object, event: object = None) -> subprocess.CompletedProcess[str]:
    """Run source in a Python that has its standard library and, as its first argument, the layer; nothing else."""
    command = [str(one) for one in (layer.python, "-I", "-S", "-B", "-c", source, *arguments)]
    return subprocess.run(command, input=json.dumps(event), capture_output=True, text=True, check=False, env={})


def test_a_kinesis_handler_runs_from_the_layer_alone(layer: Layer, tmp_path: Path):
    event = events.kinesis(b'{"item": "desk", "price": 80}', b'{"item": "pen", "price": 2}', b"nonsense")
    sink, rejects = tmp_path / "sink", tmp_path / "rejects"
    done = isolated(layer, FUNCTION, layer.root, sink, rejects, event=event)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["native", "it came with the installed package"]
    (file,) = sink.rglob("*.parquet")
    assert pyarrow.parquet.read_table(file).to_pylist() == [{"item": "desk", "price": 80.0}]
    (rejected,) = rejects.rglob("*.parquet")
    assert pyarrow.parquet.read_table(rejected).column("code").to_pylist() == ["BAD_JSON"]


def test_kernels_that_were_changed_are_refused(layer: Layer, tmp_path: Path):
    copy = tmp_path / "python"
    with zipfile.ZipFile(layer.built.path) as archive:
        archive.extractall(tmp_path)
    (kernels,) = copy.rglob("kernels.so")
    code = bytearray(kernels.read_bytes())
    code[len(code) // 2] ^= 1
    kernels.write_bytes(code)
    source = "import sys; sys.path.insert(0, sys.argv[1])\nfrom millstream.native.bind import kernels\nkernels.load()"
    assert isolated(layer, source, layer.root).returncode == 0
    done = isolated(layer, source, copy)
    assert done.returncode == 1
    assert "kernels.so is not the file its manifest describes: it was changed or cut short" in done.stderr
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", f"{pack.ABOUT}/SHA256SUMS"], cwd=copy, capture_output=True, text=True
    )
    assert checked.returncode == 1
    assert checked.stdout.count("FAILED") == 1


def test_what_is_in_it(layer: Layer):
    names = {path.relative_to(layer.root).as_posix() for path in layer.root.rglob("*") if path.is_file()}
    objects = f"millstream/native/objects/{layer.target.machine}/"
    assert {name for name in names if "/objects/" in name} == {objects + "kernels.so", objects + "manifest.json"}
    assert not [name for name in names if name.startswith(("millstream/kernels", "millstream/cli", "millstream/__main__"))]
    assert not [name for name in names if "flight" in name or "substrait" in name or "_s3" in name or "/tests/" in name]
    sources = {name for name in names if name.endswith(".py")}
    compiled = {name for name in names if name.endswith(".pyc")}
    assert len(compiled) == len(sources)
    assert all(f"cpython-{layer.target.tag[2:]}.pyc" in name for name in compiled)
    sums = dict(reversed(line.split("  ")) for line in (layer.root / pack.ABOUT / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == names - {f"{pack.ABOUT}/SHA256SUMS"}
    parts = json.loads((layer.root / pack.ABOUT / "sbom.cdx.json").read_text())
    listed = {(one["name"], bool(one["licenses"])) for one in parts["components"]}
    third = {"pyarrow", "orjson", "pyyaml", "aws-lambda-powertools", "jmespath", "typing-extensions"}
    assert listed == {(name, True) for name in third | {"millstream"}}


def test_no_module_loads_a_library_that_it_does_not_use(layer: Layer):
    found = {path.name: elf.read(path) for path in (layer.root / "pyarrow").iterdir() if ".so" in path.name}
    (module,) = (name for name in found if name.startswith("lib."))
    loaded = {name.partition(".")[0] for name in elf.closure([module], found)}
    assert loaded == {"lib", "libarrow_python", "libarrow_compute", "libarrow"}
    assert {name: elf.unused(name, found) for name in found if elf.unused(name, found)} == {}


def test_bytecode_is_taken_unchecked_and_tells_where_lambda_mounts_it(layer: Layer):
    source = """
import marshal, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.pyc")):
    data = path.read_bytes()
    where = path.parent.parent.relative_to(sys.argv[1]) / (path.name.partition(".")[0] + ".py")
    assert data[4:8] == bytes([1, 0, 0, 0]), path  # by a hash of the source, which is not looked at
    assert marshal.loads(data[16:]).co_filename == f"/opt/python/{where}", path
"""
    done = isolated(layer, source, layer.root)
    assert done.returncode == 0, done.stderr


def test_the_keep_list_is_what_a_trace_finds(layer: Layer):
    assert trace.kept() == set(trace.traced(layer.target))


@pytest.mark.long
def test_the_same_bytes_from_another_folder(layer: Layer, tmp_path: Path):
    """All but compiling the kernels anew: that a build of them is the same bytes, tests/test_packaging.py holds."""
    elsewhere = tmp_path / "another" / "checkout"
    for name in ("src", "layer"):
        shutil.copytree(ROOT / name, elsewhere / name, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    shutil.copy(ROOT / "LICENSE", elsewhere / "LICENSE")
    (elsewhere / ".cache").symlink_to(ROOT / ".cache")
    command = [sys.executable, "-m", "layer.build", "--python", layer.target.python, "--arch", layer.target.arch]
    environment = dict(os.environ) | {"PYTHONPATH": str(elsewhere / "src"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "layer" / "dist" / layer.target.zip_name).read_bytes() == layer.built.path.read_bytes()
    assert done.stdout == f"{layer.built}\n"


def test_mistakes_are_told_in_a_line():
    command = [sys.executable, "-m", "layer.build", "--python", "2.7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "layer: no layer is built for Python '2.7'; there are 3.12, 3.13, 3.14\n")
