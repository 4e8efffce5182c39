"""What a sample's columns could be: the schema that is told takes every record it was told from."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import Pipeline
from millstream.errors import SourceError
from millstream.local.infer import infer


def write(folder: Path, records: list[Any]) -> Path:
    path = folder / "in.ndjson"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


CASES = [
    ([1, 2], {"type": "int64"}),
    ([1, 2.5], {"type": "float64"}),
    ([2**64 - 1], {"type": "uint64"}),
    ([2**64 - 1, -1], {"type": "float64"}),
    ([True], {"type": "bool"}),
    (["2026-11-01"], {"type": "date32"}),
    (["20261101"], {"type": "string"}),
    (["2026-11-01T08:30:00Z"], {"type": "timestamp[us, UTC]"}),
    (["2026-11-01T08:30"], {"type": "timestamp[us]"}),
    (["2026-11-01T08:30:00Z", "2026-11-01T08:30:00"], {"type": "string"}),
    (["2026-11-01", "x"], {"type": "string"}),
    (["x", 1], {"type": "string", "coerce": ["text"]}),
    ([[1], [2]], {"type": "list<int64>"}),
    ([[1, None], [2.5], None, []], {"type": "list<float64>"}),
    ([["2026-11-01"], ["x"]], {"type": "list<string>"}),
    ([["2026-11-01T08:30:00Z"]], {"type": "list<timestamp[us, UTC]>"}),
    ([[1], ["x"]], {"type": "json"}),
    ([[], [None]], {"type": "json"}),
    ([[1], "x"], {"type": "json"}),
    ([[[1], []], [[2**63]]], {"type": "list<list<uint64>>"}),
    (
        [[{"id": 1, "tags": ["x"]}], [{"id": None, "p q": {"r": True}}]],
        {"type": "list<struct<id: int64, tags: list<string>, p q: struct<r: bool>>>"},
    ),
    ([[{"a": None, "b:": 1}]], {"type": 'list<struct<a: string, "b:": int64>>'}),
    ([[{"a": 1}, {"a": "x"}]], {"type": "json"}),
    ([[{"a": 1}, 5]], {"type": "json"}),
    ([[{"a": []}]], {"type": "json"}),
    ([[{}]], {"type": "json"}),
    ([[{str(i): i for i in range(100)}]], {"type": f"list<struct<{', '.join(f'{i}: int64' for i in range(100))}>>"}),
    ([[{str(i): i for i in range(101)}]], {"type": "json"}),
    ([[[[[1]]]]], {"type": "list<list<list<list<int64>>>>"}),
    ([[[[[[1]]]]]], {"type": "json"}),
    ([[{"a": {"b": {"c": {"d": 1}}}}]], {"type": "json"}),
    ([{}, None], {"type": "json"}),
    ([None], {"type": "string"}),
    ([{"b": 1}, 5], {"type": "json"}),
]


@pytest.mark.parametrize(("values", "column"), CASES)
def test_types(tmp_path: Path, values: list[Any], column: dict[str, Any]):
    found = infer([write(tmp_path, [{"a": value} for value in values])])
    assert found.columns() == {"a": column}


def test_shares_paths_and_conflicts(tmp_path: Path):
    records = [{"a": 1, "s": {"id": "x", "d.e": 1}}, {"a": None, "s": None}, {"a": "x", "s_id": 2}, [1]]
    found = infer([write(tmp_path, records)])
    assert found.columns() == {
        "a": {"type": "string", "coerce": ["text"]},
        "s_id": {"type": "string", "path": "s.id"},
        "s_d.e": {"type": "int64", "path": ["s", "d.e"]},
        "s_id_": {"type": "int64", "path": "s_id"},
    }
    told = found.to_dict()
    assert (told["records"], told["bad_records"]) == (3, 1)
    assert told["columns"]["a"] == {"null": 1 / 3, "absent": 0.0, "conflict": "integer 33.3 %, string 33.3 %"}
    text = found.render()
    assert "a: {type: string, coerce: [text]}  # null 33.3 %; conflict: integer 33.3 %, string 33.3 %" in text
    assert yaml.safe_load(text)["schema"].keys() == found.columns().keys()


def test_nothing_to_infer_from(tmp_path: Path):
    with pytest.raises(SourceError, match="no JSON object among the first 2 records"):
        infer([write(tmp_path, [1, [2]])])


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["2026-11-01", "2026-11-01T08:30:00Z", "9999-99-99"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUE, max_size=4), min_size=1, max_size=8))
def test_the_schema_takes_its_own_sample(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]):
    path = write(tmp_path_factory.mktemp("infer"), records)
    found = infer([path])
    if not found.columns():
        return
    spec = yaml.safe_load(found.render()) | {"name": "p", "steps": []}
    assert Pipeline.from_spec(spec).run(path.read_bytes()).counts["rejected"] == 0
