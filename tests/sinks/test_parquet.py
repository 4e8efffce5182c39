"""Parquet bodies, their metadata, and digests of rows."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.columns import open_array, take
from millstream.errors import SettingsError
from millstream.native.memory import from_numbers
from millstream.sinks.digest import digest_rows
from millstream.sinks.parquet import check_compression, difference, read_metadata
from millstream.sinks.parquet import encode_batch as encode
from tests.arrays import arrays, leaves, nested_of

BATCH = pa.record_batch(
    {
        "b": pa.array([True, None, False]),
        "i": pa.array([1, None, -3], pa.int8()),
        "u": pa.array([2**64 - 1, None, 0], pa.uint64()),
        "f": pa.array([1.5, None, float("inf")], pa.float32()),
        "s": pa.array(["a", None, "ü"]),
        "d": pa.array([dt.date(2026, 11, 23), None, dt.date(1969, 1, 1)]),
        "t": pa.array([1, None, -1], pa.timestamp("us", "UTC")),
        "n": pa.array([1, None, -1], pa.timestamp("ns")),
        "z": pa.array([1, None, -1], pa.timestamp("s", "UTC")),
    }
)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "none"])
def test_rows_and_metadata_come_back(tmp_path, compression):
    path = tmp_path / "x.parquet"
    path.write_bytes(encode(BATCH, {"fingerprint": "abc", "source": "0+3", "digest": "d"}, check_compression(compression)))
    table = pq.read_table(path)
    schema = table.schema.remove_metadata()
    assert pa.table(table.columns, names=schema.names).cast(BATCH.schema).equals(pa.Table.from_batches([BATCH]))
    assert [field.type for field in schema][:-1] == [field.type for field in BATCH.schema][:-1]  # Parquet has no seconds
    assert read_metadata(path) == {"fingerprint": "abc", "source": "0+3", "digest": "d"}
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    assert column.compression.lower() == {"none": "uncompressed"}.get(compression, compression)


def test_differences_are_told(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(encode(BATCH, {"fingerprint": "abc", "source": "0+3"}))
    assert difference(path, {"fingerprint": "abc", "source": "0+3"}) is None
    assert difference(path, {"fingerprint": "xyz", "source": "0+3"}) == "its pipeline is abc, this one is xyz"
    pq.write_table(pa.table({"a": [1]}), path)
    assert difference(path, {"fingerprint": "abc"}) == "it was not written by millstream"
    path.write_bytes(b"not parquet")
    assert difference(path, {"fingerprint": "abc"}) == "it was not written by millstream"


def test_unknown_compression():
    with pytest.raises(SettingsError, match="write zstd, snappy"):
        check_compression("rar")


def digest(batch, first=0, rows=None):
    columns = [open_array(column) for column in batch.columns]
    return digest_rows(batch.schema.names, columns, first, batch.num_rows - first if rows is None else rows)


def test_a_digest_is_of_names_types_and_rows():
    whole = digest(BATCH)
    again = BATCH.take(pa.array([0, 1, 2]))
    assert digest(again) == whole
    assert digest(pa.record_batch(BATCH.columns, names=list("BIUFSDTNZ"))) != whole
    assert digest(BATCH.slice(0, 2)) == digest(BATCH, 0, 2) != whole
    assert digest(BATCH.slice(1, 2)) == digest(BATCH, 1, 2)


unhurried = leaves.filter(lambda kind: kind.unit != "s")  # Parquet has no seconds
any_type = nested_of(unhurried) | unhurried


@settings(deadline=None, max_examples=300)
@given(any_type, st.data())
def test_columns_of_any_type_come_back(kind, data):
    array = data.draw(arrays(kind, most=9, nan=False))
    batch = pa.record_batch({"x": array, "n": pa.array(range(len(array)), pa.int64())})
    table = pq.read_table(pa.BufferReader(encode(batch, {"fingerprint": "abc"})))
    assert table.schema.remove_metadata() == batch.schema
    assert table["x"].combine_chunks().equals(array) or not len(array)


@settings(deadline=None, max_examples=150)
@given(any_type, st.data())
def test_a_digest_is_of_content_not_of_its_layout(kind, data):
    array = data.draw(arrays(kind, most=9, nan=False))
    order = data.draw(st.permutations(range(len(array))))
    back = sorted(range(len(order)), key=order.__getitem__)
    vector = open_array(array)
    moved = take(take(vector, from_numbers("q", order)), from_numbers("q", back))  # lists lie in another order now
    whole = digest_rows(["x"], [vector], 0, len(array))
    assert digest_rows(["x"], [moved], 0, len(array)) == whole
    first = data.draw(st.integers(0, len(array)))
    rest = digest_rows(["x"], [moved], first, len(array) - first)
    assert rest == digest_rows(["x"], [open_array(array.slice(first))], 0, len(array) - first)
    other = array.take(pa.array(order, pa.int64()))
    if digest_rows(["x"], [open_array(other)], 0, len(array)) == whole:
        assert other.equals(array)


LISTS = [
    [],
    [[]],
    [None],
    [[], []],
    [[1]],
    [[1], []],
    [[], [1]],
    [[1, 2]],
    [[1], [2]],
    [[None]],
    [[1], None, [2]],
    [[1, 2], None],
]


def test_digests_tell_how_items_are_shared_out():
    found = {digest(pa.record_batch({"x": pa.array(one, pa.list_(pa.int64()))})) for one in LISTS}
    found |= {
        digest(pa.record_batch({"x": pa.array([one], pa.struct({"a": pa.int8()}))})) for one in (None, {"a": None}, {"a": 0})
    }
    assert len(found) == len(LISTS) + 3


@given(
    st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=8),
    st.lists(st.none() | st.integers(-3, 3), min_size=1, max_size=8),
)
def test_digests_tell_rows_apart(texts, numbers):
    """What lies under a null does not matter; anything else does."""
    seen = {}
    for values, kind in ((texts, pa.string()), (numbers, pa.int64())):
        for variant in (values, values[::-1], values[:-1], [*values, None], [None, *values], [*values, values[0]]):
            found = digest(pa.record_batch({"x": pa.array(variant, kind)}))
            assert seen.setdefault(found, (kind, tuple(variant))) == (kind, tuple(variant))
