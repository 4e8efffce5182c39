"""What each function is told and allowed is what its handler reads and does, by Millstream's own settings and documents."""

import os
import re
from pathlib import Path

import pytest

from millstream.aws import entry
from millstream.aws.settings import SETTINGS, Settings
from tests.sam.stack import FOLDER, VARIANTS, Stack

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs" / "reference"
STACKS = {name: Stack.of(**given) for name, given in VARIANTS.items()}
FUNCTIONS = [(variant, name) for variant, stack in STACKS.items() for name in stack.functions()]
HANDLERS = {
    "StreamFunction": "kinesis",
    "QueueFunction": "sqs",
    "FifoFunction": "sqs",
    "ObjectsFunction": "s3",
    "WorkflowFunction": "s3",
}
HEADING = "## What a function needs to be allowed\n"


def told(variant, name):
    """A function's environment, with names in the places of what a deploy makes."""
    variables = STACKS[variant].functions()[name]["Environment"]["Variables"]
    return {key: re.sub(r"\$\{(\w+)\}", lambda match: match[1].lower(), str(value)) for key, value in variables.items()}


@pytest.mark.parametrize(("variant", "name"), FUNCTIONS)
def test_variables_are_settings_and_are_read_as_meant(variant, name):
    environment = told(variant, name)
    settings = Settings.of(environment)
    stack = STACKS[variant]
    assert settings.sink == "s3://curatedbucket/data/"
    assert settings.rejects == "s3://curatedbucket/rejects/"
    assert settings.on_reject is None
    assert settings.pipeline == "pipeline.yaml"
    has_ledger = {
        "kinesis": stack.conditions["WithLedger"],
        "sqs": stack.conditions["WithMessageKeys"],
        "s3": True,
    }[HANDLERS[name]]
    table = "ledgertable" if name == "StreamFunction" else "statetable"
    assert settings.ledger == (f"dynamodb://{table}" if has_ledger else None)
    assert settings.sqs_once == (HANDLERS[name] == "sqs" and stack.conditions["WithMessageKeys"])
    known = {one.variable for one in SETTINGS} | {"PIPELINE_SECRET_ARN"}
    assert all(key in known or key.startswith("POWERTOOLS_") for key in environment)


@pytest.mark.parametrize("name", HANDLERS)
def test_the_handler_is_one_of_millstreams_and_starts_with_these_variables(name, aws, monkeypatch):
    function = STACKS["everything"].functions()[name]
    module, _, attribute = function["Handler"].rpartition(".")
    assert module == entry.__name__
    assert attribute == HANDLERS[name]
    for variable in [one for one in os.environ if one.startswith("MILLSTREAM_") and one != "MILLSTREAM_BACKEND"]:
        monkeypatch.delenv(variable)
    for variable, value in told("everything", name).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(FOLDER / "function"))
    handler = entry.__getattr__(attribute)
    try:
        assert handler.source == HANDLERS[name]
        assert handler.sink.url == "s3://curatedbucket/data/"
    finally:
        vars(entry).pop(attribute, None)


# ---- rights


def table(page):
    """Cells of the table under a page's heading, without its head."""
    text = (DOCS / page).read_text().partition(HEADING)[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def actions(cell):
    """`s3:GetObject`, `PutObject`: the service is told once."""
    found, service = set(), ""
    for name in re.findall(r"`([\w:]+)`", cell):
        service = name.partition(":")[0] if ":" in name else service
        found.add(f"{service}:{name.rpartition(':')[2]}")
    return found


def for_source(*rows):
    """What handlers.md has an event source need."""
    found = {action for first, second, _ in table("handlers.md") if first in rows for action in actions(second)}
    assert {first for first, *_ in table("handlers.md")} >= set(rows)
    return found


def for_sink():
    """What sinks.md has a sink and rejects in S3 need."""
    return {action for first, *_ in table("sinks.md") for action in actions(first)} - {"sqs:SendMessage"}


def rights(variant, name):
    return {action for action, _ in STACKS[variant].allowed(f"{name.removesuffix('Function')}Role")}


def resources(variant, name, *prefixes):
    """What a function's role may act upon by actions that begin so, and by which."""
    allowed = STACKS[variant].allowed(f"{name.removesuffix('Function')}Role")
    return {(action, resource) for action, resource in allowed if action.startswith(prefixes)}


@pytest.mark.parametrize(("variant", "name"), FUNCTIONS)
def test_a_function_may_do_what_its_documents_say_it_must(variant, name):
    stack, source = STACKS[variant], HANDLERS[name]
    wanted = for_sink() | {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments"}
    if source == "kinesis":
        wanted |= for_source("Kinesis") - {"kinesis:ListStreams"}
        wanted |= {"s3:PutObject", "s3:ListBucket"}  # what is given up
        if stack.conditions["WithLedger"]:
            wanted |= for_source("Kinesis, with a ledger")
    if source == "sqs" or name == "ObjectsFunction":
        wanted |= for_source("SQS")
    if source == "sqs" and stack.conditions["WithMessageKeys"]:
        wanted |= for_source("SQS, with keys of messages")
    if source == "s3":
        wanted |= for_source("S3", "S3, with a ledger")
    if stack.conditions["ReadsSecret"]:
        wanted |= {"secretsmanager:GetSecretValue"}
    assert rights(variant, name) == wanted | {"xray:PutTelemetryRecords"}, "neither less nor more"


def test_the_documents_are_read_as_they_are_meant():
    assert for_source("Kinesis") >= {"kinesis:GetRecords", "kinesis:ListStreams", "kinesis:ListShards"}
    assert for_source("SQS, with keys of messages") == {"dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchGetItem"}
    s3 = {f"s3:{name}" for name in ("PutObject", "GetObject", "AbortMultipartUpload", "ListBucket", "DeleteObject")}
    assert for_sink() == s3 | {"kms:GenerateDataKey", "kms:Decrypt"}


@pytest.mark.parametrize(("variant", "name"), FUNCTIONS)
def test_it_may_do_so_on_its_own_source_and_places_alone(variant, name):
    source = {
        "StreamFunction": "Stream",
        "QueueFunction": "Queue",
        "FifoFunction": "FifoQueue",
        "ObjectsFunction": "ObjectsQueue",
    }
    polled = {resource for _, resource in resources(variant, name, "kinesis:", "sqs:")}
    assert polled == ({f"${{{source[name]}.Arn}}"} if name in source else set())
    table = {resource for _, resource in resources(variant, name, "dynamodb:")}
    assert table <= {"${LedgerTable.Arn}" if name == "StreamFunction" else "${StateTable.Arn}"}
    deletes = {resource for _, resource in resources(variant, name, "s3:DeleteObject")}
    assert deletes == {f"${{CuratedBucket.Arn}}/{prefix}/_millstream-*" for prefix in ("data", "rejects")}
    places = {"${CuratedBucket.Arn}/data/*", "${CuratedBucket.Arn}/rejects/*"}
    places |= {"${FailuresBucket.Arn}/aws/lambda/*"} if name == "StreamFunction" else set()
    assert {resource for _, resource in resources(variant, name, "s3:PutObject")} == places
    logs = {resource for _, resource in resources(variant, name, "logs:")}
    assert logs == {f"${{{name.removesuffix('Function')}Logs.Arn}}"}


STEPS = {
    "arn:aws:states:::lambda:invoke": ("lambda:InvokeFunction", "${WorkflowFunctionAliaslive}"),
    "arn:aws:states:::sns:publish": ("sns:Publish", "${NoticeTopic}"),
    "arn:aws:states:::sqs:sendMessage": ("sqs:SendMessage", "${QuarantineQueue.Arn}"),
    "arn:aws:states:::dynamodb:putItem": ("dynamodb:PutItem", "${StateTable.Arn}"),
    "arn:aws:states:::aws-sdk:s3:listObjectsV2": ("s3:ListBucket", "${RawBucket.Arn}"),
    "arn:aws:states:::s3:getObject": ("s3:GetObject", "${RawBucket.Arn}/*"),
    "arn:aws:states:::s3:putObject": ("s3:PutObject", "${CuratedBucket.Arn}/backfills/*"),
}
"""What the state machine may do, by what its steps are called."""


def test_the_state_machine_may_do_what_its_steps_do_and_run_backfills_of_itself():
    allowed = STACKS["defaults"].allowed("WorkflowMachineRole")
    steps = set(re.findall(r'"Resource": "(arn:aws:states:[^"]+)"', (FOLDER / "statemachine.asl.json").read_text()))
    assert steps <= STEPS.keys()
    assert set(STEPS.values()) <= allowed
    own = "arn:aws:states:eu-west-1:123456789012"
    assert {(action, resource) for action, resource in allowed if action.startswith("states:")} == {
        ("states:StartExecution", f"{own}:stateMachine:ms-files"),
        ("states:RedriveExecution", f"{own}:execution:ms-files/Backfill:*"),
        *(
            (f"states:{verb}Execution", f"{own}:execution:ms-files{end}")
            for verb in ("Describe", "Stop")
            for end in (":*", "/Backfill:*")
        ),
    }
    assert {("kms:Decrypt", "${Key.Arn}"), ("kms:GenerateDataKey", "${Key.Arn}")} <= allowed


SUBSTITUTED = "TransformFunctionArn TopicArn QuarantineQueueUrl StateTable RawBucket CuratedBucket RejectsBucket RejectsPrefix OutputPrefix"


def test_the_state_machine_is_told_all_that_it_asks_for():
    machine = STACKS["defaults"].kind("StepFunctions::StateMachine")["WorkflowMachine"]
    assert machine["DefinitionSubstitutions"].keys() == set(SUBSTITUTED.split())
    asked = set(re.findall(r"\$\{(\w+)\}", (FOLDER / "statemachine.asl.json").read_text()))
    assert asked <= machine["DefinitionSubstitutions"].keys()
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
