"""Tools of others on the template: the SAM command line, and rules for security on what the translator makes of it.

Long: fetched from PyPI and npm once, by `python -m tests.sam.tools`. What a tool still finds is in BASELINE, with the reason.
"""

import json
import os
import platform
import re
import shutil
import subprocess

import pytest

from layer import DIST
from tests.sam import tools
from tests.sam.stack import FOLDER, TEMPLATE, expanded, source

pytestmark = [pytest.mark.once, pytest.mark.long]

BASELINE = {
    "cloudwatch_log_group_retention_period_check": (
        {"CheckLogs", "FifoLogs", "HttpLogs", "ObjectsLogs", "QueueLogs", "StreamLogs", "WorkflowLogs", "WorkflowMachineLogs"},
        "a year of logs by default would be paid for by who tries it; prod has a year (environments/prod.yaml)",
    ),
    "lambda_inside_vpc_check": (
        {"CheckFunction", "FifoFunction", "ObjectsFunction", "QueueFunction", "StreamFunction", "WorkflowFunction"},
        "they reach AWS's services alone; a VPC would add endpoints to pay for, and no way in is closed by it",
    ),
    "s3_bucket_default_encryption_kms_check": ({"LogsBucket"}, "S3 delivers access logs to no bucket that a KMS key encrypts"),
    "s3_bucket_logging_enabled_check": ({"LogsBucket"}, "logs of the bucket of logs would go on for ever"),
    "s3_event_notifications_enabled_check": (
        {"CuratedBucket", "FailuresBucket", "LogsBucket"},
        "what is written must start nothing: loops",
    ),
    "s3_bucket_object_lock_enabled_check": (
        {"CuratedBucket", "FailuresBucket", "LogsBucket", "RawBucket"},
        "millstream gc and lifecycles remove objects; versions are kept for 30 days",
    ),
    "sqs_dlq_check": (
        {"FifoDead", "ObjectsDead", "QuarantineQueue", "QueueDead", "UndeliveredQueue"},
        "these are the dead-letter queues",
    ),
}
"""What cfn-guard finds by AWS Control Tower's rules: the resources, and why they stay so."""


def lacks(what):
    """Skip for want of something, or fail where nothing may be skipped."""
    if os.environ.get("LAMBDA_TESTS") == "required":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def fetched():
    try:
        return tools.fetch()
    except tools.FetchError as error:
        lacks(str(error))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """What CloudFormation would get, in a file."""
    path = tmp_path_factory.mktemp("expanded") / "template.json"
    path.write_text(json.dumps(expanded()))
    return path


def run(*command, **environment):
    whole = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"} | environment
    return subprocess.run([str(one) for one in command], env=whole, capture_output=True, text=True, timeout=500, check=False)


def test_sam_validates_it(fetched):
    done = run(fetched.sam, "validate", "--lint", "--template", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_checkov_finds_nothing_but_what_the_file_says_why_of(fetched, template):
    done = run(fetched.checkov, "-f", template, "--framework", "cloudformation", "--skip-download", "--quiet", "-o", "json")
    told = json.loads(done.stdout)
    failed = [(one["check_id"], one["resource"]) for one in told["results"]["failed_checks"]]
    assert told["summary"]["passed"] > 100
    assert told["summary"]["parsing_errors"] == 0
    assert not failed


def test_what_checkov_is_told_to_pass_over_has_a_reason():
    skips = [
        one for held in source()["Resources"].values() for one in held.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert skips
    assert all(re.fullmatch(r"CKV2?_AWS_\d+", one["id"]) and len(one["comment"]) > 20 for one in skips)


def test_cfn_guard_finds_nothing_but_the_baseline(fetched, template):
    home = fetched.guard / "node_modules" / "@cdklabs" / "cdk-validator-cfnguard"
    program = home / "bin" / "ubuntu" / platform.machine() / "cfn-guard"
    rules = home / "rules" / "control-tower" / "cfn-guard"
    form = ("--output-format", "json", "--show-summary", "none", "--structured")
    done = run(program, "validate", "--data", template, "--rules", rules, *form)
    (told,) = json.loads(done.stdout)
    found = {one["Rule"]["name"]: set(resources(one)) for one in told["not_compliant"]}
    assert len(told["compliant"]) > 20
    assert found == {name: names for name, (names, _) in BASELINE.items()}
    assert all(len(reason) > 20 for _, reason in BASELINE.values())


def resources(value):
    """Names of resources in a report of cfn-guard's."""
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and path.startswith("/Resources/"):
            yield path.split("/")[2]
        for one in value.values():
            yield from resources(one)
    elif isinstance(value, list):
        for one in value:
            yield from resources(one)


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_sam_builds_it(fetched, tmp_path, python, arch):
    """With the layer's zip that stands in layer/dist, which is the one that `layer/Makefile` takes."""
    tag = f"py{python.replace('.', '')}"
    if not (DIST / f"millstream-{tag}-{arch}.zip").exists():
        lacks(f"there is no layer: make layer PYTHONS={tag} ARCHES={arch}")
    if shutil.which(f"python{python}") is None:
        lacks(f"there is no python{python} on PATH")
    given = (f"Runtime=python{python}", f"Architecture={arch}", "Release=1")
    places = ("--template", TEMPLATE, "--build-dir", tmp_path / "build", "--cache-dir", tmp_path / "cache")
    done = run(fetched.sam, "build", *places, "--parameter-overrides", *given, LAYER_PYTHON=tag, LAYER_ARCH=arch)
    assert done.returncode == 0, done.stderr
    assert "Build Succeeded" in done.stdout + done.stderr
    build = tmp_path / "build"
    for name, one in source()["Resources"].items():
        if one["Type"] == "AWS::Serverless::Function":
            place = FOLDER / ("hooks" if name == "CheckFunction" else "function")
            assert {path.name for path in (build / name).iterdir()} == {path.name for path in place.iterdir() if path.is_file()}
    layer = build / "MillstreamLayer" / "python"
    (compiled,) = layer.rglob("kernels.so")
    machine = {"arm64": 0xB7, "x86_64": 0x3E}[arch]
    assert compiled.read_bytes()[18] == machine, "the kernels are for another CPU"
    abi = f"cpython-{tag.removeprefix('py')}"
    assert any(abi in path.name for path in layer.rglob("*.so"))
