"""One source, three back ends: the same answers everywhere, and out-of-range access told in the checked one."""

import json
import shutil
from pathlib import Path

import pytest

from millstream.native import bind, build

pytestmark = pytest.mark.once

CALLS = """
import json
from millstream.native.bind import kernels
from millstream.native.memory import allocate, from_bytes, from_numbers

answers = {}
numbers = from_numbers("q", [5, -7, 1 << 62, 0, -(1 << 63)])
picked = allocate(4, 8)
answers["take"] = [kernels.take_int64(numbers, from_numbers("q", [4, -1, 0, 2]), picked), picked.tolist()]

found = allocate(6, 8)
answers["filter"] = [kernels.filter_indices(from_bytes(bytes([1, 1, 0, 1, 1])), from_bytes(bytes([1, 0, 1, 1, 5])), found)]
answers["filter"].append(found.tolist()[:2])

bits = allocate(2, 1)
answers["pack"] = [kernels.pack_bits(from_bytes(bytes([1, 0, 1, 1, 0, 0, 0, 1, 7, 1])), 10, bits), list(bits.tobytes())]

wide = allocate(3, 8)
kernels.widen_signed(from_bytes(b"\\xff\\xff\\x00\\x80\\x01\\x00"), 2, wide)
answers["widen"] = wide.tolist()

text = b"merci beaucoup"
views = from_numbers("q", [6 | 8 << 32, 0 | 5 << 32, 0])
offsets, valid = allocate(4, 4), from_bytes(bytes([1, 1, 0]))
size = kernels.measure_strings(views, valid, offsets)
joined = allocate(size, 1)
kernels.gather_strings(from_bytes(text), views, offsets, joined)
answers["strings"] = [size, offsets.tolist("i"), joined.tobytes().decode()]

halves = allocate(2, 8)
kernels.widen_float32(from_bytes(b"\\x00\\x00\\xc0\\x3f\\x00\\x00\\x00\\xbf", 4), halves)
answers["floats"] = halves.tolist("d")
print(json.dumps([kernels.load().name, answers]))
"""

ANSWERS = {
    "take": [4, [-(1 << 63), 0, 5, 1 << 62]],
    "filter": [2, [0, 3]],
    "pack": [5, [0b10001101, 0b10]],
    "widen": [-1, -32768, 1],
    "strings": [13, [0, 8, 13, 13], "beaucoupmerci"],
    "floats": [1.5, -0.5],
}


@pytest.mark.parametrize("name", bind.BACKENDS)
def test_every_backend_gives_the_same_answers(child, name):
    if name == "native" and bind.kernels.load().manifest["shared"] is None:
        pytest.skip("NOT TESTED: no linker on this machine, so there is no kernels.so")
    ran, answers = json.loads(child(CALLS, MILLSTREAM_BACKEND=name).stdout)
    assert ran == name
    assert answers == ANSWERS


OUTSIDE = """
from millstream.native.bind import kernels
from millstream.native.memory import allocate, from_bytes, from_numbers

def refused(call):
    try:
        call()
    except IndexError as error:
        print(error)
    else:
        print("NOT REFUSED")

numbers, out = from_numbers("q", [1, 2, 3]), allocate(1, 8)
refused(lambda: kernels.take_int64(numbers, from_numbers("q", [3]), out))
refused(lambda: kernels.filter_indices(from_bytes(b"\\1\\1"), from_bytes(b"\\1"), allocate(2, 8)))
refused(lambda: kernels.view_strings(from_bytes(bytes(8), 4), 0, allocate(2, 8)))
# A negative start: the view says offset 0, but the place to write is before the output.
refused(lambda: kernels.gather_strings(from_bytes(b"abc"), from_numbers("q", [0 | 3 << 32]),
    from_bytes((-1).to_bytes(4, "little", signed=True) + (2).to_bytes(4, "little"), 4), allocate(8, 1)))
"""


def test_checked_refuses_what_lies_outside(child):
    lines = child(OUTSIDE, MILLSTREAM_BACKEND="checked").stdout.splitlines()
    assert len(lines) == 4
    for line, kernel in zip(lines, ("take_int64", "filter_indices", "view_strings", "gather_strings"), strict=True):
        assert line.startswith(f"kernel {kernel}: ")
        assert "out of range" in line


VECTOR = """
import ctypes
from numba import njit, types
from millstream.kernels.simd import {name}
from millstream.native.memory import from_bytes
import numpy as np

@njit
def call(array, offset):
    return {call}

data = np.zeros({size}, dtype=np.uint8)
for offset in ({last}, {last} + 1, -1):
    try:
        call(data, offset)
        print("fine", end=" ")
    except IndexError:
        print("refused", end=" ")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "call", "width"),
    [("equal_mask", "equal_mask(array, offset, 65)", 64), ("load_word", "load_word(array, offset)", 8)],
)
def test_checked_refuses_vector_loads_past_the_end(child, name, call, width):
    pytest.importorskip("numba", reason="NOT TESTED: the range test of an intrinsic needs numba to compile it")
    source = VECTOR.format(name=name, call=call, size=100, last=100 - width)
    assert child(source, MILLSTREAM_KERNELS_CHECKED="1").stdout.split() == ["fine", "refused", "refused"]


def test_without_a_linker_llvm_links_in_the_process(child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("llvmlite", reason="NOT TESTED: kernels.o is loaded by llvmlite")
    compiled = bind.Kernels().load()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not build.link(compiled.folder / "kernels.o", tmp_path / "kernels.so", build.host_target())

    # What a build leaves there then, without the time of one.
    folder = tmp_path / "cache" / "kernels" / compiled.folder.name
    folder.mkdir(parents=True)
    shutil.copy(compiled.folder / "kernels.o", folder)
    (folder / "manifest.json").write_text(json.dumps(compiled.manifest | {"shared": None}))
    for made in (tmp_path / "cache", folder.parent, folder):
        made.chmod(0o700)
    settings = {"MILLSTREAM_CACHE_DIR": str(tmp_path / "cache"), "PATH": str(tmp_path)}
    assert json.loads(child(CALLS, **settings).stdout) == ["jit", ANSWERS]
    forced = child(CALLS, check=False, MILLSTREAM_BACKEND="native", **settings)
    assert "no linker was found" in forced.stderr
