"""Rows to folders: every value stays in its own, and readers give it back."""

import datetime as dt
from decimal import Decimal
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.columns import close, open_array
from millstream.errors import PlanError
from millstream.schema import STRING, TYPES, parse_type
from millstream.sinks.partition import DEFAULT, FOLDERS_BYTES, check_columns, folder_value, partition


class Filed:
    """Rows by partition, and as a RecordBatch."""

    def __init__(self, batch, by):
        columns = [open_array(column) for column in batch.columns]
        made = partition(batch.schema, columns, batch.num_rows, by)
        self.parts, self.bad = made.parts, made.bad
        self.batch = pa.record_batch([close(column) for column in made.columns], made.schema if made.columns else pa.schema([]))


NASTY = [
    ".",
    "..",
    "../x",
    "/etc",
    "a/b",
    "a\\b",
    "%",
    "%2F",
    "a=b",
    "\n",
    "\x00",
    "\x7f",
    "é",
    "日本",
    "🌿",
    " ",
    "~",
    "NULL",
    "1",
    "a" * 200,
    "-",
    "_x",
]


@pytest.mark.parametrize("value", NASTY)
def test_a_value_stays_in_its_folder_and_comes_back(value):
    name = f"k={folder_value(STRING, value)}"
    assert PurePosixPath("/sink", name).parent == PurePosixPath("/sink")
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ ")
    assert name.count("=") == 1
    assert unquote(name.partition("=")[2]) == value


@given(st.text(min_size=1))
def test_any_text_stays_in_its_folder_and_comes_back(value):
    name = folder_value(STRING, value)
    if value != DEFAULT:
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%")
        assert unquote(name) == value


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("int8", -5, "-5"),
        ("uint64", 2**64 - 1, "18446744073709551615"),
        ("bool", 1, "true"),
        ("bool", 0, "false"),
        ("string", "", None),
        ("string", DEFAULT, None),
        ("string", None, DEFAULT),
        ("date32", 20780, "2026-11-23"),
        ("date32", -719163, None),
        ("timestamp[s]", 0, "1970-01-01%2000%3A00%3A00"),
        ("timestamp[ms, UTC]", -1, "1969-12-31%2023%3A59%3A59.999Z"),
        ("timestamp[us]", 1, "1970-01-01%2000%3A00%3A00.000001"),
        ("timestamp[ns, UTC]", 1, "1970-01-01%2000%3A00%3A00.000000001Z"),
        ("timestamp[s]", 2**60, None),
        ("decimal128(10, 2)", Decimal("-12.50"), "-12.50"),
        ("decimal128(38, 38)", Decimal("1e-38"), "0." + 37 * "0" + "1"),
    ],
)
def test_folder_values(kind, value, name):
    assert folder_value(parse_type(kind), value) == name


rows = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["a", "b", "ab", "日本", "a/b", "x" * 30]),
        st.none() | st.integers(-2, 2),
        st.none() | st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=80)
@given(rows, st.sampled_from([["s"], ["n"], ["b"], ["s", "n"], ["b", "s", "n"]]))
def test_grouping_is_that_of_a_dictionary(table, by):
    batch = pa.record_batch(
        {
            "i": pa.array(range(len(table)), pa.int64()),
            "s": pa.array([row[0] for row in table], pa.string()),
            "n": pa.array([row[1] for row in table], pa.int16()),
            "b": pa.array([row[2] for row in table], pa.bool_()),
        }
    )
    expected: dict[tuple, list[int]] = {}
    for row in batch.to_pylist():
        expected.setdefault(tuple(row[name] for name in by), []).append(row["i"])
    found = Filed(batch, by)
    assert found.bad == []
    assert found.batch.schema.names == [name for name in "isnb" if name not in by]
    folders = {}
    for part in found.parts:
        folders[part.folder] = found.batch.slice(part.first, part.rows).column(0).to_pylist()

    def folder(key):
        return "/".join(
            f"{name}={folder_value(TYPES['int16' if name == 'n' else 'bool' if name == 'b' else 'string'], value)}"
            for name, value in zip(by, key, strict=True)
        )

    assert list(folders.items()) == [(folder(key), indices) for key, indices in expected.items()]


def test_decimals_partition_by_their_exact_text():
    values = [Decimal("1.10"), None, Decimal("-99999999999999999999.99"), Decimal("1.10"), Decimal("0.00")]
    found = Filed(pa.record_batch({"k": pa.array(values, pa.decimal128(22, 2)), "i": pa.array(range(5))}), ["k"])
    assert [(part.folder, part.rows) for part in found.parts] == [
        ("k=1.10", 2),
        (f"k={DEFAULT}", 1),
        ("k=-99999999999999999999.99", 1),
        ("k=0.00", 1),
    ]
    assert found.batch.column(0).to_pylist() == [0, 3, 1, 2, 4]


def test_nested_columns_go_where_their_rows_go():
    batch = pa.record_batch({"k": ["b", "a", "b"], "l": [[1], None, [2, 3]], "s": [{"a": [b"x"]}, {"a": None}, None]})
    found = Filed(batch, ["k"])
    assert found.batch.to_pylist() == [
        {"l": [1], "s": {"a": [b"x"]}},
        {"l": [2, 3], "s": None},
        {"l": None, "s": {"a": None}},
    ]


def test_many_partitions():
    values = [str(i % 20_011) for i in range(60_000)]
    found = Filed(pa.record_batch({"k": values, "i": pa.array(range(60_000))}), ["k"])
    assert len(found.parts) == 20_011
    assert [found.batch.column(0)[part.first].as_py() for part in found.parts] == list(range(20_011))


def test_what_cannot_name_a_folder_is_told_with_its_column():
    batch = pa.record_batch({"a": ["x", "", "y", "é" * 43], "b": [DEFAULT, "", None, "z"], "v": [1, 2, 3, 4]})
    assert Filed(batch, ["a", "b"]).bad == [(0, "b"), (1, "a"), (3, "a")]
    assert Filed(batch.slice(2, 1), ["a", "b"]).bad == []
    longest = pa.record_batch({"k": ["x" * 253, "x" * 254], "v": [1, 2]})
    assert Filed(longest, ["k"]).bad == [(1, "k")]


SCHEMA = pa.schema(
    {
        "k": pa.string(),
        "f": pa.float64(),
        "_k": pa.string(),
        "l": pa.list_(pa.int8()),
        "y": pa.binary(),
        "t": pa.time64("us"),
    }
)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["nope"], "no output column"),
        (["f"], "partition by strings"),
        (["l"], "partition by strings"),
        (["y"], "partition by strings"),
        (["t"], "partition by strings"),
        (["_k"], "rename"),
        (["k", "k"], "twice"),
        (["k", "f", "_k"], "."),
    ],
)
def test_partitions_that_cannot_be(by, message):
    with pytest.raises(PlanError, match=message):
        check_columns(SCHEMA, by)
    with pytest.raises(PlanError, match="every column"):
        check_columns(pa.schema({"k": pa.string()}), ["k"])


def test_dates_are_those_of_datetime():
    assert folder_value(TYPES["date32"], (dt.date(2024, 2, 29) - dt.date(1970, 1, 1)).days) == "2024-02-29"


def test_folders_that_are_too_long_together_are_told_with_their_last_column():
    """Each can stand in a name, all of them in no key of S3's."""
    columns = {name: ["x", "é" * 40, "y"] for name in ("a", "b", "c")} | {"n": [1, 2, 3]}
    filed = Filed(pa.record_batch(columns), ["a", "b", "c"])
    assert filed.bad == [(1, "c")]
    columns["a"][1] = "é"
    filed = Filed(pa.record_batch(columns), ["a", "b", "c"])
    assert not filed.bad
    assert max(len(part.folder) for part in filed.parts) < FOLDERS_BYTES
