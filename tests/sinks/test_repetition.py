"""Which columns get a dictionary."""

import pyarrow as pa
import pyarrow.parquet as pq

from millstream.sinks.parquet import encode_batch


def test_columns_that_repeat_get_a_dictionary():
    count = 3000
    columns = {
        "same": pa.array(["x"] * count),
        "few": pa.array([i % 7 for i in range(count)], pa.int32()),
        "own": pa.array([f"v{i}" for i in range(count)]),
        "number": pa.array([i / 3 for i in range(count)]),
        "nulls": pa.nulls(count, pa.float64()),
        "flag": pa.array([i % 2 == 0 for i in range(count)]),
        "late": pa.array([i if i < 1000 else 0 for i in range(count)]),
        "list": pa.array([[str(i)] for i in range(count)]),
        "map": pa.array([[("k", i)] for i in range(count)], pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": {"b": [i]}} for i in range(count)]),
    }
    batch = pa.record_batch(columns)
    group = pq.ParquetFile(pa.BufferReader(encode_batch(batch, {}))).metadata.row_group(0)
    encoded = {group.column(i).path_in_schema for i in range(group.num_columns) if group.column(i).has_dictionary_page}
    assert encoded == {"same", "few", "map.key_value.key"}


def test_of_few_rows_none_has_one():
    batch = pa.record_batch({"a": pa.array([1] * 1000, pa.int64())})
    group = pq.ParquetFile(pa.BufferReader(encode_batch(batch, {}))).metadata.row_group(0)
    assert not group.column(0).has_dictionary_page
