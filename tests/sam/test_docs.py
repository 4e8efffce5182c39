"""What sam/README.md says of the template is so."""

import re
import shutil
import subprocess
import sys

import pytest

from millstream.native import build
from tests.sam.stack import FOLDER, Stack, source

pytestmark = pytest.mark.once

README = (FOLDER / "README.md").read_text()
DECISION = (FOLDER.parent / "docs" / "decisions" / "0018-sam-template.md").read_text()


def test_parameters_and_outputs_are_called_as_in_the_template():
    stack = Stack.of(FifoSource="true", HttpSource="true")
    known = source()["Parameters"].keys() | source()["Resources"].keys() | stack.outputs.keys() | {"Rules"}
    for name in re.findall(r"`([A-Z][A-Za-z]*[a-z][A-Za-z]*)`", README):
        assert name in known, name


@pytest.mark.parametrize(
    "name", ["StreamSource", "FifoSource", "StreamOnce", "QueueOnce", "WorkflowPattern", "HttpAuth", "Starts"]
)
def test_defaults_are_those_of_the_template(name):
    (row,) = [line for line in README.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]]
    assert f"`{source()['Parameters'][name]['Default']}`" in row.split("|")[2]


def test_the_cost_is_that_of_what_there_is():
    alarms = Stack.of().kind("CloudWatch::Alarm")
    metrics = sum(max(1, sum("MetricStat" in metric for metric in one.get("Metrics", ()))) for one in alarms.values())
    assert f"{len(alarms)}, which look at {metrics} metrics, at 0.10 | {metrics / 10:.2f}" in README
    rows = README.partition("| | | a month |")[2].partition("\n\n")[0].splitlines()
    prices = [float(row.rstrip("| ").rpartition(" ")[2]) for row in rows if re.search(r"\d \|$", row) and "instead" not in row]
    assert len(prices) == 7
    (total,) = re.findall(r"\*\*(\d+\.\d\d)\*\*", README)
    assert round(sum(prices), 2) == float(total)
    assert total in DECISION


def test_a_stacks_name_may_be_as_long_as_it_says():
    most = int(re.search(r"at most (\d+) characters", README)[1])
    stack = Stack.of(FifoSource="true")
    names = [one["QueueName"] for one in stack.kind("SQS::Queue").values() if "QueueName" in one]
    assert max(len(name) - len("ms") + most for name in names) == 80


def test_its_makefile_compiles_functions_into_the_folder_that_is_deployed(tmp_path):
    if shutil.which("make") is None or shutil.which("ld") is None:
        pytest.skip("NOT TESTED: needs make and ld")
    examples = FOLDER.parent / "examples" / "user_functions"
    shutil.copytree(FOLDER / "function", tmp_path / "function")
    shutil.copy(FOLDER / "Makefile", tmp_path)
    for name in ("pricing.py", "pipeline.yaml"):
        shutil.copy(examples / name, tmp_path / "function")
    target = build.host_target()
    words = ("make", "functions", f"ARCH={target}", f"MILLSTREAM={sys.executable} -m millstream")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "function" / "millstream_udf"
    assert sorted(str(one.relative_to(made)) for one in made.rglob("*.*")) == [
        f"{target}/functions.so",
        f"{target}/manifest.json",
    ]
