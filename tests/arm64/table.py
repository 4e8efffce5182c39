"""The kernel case table: what every kernel makes of the same inputs, as digests that are the same on every CPU.

    python -m tests.arm64.table draw > INPUTS       # the inputs, drawn once, so that both CPUs are given the same bytes
    python -m tests.arm64.table run < INPUTS        # one JSON: digests by case, and calls and digest by kernel
    python -m tests.arm64.table trace CASE < INPUTS # every kernel call of a case, to see where two CPUs part

A case's digest is of its result and of every kernel call it came from: the kernel's name, its answer, and all bytes of its
arrays afterwards, addresses aside. All memory is the guarded kind of tests/guard.py: filled with one pattern before a page nobody may touch.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import io
import json
import math
import os
import random
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream.aws import kinesis_handler, sqs_handler
from millstream.columns import close, open_array
from millstream.decode.csv import decode_csv
from millstream.decode.json import decode_json
from millstream.decode.payloads import Payloads
from millstream.encode.json import encode_array, encode_lines
from millstream.expr import col
from millstream.grammar import parse
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.pipeline import Pipeline
from millstream.sinks.digest import digest_rows
from millstream.sinks.parquet import encode_batch
from millstream.sinks.partition import partition
from millstream.tables import lookup
from millstream.types import parse_type
from tests import guard
from tests.aws import events
from tests.cases import EXACT
from tests.cases_catalogue import CASES
from tests.decode import test_csv, test_json, test_json_nested
from tests.functions.kinds import KINDS as MORE_KINDS
from tests.functions.kinds import draw_value as draw_kind
from tests.functions.test_cases import TEXTS, TEXTUAL
from tests.fuzz.nested import SCHEMAS, Doubled, draw_value, written
from tests.fuzz.targets import TARGETS
from tests.kernels.test_text_forms import decoded

Draw = random.Random

SIZES = (0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129)
"""Rows and bytes around what vector code takes at a time."""
FUZZED = dict.fromkeys(TARGETS, 24) | {"parquet": 8, "groups": 8}

_FLOATS = (
    *struct.unpack("3d", struct.pack("3Q", 0x7FF0000000000001, 0xFFF8000000000123, 0x7FFFFFFFFFFFFFFF)),  # NaNs of other bits
    0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, 2.0**63, -(2.0**63),
    2.0**64, 2.0**53 + 1, 0.1, 1e23, 1.5, -2.5, 0.3, 1 / 3, 3.4028235677973366e38, 16777217.0,
)  # fmt: skip
_NUMBERS = (
    "", "-", "+3", "007", "-0", ".5", "5.", "1e", "1e5", "-1E-7", "1e400", "1e39", "NaN", "inf", " 1", "1" * 25, "9007199254740993",
    "0.1234567890123456789012345", "1.00000017881393432617187499", "5e-324", "2e-324", "1e-46", "3.4028236e38", "-0.0",
)  # fmt: skip
_TIMES = (
    "", "2024-02-30", "2023-02-29", "2024-01-02T24:00:00", "2024-01-02T03:04:05", "2024-01-02 03:04:05.1234567", "2024-01-02t03:04:05.z",
    "2024-01-02T03:04:05.5+01:30", "1969-12-31T23:59:59.999Z", "20240102T030405", "0000-01-01", "9999-12-31", "2024-01-02T03:04:05+24:00",
)  # fmt: skip
_CLOCKS = (
    "",
    "1:02",
    "24:00",
    "23:59:60",
    "12",
    "12:30",
    "1230",
    "123045,5",
    "12:30:45.1234567",
    "12:30:45Z",
    "23:59:59.999999",
)


def value(kind: str, draw: Draw) -> Any:
    """A value of a kind that tests/cases.py names: extremes often."""
    if kind in MORE_KINDS:
        return draw_kind(kind, draw)
    edge = draw.random() < 0.4
    if kind in ("bool",):
        return draw.random() < 0.5
    if kind in ("string", "ascii"):
        text = draw.choice(TEXTS) if edge else "".join(draw.choice("aB \té日z~\x7f") for _ in range(draw.choice(SIZES)))
        return text if kind == "string" else text.encode("ascii", "replace").decode()
    if kind == "numbers":
        return draw.choice(_NUMBERS) if edge else repr(value("float64", draw))
    if kind == "times":
        return draw.choice(_TIMES) if edge else value("timestamp[us]", draw).isoformat() + draw.choice(["", "Z", "-03:30"])
    if kind == "clocks":
        return draw.choice(_CLOCKS) if edge else value("time64[us]", draw).isoformat()
    if kind == "binary":
        return (
            draw.choice([b"", b"\0\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "é日本".encode()])
            if edge
            else draw.randbytes(draw.choice(SIZES))
        )
    if kind == "date32":
        return date(1970, 1, 1) + timedelta(
            draw.choice([0, -1, 11016, -719162, 2932896]) if edge else draw.randrange(-700_000, 2_000_000)
        )
    if kind.startswith("timestamp"):
        step = {"s": 10**6, "ms": 10**3, "us": 1}[kind[10:].split(",")[0].rstrip("]")]
        micros = draw.choice([0, -1, 1, 10**15, -86400 * 10**6]) if edge else draw.randrange(-(6 * 10**16), 2 * 10**17)
        return datetime(1970, 1, 1) + timedelta(microseconds=micros // step * step)
    if kind == "time64[us]":
        return (
            (datetime(1970, 1, 1) + timedelta(microseconds=draw.randrange(86400 * 10**6))).time()
            if not edge
            else time(23, 59, 59, 999999)
        )
    if kind == "duration[us]":
        return timedelta(microseconds=draw.choice([0, 86400 * 10**6, -1_500_000]) if edge else draw.randrange(-(2**62), 2**62))
    if kind in ("float64", "float32", "finite"):
        number = draw.choice(_FLOATS) if edge else struct.unpack("d", struct.pack("Q", draw.getrandbits(64)))[0]
        number = round(draw.uniform(-99, 99), draw.randrange(4)) if draw.random() < 0.2 else number
        return 0.0 if kind == "finite" and not math.isfinite(number) else number
    low, high = parse_type(kind).range
    edges = [one for one in (0, 1, -1, 2, 6, low, low + 1, high - 1, high) if low <= one <= high]
    number = draw.choice(edges) if edge else draw.randrange(low, high + 1) >> draw.choice([0, 0, 8, 30, 50])
    return Decimal(number).scaleb(-parse_type(kind).scale, EXACT) if kind.startswith("decimal") else number


def columns(kinds: dict[str, str], rows: int, draw: Draw) -> bytes:
    """Columns with nulls as an Arrow stream, which keeps every bit."""
    arrays = []
    for kind in kinds.values():
        nulls = draw.choice([0, 0.3])
        items = [None if draw.random() < nulls else value(kind, draw) for _ in range(rows)]
        arrow = parse_type(TEXTUAL.get(kind, kind)).arrow
        arrays.append(pa.array(items, pa.float64()).cast(arrow) if kind == "float32" else pa.array(items, arrow))
    batch = pa.record_batch(arrays, names=list(kinds))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch)
    return out.getvalue().to_pybytes()


def batch_of(data: bytes) -> pa.RecordBatch:
    table = pa.ipc.open_stream(data).read_all().combine_chunks()
    return (
        table.to_batches()[0]
        if table.num_rows
        else pa.record_batch([pa.array([], one.type) for one in table.schema], table.schema)
    )


KINDS = {
    "b": "bool", "i": "int8", "w": "int64", "h": "uint32", "u": "uint64", "f": "float32", "d": "float64", "s": "string", "y": "binary",
    "n": "date32", "t": "timestamp[ms]", "z": "timestamp[us]", "c": "time64[us]", "l": "duration[us]", "m": "decimal128(9, 2)",
    "x": "decimal128(38, 10)",
}  # fmt: skip
RECORD = {**dict.fromkeys("uv", "int64"), "f": "float64", "s": "string", "e": "string", "b": "bool", "t": "timestamp[us]"}
SMALL = lookup(pa.table({"k": [str(i) for i in range(0, 90, 3)], "name": [f"n{i}" * (i % 20) for i in range(30)]}), key="k")
JOB = (
    Pipeline({"id": "int64", "kind": "string", "price": "float64"}, name="orders")
    .filter(col("price") > 1)
    .with_columns(total=col("price") * col("id"), kind=col("kind").str.strip_chars().str.to_lowercase())
    .join(SMALL, on="kind")
)


def draw_inputs() -> dict[str, list[bytes]]:
    """Inputs by case."""
    found: dict[str, list[bytes]] = {}
    for name, target in TARGETS.items():
        draw = Draw(name)
        found[f"fuzz/{name}"] = [target.draw(draw) for _ in range(FUZZED[name])]
    for number, case in enumerate(CASES):
        if case.near or "now()" in case.text:  # the C library's logarithms differ in the last bit, and so do two runs in time
            continue
        draw = Draw(number)
        sizes = (65, SIZES[number % len(SIZES)])
        found[f"expression/{number} {case.text}"] = [columns(dict(case.columns), rows, draw) for rows in sizes]
    draw = Draw("columns")
    found["columns"] = [columns(KINDS, rows, draw) for rows in (1100, *SIZES)]
    few = {"s": "string", "w": "int64", "u": "uint64", "d": "float64", "h": "uint32", "x": "decimal128(38, 10)"}
    found["repeated"] = [repeated(columns(few, rows, draw), 1300) for rows in (300, 7, 1)]
    found["partition"] = [
        repeated(columns({"s": "string", "w": "int64", "b": "bool", "i": "int8"}, 9, draw), rows) for rows in SIZES[:0:-1]
    ]
    found["float"] = [columns({"a": "float64", "b": "float64"}, rows, draw) for rows in (700, *SIZES)]
    found["sums"] = [columns({"k": "int64", "a": "float64"}, rows, draw) for rows in (1500, 5)]
    numbers = [str(10**size + more) for size in (0, 1, 30, 31, 32, 33, 55) for more in (0, 1, 2, 10 ** (size // 2))]
    found["rising"] = [
        "\n".join(one).encode() for one in (numbers, sorted(numbers, key=int), ["1", "1"], ["1", "02"], ["9" * 40 + "a"], [""])
    ]
    for number, schema in enumerate(SCHEMAS):
        fields = list(schema.values())
        texts = []
        for rows in (65, 127, 64, 63, 1, 0):
            records = [
                [(one.paths[0][-1], draw_value(one.type, draw)) for one in draw.sample(fields, len(fields))]
                for _ in range(rows)
            ]
            texts.append("\n".join(written(Doubled(one), draw, " ").replace("\n", " ") for one in records).encode())
        found[f"lines/{number}"] = texts
    text = "\n".join(json.dumps({"i": i, "s": 'aé"\\\n' * (i % 40)}, ensure_ascii=i % 2 == 0) for i in range(200))
    found["cut"] = [text.encode()[: 64 * i + j] for i in (90, 3, 1, 0) for j in (0, 1, 31, 32, 33, 63)]
    alphabet = b"AZaz09+/-_=. \0\x80\xff"
    texts = [one for size in range(100) for one in coded(draw.randbytes(size))]
    texts += [bytes(draw.choices(alphabet, k=draw.randrange(70))) for _ in range(100)] + [text[:-1] for text in texts]
    found["binary"] = [b"\n".join(texts)]
    found["md5"] = [draw.randbytes(size) for size in (*range(130), 1000, 5000)]
    orders = [
        json.dumps(
            {
                "id": i - 5,
                "kind": f" {i} ",
                "price": draw.choice([one for one in _FLOATS if math.isfinite(one)]) if i % 4 else i,
            }
        ).encode()
        for i in range(70)
    ]
    found["event/kinesis"] = [
        events.to_bytes(
            events.kinesis(*orders[:9], b"{bad", events.kpl_aggregate(orders[9:40]), events.cloudwatch_logs("a", "b"))
        ),
        events.to_bytes(events.kinesis_as_sam(*orders[40:])),
    ]
    bodies = [one.decode() for one in orders]
    found["event/sqs"] = [
        events.to_bytes(events.sqs(*bodies[:20], "é\u2028")),
        events.to_bytes(events.sqs_fifo(*(("g", one) for one in bodies[20:]))),
    ]
    return found


def some(inputs: dict[str, list[bytes]], share: float) -> dict[str, list[bytes]]:
    """The first of each case's inputs, which reaches the most, and a share of the others; not the same ones of cases that follow each other."""
    step = max(1, round(1 / share))
    return {
        name: given[:1] + given[1 + number % step :: step] if step > 1 else given
        for number, (name, given) in enumerate(inputs.items())
    }


def coded(data: bytes) -> tuple[bytes, ...]:
    text = base64.b64encode(data)
    return text, text.rstrip(b"="), base64.urlsafe_b64encode(data), data.hex().encode()


def repeated(data: bytes, rows: int) -> bytes:
    """Rows of a batch over and over."""
    batch = batch_of(data)
    batch = batch.take(pa.array([i * i % batch.num_rows for i in range(rows)], pa.int64()))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_batch(batch)
    return out.getvalue().to_pybytes()


def bits(batch: pa.RecordBatch) -> bytes:
    """All of a batch, to the last bit: Python has no object for each time of Arrow's, and one for all NaNs."""
    return batch.serialize().to_pybytes()


def encoded(batch: pa.RecordBatch) -> list[Any]:
    """All that is written of a batch: JSON, Parquet, a digest."""
    vectors = [open_array(column) for column in batch.columns]
    return [
        encode_lines(batch),
        encode_array(batch),
        encode_batch(batch, {}, "none").to_pybytes(),
        digest_rows(batch.schema.names, vectors, 0, batch.num_rows),
        bits(pa.record_batch([close(one) for one in vectors], batch.schema)),
    ]


def run_fuzz(name: str, data: bytes) -> Any:
    return TARGETS[name].judge(data)


def run_expression(name: str, data: bytes) -> Any:
    case = CASES[int(name.partition(" ")[0])]
    schema = {column: TEXTUAL.get(kind, kind) for column, kind in case.columns.items()}
    outcome = Pipeline(schema).select(*schema, result=parse(case.text)).run(batch_of(data))
    return [bits(outcome.batch), outcome.rejects.to_pylist(), encode_batch(outcome.batch, {}, "none").to_pybytes()]


def run_columns(name: str, data: bytes) -> Any:
    batch = batch_of(data)
    return encoded(batch) + encoded(batch.slice(batch.num_rows // 3))


def run_repeated(name: str, data: bytes) -> Any:
    return encode_batch(batch_of(data), {}, "none").to_pybytes()


def run_partition(name: str, data: bytes) -> Any:
    batch = batch_of(data)
    found = []
    for by in (["s"], ["w", "b"], ["i", "s"]):
        made = partition(batch.schema, [open_array(column) for column in batch.columns], batch.num_rows, by)
        rows = made.columns and pa.record_batch([close(column) for column in made.columns], made.schema).to_pylist()
        found.append([made.parts, made.bad, rows])
    return found


def run_float(name: str, data: bytes) -> Any:
    """Arithmetic in one expression, where a compiler may be tempted to contract; and floats by their exact bits."""
    job = Pipeline({"a": "float64", "b": "float64"}).with_columns(
        p=col("a") * col("b") + col("a"), q=col("a") - col("b") * (col("a") / col("b")), m=col("a") % col("b"), d=col("a") // col("b"),
        r=(col("a") / col("b")).cast("float32"), i=(col("a") * 3.7).cast("int64", strict=False), u=col("b").cast("uint64", strict=False),
    )  # fmt: skip
    outcome = job.filter(col("a") <= col("b")).run(batch_of(data))
    return [outcome.counts, encoded(outcome.batch)]


def run_sums(name: str, data: bytes) -> Any:
    """Sums and means of many groups."""
    job = Pipeline({"k": "int64", "a": "float64"}).group_by("k").agg(s=col("a").sum(), m=col("a").mean())
    return bits(job.run(batch_of(data)).batch)


def run_rising(name: str, data: bytes) -> Any:
    payloads = Payloads.of_records(data.split(b"\n"))
    return [kernels.count_rising(payloads.text, payloads.starts, payloads.ends, most) for most in (128, 20)]


def run_lines(name: str, data: bytes) -> Any:
    batch, rejects = decode_json(data, SCHEMAS[int(name)])
    return [*encoded(batch), rejects.to_pylist()]


def run_cut(name: str, data: bytes) -> Any:
    batch, rejects = decode_json(data, {"i": "int64", "s": "string"})
    return [*encoded(batch), rejects.to_pylist()]


def run_json(name: str, data: bytes) -> Any:
    """The cases of the decoder's own tests, each between two others."""
    module = {"test_json": test_json, "test_json_nested": test_json_nested}[name]
    found = []
    for _, schema, record, _ in module.CASES:
        batch, rejects = decode_json([b"{}", record, b"{}"], schema)
        found.append([batch.to_pylist(), rejects.to_pylist()])
    return found


def run_csv(name: str, data: bytes) -> Any:
    """The same of CSV, and what its dialects make of cells."""
    found = []
    for schema, raw, options, _ in [(schema, raw, {}, None) for schema, raw, _ in test_csv.CASES] + test_csv.DIALECT_CASES:
        batch, rejects = decode_csv(b"n,a\n1,\n2," + raw + b"\n3,\n", {"n": "int64"} | schema, **options)
        found.append([batch.to_pylist(), rejects.to_pylist()])
    return found


def run_md5(name: str, data: bytes) -> Any:
    payloads = Payloads.of_records([data, data[1:], data[: len(data) // 2]])
    out = allocate(48, 1)
    kernels.digest_md5(payloads.text, payloads.starts, payloads.ends, allocate(1024, 1), allocate(32, 4), allocate(8, 8), out)
    return out.tobytes()


def run_binary(name: str, data: bytes) -> Any:
    return [decoded(data.split(b"\n"), hexadecimal) for hexadecimal in (False, True)]


def run_event(name: str, data: bytes) -> Any:
    handler = {"kinesis": kinesis_handler, "sqs": sqs_handler}[name]
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        made = handler(JOB, sink=f"{folder}/out", rejects=f"{folder}/bad")
        answer = [made(event, None) for event in (data, json.loads(data))]
        files = {str(path.relative_to(folder)): path for path in sorted(Path(folder).rglob("*.parquet"))}
        return [answer, {path: pq.read_table(file).to_pylist() for path, file in files.items()}]


RUN: dict[str, Callable[[str, bytes], Any]] = {
    name.removeprefix("run_"): one for name, one in globals().items() if name.startswith("run_")
}


_PAGES = (17, (1, 3, 4, 9, 11))
ADDRESSES = {
    ("survey_columns", 0): (12, (1, 3, 4)),
    ("encode_pages", 0): _PAGES,
    ("frame_columns", 0): (14, (1, 10)),
    ("frame_columns", 1): _PAGES,
    ("digest_columns", 0): (7, (1, 3, 4)),
    ("take_columns", 0): (4, (2, 3)),
    ("concat_strings", 0): (4, (0, 2, 3)),
    ("hash_rows", 0): (6, (1, 3, 4)),
    ("build_rows", 0): (6, (1, 3, 4)),
    ("probe_rows", 0): (6, (1, 3, 4)),
    ("probe_rows", 3): (6, (1, 3, 4)),
    ("add_integers", 0): (6, (1, 3, 4)),
    ("pick_rows", 0): (6, (1, 3, 4)),
}
"""Which arguments of kernels are tables of addresses: the words of a row, and which of them are addresses."""


def without_addresses(width: int, places: Sequence[int], content: bytes) -> bytes:
    """A table as it is wherever its columns lie."""
    words = list(struct.unpack(f"{len(content) // 8}q", content))
    for place in places:
        words[place::width] = map(bool, words[place::width])
    return repr(words).encode()


def taken(table: Memory, count: int) -> Iterator[bytes]:
    """What `take_columns` wrote."""
    words = table.tolist()
    for width, target in zip(words[::4], words[3::4], strict=True):
        yield ctypes.string_at(target, width * count)


class Recorder:
    """Stands between the package and its kernels: counts calls, and digests what each made of its memory."""

    def __init__(self, told: bool = False) -> None:
        self.told = told
        self.case = hashlib.sha256()
        self.kernels: dict[str, list[Any]] = {}
        for name in kernels.load().manifest["kernels"]:
            self.kernels[name] = [0, hashlib.sha256()]
            kernels.__dict__[name] = self._recorded(name, getattr(kernels, name))

    def _recorded(self, name: str, kernel: Callable[..., int]) -> Callable[..., int]:
        count = self.kernels[name]

        def call(*arguments: Any) -> int:
            result = kernel(*arguments)
            whole = [name.encode(), struct.pack("q", result)]
            for number, one in enumerate(arguments):
                text = guard.content(one) if isinstance(one, Memory) else repr(one).encode()
                shape = ADDRESSES.get((name, number))
                whole.append(text if shape is None else without_addresses(*shape, text))
            if name == "take_columns":
                whole += taken(arguments[0], arguments[1].count)
            text = b"\0".join(whole)
            count[0] += 1
            count[1].update(text)
            self.case.update(text)
            if self.told:
                print(name, result, *(hashlib.sha256(one).hexdigest()[:8] for one in whole[2:]))
            return result

        return call


def cases(inputs: dict[str, list[bytes]]) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name, given in inputs.items():
        kind, _, rest = name.partition("/")
        yield name, lambda kind=kind, rest=rest, given=given: [RUN[kind](rest, one) for one in given]
    for module in ("test_json", "test_json_nested"):
        yield f"json/{module}", lambda module=module: RUN["json"](module, b"")
    yield "csv/test_csv", lambda: RUN["csv"]("test_csv", b"")


def run(inputs: dict[str, list[bytes]], only: str | None = None) -> dict[str, Any]:
    """Digests of all cases, or of one, which is told in full."""
    recorder = Recorder(only is not None)
    patch = pytest.MonkeyPatch()
    guard.install(patch)
    patch.setattr("millstream.seed.SEED", 0)  # of hashes, which is another one in each process
    found = {}
    for name, work in cases(inputs):
        if only is None or name == only:
            recorder.case = hashlib.sha256()
            result = work()
            recorder.case.update(repr(result).encode())
            found[name] = recorder.case.hexdigest()
    reached = {name: [count, digest.hexdigest()] for name, (count, digest) in recorder.kernels.items()}
    return {"backend": kernels.load().name, "cpu": kernels.load().manifest["cpu"], "cases": found, "kernels": reached}


def to_text(inputs: dict[str, list[bytes]]) -> str:
    return json.dumps({name: [base64.b64encode(one).decode() for one in given] for name, given in inputs.items()})


def from_text(text: str) -> dict[str, list[bytes]]:
    return {name: [base64.b64decode(one) for one in given] for name, given in json.loads(text).items()}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["draw"]:
            print(to_text(some(draw_inputs(), float(os.environ.get("EXAMPLES", "1")))))
        case ["run"]:
            print(json.dumps(run(from_text(sys.stdin.read()))))
        case ["trace", only]:
            print(json.dumps(run(from_text(sys.stdin.read()), only)["cases"]))
        case _:
            sys.exit(__doc__)
