"""Columns of any type as Parquet, read back by pyarrow."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.sinks.parquet import encode_batch

Draw = random.Random

_LEAVES = (
    pa.bool_(), pa.int8(), pa.int64(), pa.uint16(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32(),
    pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.duration("us"), pa.time64("us"), pa.decimal128(7, 3), pa.decimal128(38, 5),
)  # fmt: skip


def _kind(draw: Draw, depth: int) -> pa.DataType:
    which = draw.randrange(8 if depth else 5)
    if which < 5:
        return draw.choice(_LEAVES)
    if which == 5:
        return pa.list_(_kind(draw, depth - 1))
    if which == 6:
        return pa.map_(pa.string(), _kind(draw, depth - 1))
    return pa.struct([(name, _kind(draw, depth - 1)) for name in "abc"[: draw.randrange(1, 4)]])


def _value(kind: pa.DataType, draw: Draw, few: int):
    if draw.random() < 0.15:
        return None
    number = draw.randrange(few)
    if pa.types.is_list(kind):
        return [_value(kind.value_type, draw, few) for _ in range(draw.randrange(4))]
    if pa.types.is_map(kind):
        return [(str(i), _value(kind.item_type, draw, few)) for i in range(draw.randrange(3))]
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type, draw, few) for field in kind}
    if pa.types.is_boolean(kind):
        return bool(number & 1)
    if pa.types.is_string(kind):
        return "é" * (number % 30) + str(number)
    if pa.types.is_binary(kind):
        return number.to_bytes(4, "big") * (number % 9)
    if pa.types.is_decimal(kind):
        return pa.scalar(number % 9000 - 4000).cast(pa.decimal128(19, 0)).as_py()
    if pa.types.is_floating(kind):
        return number / 3
    if pa.types.is_date(kind):
        return pa.scalar(number % 40_000 - 500, pa.int32()).cast(pa.date32()).as_py()
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return pa.scalar(number * 1_000_003 % 86_400_000_000, pa.int64()).cast(kind).as_py()
    return number % (100 if kind.bit_width == 8 else 30_000)


def draw_columns(draw: Draw) -> bytes:
    """What columns are drawn from: any bytes are fine."""
    return draw.randbytes(8)


def judge_columns(data: bytes) -> str | None:
    """A file of columns of random types holds them."""
    draw = random.Random(data)
    count, few = draw.choice([0, 1, 5, 30, 300, 700]), draw.choice([2, 20, 1 << 30])
    kinds = [_kind(draw, 3) for _ in range(draw.randrange(1, 4))]
    batch = pa.record_batch(
        [pa.array([_value(kind, draw, few) for _ in range(count)], kind) for kind in kinds],
        names=[f"c{i}" for i in range(len(kinds))],
    )
    body = encode_batch(batch, {}, draw.choice(["zstd", "snappy", "none", "lz4", "gzip"]))
    found = pq.read_table(pa.BufferReader(body))
    if not found.schema.equals(batch.schema):
        return f"the schema is {found.schema}"
    for name in batch.schema.names:
        column = found[name].combine_chunks()
        if count and not column.equals(batch[name]):
            return f"a column of {batch[name].type} holds other values"
    return None
