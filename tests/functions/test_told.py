"""`millstream functions`: the catalogue in words and as JSON."""

from __future__ import annotations

import json

import pytest

from millstream.cli import main
from millstream.functions import CATALOGUE


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)
    assert main(["functions", "dt"]) == 0
    assert {line.split(".")[0] for line in capsys.readouterr().out.splitlines()} == {"dt"}


def test_one_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("slice", "str.slice", ".str.slice"):
        assert main(["functions", name]) == 0
        told = capsys.readouterr().out
        assert ".str.slice(offset: int, length: int | None = None)" in told
        assert "slice_string" in told
        assert "s.str.slice(-2)  gives  'ße', 'ab', null" in told


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions", "clip", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["functions"]
    assert found["written"] == ".clip(lower_bound: Value = None, upper_bound: Value = None)"
    assert found["examples"][0] == {"expression": "x.clip(0, 1)", "columns": {"x": "float64"}}
    assert main(["functions", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["functions"]) == len(CATALOGUE)


def test_one_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions", "slcie"]) == 2
    assert "there is no function 'slcie'; did you mean 'slice'?" in capsys.readouterr().err
