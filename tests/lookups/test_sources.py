"""Files that lookups are read from, and looked at again."""

import json
import logging
import os
import re
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millstream import clock
from millstream.errors import PlanError
from millstream.lookups.formats import _without_values
from millstream.lookups.live import TableMatcher
from millstream.lookups.matching import rehearsal
from millstream.pipeline import Pipeline
from millstream.schema import Column
from millstream.tables import lookup, seconds_of, seconds_to_text
from tests.lookups.times import Times

TABLE = pa.table({"code": ["DE", "FR", "é"], "rate": [19, 20, 21]})
ROWS = pa.record_batch({"c": ["FR", "é", "XX", None]})
P = Pipeline({"c": "string"})


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    made = Times()
    monkeypatch.setattr(clock, "source", made)
    return made


def write(path: Path, table: pa.Table) -> Path:
    """A table as a file of the format that the name tells."""
    rows = table.to_pylist()
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        path.write_text("\n".join([",".join(table.column_names), *(",".join(map(str, row.values())) for row in rows), ""]))
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else "\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "json", "ndjson", "jsonl"])
def test_files_of_every_format(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"t ä.{ending}", TABLE)
    for source in (path, str(path), path.as_uri()):
        outcome = P.join(lookup(source, key="code"), on="c").run(ROWS)
        assert outcome.batch["rate"].to_pylist() == [20, 21, None, None]


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_schema_says_which_columns_and_types(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"t.{ending}", TABLE.append_column("more", pa.array([1, 2, 3])))
    known = lookup(path, key="code", schema={"rate": "decimal128(5, 2)", "code": "string"})
    outcome = P.join(known, on="c").run(ROWS)
    assert outcome.batch.schema.names == ["c", "rate"]
    assert outcome.batch["rate"].to_pylist() == [Decimal("20.00"), Decimal("21.00"), None, None]


def test_json_is_read_as_a_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"c": {"id": "FR"}, "rate": "20"}, {"c": {"id": "DE"}}]')
    schema = {"code": Column("string", path="c.id"), "rate": Column("int64", coerce="numbers", default=7)}
    outcome = P.join(lookup(path, key="code", schema=schema), on="c").run(pa.record_batch({"c": ["FR", "DE"]}))
    assert outcome.batch["rate"].to_pylist() == [20, 7]


def test_compressed_text(tmp_path: Path) -> None:
    import gzip

    for ending, text in (("csv", "code,rate\nFR,20\n"), ("ndjson", '{"code": "FR", "rate": 20}\n')):
        path = tmp_path / f"t.{ending}.gz"
        path.write_bytes(gzip.compress(text.encode()))
        assert P.join(lookup(path, key="code"), on="c").run(ROWS).batch["rate"].to_pylist() == [20, None, None, None]


def test_keys_of_text_keep_their_zeros_and_ranges_their_type(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("code,from,to,tier\n007,0,10.5,a\n007,10.5,,b\n")
    known = lookup(tmp_path / "t.csv", key="code", range=("from", "to"))
    rows = pa.record_batch(
        {"c": ["007", "007", "7"], "p": pa.array([Decimal("10.49"), Decimal("10.50"), Decimal("1.00")], pa.decimal128(9, 2))}
    )
    outcome = Pipeline({"c": "string", "p": "decimal128(9, 2)"}).join(known, on=["c", "p"]).run(rows)
    assert outcome.batch["tier"].to_pylist() == ["a", "b", None]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.json", '[{"code": "a"}, 5]', "record 1: "),
        ("t.ndjson", '{"code": "a"}\n{bad', "cannot be read"),
        ("t.csv", "code,rate\na,1\nb\n", "cannot be read: CSV parse error"),
        ("t.parquet", "PAR1", "cannot be read"),
        ("t.csv.gz", "\x1f\x0bxx", "cannot be read"),
        ("t.txt", "x", "neither .csv nor .parquet nor .json"),
        ("t.csv", "rate\n1\n", "has no column 'code' to be the key; it has rate"),
        ("t.csv", "code,code\na,b\n", "names a column twice"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError, match=rf"^step 1 \(join\): the lookup '.*{name}'.*{words}"):
        P.join(lookup(tmp_path / name, key="code"), on="c").plan()


@pytest.mark.parametrize("text", ["code,rate\na,secret\n", "code,rate\nsecret\n", "code,rate\na,1,secret\n"])
def test_an_error_tells_nothing_of_what_is_in_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(PlanError, match=r"cannot be read: .*CSV") as told:
        P.join(lookup(tmp_path / "t.csv", key="code", schema={"code": "string", "rate": "int64"}), on="c").plan()
    assert "secret" not in str(told.value)


def test_files_that_do_not_fit_their_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", TABLE)
    with pytest.raises(PlanError, match="record 0, column 'rate': the value is of another JSON type"):
        P.join(lookup(path, key="code", schema={"code": "string", "rate": "bool"}), on="c").plan()
    with pytest.raises(PlanError, match="has no column 'tax'; it has code, rate"):
        P.join(lookup(write(tmp_path / "t.csv", TABLE), key="code", schema={"code": "string", "tax": "bool"}), on="c").plan()
    with pytest.raises(PlanError, match="column 'rate' of its schema may say its type and no more, but in JSON"):
        P.join(
            lookup(tmp_path / "t.csv", key="code", schema={"code": "string", "rate": Column("int64", default=1)}), on="c"
        ).plan()
    (tmp_path / "d.csv").mkdir()
    for source, words in (
        (tmp_path / "d.csv", "is no file"),
        ("none.csv", "No such file"),
        ("file://host/x.csv", "on another machine"),
    ):
        with pytest.raises(PlanError, match=words):
            P.join(lookup(source, key="code"), on="c").plan()


def matcher(pipeline: Pipeline) -> TableMatcher:
    (step,) = pipeline.plan().steps
    found = step.lookup  # type: ignore[union-attr]
    assert isinstance(found, TableMatcher)
    return found


def rates(pipeline: Pipeline) -> list[Any]:
    return pipeline.run(ROWS).batch["rate"].to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_file_is_looked_at_again_after_a_while(tmp_path: Path, times: Times, ending: str) -> None:
    path = write(tmp_path / f"t.{ending}", TABLE)
    pipeline = P.join(lookup(path, key="code", refresh="15m"), on="c")
    assert rates(pipeline) == [20, 21, None, None]
    found = matcher(pipeline)
    times.pass_(899)
    write(path, pa.table({"code": ["XX", "FR"], "rate": [1, 2], "new": [0, 0]}))
    assert rates(pipeline) == [20, 21, None, None]
    assert found.looks == 0
    times.pass_(1)
    assert rates(pipeline) == [2, None, 1, None]
    times.pass_(900)
    assert rates(pipeline) == [2, None, 1, None]
    assert (found.looks, found.loads, found.failures) == (2, 1, 0)


def test_a_refresh_that_fails_keeps_what_was_there(tmp_path: Path, times: Times, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "t.csv", TABLE)
    pipeline = P.join(lookup(path, key="code", refresh="1h"), on="c")
    assert rates(pipeline) == [20, 21, None, None]
    found = matcher(pipeline)
    broken = ["code,rate\nFR,1\nFR,2\n", "code,rate\nFR,text\n", "code\nFR\n", "code,rate\nFR\n", None]
    with caplog.at_level(logging.WARNING, "millstream.lookups"):
        for at, text in enumerate(broken, 1):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            times.pass_(3600 if at == 1 else 60)  # after a failure it is tried again sooner
            assert rates(pipeline) == [20, 21, None, None]
            assert found.failures == at
    assert [one.levelname for one in caplog.records] == ["WARNING"] * len(broken)
    assert "stays in use: the lookup" in caplog.messages[0]
    assert "holds the same value more than once" in caplog.messages[0]
    write(path, pa.table({"code": ["FR"], "rate": [5]}))
    times.pass_(60)
    assert rates(pipeline) == [5, None, None, None]
    times.pass_(60)
    assert rates(pipeline) == [5, None, None, None]
    assert found.looks == len(broken) + 1


@pytest.mark.parametrize(
    ("kind", "value", "other"), [("int64", 1, 2), ("bool", True, False), ("date32", "2024-01-31", "2024-02-01")]
)
def test_a_file_that_has_no_rows_yet_is_refreshed(tmp_path: Path, times: Times, kind: str, value: Any, other: Any) -> None:
    """A column without values has no type: it must not be that for ever."""
    path = tmp_path / "blocked.csv"
    path.write_text("code\n")
    pipeline = Pipeline({"c": kind}).join(lookup(path, key="code", refresh=60), on="c", how="anti")
    records = [orjson.dumps({"c": one}) for one in (value, other)]
    assert pipeline.run(records).counts["kept"] == 2
    path.write_text(f"code\n{str(value).lower()}\n")
    times.pass_(61)
    assert pipeline.run(records).counts["kept"] == 1
    assert matcher(pipeline).failures == 0


@pytest.mark.parametrize(
    "text",
    [
        """Could not convert "O'Brien 4111" with type str: tried to convert to int64""",
        "In CSV column #1: CSV conversion error to int64: invalid value 'O'Brien 4111'",
        "Could not convert 4111 with type int: tried to convert to boolean",
        "timestamp out of bounds: 4111",
    ],
)
def test_what_a_library_says_is_told_without_values(text: str) -> None:
    assert not set(re.findall(r"Brien|4111", _without_values(text)))


def test_a_url_that_cannot_be_read_is_not_told() -> None:
    with pytest.raises(PlanError, match="a lookup by https:// cannot be read") as told:
        lookup("https://user:secret@example.com/x.csv?X-Amz-Signature=secret", key="code")
    assert "secret" not in str(told.value)


def test_a_clock_that_goes_back_makes_it_look(tmp_path: Path, times: Times) -> None:
    """As in an environment that is woken from a snapshot whose clock was ahead."""
    pipeline = P.join(lookup(write(tmp_path / "t.csv", TABLE), key="code", refresh=60), on="c")
    pipeline.plan()
    times.pass_(-5)
    rates(pipeline)
    assert matcher(pipeline).looks == 1


def test_a_rehearsal_looks_at_nothing(tmp_path: Path, times: Times) -> None:
    pipeline = P.join(lookup(write(tmp_path / "t.csv", TABLE), key="code", refresh=60), on="c")
    pipeline.plan()
    times.pass_(61)
    with rehearsal():
        rates(pipeline)
    assert matcher(pipeline).looks == 0
    rates(pipeline)
    assert matcher(pipeline).looks == 1


def test_threads_go_on_while_one_of_them_looks(tmp_path: Path, times: Times) -> None:
    pipeline = P.join(lookup(write(tmp_path / "t.csv", TABLE), key="code", refresh=60), on="c")
    pipeline.plan()
    found = matcher(pipeline)
    begun, go_on = threading.Event(), threading.Event()
    inner = found._source
    assert inner is not None

    class Slow:
        def read(self, known: str | None) -> Any:
            begun.set()
            assert go_on.wait(30)
            return inner.read(known)

    found._source = Slow()
    times.pass_(60)
    os.utime(tmp_path / "t.csv", (1, 1))
    looking = threading.Thread(target=rates, args=(pipeline,))
    looking.start()
    assert begun.wait(30)
    assert rates(pipeline) == [20, 21, None, None]
    assert found.loads == 0
    go_on.set()
    looking.join(30)
    assert (found.looks, found.loads) == (1, 1)


@pytest.mark.parametrize(
    ("given", "seconds", "text"),
    [("30s", 30, "30s"), ("15m", 900, "15m"), ("1.5h", 5400, "90m"), ("1d", 86400, "1d"), (0.5, 0.5, 0.5), (120, 120, "2m")],
)
def test_lengths_of_time(given: Any, seconds: float, text: Any) -> None:
    assert seconds_of(given, "x") == seconds
    assert seconds_to_text(seconds) == text
    assert seconds_of(text, "x") == seconds


@pytest.mark.parametrize("given", ["", "0s", 0, -1, True, "1 hour", "1mo", float("nan"), float("inf"), None])
def test_what_is_no_length_of_time(given: Any) -> None:
    with pytest.raises(PlanError, match="write a length of time"):
        seconds_of(given, "x")


def test_an_integer_that_no_column_holds_is_told(tmp_path: Path, times: Times, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"code": "FR", "rate": 20}]')
    pipeline = P.join(lookup(path, key="code", refresh="1h"), on="c")
    before = rates(pipeline)
    path.write_text('[{"code": "FR", "rate": 18446744073709551615}]')
    times.pass_(3600)
    with caplog.at_level(logging.WARNING, "millstream.lookups"):
        assert rates(pipeline) == before
    assert "cannot be read" in caplog.messages[0]
    with pytest.raises(PlanError, match="cannot be read"):
        P.join(lookup(path, key="code"), on="c").plan()
