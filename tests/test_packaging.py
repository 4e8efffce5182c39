"""The wheel and the sdist: what is in them, and that the main job runs from the wheel where there is no compiler."""

import configparser
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import types
import zipfile
from pathlib import Path

import pytest

from millstream._version import __version__
from millstream.native import bind, build
from tests.test_container import instructions

pytestmark = [pytest.mark.once, pytest.mark.slow]
ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Sources that a build needs; a copy, so that it cannot pick up what happens to lie in the checkout.
SOURCES = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "src", ".gitignore")

carries_object = sys.platform == "linux" and build.host_target() in build.TARGETS
linkable = pytest.mark.skipif(
    not carries_object or shutil.which("ld") is None, reason="NOT TESTED: needs Linux and ld to make a wheel with kernels.so"
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "objects"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    (folder / "README.md").touch()
    (folder / "tests").mkdir()
    (folder / "tests" / "test_nothing.py").touch()
    # An object that was left lying in the checkout: the wheel must not carry it.
    stale = folder / "src" / "millstream" / "native" / "objects" / build.host_target()
    stale.mkdir(parents=True)
    (stale / "kernels.so").write_bytes(b"stale")
    (stale / "kernels.o").write_bytes(b"stale")
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    cache = os.environ | {"MILLSTREAM_CACHE_DIR": str(bind.cache_folder())}  # with it, only what has changed is compiled
    run(sys.executable, "-m", "pip", "wheel", "--quiet", ".", "--no-deps", "--wheel-dir", out, cwd=sources, env=cache)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment that has the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def run_clean(python: Path, *arguments: str, cwd: Path) -> str:
    """Run an interpreter as a stranger would: no settings, no cache, no PATH to a linker."""
    environment = {"PATH": str(python.parent), "HOME": str(cwd), "LANG": "C.UTF-8"}
    return run(python, *arguments, cwd=cwd, env=environment).stdout


@linkable
@pytest.mark.long
def test_the_wheel_is_tagged_for_the_architecture_alone(wheel: Path):
    libc = "manylinux_2_17" if os.confstr("CS_GNU_LIBC_VERSION") else "musllinux_1_2"
    assert wheel.name == f"millstream-{__version__}-py3-none-{libc}_{build.host_target()}.whl"


@linkable
@pytest.mark.long
def test_the_wheel_holds_the_object_and_no_tests(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        objects = f"millstream/native/objects/{build.host_target()}/"
        assert {name for name in names if "/objects/" in name} == {objects + "kernels.so", objects + "manifest.json"}
        manifest = json.loads(archive.read(objects + "manifest.json"))
        assert archive.read(objects + "kernels.so")[:4] == b"\x7fELF"
        info = f"millstream-{__version__}.dist-info/"
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(info + "entry_points.txt").decode())
    # Another build, in another environment: the same bytes.
    compiled = bind.Kernels().load().manifest
    assert manifest["source"] == build.source_hash() == compiled["source"]
    assert manifest["object"] == compiled["object"]
    assert not manifest["checked"]
    assert {"millstream/py.typed", "millstream/__init__.py", info + "licenses/LICENSE"} <= names
    assert {name.split("/")[0] for name in names} == {"millstream", info[:-1]}
    assert not [name for name in names if "test" in name]
    assert scripts["console_scripts"]["millstream"] == "millstream.cli:main"


@linkable
@pytest.mark.long
def test_installed_without_a_compiler_the_kernels_are_native(installed: Path, tmp_path: Path):
    listed = {one["name"].lower() for one in json.loads(run(installed, "-m", "pip", "list", "--format=json").stdout)}
    assert not listed & {"numba", "llvmlite", "numpy", "pandas"}
    source = """
import json, pyarrow as pa
from millstream.columns import close, open_array
from millstream.native.bind import kernels
array = pa.array(["a", None, "c"])
assert close(open_array(array)).equals(array)
backend = kernels.load()
print(json.dumps([backend.name, backend.reason]))
"""
    assert json.loads(run_clean(installed, "-c", source, cwd=tmp_path)) == ["native", "it came with the installed package"]
    assert not list(tmp_path.iterdir())  # no cache was made


PIPELINE = """
version: 1
name: prices
schema: {item: string, price: float64}
steps:
  - drop_nulls: [price]
  - filter: price > 10
output: {format: parquet}
"""


@linkable
@pytest.mark.long
@pytest.mark.skipif(
    not (Path(bind.__file__).parents[1] / "cli.py").exists(), reason="NOT TESTED: there is no millstream.cli yet"
)
def test_installed_the_main_job_runs(installed: Path, tmp_path: Path):
    (tmp_path / "prices.yaml").write_text(PIPELINE)
    items = [{"item": "a", "price": 12.5}, {"item": "b", "price": 3}, {"item": "c"}, {"item": "d", "price": 80}]
    (tmp_path / "items.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items) + "nonsense\n")
    arguments = ("run", "prices.yaml", "items.ndjson", "--out", "out", "--json")
    environment = {"PATH": "/nonexistent", "HOME": str(tmp_path)}
    report = json.loads(run(installed.parent / "millstream", *arguments, cwd=tmp_path, env=environment).stdout)
    counts = report["counts"]
    assert counts == {"delivered": 5, "written": 2, "filtered": 2, "duplicate": 0, "rejected": 1, "failed": 0}
    (file,) = (tmp_path / "out").rglob("*.parquet")
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(file).column("item").to_pylist() == ["a", "d"]


START_HANDLER = """
import os, sys
os.environ |= {"MILLSTREAM_PIPELINE": "pipeline.yaml", "MILLSTREAM_SINK": "out", "MILLSTREAM_ON_REJECT": "fail"}
os.environ |= {"LAMBDA_TASK_ROOT": sys.argv[2], "AWS_LAMBDA_FUNCTION_NAME": "orders"}
import numba
from importlib import import_module
module, _, name = sys.argv[1].rpartition(".")
handler = getattr(import_module(module), name)
from millstream.native.bind import kernels
print(handler.source, handler.pipeline.name, handler.warm(), kernels.load().reason)
"""


@linkable
@pytest.mark.long
def test_the_container_images_commands_make_what_runs_its_handler(wheel: Path, tmp_path: Path):
    """But for Python's version and the base image: there is no engine here that builds images."""
    (tmp_path / "wheels").mkdir()
    shutil.copy(wheel, tmp_path / "wheels")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    environment = {"PATH": f"{tmp_path / 'venv' / 'bin'}:{os.defpath}", "HOME": str(Path.home()), "LANG": "C.UTF-8"}
    for command in instructions("RUN"):
        run("sh", "-ec", command.replace("/wheels", str(tmp_path / "wheels")), env=environment, cwd=tmp_path)
    (command,), (folder,) = instructions("CMD"), instructions("ARG")
    words = (json.loads(command)[0], ROOT / folder.partition("=")[2])
    told = run(tmp_path / "venv" / "bin" / "python", "-c", START_HANDLER, *words, env=environment, cwd=tmp_path).stdout
    assert told == "kinesis price_discount True it came with the installed package\n"


def test_the_sdist_holds_what_a_build_needs(sources: Path, tmp_path: Path):
    pytest.importorskip("hatchling", reason="NOT TESTED: hatchling is not installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=sources)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(built.read_bytes())) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "LICENSE", "README.md", "src/millstream/native/build.py", "PKG-INFO"} <= names
    assert not [name for name in names if "/objects/" in name]


class Refused(Exception):
    pass


def test_a_wheel_without_a_linker_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("hatchling", reason="NOT TESTED: hatchling is not installed")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class App:
        def abort(self, message: str) -> None:
            raise Refused(message)

    hook = module.KernelsHook(str(ROOT), {}, None, None, str(tmp_path), "wheel", App())
    monkeypatch.setattr(hook, "_compile", lambda *arguments: {"shared": None})
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(machine="x86_64"))
    with pytest.raises(Refused, match=r"no linker on PATH could make kernels.so.*install binutils"):
        hook.initialize("standard", {})

    # Neither of these compiles, or changes what is built.
    data: dict[str, object] = {}
    hook.initialize("editable", data)
    monkeypatch.setattr(sys, "platform", "darwin")
    hook.initialize("standard", data)
    assert data == {}


def test_run_time_dependencies_are_four():
    names = {dependency.split(">")[0] for dependency in PROJECT["dependencies"]}
    assert names == {"pyarrow", "orjson", "aws-lambda-powertools", "PyYAML"}
    assert all("<" in dependency for dependency in PROJECT["dependencies"]), "each has an upper bound"
