"""What fuzzing found once is judged again, and a little of each target is fuzzed, in every run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.__main__ import FINDINGS
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_finding(path: Path) -> None:
    assert TARGETS[path.parent.name].judge(path.read_bytes()) is None


@pytest.mark.parametrize("name", TARGETS)
def test_a_little(name: str) -> None:
    draw = random.Random(name)
    for _ in range(300):
        data = TARGETS[name].draw(draw)
        assert TARGETS[name].judge(data) is None, data
