"""Groups of rows of any values: whole and from parts, by plain Python's word; and lists made rows."""

from __future__ import annotations

import random
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa

from millstream import partials
from millstream.columns import open_array
from millstream.expr import col
from millstream.pipeline import Pipeline
from millstream.planned import Gather
from tests.steps.oracle import EXACT, bits, expected, key, same

Draw = random.Random

SCHEMA = {"k": "string", "z": "float64", "i": "int64", "u": "uint64", "f": "float64", "d": "decimal128(38, 2)", "b": "bool", "s": "string",
          "l": "list<int64>"}  # fmt: skip
FUNCTIONS = {
    "i": ("sum", "mean", "min", "max", "n_unique", "last"), "u": ("sum", "mean", "max"), "f": ("sum", "mean", "min", "max", "n_unique"),
    "d": ("sum", "mean", "min", "max"), "b": ("sum", "min"), "s": ("min", "max", "first", "count", "len"),
}  # fmt: skip
PIPELINE = (
    Pipeline(SCHEMA).group_by("k", "z").agg(**{f"{f}_{of}": getattr(col(of), f)() for of, fs in FUNCTIONS.items() for f in fs})
)


def _float(draw: Draw) -> float:
    kind = draw.randrange(4)
    if kind == 0:
        return draw.choice([0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308])
    if kind == 1:
        return struct.unpack("d", struct.pack("Q", draw.getrandbits(64)))[0]
    return draw.uniform(-1, 1) * 2.0 ** draw.randrange(-60, 60)


def _row(draw: Draw) -> dict[str, Any]:
    row = {
        "k": "é" * draw.randrange(4),
        "z": draw.choice([0.0, -0.0, float("nan"), 1.5]),
        "i": draw.choice([draw.getrandbits(64) - (1 << 63), draw.randrange(-9, 9)]),
        "u": draw.choice([draw.getrandbits(64), draw.randrange(9)]),
        "f": _float(draw),
        "d": Decimal(draw.choice([draw.randrange(1 - 10**38, 10**38), draw.randrange(-999, 999)])).scaleb(-2, EXACT),
        "b": draw.random() < 0.5,
        "s": "".join(draw.choice("ab") for _ in range(draw.randrange(20))),
        "l": [draw.randrange(9) for _ in range(draw.randrange(4))],
    }
    return {name: None if draw.random() < 0.1 else value for name, value in row.items()}


def draw_groups(draw: Draw) -> bytes:
    """What rows are drawn from: any bytes are fine."""
    return draw.randbytes(8)


def judge_groups(data: bytes) -> str | None:
    """Groups and aggregates are plain Python's, whole and from parts; a list's rows are its items."""
    draw = Draw(data)
    count = 700 if draw.random() < 0.005 else draw.choice([0, 1, 4, 12])
    rows = [_row(draw) for _ in range(count)]
    batch = pa.RecordBatch.from_pylist(rows, schema=PIPELINE.schema.arrow)
    outcome = PIPELINE.run(batch)
    groups: dict[Any, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((row["k"], key(row["z"])), []).append(number)
    wanted, rejected = [], set()
    for numbers in groups.values():
        try:
            values = {}
            for of, functions in FUNCTIONS.items():
                for function in functions:
                    values[f"{function}_{of}"] = expected(function, SCHEMA[of], [rows[one][of] for one in numbers])
            wanted.append(values)
        except OverflowError:
            rejected.update(numbers)
    if outcome.rejects["position"].to_pylist() != sorted(rejected):
        return "other records are rejected"
    for got, values in zip(outcome.batch.to_pylist(), wanted, strict=True):
        for name, value in values.items():
            if not same(got[name], value):
                return f"{name} is {got[name]!r}, not {value!r}"
    return _judge_parts(batch, draw) or _judge_lists(batch, rows)


def _judge_parts(batch: pa.RecordBatch, draw: Draw) -> str | None:
    step = PIPELINE.plan().steps[-1]
    assert isinstance(step, Gather)

    def part(some: pa.RecordBatch) -> pa.RecordBatch:
        columns = {name: open_array(some[name]) for name in ("k", "z")}
        columns |= {name: open_array(some[name.partition("_")[2].removeprefix("unique_")]) for name, _, _ in step.aggregates}
        return partials.start(step, columns, some.num_rows)

    cut = draw.randrange(batch.num_rows + 1)
    joined = partials.finish(step, partials.join(step, [part(batch.slice(0, cut)), part(batch.slice(cut))]))
    whole = partials.finish(step, part(batch))
    return next((f"{name} differs when joined" for name, one in whole.items() if bits(joined[name]) != bits(one)), None)


def _judge_lists(batch: pa.RecordBatch, rows: list[dict[str, Any]]) -> str | None:
    outcome = Pipeline(SCHEMA).explode("l").run(batch)
    wanted = [(number, item) for number, row in enumerate(rows) for item in (row["l"] if row["l"] is not None else [None])]
    found = list(zip(outcome.row_source.to_pylist(), outcome.batch["l"].to_pylist(), strict=True))
    return None if found == wanted else "a list's rows are not its items"
