"""Every kernel on both CPUs: arm64's under qemu-user and this machine's make the same of the same inputs, to the last bit."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from millstream.native import bind, build
from tests.arm64 import machine
from tests.arm64.fetch import FOLDER, FetchError, Parts, fetch

pytestmark = [pytest.mark.once, pytest.mark.slow]

RUN = ("-m", "tests.arm64.table", "run")


@pytest.fixture(scope="module")
def parts() -> Parts:
    try:
        machine.emulator()
        if os.environ.get("LAMBDA_TESTS") != "required" and not FOLDER.exists():
            raise FetchError("its parts are not in .cache/arm64 (python -m tests.arm64.fetch)")
        found = fetch()
        machine.linked()
    except (FetchError, machine.MissingError) as error:
        if os.environ.get("LAMBDA_TESTS") == "required":
            pytest.fail(f"arm64 cannot be tested: {error}")
        pytest.skip(f"NOT TESTED on arm64: {error}")
    return found


def digests(command: list[str], inputs: str, environment: dict[str, str]) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        command, input=inputs, env=environment, cwd=machine.ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


def test_one_machine_compiles_for_the_other_architecture(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="NOT TESTED: compiling needs numba")
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(build.host_target())
    if other is None:
        pytest.skip("NOT TESTED: layers are built on Linux")
    if other == "aarch64":
        made = machine.compiled()
    else:
        made = tmp_path / other
        build.build_in_child(made, other, False)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["target"] == other
    assert manifest["cpu"] == build.TARGETS[other][1]
    elf = int.from_bytes((made / "kernels.o").read_bytes()[18:20], "little")  # e_machine of an ELF header
    assert elf == {"x86_64": 62, "aarch64": 183}[other]


def test_every_kernel_makes_the_same_on_both_cpus(parts: Parts) -> None:
    if build.host_target() != "x86_64":
        pytest.skip("NOT TESTED: this machine is no x86-64, so there is nothing to compare with")
    here = {name: value for name, value in os.environ.items() if name != "MILLSTREAM_BACKEND"}
    here["PYTHONPATH"] = os.pathsep.join([str(Path(bind.__file__).parents[2]), str(machine.ROOT)])
    there = machine.environment(parts)
    there.pop("MILLSTREAM_BACKEND", None)
    drawn = subprocess.run(
        [sys.executable, "-m", "tests.arm64.table", "draw"],
        env=here,
        cwd=machine.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with ThreadPoolExecutor() as pool:
        native = pool.submit(digests, [sys.executable, *RUN], drawn, here)
        arm64 = digests(machine.command(parts, *RUN), drawn, there)
        x86_64 = native.result()
    assert (x86_64["cpu"], arm64["cpu"]) == ("x86-64-v3", "neoverse-n1")
    manifest = json.loads((machine.compiled() / "manifest.json").read_text())
    for found in (x86_64, arm64):
        assert set(found["kernels"]) == set(manifest["kernels"])
        unreached = [name for name, (calls, _) in found["kernels"].items() if not calls]  # type: ignore[misc]
        assert unreached == [], "kernels without a case: give them one in tests/arm64/table.py"
    for part in ("cases", "kernels"):
        assert list(arm64[part]) == list(x86_64[part])
        assert [name for name, one in arm64[part].items() if one != x86_64[part][name]] == []


def test_floats_are_not_contracted(parts: Parts) -> None:
    """A product and a sum in one rounding is another number than in two, as x86-64 and Python have it."""
    listed = subprocess.run(
        ["aarch64-linux-gnu-objdump", "--disassemble", str(machine.compiled() / "kernels.so")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    words = {line.split("\t")[2].strip() for line in listed.splitlines() if line.count("\t") >= 2}
    assert "fmul" in words
    assert words & {"fmadd", "fmsub", "fnmadd", "fnmsub", "fmla", "fmls"} == set()
