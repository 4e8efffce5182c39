"""The model of a share of CPU, the choice, and where it is written."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.classes import replace
from millstream.errors import UsageError
from millstream.sizing import limits, prices
from millstream.sizing.choice import BALANCE_TOLERANCE, COST_TOLERANCE, HEADROOM, TIME_TOLERANCE, Option, choose
from millstream.sizing.findings import Findings
from millstream.sizing.limits import share
from millstream.sizing.measure import Told
from millstream.sizing.model import Sample, duration, percentile, typical
from millstream.sizing.overrides import write_memory
from millstream.sizing.profile import CHOICES
from millstream.sizing.sweep import MEMORY, Size, Sweep, cold_cost, cost

pytestmark = pytest.mark.once

# --- the model -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "mb", "milliseconds"),
    [
        # 10 ms of CPU time in one thread, no waiting: 10 / (512 / 1769)
        (Sample(0.010, 0.010), 512, 34.55),
        (Sample(0.010, 0.010), 1769, 10.0),
        (Sample(0.010, 0.010), 3008, 10.0),
        # waiting does not get longer
        (Sample(0.040, 0.010), 512, 64.55),
        (Sample(0.040, 0.010), 3008, 40.0),
        # of these 40 ms the machine ran something else for 25: 5 of waiting are left
        (Sample(0.040, 0.010, 0.025), 512, 39.55),
        # four threads for 10 ms: with 1.7 CPUs 40 / 1.7
        (Sample(0.010, 0.040), 3008, 23.52),
        (Sample(0.010, 0.040), 1769, 40.0),
        (Sample(0.010, 0.040), 10240, 10.0),
    ],
)
def test_a_share_of_a_cpu(sample: Sample, mb: int, milliseconds: float) -> None:
    assert duration(sample, share(mb)) * 1e3 == pytest.approx(milliseconds, abs=0.01)


seconds = st.floats(1e-4, 10)


@given(seconds, seconds, st.lists(st.integers(128, 10240), min_size=2, max_size=20, unique=True))
def test_more_memory_is_never_slower(wall: float, cpu: float, memory: list[int]) -> None:
    times = [duration(Sample(wall, cpu), share(mb)) for mb in sorted(memory)]
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(times))
    assert times[-1] >= wall * (1 - 1e-9)


@given(seconds, seconds)
def test_the_model_has_no_step_at_one_cpu(wall: float, cpu: float) -> None:
    assert duration(Sample(wall, cpu), 1 + 1e-9) == pytest.approx(duration(Sample(wall, cpu), 1))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(one <= found for one in values) >= len(values) * percent / 100
    assert sum(one < found for one in values) < len(values) * percent / 100


# --- the choice ----------------------------------------------------------------------------------------------------------

GB_SECOND, REQUEST = 0.0000166667, 0.0000002
options = st.lists(
    st.builds(
        Option,
        mb=st.integers(128, 10240),
        ms=st.floats(0.1, 1e5),
        cost=st.floats(1e-6, 1e3),
        peak=st.floats(30, 5000),
        fits=st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one.mb,
)


@given(options)
def test_each_is_the_smallest_of_the_best(given_options: list[Option]) -> None:
    found = choose(given_options)
    roomy = [one for one in given_options if one.fits and one.peak <= HEADROOM * one.mb]
    if not roomy:
        assert found is None
        return
    assert found is not None
    values = {
        "cheapest": (lambda one: one.cost, COST_TOLERANCE),
        "fastest": (lambda one: one.ms, TIME_TOLERANCE),
        "balanced": (lambda one: one.cost * one.ms, BALANCE_TOLERANCE),
    }
    for name, (value, tolerance) in values.items():
        limit = min(map(value, roomy)) * (1 + tolerance)
        assert found.mb[name] == min(one.mb for one in roomy if value(one) <= limit)
        assert found.reasons[name]


def chosen(samples: list[Sample]) -> dict[str, int]:
    whole = typical(samples)
    sizes = [Size(mb, "", 100, model_ms=duration(whole, share(mb)) * 1e3) for mb in MEMORY]
    found = choose([Option(one.mb, one.model_ms, cost(one, 1000, GB_SECOND, REQUEST), 100, True) for one in sizes])
    assert found is not None
    return found.mb


def noisy(draw: Random, cpu: float, wait: float) -> Sample:
    """A batch on a machine that others use: caches are cold now and then, S3 waits for a CPU too, and so does the batch."""
    spent = cpu * draw.uniform(0.95, 1.25) * (2 if draw.random() < 0.05 else 1)
    waited = wait + (draw.expovariate(1 / 0.002) if draw.random() < 0.5 else 0)
    delay = draw.expovariate(1 / 0.020)
    return Sample(spent + waited + delay, spent, delay)


@pytest.mark.parametrize("milliseconds", [3, 8, 30, 200])
@pytest.mark.parametrize(("waiting", "mood"), [(0, 0.3), (0.05, 0.3), (3.0, 0.02)])
def test_runs_on_a_busy_machine_choose_the_same(milliseconds: float, waiting: float, mood: float) -> None:
    """60 batches a run, waiting as a multiple of CPU time; 50 runs, CPU time of each off by up to the machine's mood.

    Where a batch waits more than it works, the choice lies on their ratio: there CPU time must not be off by as much.
    """
    cpu, moods, found = milliseconds / 1e3, Random(0), set()
    for seed in range(50):
        draw, off = Random(seed), moods.uniform(1 - mood / 3, 1 + mood)
        found.add(tuple(chosen([noisy(draw, cpu * off, cpu * waiting) for _ in range(60)]).values()))
    assert len(found) == 1


def test_work_of_one_thread_is_best_at_one_cpu() -> None:
    assert chosen([Sample(0.010, 0.010)]) == {"cheapest": 256, "fastest": 1769, "balanced": 1769}, "128 MB leave 28 free"


def test_costs_by_hand() -> None:
    size = Size(512, "", 100, init_ms=1000, first_ms=200, model_ms=39.5)
    # 40 ms billed: 0.04 s x 0.5 GB x 0.0000166667 + 0.0000002 = 0.00000053333 a batch of 1,000 records
    assert cost(size, 1000, GB_SECOND, REQUEST) == pytest.approx(0.00053333, rel=1e-4)
    # 1,200.5 ms, the start among them: 1.2005 s x 0.5 GB x 0.0000166667 + 0.0000002
    assert cold_cost(size, GB_SECOND, REQUEST) == pytest.approx(0.00001020419, rel=1e-5)


def test_memory_is_read() -> None:
    assert limits.checked_memory("512, 128,512") == (128, 512)
    for wrong in ("", "127", "10241", "1,769", "-512", "512MB", "٥١٢"):
        with pytest.raises(UsageError, match="write numbers of MB from 128 to 10,240"):
            limits.checked_memory(wrong)


def test_a_place_for_a_quota_is_found_or_why_not(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/user.slice\n")
    (tmp_path / "user.slice").mkdir()
    (tmp_path / "user.slice" / "cgroup.subtree_control").write_text("memory pids\n")
    assert limits.place(tmp_path, own) == (None, "groups beneath /user.slice have no controller cpu")
    own.write_text("3:cpu,cpuacct:/here\n0::/\n")
    assert limits.place(tmp_path, own)[0] is None
    assert limits.place(tmp_path, tmp_path / "nothing")[0] is None


# --- where it is written -------------------------------------------------------------------------------------------------

TOML = """# what it is
version = 0.1
[dev.deploy.parameters]
stack_name = "dev" # a name
{dev}
[prod.deploy.parameters]
parameter_overrides = ["file://prod.yaml"]
tags = "a=b"
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('parameter_overrides = ["file://dev.yaml"]', ["file://dev.yaml", "MemorySize=512"]),
        ('parameter_overrides = ["MemorySize=128", "file://dev.yaml"] # why', ["file://dev.yaml", "MemorySize=512"]),
        ('parameter_overrides = [\n  "A=1",\n  "MemorySize=128",\n]', ["A=1", "MemorySize=512"]),
        ('parameter_overrides = "A=1 MemorySize=128 B=2"', "A=1 B=2 MemorySize=512"),
        ("", ["MemorySize=512"]),
    ],
)
def test_samconfig_gets_the_memory_and_keeps_the_rest(tmp_path: Path, before: str, after: object) -> None:
    file = tmp_path / "samconfig.toml"
    text = TOML.format(dev=before)
    file.write_text(text)
    assert "is written" in write_memory(str(file), "dev", "MemorySize", 512)
    found, was = tomllib.loads(file.read_text()), tomllib.loads(text)
    assert found["dev"]["deploy"]["parameters"]["parameter_overrides"] == after
    was["dev"]["deploy"]["parameters"]["parameter_overrides"] = after
    assert found == was
    assert "# what it is" in file.read_text()
    assert "has MemorySize=512 already" in write_memory(str(file), "dev", "MemorySize", 512)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[dev.deploy.parameters", "is no TOML"),
        ("[prod.deploy.parameters]\n", "no environment 'dev'; it has prod"),
        ("[dev.deploy.parameters]\nparameter_overrides = 5\n", "write there by hand"),
        ('[dev.deploy.parameters]\nparameter_overrides = "A=\\"b c\\""\n', "write there by hand"),
        ('[dev.deploy.parameters]\nparameter_overrides = [\n  "A=1", # one\n]\n', "write there by hand"),
        ('[dev]\ndeploy = {parameters = {parameter_overrides = ["A=1"]}}\n', "write there by hand"),
    ],
)
def test_a_samconfig_of_another_form_is_left_as_it_is(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "samconfig.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        write_memory(str(file), "dev", "MemorySize", 512)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# prod\nMemorySize: 1769 # one CPU\nB: x\n", "# prod\nMemorySize: 512 # one CPU\nB: x\n"),
        ("B: x", "B: x\nMemorySize: 512\n"),
        ("", "MemorySize: 512\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_parameters_gets_the_memory(tmp_path: Path, before: str, after: str, end: str) -> None:
    file = tmp_path / "prod.yaml"
    file.write_bytes(before.replace("\n", end).encode())
    file.chmod(0o640)
    write_memory(str(file), None, "MemorySize", 512)
    same = end if "\n" in before else "\n"
    assert file.read_bytes() == after.replace("\n", same).encode()
    assert (file.stat().st_mode & 0o777, [one.name for one in tmp_path.iterdir()]) == (0o640, ["prod.yaml"])


def test_what_is_no_file_of_parameters_is_refused(tmp_path: Path) -> None:
    for name, text in (
        ("a.yaml", "- 1\n"), ("b.json", "{}"), ("c.yaml", "MemorySize:\n  a: 1\n"), ("d.yaml", '"MemorySize": 256\n'), ("e.yaml", "A: [\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=name.partition(".")[0]):
            write_memory(str(tmp_path / name), None, "MemorySize", 512)
        assert (tmp_path / name).read_text() == text


# --- what is told --------------------------------------------------------------------------------------------------------


def findings(**more: object) -> Findings:
    sizes = (
        Size(128, "in its start", 130.2),
        *(
            Size(mb, "", 101.0, 600 / share(mb), 40 / share(mb), (9 / share(mb), 12.0, 15.0), 8.0, 8 / share(mb), 8.4, 1.05)
            for mb in (256, 512, 1769)
        ),
    )
    swept = Sweep(sizes, Sample(0.008, 0.008), Told(1000, 410_000, 740, 19_000, 1), 1_100_000, 60, 13, 0.02, "")
    given = {"pipeline": "orders", "fingerprint": "0" * 12, "source": "kinesis", "sink": "s3", "machine": "x86_64", "cpu": "a CPU", "cores": 2,
             "chosen": "x86_64", "sweep": swept, "prices": prices.load(), "latency_ms": 0.0, "notes": ("a note",)}  # fmt: skip
    return Findings(**{**given, **more})


def test_the_table_tells_what_was_killed_and_what_is_assumed() -> None:
    lines = findings().render().splitlines()
    (killed,) = [line for line in lines if "killed in" in line]
    assert "128" in killed
    assert "130.2 MB were in use" in killed
    assert any("$ arm64 ◇" in line for line in lines)
    assert any(line.startswith("◇ not measured") for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(CHOICES)] == list(CHOICES)
    assert "a note" in lines
    assert lines[-1] == "◇ if a batch waited 40 ms for S3: cheapest 256 MB, fastest 1,769 MB, balanced 256 MB"
    assert findings(latency_ms=5.0).render().splitlines()[-1] == "a note"
    assert any("$ x86_64 ◇" in line for line in findings(machine="arm64").render().splitlines())


def test_nothing_is_recommended_where_no_size_has_room() -> None:
    swept = findings().sweep
    found = findings(sweep=replace(swept, sizes=swept.sizes[:1]))
    assert found.choice is None
    assert "nothing is recommended" in found.render()
    assert found.refused().startswith("no size that was tried leaves 25% of its memory free (130 MB were in use)")
    assert found.profile()["recommended"] == dict.fromkeys(CHOICES)


def test_a_plot_has_a_title_units_and_marks(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: matplotlib is not installed")
    from millstream.sizing.plot import draw

    file = tmp_path / "plot.svg"
    draw(findings(), str(file))
    text = file.read_text()
    for said in ("orders: batches of 1,000 records from kinesis", "duration, ms (log)", "warm batches, USD a million records",
                 "memory of the function, MB (log)", "killed: over", "cheapest", "balanced", "arm64 (not measured: the same durations)"):  # fmt: skip
        assert f"<!-- {said}" in text or said in text, said
    draw(findings(), str(tmp_path / "again.svg"))
    assert (tmp_path / "again.svg").read_text() == text
