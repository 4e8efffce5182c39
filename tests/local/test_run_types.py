"""Files of records with columns of every type, to Parquet and JSON lines, by partition; run again, nothing changes."""

from __future__ import annotations

import json
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from millstream import Pipeline, col
from millstream.local.run import run_files
from millstream.schema import Column

SCHEMA = {
    "id": "int64",
    "price": "decimal128(12, 2)",
    "body": "binary",
    "opens": "time64[us]",
    "takes": "duration[us]",
    "items": "list<struct<sku: string, tags: list<string>, n: int8>>",
    "by_day": "map<string, float64>",
    "rest": Column("json", path="*"),
}


def record(i: int) -> dict[str, Any]:
    return {
        "id": i,
        "price": i / 4,
        "body": "AP8=",
        "opens": f"{i % 24:02}:30:00.5",
        "takes": f"PT{i}M",
        "items": [{"sku": f"s{n}", "tags": ["é"] * (n % 3), "n": None} for n in range(i % 4)] if i % 5 else None,
        "by_day": {f"d{n}": n / 2 for n in range(i % 3)},
        "more": {"i": i},
    }


def row(i: int) -> dict[str, Any]:
    """What becomes of the record."""
    made = record(i)
    return made | {
        "price": Decimal(i * 25) / 100,
        "body": b"\0\xff",
        "opens": time(i % 24, 30, 0, 500_000),
        "takes": timedelta(minutes=i),
        "by_day": list(made["by_day"].items()),
        "rest": f'{{"more":{{"i": {i}}}}}',
    }


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "in.ndjson"
    texts = [json.dumps(record(i)) for i in range(300)]
    texts.insert(100, '{"id": 1, "items": [{"n": 128}]}')
    path.write_text("".join(text + "\n" for text in texts))
    return path


def test_parquet(tmp_path: Path, lines: Path) -> None:
    pipeline = Pipeline(SCHEMA, output={"partition_by": ["price"]}).filter(col("takes") < "PT200M", col("price") != 0.5)
    for _ in range(2):
        report = run_files(pipeline, [lines], sink=tmp_path / "out")
        assert report.counts | {"rejected": 1} == report.counts
    found = ds.dataset(tmp_path / "out", partitioning="hive").to_table().sort_by("id").to_pylist()
    wanted = [row(i) for i in range(200) if i != 2]
    assert [json.loads(one.pop("rest")) for one in found] == [json.loads(one.pop("rest")) for one in wanted]
    assert [float(one.pop("price")) for one in found] == [float(one.pop("price")) for one in wanted]
    assert found == [{name: one[name] for name in found[0]} for one in wanted]


def test_json_lines_are_read_back(tmp_path: Path, lines: Path) -> None:
    run_files(Pipeline(SCHEMA, output={"format": "ndjson"}), [lines], sink=tmp_path / "out")
    again = SCHEMA | {"rest": "string"}
    run_files(Pipeline(again, output={"format": "ndjson"}), [tmp_path / "out"], sink=tmp_path / "again")
    first, second = (b"".join(path.read_bytes() for path in (tmp_path / name).rglob("*.ndjson")) for name in ("out", "again"))
    assert first.count(b"\n") == 300
    assert second == first
