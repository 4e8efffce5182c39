"""Whether one revision is slower than another: what the statistics say of times that are known."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import noise

pytestmark = pytest.mark.once


def measured(
    factor: float, seed: int, *, processes: int = 5, pairs: int = 21, own: float = 0.01, each: float = 0.1
) -> list[list[noise.Pair]]:
    """Pairs of a head that takes `factor` times as long: `own` is the noise of a pair of processes, `each` that of a run."""
    draw = random.Random(seed)
    made = []
    for _ in range(processes):
        lean = math.exp(draw.gauss(0, own))
        drift = [math.exp(draw.gauss(0, 0.5)) for _ in range(pairs)]  # of the machine: the same for both of a pair
        made.append([(one, one * factor * lean * math.exp(draw.gauss(0, each))) for one in drift])
    return made


@pytest.mark.parametrize(
    ("factor", "said"), [(1.3, "SLOWER"), (1.15, "SLOWER"), (1.0, "same"), (1.02, "same"), (0.8, "quicker")]
)
def test_a_known_change_is_told(factor: float, said: str):
    told = [noise.change(measured(factor, seed)).verdict(0.05) for seed in range(40)]
    assert told.count(said) >= 38, told


def test_the_same_is_hardly_ever_called_slower():
    told = [noise.change(measured(1.0, seed, own=0.02, each=0.2)).verdict(0.05) for seed in range(200)]
    assert told.count("SLOWER") <= 3


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        found = noise.change(measured(1.1, seed, own=0.03))
        held += found.low <= 1.1 <= found.high
    assert 176 <= held <= 198  # 95 % of 200, give or take


def test_many_pairs_of_one_lean_are_one_observation():
    """Two pairs of processes that disagree leave a wide interval, however often each of them ran."""
    found = noise.change([[(1.0, 1.0)] * 1000, [(1.0, 1.2)] * 1000])
    assert found.low < 1 < 1.2 < found.high
    assert found.verdict(0.05) == "unsure"


def test_an_outlier_of_a_run_changes_nothing():
    quiet = [[(1.0, 1.0)] * 9 for _ in range(3)]
    assert noise.change([[(1.0, 50.0), *pairs[1:]] for pairs in quiet]) == noise.change(quiet)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)), min_size=1, max_size=5), min_size=2, max_size=20)
)
def test_turning_base_and_head_round_turns_the_answer_round(processes: list[list[noise.Pair]]):
    there, back = noise.change(processes), noise.change([[(head, base) for base, head in pairs] for pairs in processes])
    assert there.low <= there.ratio * (1 + 1e-9)
    assert there.ratio <= there.high * (1 + 1e-9)
    assert math.isclose(there.ratio * back.ratio, 1, rel_tol=1e-6)
    assert math.isclose(math.log(there.low), -math.log(back.high), rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize("few", [[], [[(1.0, 1.0)]], [[(1.0, 1.0)], []]])
def test_too_little_is_refused(few: list[list[noise.Pair]]):
    with pytest.raises(ValueError, match="at least two"):
        noise.change(few)
