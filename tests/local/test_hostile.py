"""Input made to hurt: an answer in bounded time and memory. The full sizes run with the slow tests."""

import bz2
import gzip
import json

import pytest

from millstream.decode import compression
from millstream.local.run import run_files
from millstream.pipeline import Pipeline

MIB = 1 << 20
PIPELINE = Pipeline({"a": "int64", "s": "string"}, name="hostile")


def codes(tmp_path, body, name="in.json", **settings):
    """What a run makes of a file: written, and rejected by code."""
    path = tmp_path / name
    if body is not None:
        path.write_bytes(body)
    made = Pipeline(PIPELINE.schema, name="hostile", input=settings)
    report = run_files(made, path, sink=tmp_path / f"out-{name}")
    return report.counts["written"], report.rejected_by_code


@pytest.mark.parametrize("form", ["auto", "ndjson", "concatenated"])
@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'"', b"\\", b"{", b"[[],", b'{"a":['])
def test_brackets_without_end(tmp_path, form, unit):
    written, rejected = codes(tmp_path, unit * 200_000, format=form)
    assert written == 0
    assert sum(rejected.values()) >= 1
    assert set(rejected) <= {"BAD_JSON", "TOO_DEEP", "NOT_OBJECT"}
    written, rejected = codes(tmp_path, b'{"a":1}\n' + unit * 200_000 + b'\n{"a":2}\n{"a":3}', "mid.json", format="ndjson")
    assert (written, sum(rejected.values())) == (3, 1)


def test_many_keys_in_one_object(tmp_path):
    body = json.dumps({f"k{i}": i for i in range(100_000)} | {"a": 5}).encode()
    assert codes(tmp_path, b'{"a":1}\n' + body + b'\n{"a":2}\n') == (3, {})
    assert codes(tmp_path, b"{" + b'"a":1,' * 100_000 + b'"a":2}', "same.json") == (1, {})


def test_a_long_string(tmp_path):
    body = b'{"s":"' + b"x" * 3_000_000 + b'"}'
    for form, text in {
        "ndjson": b"\n".join([body, b"{}"]),
        "concatenated": body + b"{}",
        "json": b"[" + body + b",{}]",
    }.items():
        assert codes(tmp_path, text, f"{form}.json", format=form) == (2, {})
        assert codes(tmp_path, text, f"{form}2.json", format=form, max_record_bytes=MIB) == (1, {"TOO_LONG": 1})


def test_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "FREE_BYTES", MIB)
    for pack, name in ((gzip.compress, "in.json.gz"), (bz2.compress, "in.json.bz2")):
        written, rejected = codes(tmp_path, pack(b'{"a":1}\n' + b" " * (20 * MIB)), name)
        assert (written, rejected) == (1, {"TOO_LARGE": 1})


FULL = """
import json, sys, time
from millstream.local.run import attempt
from millstream.pipeline import Pipeline
made = Pipeline({"a": "int64", "s": "string"}, name="hostile")
started = time.perf_counter()
report, error = attempt(made, [sys.argv[1]], sink=sys.argv[2])
# Not ru_maxrss: that begins with what the parent held when it started this process.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([report.counts["written"], report.rejected_by_code, time.perf_counter() - started, peak // 1024]))
"""


def gzip_bomb(path):
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(1024):
            file.write(bytes(MIB))


BODIES = {
    "100 MB of [": (lambda path: path.write_bytes(b"[" * 100_000_000), {"TOO_LONG": 1, "BAD_JSON": 1}),
    "100 MB of {": (lambda path: path.write_bytes(b"{" * 100_000_000), {"TOO_LONG": 1}),
    "100 MB of objects": (lambda path: path.write_bytes(b'{"a":' * 20_000_000), {"TOO_LONG": 1}),
    "a 50 MB string": (lambda path: path.write_bytes(b'{"s":"' + b"x" * 50_000_000 + b'"}'), {"TOO_LONG": 1}),
    "a gzip bomb of 1 GiB": (gzip_bomb, {"TOO_LONG": 1, "TOO_LARGE": 1}),
    "100,000 keys, 100 times": (
        lambda path: path.write_bytes(b"\n".join([json.dumps({f"k{i}": i for i in range(100_000)}).encode()] * 100)),
        {},
    ),
}


@pytest.mark.once  # range checks in kernels take their time, which is what is measured
@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.long] * ("bomb" in one)) for one in BODIES])
def test_full_size(tmp_path, child, name):
    """Seconds and megabytes that a small function has, far from what the input asks for."""
    make, expected = BODIES[name]
    make(tmp_path / "in.json")
    program = FULL.replace("sys.argv[1]", repr(str(tmp_path / "in.json"))).replace("sys.argv[2]", repr(str(tmp_path / "out")))
    written, rejected, seconds, peak = json.loads(child(program).stdout)
    assert rejected == expected
    assert written == (100 if not expected else 0)
    assert seconds < 60  # one to four here; a loaded machine takes longer
    assert peak < 600, f"{peak} MiB"
