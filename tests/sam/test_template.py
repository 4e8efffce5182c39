"""The template as a whole: what it holds under each set of parameters, and what a deployer is told."""

import re

import pytest

from tests.sam.stack import HELD, TEMPLATE, VARIANTS, Stack, environments, expanded, source, texts

pytestmark = pytest.mark.once

PARAMETERS = source()["Parameters"]
TAGGED = [
    "ApiGateway::Stage",
    "Athena::WorkGroup",
    "CloudWatch::Alarm",
    "DynamoDB::Table",
    "Events::Rule",
    "IAM::Role",
    "KMS::Key",
    "Kinesis::Stream",
    "Lambda::Function",
    "Logs::LogGroup",
    "S3::Bucket",
    "SNS::Topic",
    "SQS::Queue",
    "StepFunctions::StateMachine",
]
UNTAGGED = {"ObjectsRule", "WorkflowRule"}
"""Rules cost nothing."""
KEPT = [
    "Athena::WorkGroup",
    "DynamoDB::Table",
    "KMS::Key",
    "Kinesis::Stream",
    "Lambda::LayerVersion",
    "Logs::LogGroup",
    "S3::Bucket",
    "SQS::Queue",
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_refers_to_what_is_switched_off(variant):
    stack = Stack.of(**VARIANTS[variant])
    for name, held in {**stack.resources, **stack.outputs}.items():
        for text in texts(held):
            for match in HELD.finditer(text.replace("month=${month}", "")):  # which is Athena's
                assert match[1] in stack.resources, f"{name} refers to {match[1]}"


def test_the_variants_meet_each_condition_and_its_opposite():
    for name in expanded()["Conditions"]:
        if name != "ServerlessCodeDeployCondition":  # SAM's own: is there any function?
            met = {Stack.of(**given).conditions[name] for given in VARIANTS.values()}
            assert met == {True, False}, name


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_told_and_has_bounds_and_a_default_within(name):
    told = PARAMETERS[name]
    assert told["Description"][-1] == "."
    bounds = {"AllowedValues", "AllowedPattern", "MinValue"} & told.keys()
    assert bounds or name in {"StreamFilter", "QueueFilter"}, "anything may be given"
    assert name == "Release" or "Default" in told
    if name != "Release":
        check_value(name, told["Default"])


def check_value(name, value):
    told, text = PARAMETERS[name], str(value)
    assert text in map(str, told.get("AllowedValues", [text])), name
    assert re.fullmatch(told.get("AllowedPattern", ".*"), text), name
    if told["Type"] == "Number":
        assert told.get("MinValue", 0) <= int(text) <= told.get("MaxValue", 1 << 62), name


def test_every_parameter_is_used_and_stands_in_a_group():
    groups = source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)
    text = TEMPLATE.read_text()
    for name in PARAMETERS:
        assert re.search(rf"!Ref {name}\b|\$\{{{name}\}}", text.partition("\nRules:")[2]), name


@pytest.mark.parametrize("name", ["", "**", "a**b"])
def test_a_pattern_of_keys_is_what_eventbridge_takes(name):
    allowed = re.fullmatch(PARAMETERS["ObjectPattern"]["AllowedPattern"], name) and name
    assert not allowed
    assert PARAMETERS["ObjectPattern"]["MinLength"] == 1


@pytest.mark.parametrize("name", environments())
def test_an_environment_gives_parameters_that_are(name):
    told = environments()[name]
    assert told["Environment"] == name
    for parameter, value in told.items():
        check_value(parameter, value)
    assert "Release" not in told, "a release that stands in a file is the same at the next deploy"
    assert Stack.of(**told).functions()


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("OneBatchOfAShardAtATime", {"ParallelizationFactor": "2"}),
        ("HttpNeedsTheStream", {"HttpSource": "true", "StreamSource": "false"}),
        ("SomethingToDo", VARIANTS["queue alone"] | {"QueueSource": "false"}),
    ],
)
def test_rules_refuse_what_cannot_work_and_take_the_variants(rule, given):
    assert not passes(rule, given)
    assert all(passes(rule, variant) for variant in VARIANTS.values())


def passes(rule, given):
    from tests.sam.stack import _Resolver

    parameters = {name: str(told.get("Default", "1")) for name, told in PARAMETERS.items()} | given
    resolver, told = _Resolver(expanded(), parameters), source()["Rules"][rule]
    if "RuleCondition" in told and not resolver.test(told["RuleCondition"]):
        return True
    return all(resolver.test(one["Assert"]) for one in told["Assertions"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_costs_has_the_tags(variant):
    stack = Stack.of(**VARIANTS[variant])
    for kind in TAGGED:
        for name, properties in stack.kind(kind).items():
            if name not in UNTAGGED:
                tags = {one["Key"]: one["Value"] for one in properties["Tags"]}
                assert {"project", "environment"} <= tags.keys(), name


@pytest.mark.parametrize("kind", KEPT)
def test_what_holds_data_outlives_the_stack_and_has_a_name_of_its_own(kind):
    """A name that was chosen would be taken when the stack is made again."""
    for name, one in Stack.of(**VARIANTS["everything"]).resources.items():
        if one["Type"] == f"AWS::{kind}":
            assert one["DeletionPolicy"] == "Retain", name
            assert kind == "Lambda::LayerVersion" or one["UpdateReplacePolicy"] == "Retain", name
            for key in ("BucketName", "TableName", "QueueName", "LogGroupName", "Name"):
                chosen = one["Properties"].get(key)
                assert chosen is None or "5566778899aa" in chosen, f"{name} is called {chosen}"


def test_outputs_name_what_a_user_needs_next():
    needed = [
        "StreamName",
        "QueueUrl",
        "FifoQueueUrl",
        "RawBucketName",
        "HttpUrl",
        "Sink",
        "Rejects",
        "Failures",
        "Ledger",
        "State",
        "GlueDatabaseName",
        "WorkGroupName",
        "StateMachineArn",
        "QueueDeadUrl",
        "FifoDeadUrl",
        "ObjectsDeadUrl",
        "QuarantineQueueUrl",
        "AlarmTopicArn",
        "DashboardUrl",
        "KeyArn",
    ]
    outputs = Stack.of(**VARIANTS["everything"]).outputs
    assert set(needed) <= outputs.keys()
    assert all(one["Description"] for one in outputs.values())


def test_cloudformations_limits_are_kept():
    template = expanded()
    assert len(template["Resources"]) <= 500
    assert len(template["Parameters"]) <= 200
    assert len(template["Outputs"]) <= 200
    assert TEMPLATE.stat().st_size < 1_000_000
    assert len(template["Description"]) <= 1024
