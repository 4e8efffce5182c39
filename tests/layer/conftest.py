"""One real zip for the tests of the layer: of the oldest of Lambda's Pythons that is here, for this machine's CPU."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from layer import LayerError, Target, build, elf, pack, trace


@dataclass(frozen=True)
class Layer:
    """A zip that was built, its folder python/ as Lambda mounts it, and a Python that runs it."""

    target: Target
    built: build.Built
    root: Path
    python: Path


def absent(reason: str) -> NoReturn:
    """Skip, loudly; where these tests must run, as in CI, fail."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def host_target() -> Target:
    """A target whose Python and tools are here."""
    if sys.platform != "linux":
        pytest.skip("NOT TESTED: a layer is built on Linux")
    try:
        target = trace.host_target()
        elf.tools(target.machine)
    except LayerError as error:
        absent(str(error))
    return target


@pytest.fixture(scope="session")
def layer(host_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    # One build for all processes that share the tests.
    shared = tmp_path_factory.getbasetemp()
    out = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "built-layer"
    out.mkdir(exist_ok=True)
    python = pack.interpreter(host_target.python)
    assert python is not None
    unzipped, told = out / "opt", out / "built.json"
    with open(out / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if told.exists():
            built = build.Built(**json.loads(told.read_text()) | {"path": out / host_target.zip_name})
            return Layer(host_target, built, unzipped / "python", python)
        try:
            built = build.build(host_target, out)
        except LayerError as error:
            if "pip download failed" in str(error):
                absent(str(error))
            raise
        subprocess.run([sys.executable, "-m", "zipfile", "-e", built.path, unzipped], check=True)
        told.write_text(json.dumps(asdict(built), default=str))
    return Layer(host_target, built, unzipped / "python", python)
