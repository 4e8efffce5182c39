"""Compressed files: every codec gives what was whole before a fault, and no file gives more than it may."""

import bz2
import gzip
import random
import sys
import zlib

import pyarrow as pa
import pytest

from millstream.decode import compression
from millstream.decode.compression import FileSource, open_stream
from millstream.decode.framing import Text, frame

DATA = b"".join(b'{"n": %d, "s": "%016x"}\n' % (i, random.Random(i).getrandbits(64)) for i in range(20_000))


def by_arrow(name):
    return lambda data: pa.Codec(name).compress(data, asbytes=True)


PACK = {"gzip": gzip.compress, "zlib": zlib.compress, "zstd": by_arrow("zstd"), "bzip2": bz2.compress, "lz4": by_arrow("lz4")}
CODECS = [*PACK, "gzip by isal", "zlib by isal"]


@pytest.fixture
def codec(request, monkeypatch):
    """The codec's name; gzip and zlib by zlib unless isal is asked for."""
    name, _, fast = request.param.partition(" by ")
    if fast:
        pytest.importorskip("isal", reason="NOT TESTED: the extra `fast` is not installed")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    return name


every_codec = pytest.mark.parametrize("codec", CODECS, indirect=True)


def write(tmp_path, data):
    path = tmp_path / "in.json"
    path.write_bytes(data)
    return path


def read(path, name="auto", size=1 << 30, **limits):
    """All the bytes, and the code of the fault."""
    pieces = []
    with open_stream(FileSource(path), name, **limits) as stream:
        while data := stream.read(size):
            pieces.append(data)
        return b"".join(pieces), stream.fault and stream.fault[0].name


@every_codec
def test_each_codec_by_name_and_by_first_bytes(tmp_path, codec):
    path = write(tmp_path, PACK[codec](DATA))
    for name in ("auto", codec):
        for size in (1000, 1 << 20):
            assert read(path, name, size) == (DATA, None)
    assert read(write(tmp_path, PACK[codec](b"")), codec) == (b"", None)
    assert read(write(tmp_path, b""), codec)[0] == b""


@every_codec
def test_streams_one_after_another(tmp_path, codec):
    packed = b"".join(PACK[codec](DATA[i : i + 77_777]) for i in range(0, len(DATA), 77_777))
    assert read(write(tmp_path, packed)) == (DATA, None)


@every_codec
def test_padding_is_no_fault_and_garbage_is(tmp_path, codec):
    if codec in ("gzip", "zlib", "bzip2"):
        assert read(write(tmp_path, PACK[codec](b"1\n") + bytes(700) + PACK[codec](b"2\n") + bytes(9))) == (b"1\n2\n", None)
    assert read(write(tmp_path, PACK[codec](b"1\n") + b"garbage")) == (b"1\n", "BAD_COMPRESSION")


@every_codec
@pytest.mark.parametrize("cut", [1, 5, 9, 20, 1000, 100_000])
def test_a_stream_cut_short_keeps_what_was_whole(tmp_path, codec, cut):
    packed = PACK[codec](DATA)[:-cut]
    found, fault = read(write(tmp_path, packed), codec)
    assert fault == "BAD_COMPRESSION"
    assert DATA.startswith(found)
    if codec in ("gzip", "zlib"):  # as far as zlib itself gets
        assert found == zlib.decompressobj(47).decompress(packed)
    elif codec == "bzip2":  # whole blocks
        assert found == bz2.BZ2Decompressor().decompress(packed)
    elif cut <= 20:
        assert len(found) > len(DATA) - (1 << 18)


@every_codec
def test_a_corrupt_stream_keeps_what_was_whole(tmp_path, codec):
    packed = PACK[codec](DATA)
    for seed in range(12):
        rng = random.Random(seed)
        torn = bytearray(packed)
        place = rng.randrange(len(packed))
        torn[place] ^= 1 << rng.randrange(8)
        found, fault = read(write(tmp_path, bytes(torn)), codec)
        if codec not in ("zstd", "lz4"):  # theirs may come without a checksum, as here
            assert fault == "BAD_COMPRESSION" or found == DATA
        if codec == "bzip2":  # a block is scrambled as a whole
            continue
        # Other bytes may come out from the flipped bit to the place where it shows; before it all is as it was.
        share = place / len(packed) - 0.1 - (1 << 17) / len(packed)
        assert found[: max(0, int(share * len(DATA)))] == DATA[: max(0, int(share * len(DATA)))]


@pytest.mark.parametrize("codec", ["gzip", "gzip by isal"], indirect=True)
@pytest.mark.parametrize("size", [100, 5000, 1 << 18])
@pytest.mark.parametrize("behind", [0, 1, 1000, 40_000])
def test_all_comes_before_a_fault_and_no_more_at_once_than_was_asked(tmp_path, codec, size, behind):
    begin = 1 << 18
    text = (DATA * 2)[: begin + behind]
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    path = write(tmp_path, packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) + b"\x07" * 40)
    with open_stream(FileSource(path), codec) as stream:
        view = memoryview(bytearray(begin - 50))
        found = [bytes(view[: Text(stream, begins=False).fill(view)])]
        view = memoryview(bytearray(size))
        while count := stream.readinto(view):
            found.append(bytes(view[:count]))
        assert stream.fault is not None
        assert b"".join(found) == text
    assert read(path, codec, size, max_bytes=begin - 60) == (text[: begin - 60], "TOO_LARGE")


@pytest.mark.parametrize("codec", ["gzip", "zlib", "gzip by isal", "zlib by isal"], indirect=True)
@pytest.mark.parametrize("lines", [1, 3, 5000, 20_000])
def test_a_wrong_checksum_takes_nothing_from_the_text_before_it(tmp_path, codec, lines):
    text = b"".join(DATA.splitlines(keepends=True)[:lines])
    packed = PACK[codec](text)
    for before in (b"", PACK[codec](b"1\n") + bytes(5)):
        for at in range(-8 if codec == "gzip" else -4, 0):
            torn = bytearray(before + packed)
            torn[at] ^= 1
            whole = text if not before else b"1\n" + text
            for size in (100, 1 << 18):
                assert read(write(tmp_path, bytes(torn) + PACK[codec](b"2\n")), codec, size) == (whole, "BAD_COMPRESSION")


def test_isal_and_zlib_agree_on_what_is_corrupt(tmp_path, monkeypatch):
    pytest.importorskip("isal", reason="NOT TESTED: the extra `fast` is not installed")
    packed = gzip.compress(DATA[:50_000])
    for seed in range(25):
        rng = random.Random(seed)
        torn = bytearray(packed)
        torn[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        path = write(tmp_path, bytes(torn))
        fast = read(path, "gzip")
        with monkeypatch.context() as slow:
            slow.setitem(sys.modules, "isal", None)
            assert read(path, "gzip") == fast


@every_codec
def test_more_than_may_come_out_is_refused(tmp_path, codec, monkeypatch):
    path = write(tmp_path, PACK[codec](DATA))
    assert read(path, max_bytes=len(DATA)) == (DATA, None)
    assert read(path, max_bytes=len(DATA) - 1) == (DATA[:-1], "TOO_LARGE")
    monkeypatch.setattr(compression, "FREE_BYTES", 100_000)
    zeros = write(tmp_path, PACK[codec](bytes(10_000_000)))
    limit = max(100_000, 20 * zeros.stat().st_size)
    assert read(zeros, max_ratio=20) == (bytes(limit), "TOO_LARGE")
    assert read(zeros, max_ratio=10**6) == (bytes(10_000_000), None)


@pytest.mark.parametrize("form", ["ndjson", "json", "concatenated"])
def test_what_follows_the_last_whole_record_is_one_reject(tmp_path, form):
    text = b"[" + DATA.replace(b"\n", b",") + b"{}]" if form == "json" else DATA
    path = write(tmp_path, gzip.compress(text)[:-3000])
    found, faults = [], []
    with open_stream(FileSource(path)) as stream:
        for piece in frame(Text(stream), form, 10_000, 10_000):
            found += [piece.payloads.payload(i) for i in range(piece.payloads.count)]
            faults += [fault.code.name for fault in piece.faults]
    assert found == DATA.splitlines()[: len(found)]
    assert len(found) > 15_000
    assert faults == ["BAD_COMPRESSION"]


def test_a_limit_on_plain_files_holds_too(tmp_path):
    path = write(tmp_path, DATA)
    assert read(path, max_bytes=1000) == (DATA[:1000], "TOO_LARGE")
    with open_stream(FileSource(path), max_bytes=1000) as stream:
        view = memoryview(bytearray(5000))
        assert (stream.readinto(view), bytes(view[:1000])) == (1000, DATA[:1000])
        assert stream.fault is not None
