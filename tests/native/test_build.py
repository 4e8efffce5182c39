"""The compiled object: what it asks of its process, and what it is made from."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.native import bind, build

pytestmark = pytest.mark.once
SOURCE = Path(build.__file__).parent.parent


def listed_symbols(*command: str) -> set[str]:
    if shutil.which("nm") is None:
        pytest.skip("NOT TESTED: nm is not installed, so the gates on symbols did not run (apt-get install binutils)")
    listed = subprocess.run(["nm", *command], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines()}


@pytest.fixture(scope="module")
def folder() -> Path:
    return bind.Kernels().load().folder


def test_the_object_asks_for_allowed_symbols_only(folder: Path):
    assert listed_symbols("--undefined-only", str(folder / "kernels.o")) <= build.ALLOWED_SYMBOLS


def test_the_shared_object_asks_for_allowed_symbols_only(folder: Path):
    if not (folder / "kernels.so").exists():
        pytest.skip("NOT TESTED: no linker on this machine, so there is no kernels.so")
    assert listed_symbols("--dynamic", "--undefined-only", str(folder / "kernels.so")) <= build.ALLOWED_SYMBOLS


def test_the_shared_object_exports_the_manifest_and_nothing_else(folder: Path):
    if not (folder / "kernels.so").exists():
        pytest.skip("NOT TESTED: no linker on this machine, so there is no kernels.so")
    manifest = json.loads((folder / "manifest.json").read_text())
    expected = {entry["symbol"] for entry in manifest["kernels"].values()}
    assert listed_symbols("--dynamic", "--defined-only", str(folder / "kernels.so")) == expected


def test_the_manifest_tells_what_the_object_is_made_of(folder: Path):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"] == build.source_hash()
    assert manifest["target"] == build.host_target()
    assert manifest["numba"]
    assert manifest["llvmlite"]
    for entry in manifest["kernels"].values():
        assert entry["symbol"].startswith("ms_")
        assert {kind for _, kind in entry["parameters"]} <= {*bind._ITEMSIZE, *bind._LAYOUT}


TINY = """
define linkonce_odr i64 @tiny(i64 %x) {{
  %y = add i64 %x, 1
  ret i64 %y
}}
define i64 @ms_{name}(i64 %x) {{
  %y = call i64 @tiny(i64 %x)
  ret i64 %y
}}
"""


@pytest.mark.parametrize("outlined", [[], ["tiny"]])
def test_a_helper_that_is_never_inlined_is_called(outlined: list[str]):
    pytest.importorskip("llvmlite", reason="NOT TESTED: compiling needs llvmlite")
    families = [{"module": TINY.format(name=name), "outlined": outlined} for name in ("one", "other")]
    code, _ = build.emit(build.joined(families), build.host_target())
    assert b"ms_other" in code
    assert (b"tiny" in code) == bool(outlined)  # the name of a symbol


def test_outlined_helpers_are_functions_of_the_object(folder: Path):
    wanted = [
        f"{len(path.stem)}{path.stem}{len(name)}{name}"
        for path in sorted((SOURCE / "kernels").glob("*.py"))
        for name in re.findall(r"^@outlined\ndef (\w+)", path.read_text(), re.MULTILINE)
    ]
    symbols = listed_symbols("--defined-only", str(folder / "kernels.o"))
    assert wanted
    assert [one for one in wanted if not any(one in symbol for symbol in symbols)] == []


def test_a_changed_kernel_changes_the_hash(tmp_path: Path):
    for name in ("kernels", "native"):
        shutil.copytree(SOURCE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "objects"))
    assert build.source_hash(tmp_path) == build.source_hash()
    seen = {build.source_hash()}
    for path in (tmp_path / "kernels" / "memory.py", tmp_path / "kernels" / "simd.py", tmp_path / "native" / "build.py"):
        path.write_text(path.read_text() + "\n# changed\n")
        seen.add(build.source_hash(tmp_path))
    (tmp_path / "kernels" / "another.py").write_text("")
    seen.add(build.source_hash(tmp_path))
    assert len(seen) == 5


def test_a_family_is_compiled_again_when_what_it_imports_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    compiled: list[str] = []
    monkeypatch.setattr(build, "_in_child", lambda arguments, checked: compiled.append(arguments[1]) or '{"module": ""}')
    number = tmp_path / "number.py"
    shutil.copy(SOURCE / "kernels" / "number.py", number)
    real = build.sources

    def sources(family: str) -> list[Path]:
        return [number if path.name == "number.py" else path for path in real(family)]

    monkeypatch.setattr(build, "sources", sources)
    kept = tmp_path / "families"
    kept.mkdir()
    for _ in range(2):
        for family in ("json", "memory"):
            build.family_module(family, False, kept)
    assert compiled == ["json", "memory"]
    number.write_text(number.read_text() + "# changed")
    for family in ("json", "memory"):
        build.family_module(family, False, kept)
    assert compiled == ["json", "memory", "json"]
    assert len(list(kept.iterdir())) == 2  # what is stale is gone


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: families are compiled in forks on Linux alone")
def test_a_family_that_cannot_be_compiled_in_a_fork_is_named(tmp_path: Path):
    pytest.importorskip("numba", reason="NOT TESTED: compiling needs numba")
    code = (
        "import pathlib, sys; from millstream.native import build; build.compile_family = lambda family, checked: 1 / 0; "
        "build._compile_in_forks(['md5'], False, pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "ZeroDivisionError" in run.stderr
    assert run.stderr.splitlines()[-1] == "not compiled: md5"
    assert list(tmp_path.iterdir()) == []
