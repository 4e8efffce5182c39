"""What SAM's command line says of the template, and what it builds of it. Long: it is fetched once (tools.py), and takes layers."""

import shutil

import pytest

from layer import DIST
from tests.sam import tools
from tests.sam.stack import FOLDER, TEMPLATE, source

pytestmark = [pytest.mark.once, pytest.mark.long]


def test_sam_validates_it(tool, run):
    done = run(tool(tools.SAM), "validate", "--lint", "--template", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_sam_builds_it(tool, run, absent, tmp_path, python, arch):
    """With the layer's zip that stands in layer/dist, which is the one that `layer/Makefile` takes."""
    tag = f"py{python.replace('.', '')}"
    if not (DIST / f"millstream-{tag}-{arch}.zip").exists():
        absent(f"there is no layer: make layer PYTHONS={tag} ARCHES={arch}")
    if shutil.which(f"python{python}") is None:
        absent(f"there is no python{python} on PATH")
    given = (f"Runtime=python{python}", f"Architecture={arch}", "Release=1")
    places = ("--template", TEMPLATE, "--build-dir", tmp_path / "build", "--cache-dir", tmp_path / "cache")
    done = run(tool(tools.SAM), "build", *places, "--parameter-overrides", *given, LAYER_PYTHON=tag, LAYER_ARCH=arch)
    assert done.returncode == 0, done.stderr
    assert "Build Succeeded" in done.stdout + done.stderr
    build = tmp_path / "build"
    for name, one in source()["Resources"].items():
        if one["Type"] == "AWS::Serverless::Function":
            place = FOLDER / ("hooks" if name == "CheckFunction" else "function")
            assert {path.name for path in (build / name).iterdir()} == {path.name for path in place.iterdir() if path.is_file()}
    layer = build / "MillstreamLayer" / "python"
    (compiled,) = layer.rglob("kernels.so")
    machine = {"arm64": 0xB7, "x86_64": 0x3E}[arch]
    assert compiled.read_bytes()[18] == machine, "the kernels are for another CPU"
    abi = f"cpython-{tag.removeprefix('py')}"
    assert any(abi in path.name for path in layer.rglob("*.so"))
