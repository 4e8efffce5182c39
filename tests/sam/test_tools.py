"""Rules of others for security, checkov's and cfn-guard's, on what SAM's translator makes of the template.

Long: the tools are fetched once (tools.py). What cfn-guard still finds is in BASELINE, with the reason.
"""

import json
import platform
import re

import pytest

from tests.sam import tools
from tests.sam.stack import expanded, source

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


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """What CloudFormation would get, in a file."""
    path = tmp_path_factory.mktemp("expanded") / "template.json"
    path.write_text(json.dumps(expanded()))
    return path


def test_checkov_finds_nothing_but_what_the_file_says_why_of(tool, run, template):
    done = run(tool(tools.CHECKOV), "-f", template, "--framework", "cloudformation", "--skip-download", "--quiet", "-o", "json")
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


def test_cfn_guard_finds_nothing_but_the_baseline(tool, run, template):
    home = tool(tools.CFN_GUARD)
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
