"""The native decoder on buffers that end at a forbidden page, over every case and many mutations."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from millstream.decode.json import decode_json
from millstream.schema import Column
from tests import guard
from tests.decode.test_json import CASES, corrupted


@pytest.mark.parametrize(("schema", "record", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case_alone(monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], record: bytes, wanted: Any) -> None:
    guard.install(monkeypatch)
    for records in ([record], record):  # alone, so that it ends where the text ends
        batch, rejects = decode_json(records, schema)
        batch.validate(full=True)
        if isinstance(records, list):
            assert (rejects["code"].to_pylist() or batch.to_pylist()) == [wanted]


def test_mutations(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {
        "s": "string",
        "t": "timestamp[us, UTC]",
        "i": "int32",
        "f": "float64",
        "b": Column("bool", path="o.b"),
        "d": "date32",
    }
    row = {
        "s": 'tab\t"é"' * 6,
        "t": "2024-02-29T12:00:00.25+01:00",
        "i": -5,
        "f": 0.1,
        "o": {"b": True, "x": [1, {"y": None}]},
        "d": "1999-12-31",
    }
    text = orjson.dumps(row)
    generator = random.Random(7)
    guard.install(monkeypatch)
    for _ in range(150):
        records = [corrupted(text, generator)[: generator.randrange(1, len(text) + 2)] for _ in range(4)] + [text]
        batch, rejects = decode_json(records, schema)
        batch.validate(full=True)
        assert batch.num_rows + rejects.num_rows == len(records)
        assert batch["s"][-1].as_py() == row["s"]
