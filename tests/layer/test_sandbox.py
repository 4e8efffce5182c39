"""The layer in a root where nothing else is: what a function finds there, and the tests of handlers run from it.

`make layer-test` runs all tests of handlers so, on each Python; LAMBDA_LAYER=PATH chooses the zip.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layer import ROOT
from tests.aws import events
from tests.lambda_runtime import sandbox
from tests.lambda_runtime.fetch import FetchError, fetch
from tests.lambda_runtime.runtime import LambdaRuntime, processes_of
from tests.lambda_runtime.sandbox import Sandbox, SandboxError
from tests.layer.conftest import absent

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: bubblewrap needs Linux"),
]

# Runs a batch, so that all is imported that a handler imports, then looks around.
PROBE = """
import errno, os, subprocess, sys, time
from pathlib import Path
import boto3
import orjson, pyarrow, yaml
from millstream import Pipeline
from millstream.aws import kinesis_handler

Path("/tmp/out").mkdir()
handle = kinesis_handler(Pipeline({"id": "int64", "at": "timestamp[us, UTC]"}, name="orders"), sink="/tmp/out", rejects="/tmp/bad")

def refused(path):
    try:
        with open(path, "w"):
            return None
    except OSError as error:
        return errno.errorcode[error.errno]

def room():
    found = os.statvfs("/tmp")
    with open("/tmp/large", "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, found.f_blocks * found.f_frsize + 1)
        except OSError as error:
            return found.f_blocks * found.f_frsize, errno.errorcode[error.errno]
        finally:
            os.unlink("/tmp/large")

def handler(event, context):
    if event == "linger":
        subprocess.Popen(["sleep", "60"], start_new_session=True)
        return None
    answer = handle(event["batch"], context)
    mounts = [line.split()[1:4] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {
        "answer": answer,
        "python": sys.version_info[:2],
        "flags": [sys.flags.no_site, sys.flags.no_user_site],
        "path": sys.path,
        "origins": {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if "." not in name},
        "writable": sorted(place for place, kind, options in mounts if "rw" in options.split(",") and kind != "devtmpfs"),
        "refused": {path: refused(path) for path in event["paths"]},
        "room": room(),
        "tmp": sorted(os.listdir("/tmp")),
        "opt": os.listdir("/opt"),
        "root": sorted(os.listdir("/")),
        "home": os.environ["HOME"],
        "names": sorted(os.environ),
        "zone": [os.environ["TZ"], time.tzname],
        "user": os.getuid(),
    }
"""

FOLDERS = (
    "/",
    "/dev",
    "/dev/shm",
    "/etc",
    "/opt",
    "/opt/python/millstream",
    "/usr/lib",
    "/var/runtime",
    "/var/task",
    sandbox.HOME,
)
UNWRITABLE = [f"{folder}/x" for folder in FOLDERS]
ROOT_HOLDS = {"bin", "dev", "etc", "lib", "lib32", "lib64", "opt", "proc", "tmp", "usr", "var"}


@pytest.fixture(scope="module")
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The layer that is told, else the one that these tests build."""
    path = os.environ.get("LAMBDA_LAYER") or request.getfixturevalue("layer").built.path
    try:
        return sandbox.unzip(Path(path), tmp_path_factory.mktemp("opt"))
    except SandboxError as error:
        absent(str(error))


@pytest.fixture
def function(box: Sandbox, tmp_path: Path):
    try:
        parts = fetch(other=box.python)
    except FetchError as error:
        absent(str(error))
    (tmp_path / "function.py").write_text(PROBE)
    with LambdaRuntime("function.handler", task_root=tmp_path, layer=box, parts=parts, environment={"GIVEN": "1"}) as running:
        yield running


def test_what_a_function_finds(box: Sandbox, function: LambdaRuntime):
    records = (b'{"id": 1, "at": "2026-11-23T15:04:05+01:00"}', b"nonsense")
    answer = function.invoke({"batch": events.kinesis(*records), "paths": UNWRITABLE})
    assert answer.function_error is None, answer
    found = answer.body
    assert found["answer"] == {"batchItemFailures": []}
    (line,) = answer.logged("batch")
    assert (line["backend"], line["counts"]["written"], line["counts"]["rejected"]) == ("native", 1, 1)

    # The interpreter sees the task, the layer, the runtime and its own standard library.
    assert found["python"] == [3, box.python.minor]
    assert found["flags"] == [1, 1]
    standard = [one for one in found["path"] if one not in ("/var/task", "/opt/python", "/var/runtime")]
    assert all(Path(one).is_relative_to(box.python.prefix) and "site-packages" not in one for one in standard)
    origins = {name: Path(file) for name, file in found["origins"].items() if file}
    places = {name: "/".join(file.parts[:3]) for name, file in origins.items() if not file.is_relative_to(box.python.prefix)}
    layered = {"millstream", "pyarrow", "orjson", "yaml", "aws_lambda_powertools", "jmespath", "typing_extensions"}
    assert {name for name, place in places.items() if place == "//opt/python"} <= layered | {"_yaml"}
    assert {"millstream", "pyarrow", "orjson", "yaml", "aws_lambda_powertools"} <= places.keys()
    assert {places[name] for name in ("boto3", "botocore", "awslambdaric")} == {"//var/runtime"}
    assert set(places.values()) == {"//var/task", "//opt/python", "//var/runtime"}
    assert not found["origins"].keys() & {"numpy", "pandas", "numba", "llvmlite", "pytest", "site"}
    assert not [
        one for one in ("numpy", "numba", "llvmlite", "pandas", "boto3", "botocore") if (box.layer / "python" / one).exists()
    ]

    # Nothing is writable but /tmp, and nothing was written but what the handler was told to.
    assert set(found["refused"].values()) <= {"EROFS", "ENOENT"}, found["refused"]
    assert found["refused"][f"{sandbox.HOME}/x"] == "ENOENT"
    assert [one for one in found["writable"] if one != "/tmp" and not one.startswith(("/proc", "/dev/"))] == []
    assert found["room"] == [512 << 20, "ENOSPC"]
    assert found["tmp"] == ["bad", "out"]
    assert found["opt"] == ["python"]
    assert set(found["root"]) <= ROOT_HOLDS | set(box.python.prefix.parts[1:2])
    assert (found["home"], found["user"]) == (sandbox.HOME, 993)
    assert found["zone"] == [":UTC", ["UTC", "UTC"]]
    strange = [name for name in found["names"] if not name.startswith(("AWS_", "_", "LAMBDA_", "PYTHON"))]
    assert set(strange) <= {"GIVEN", "HOME", "LANG", "LC_CTYPE", "PATH", "PWD", "TZ"}
    assert [path.suffix for path in function.seen("/tmp/out").rglob("*") if path.is_file()] == [".parquet"]


def test_no_process_outlives_it(function: LambdaRuntime):
    assert function.invoke("linger").function_error is None
    (session,) = {os.getsid(pid) for pid in function.processes()}
    # A session of its own is no way out: its processes end with the sandbox's first.
    (lingering,) = [pid for pid in descendants(function.processes()) if os.getsid(pid) != session]
    function.stop()
    assert processes_of(session) == []
    assert not Path(f"/proc/{lingering}").exists()


def descendants(found: list[int]) -> list[int]:
    """Processes and all that they have started."""
    children = [
        int(one) for pid in found for file in Path("/proc").glob(f"{pid}/task/*/children") for one in file.read_text().split()
    ]
    more = set(children) - set(found)
    return descendants([*found, *more]) if more else found


def test_the_loader_finds_every_library(box: Sandbox):
    objects = sorted(f"/opt/{path.relative_to(box.layer)}" for path in (box.layer / "python").rglob("*.so*"))
    assert len(objects) > 10
    for name in objects:
        done = box.run("ldd", name)
        assert done.returncode == 0 or "statically linked" in done.stdout + done.stderr, (name, done.stdout, done.stderr)
        assert "not found" not in done.stdout + done.stderr, (name, done.stdout)
    assert "not found" in box.run("sh", "-c", "cd /tmp && cp /opt/python/pyarrow/libarrow_python.so.* . && ldd *").stdout


def test_tests_of_handlers_run_from_the_layer(box: Sandbox, request: pytest.FixtureRequest):
    chosen = [
        "test_runtime.py::test_kinesis_in_every_runtime[3.1.1]",
        "test_functions.py::test_kinesis_told_by_the_environment_alone[4.2.2]",
    ]
    path = os.environ.get("LAMBDA_LAYER") or str(request.getfixturevalue("layer").built.path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/aws/{one}" for one in chosen)]
    environment = os.environ | {"LAMBDA_LAYER": path, "LAMBDA_TESTS": "required"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_reasons_why_there_is_no_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SandboxError, match=r"pyarrow\.zip is not the zip of a layer for this machine's CPU"):
        sandbox.unzip(tmp_path / "pyarrow.zip", tmp_path)
    here = Sandbox(sandbox.Interpreter.at(Path(sys.executable)), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="bwrap is not on PATH; Debian's package is bubblewrap"):
        here.check()
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: No permissions to create new namespace >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    with pytest.raises(
        SandboxError, match=r"cannot run Python 3\.\d+ in a root of its own here: bwrap: No permissions to create"
    ):
        here.check()
