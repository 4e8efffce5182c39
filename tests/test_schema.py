"""Types by name, schemas, and what is refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from millstream.errors import PlanError
from millstream.schema import TYPES, Column, Schema, parse_type


@pytest.mark.parametrize("name", TYPES)
def test_every_name_is_a_type(name: str) -> None:
    assert parse_type(f" {name} ".replace(",", " ,")).name == name
    assert Schema(Schema({"a": name}).arrow)["a"].type.name == ("string" if name == "json" else name)  # Arrow has no json


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "text"}, "column 'a': unknown type 'text': write one of bool"),
        ({"a": "str"}, "write 'string'"),
        ({"a": "datetime"}, "write 'timestamp[us, UTC]'"),
        ({}, "at least one column"),
        ({"": "int64"}, "non-empty string"),
        ({"a": Column("int8", default=300)}, "column 'a': default is 300, which is no int8"),
        ({"a": Column("bool", default=1)}, "which is no bool"),
        ({"a": Column("int64", on_error="ignore")}, "write 'reject' or 'null'"),  # type: ignore[arg-type]
        ({"a": Column("int64", on_error="null", nullable=False)}, "needs a nullable column"),
        ({"a": "int64", "b": Column("int64", path="a")}, "columns 'a' and 'b' both read 'a'"),
        ({"a": "int64", "b": Column("int64", path="a.b")}, "inside it"),
        ({"a": Column("int64", coerce="words")}, "coerce 'words' is not known; write some of numbers, bools"),
        ({"a": Column("int64", coerce=("empty", "bools"))}, "coerce 'bools' is for columns of bool, not int64"),
        ({"a": Column("json", coerce="empty")}, "not json"),
        ({"a": Column("timestamp[s]", coerce=("epoch_s", "epoch_ms"))}, "a number means one of them"),
        ({"a": Column("int64", path=())}, "is not a key or keys"),
        (pa.schema([("a", pa.list_(pa.int64()))]), "has no counterpart"),
        ([("a", "int64")], "not list"),
    ],
)
def test_refused(columns: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        Schema(columns)
    assert message in str(caught.value)
