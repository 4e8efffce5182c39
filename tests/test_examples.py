"""The examples do what they say, against plain Python."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*words):
    done = subprocess.run([sys.executable, "-m", "millstream", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plain_python(items):
    kept = []
    for item in items:
        price = item.get("price")
        if price is None or not price > 10:
            continue
        discount = price * 0.1 if price > 50 else None
        kept.append({"id": item["id"], "name": item["name"], "price": price, "discount": discount})
    return kept


@pytest.mark.parametrize("pipeline", ["pipeline.py:items", "pipeline.yaml"])
def test_price_discount(tmp_path, pipeline):
    folder = EXAMPLES / "price_discount"
    items = json.loads((folder / "items.json").read_text())
    run("run", folder / pipeline, folder / "items.json", "--out", tmp_path)
    if pipeline.endswith("yaml"):
        (path,) = tmp_path.glob("*.json")
        found = json.loads(path.read_text())
    else:
        found = ds.dataset(tmp_path).to_table().to_pylist()
    expected = plain_python(items)
    assert len(expected) > 5
    assert {item["discount"] is None for item in expected} == {True, False}
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == theirs


COLUMNS = (
    "month", "day", "dep_delay", "arr_delay", "carrier", "flight", "tailnum", "origin", "dest",
    "air_time", "distance", "time_hour",
)  # fmt: skip
FLIGHTS = [
    (1, 1, 2, 11, "UA", 1545, "N14228", "EWR", "IAH", 227, 1400, "2013-01-01T10:00:00Z"),
    (1, 1, None, None, "EV", 4308, "N18120", "EWR", "RDU", None, 416, "2013-01-01T21:00:00Z"),
    (7, 27, -3, 20, "XX", 1, None, "EWR", "LGA", 60, 170, "2013-07-27T05:00:00Z"),
    (7, 27, 1, 1, "US", 1632, None, "EWR", "LGA", 9, 17, "2013-07-27T05:00:00Z"),
]


def test_flights(tmp_path):
    path = tmp_path / "flights.ndjson"
    path.write_text("".join(json.dumps(dict(zip(COLUMNS, one, strict=True))) + "\n" for one in FLIGHTS))
    report = json.loads(run("run", EXAMPLES / "flights" / "pipeline.yaml", path, "--out", tmp_path / "out", "--json"))
    assert report["counts"] == {"delivered": 4, "written": 2, "filtered": 2, "duplicate": 0, "rejected": 0, "failed": 0}
    first, second = sorted(
        ds.dataset(tmp_path / "out", partitioning="hive").to_table().to_pylist(), key=lambda row: row["month"]
    )
    assert (first["airline"], first["month"], first["made_up"], first["late"]) == ("United Air Lines Inc.", 1, -9.0, False)
    assert first["speed"] == 1400 / (227 / 60)
    assert (second["airline"], second["month"], second["late"], second["speed"]) == (None, 7, True, 170.0)


def test_the_airlines_are_those_of_the_data():
    with (EXAMPLES / "flights" / "airlines.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert {"carrier": "UA", "name": "United Air Lines Inc."} in rows


def test_prepare_turns_csv_into_records():
    sys.path.insert(0, str(EXAMPLES / "flights"))
    try:
        import prepare
    finally:
        sys.path.pop(0)
    import io

    text = """year,carrier,tailnum,dep_delay,time_hour
2013,UA,NA,-2,2013-01-01T10:00:00Z
2013,9E,N1,NA,2013-01-01T11:00:00Z
2013,9E,12,1.5,
"""
    assert [json.loads(one) for one in prepare.records(io.StringIO(text))] == [
        {"year": 2013, "carrier": "UA", "tailnum": None, "dep_delay": -2, "time_hour": "2013-01-01T10:00:00Z"},
        {"year": 2013, "carrier": "9E", "tailnum": "N1", "dep_delay": None, "time_hour": "2013-01-01T11:00:00Z"},
        {"year": 2013, "carrier": "9E", "tailnum": "12", "dep_delay": 1.5, "time_hour": None},
    ]


def test_user_functions(tmp_path):
    folder = EXAMPLES / "user_functions"
    report = json.loads(run("run", folder / "pipeline.yaml", folder / "lines.ndjson", "--out", tmp_path, "--json"))
    assert report["counts"] == {"delivered": 5, "written": 3, "filtered": 1, "duplicate": 0, "rejected": 1, "failed": 0}
    assert report["rejected_by_code"] == {"UDF_FAILED": 1}
    (path,) = tmp_path.glob("*.ndjson")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["slug"], row["tax"]) for row in rows] == [("desk-lamp", 15.53), ("office-chair", 47.25), ("monitor", None)]
