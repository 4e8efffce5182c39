"""Profiles: what rightsize writes is what forecast reads; files that are none; how long a batch takes by them."""

import copy
import json

import pytest

from millstream.errors import UsageError
from millstream.sizing.pace import FIXED_MS, by_hand, of_profiles
from millstream.sizing.profile import Profile

pytestmark = pytest.mark.once
TOLD = {
    "version": 1,
    "pipeline": "orders",
    "fingerprint": "4c709976fb4b",
    "source": "kinesis",
    "architecture": "x86_64",
    "records": 1000,
    "bytes_in": 400_000,
    "bytes_out": 60_000,
    "objects": 1,
    "memory": [
        {"mb": 128, "init_ms": None, "first_ms": None, "warm_ms": None, "cpu_ms": None, "peak_mb": 131.5, "killed": True},
        {"mb": 512, "init_ms": 900.0, "first_ms": 210.0, "warm_ms": {"p50": 30.0, "p95": 36.0, "p99": 45.0}, "cpu_ms": 9.0, "peak_mb": 140.0, "killed": False},
        {"mb": 1769, "init_ms": 400.0, "first_ms": 80.0, "warm_ms": {"p50": 10.0, "p95": 11.0, "p99": 12.0}, "cpu_ms": 9.5, "peak_mb": 141.0, "killed": False},
    ],
    "recommended": {"cheapest": 512, "fastest": 1769, "balanced": 1769},
}  # fmt: skip


def profile(**changes) -> Profile:
    return Profile.from_json(json.dumps(TOLD | changes))


def scaled(records: int, factor: float) -> Profile:
    memory = copy.deepcopy(TOLD["memory"])
    for one in memory:
        if one["warm_ms"]:
            one["warm_ms"] = {name: value * factor for name, value in one["warm_ms"].items()}
    return profile(records=records, memory=memory)


def test_a_profile_is_read_from_its_file(tmp_path):
    found = profile()
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(TOLD))
    assert Profile.read(path) == found
    assert found.at(512).warm_ms.p95 == 36.0
    assert found.at(128).killed
    assert found.at(640) is None


def _changed(*keys, to):
    told = copy.deepcopy(TOLD)
    at = told
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    return json.dumps(told)


HOSTILE = [
    ("", "cannot be read"),
    ("[]", "the file is a list; write a profile"),
    ("{", "cannot be read"),
    (_changed("version", to=2), "version is 2; this Millstream reads 1"),
    (_changed("version", to=True), "version is True"),
    (_changed("pipelien", to="x"), "an unknown key 'pipelien'; did you mean pipeline?"),
    (_changed("source", to="kafka"), "source is 'kafka'; write kinesis or sqs or s3"),
    (_changed("architecture", to="riscv"), "architecture is 'riscv'"),
    (_changed("records", to=0), "records is 0; write 1 to"),
    (_changed("records", to=1.5), "records is 1.5; write a whole number"),
    (_changed("records", to=10**400), "records is 1000"),
    (_changed("bytes_out", to=-1), "bytes_out is -1"),
    (_changed("bytes_in", to=float("nan")), "bytes_in is nan"),
    (_changed("memory", to={}), "memory is no list"),
    (_changed("memory", to=[]), "memory is no list"),
    (_changed("memory", 1, "mb", to=64), "memory.1.mb is 64; write 128 to 10240"),
    (_changed("memory", 1, "mb", to=1769), "memory has the same mb twice"),
    (_changed("memory", 1, "killed", to="no"), "memory.1.killed is 'no'; write true or false"),
    (_changed("memory", 1, "init_ms", to=None), "memory.1.init_ms is missing; write a number"),
    (_changed("memory", 1, "init_ms", to=1e300), "memory.1.init_ms is 1e+300"),
    (_changed("memory", 1, "warm_ms", to=30), "memory.1.warm_ms is 30; write p50, p95 and p99"),
    (_changed("memory", 1, "warm_ms", "p50", to=50.0), "memory.1.warm_ms has p50 50, p95 36, p99 45; they go up from above 0"),
    (_changed("memory", 1, "warm_ms", "p50", to=0), "they go up from above 0"),
    (_changed("memory", 1, "warm_ms", "p90", to=1), "unknown key 'p90'"),
    (
        _changed("recommended", "balanced", to=128),
        "recommended.balanced is 128, which is no memory that was measured and not killed",
    ),
    (_changed("recommended", to=None), "recommended is missing"),
    (_changed("pipeline", to="a\nb"), "pipeline is 'a\\nb'; write a line of text"),
    ('{"version": 1, "version": 1}', "the key 'version' stands twice"),
    ("[" * 5000, "nested more than"),
]


@pytest.mark.parametrize(("text", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_profile_is_refused(text, says, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        Profile.read(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


def test_one_profile_is_what_it_measured_and_a_fixed_part():
    pace = of_profiles([profile()], None, None, 0, 0)
    assert (pace.memory, pace.architecture) == (1769, "x86_64")
    assert pace.batch_ms(1000, 1, 2) == pytest.approx(10.0)
    assert pace.batch_ms(0, 1, 2) == pytest.approx(FIXED_MS)
    assert pace.batch_ms(2000, 1, 2) == pytest.approx(FIXED_MS + 2 * (10 - FIXED_MS))
    assert pace.tail == pytest.approx(1.2)
    assert pace.init_ms == pytest.approx(400 + 80 - 10)
    less = of_profiles([profile()], 512, None, 0, 0)  # a third of a CPU: the fixed part takes 1769 / 512 times as long
    assert less.batch_ms(0, 1, 2) == pytest.approx(FIXED_MS * 1769 / 512)
    assert less.batch_ms(1000, 1, 2) == pytest.approx(30.0)


def test_what_is_waited_for_is_added():
    pace = of_profiles([profile()], None, None, 50, 5)
    assert pace.batch_ms(1000, 1, 2) == pytest.approx(10 + 50 + 2 * 5)
    assert pace.batch_ms(1000, 9, 0) == pytest.approx(10 + 2 * 50)  # eight at once
    assert any("50 ms for each 8 puts" in one for one in pace.told)


def test_two_profiles_are_a_line():
    pace = of_profiles([scaled(4000, 2.5), profile()], None, None, 0, 0)  # 10 ms of 1,000 records, 25 of 4,000
    assert pace.per_record_ms == pytest.approx(0.005)
    assert pace.fixed_ms == pytest.approx(5)
    steep = of_profiles([profile(), scaled(2000, 4.0)], None, None, 0, 0)  # more than in proportion: nothing is fixed
    assert steep.fixed_ms == pytest.approx(0, abs=1e-9)
    assert steep.batch_ms(2000, 1, 0) == pytest.approx(40)
    flat = of_profiles([profile(), scaled(2000, 0.5)], None, None, 0, 0)  # noise: the larger batch was quicker
    assert flat.per_record_ms == 0


def test_another_architecture_is_told_to_be_assumed():
    pace = of_profiles([profile()], None, "arm64", 0, 0)
    assert pace.architecture == "arm64"
    assert any(one.startswith("◇") and "arm64" in one for one in pace.told)


@pytest.mark.parametrize(
    ("profiles", "memory", "says"),
    [
        ([profile()], 640, "640 MB was not measured in the profile of 1,000 records; choose one of: 512, 1769"),
        ([profile()], 128, "128 MB was killed for its memory"),
        ([profile(recommended={})], None, "recommends no memory"),
        ([profile(), profile()], None, "both profiles are of batches of 1,000 records"),
        ([profile(), profile(records=5, fingerprint="0")], None, "different pipelines"),
        ([profile(records=1), profile(records=2), profile(records=3)], None, "--profile was given 3 times"),
    ],
    ids=range(6),
)
def test_profiles_that_do_not_fit_are_refused(profiles, memory, says):
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        of_profiles(profiles, memory, None, None, None)


def test_a_duration_by_hand_is_what_was_given():
    pace = by_hand(100, 1, 128, "x86_64", 500)
    assert pace.batch_ms(1, 5, 2) == pytest.approx(100)
    assert by_hand(1, 1000, 512, "x86_64", 0).batch_ms(1, 1, 0) == pytest.approx(1)
