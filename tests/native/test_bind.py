"""What the loader refuses, and how it says so."""

import importlib.util
import io
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from millstream.errors import BackendError, SettingsError
from millstream.native import bind, build

pytestmark = pytest.mark.once


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own with the compiled kernels in it; the folder of the object."""
    monkeypatch.delenv("MILLSTREAM_BACKEND", raising=False)
    compiled = bind.Kernels().load().folder
    monkeypatch.setenv("MILLSTREAM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(bind, "_PACKAGED", tmp_path / "nothing")
    copy = tmp_path / "cache" / "kernels" / compiled.name
    shutil.copytree(compiled, copy)
    for folder in (tmp_path / "cache", copy.parent, copy):
        folder.chmod(0o700)
    return copy


def test_loads_from_the_cache(cache: Path):
    backend = bind.Kernels().load()
    assert backend.folder == cache
    assert backend.reason == "compiled from this source checkout"
    assert bind.Kernels().take_int64.__name__ == "take_int64"
    with pytest.raises(AttributeError, match="no kernel 'nonsense'"):
        _ = bind.Kernels().nonsense


@pytest.mark.parametrize("change", [lambda code: code[:-1] + b"\xff", lambda code: code[: len(code) // 2], lambda code: b""])
def test_refuses_an_object_that_was_changed(cache: Path, change):
    path = cache / ("kernels.so" if (cache / "kernels.so").exists() else "kernels.o")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BackendError, match=r"not the file its manifest describes.*delete .*it is made again"):
        bind.Kernels().load()


def test_refuses_a_missing_object(cache: Path):
    for path in cache.glob("kernels.*"):
        path.unlink()
    with pytest.raises(BackendError, match=r"cannot read .*kernels"):
        bind.Kernels().load()


def test_refuses_a_manifest_of_another_version(cache: Path):
    manifest = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps(manifest | {"version": build.MANIFEST_VERSION + 1}))
    with pytest.raises(BackendError, match=f"has version {build.MANIFEST_VERSION + 1}, this millstream reads"):
        bind.Kernels().load()


def test_refuses_a_manifest_that_is_no_json(cache: Path):
    (cache / "manifest.json").write_text("{")
    with pytest.raises(BackendError, match="cannot read the kernels' manifest"):
        bind.Kernels().load()


@pytest.mark.parametrize("which", ["object", "folder", "above"])
def test_refuses_a_cache_that_others_can_write(cache: Path, which: str):
    path = {"object": cache / "kernels.o", "folder": cache, "above": cache.parent.parent}[which]
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(BackendError, match=r"can be written by others.*MILLSTREAM_CACHE_DIR"):
        bind.Kernels().load()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="file owners are a POSIX matter")
def test_refuses_a_cache_of_another_user(cache: Path, monkeypatch: pytest.MonkeyPatch):
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(BackendError, match="can be written by others"):
        bind.Kernels().load()


def test_cache_folders_are_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path):
    def made(out: Path, target: str, checked: bool, kept: Path | None) -> None:
        shutil.copytree(cache, out)

    monkeypatch.setenv("MILLSTREAM_CACHE_DIR", str(tmp_path / "home" / "other"))
    monkeypatch.setattr(build, "build_in_child", made)
    before = os.umask(0o002)
    try:
        first = bind.Kernels().load()
    finally:
        os.umask(before)
    assert first.folder.parent.parent == tmp_path / "home" / "other"
    assert bind.Kernels().load().folder == first.folder  # trusted when it is found again


@pytest.mark.parametrize(
    ("line", "lacking"),
    [
        ("flags\t\t: fpu sse2 avx bmi1 bmi2 fma movbe f16c\n", "avx2"),
        ("flags\t\t: fpu sse2 avx avx2 bmi1 f16c\n", "bmi2, fma, movbe"),
    ],
)
def test_refuses_an_old_cpu_by_name(cache: Path, monkeypatch: pytest.MonkeyPatch, line: str, lacking: str):
    manifest = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps(manifest | {"cpu": "x86-64-v3"}))
    monkeypatch.setattr(bind, "open", lambda *a, **k: io.StringIO("processor\t: 0\n" + line), raising=False)
    with pytest.raises(BackendError, match=f"this CPU lacks {lacking}, which kernels compiled for x86-64-v3 need"):
        bind.Kernels().load()


def test_an_unreadable_cpuinfo_refuses_nothing(monkeypatch: pytest.MonkeyPatch):
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(bind, "open", missing, raising=False)
    assert bind.missing_cpu_features("x86-64-v3") == []


def test_refuses_a_backend_that_there_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MILLSTREAM_BACKEND", "nonsense")
    with pytest.raises(SettingsError, match="MILLSTREAM_BACKEND is 'nonsense'; it may be native, jit, checked, or unset"):
        bind.Kernels().load()


@pytest.mark.parametrize("name", ["jit", "checked"])
def test_in_a_function_only_native_runs(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    monkeypatch.setenv("MILLSTREAM_BACKEND", name)
    with pytest.raises(SettingsError, match="in a Lambda function only native runs"):
        bind.Kernels().load()


def test_in_a_function_nothing_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    with pytest.raises(BackendError, match=r"no compiled kernels for .* in this layer"):
        bind.Kernels().load()


@pytest.fixture
def packaged(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The compiled kernels as an installed package has them."""
    if not (cache / "kernels.so").exists():
        pytest.skip("NOT TESTED: no linker on this machine, so no wheel can carry kernels.so")
    folder = tmp_path / "objects" / build.host_target()
    shutil.copytree(cache, folder)
    (folder / "kernels.o").unlink()
    monkeypatch.setattr(bind, "_PACKAGED", folder.parent)
    return folder


def test_an_installed_package_is_not_hashed(packaged: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bind, "_IN_CHECKOUT", False)
    monkeypatch.setattr(build, "source_hash", lambda: pytest.fail("sources were hashed"))
    backend = bind.Kernels().load()
    assert (backend.name, backend.folder, backend.reason) == ("native", packaged, "it came with the installed package")


def test_a_packaged_object_older_than_its_checkout_is_not_used(packaged: Path, cache: Path):
    assert bind.Kernels().load().folder == packaged
    manifest = json.loads((packaged / "manifest.json").read_text())
    (packaged / "manifest.json").write_text(json.dumps(manifest | {"source": "0" * 64}))
    assert bind.Kernels().load().folder == cache


def test_a_forced_jit_does_not_take_the_packaged_object(packaged: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MILLSTREAM_BACKEND", "jit")
    assert bind.Kernels().load().folder == cache


def test_without_numba_and_object_the_message_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MILLSTREAM_BACKEND", raising=False)
    monkeypatch.setenv("MILLSTREAM_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(bind, "_PACKAGED", tmp_path / "nothing")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"pip install 'millstream\[udf\]'"):
        bind.Kernels().load()
    assert not (tmp_path / "empty").exists()


def test_wrong_arguments_are_python_errors(cache: Path):
    with pytest.raises((ValueError, TypeError), match=r"shorter|longer|missing"):
        bind.Kernels().take_int64()


def test_threads_that_come_first_together_load_one_object(monkeypatch):
    opened = []
    real = bind.Kernels._open

    def slow(self, *arguments):
        opened.append(arguments)
        time.sleep(0.05)
        return real(self, *arguments)

    monkeypatch.setattr(bind.Kernels, "_open", slow)
    fresh = bind.Kernels()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fresh.load(), range(4)))
    assert len(opened) == 1
    assert all(one is found[0] for one in found)
