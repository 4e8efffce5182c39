"""Which columns get a dictionary."""

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.columns import open_array
from millstream.sinks import parquet
from millstream.sinks.repetition import repetitive


def test_columns_that_repeat_get_a_dictionary():
    count = 3000
    columns = {
        "same": pa.array(["x"] * count),
        "few": pa.array([i % 7 for i in range(count)], pa.int32()),
        "own": pa.array([f"v{i}" for i in range(count)]),
        "number": pa.array([i / 3 for i in range(count)]),
        "nulls": pa.nulls(count, pa.float64()),
        "flag": pa.array([i % 2 == 0 for i in range(count)]),
        "late": pa.array([i if i < 1024 else 0 for i in range(count)]),
        "list": pa.array([[str(i)] for i in range(count)]),
        "map": pa.array([[("k", i)] for i in range(count)], pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": {"b": [i]}} for i in range(count)]),
    }
    batch = pa.record_batch(columns)
    found = repetitive(batch.schema.names, [open_array(one) for one in batch.columns], 0, count)
    leaves = ["list.list.element", "map.key_value.key", "map.key_value.value", "struct.a.b.list.element"]
    assert found == ["same", "few", "nulls", *leaves]
    written = pq.ParquetFile(pa.BufferReader(parquet.encode(batch, {}, "zstd", found)))
    group = written.metadata.row_group(0)
    encoded = {group.column(i).path_in_schema for i in range(group.num_columns) if group.column(i).has_dictionary_page}
    assert encoded == set(found)
    assert written.read().to_batches()[0].equals(batch)


def test_of_few_rows_none_does():
    for count in (0, 100):
        batch = pa.record_batch({"a": pa.array([1] * count, pa.int64())})
        assert repetitive(["a"], [open_array(batch.column(0))], 0, count) == []
