"""How records come to the functions: nothing is lost, nothing is tried for ever, nothing starts itself again."""

import re

import pytest
import yaml

from tests.sam.stack import VARIANTS, Stack, expanded, source

pytestmark = pytest.mark.once

STACKS = {name: Stack.of(**given) for name, given in VARIANTS.items()}
MAPPINGS = [(name, mapping) for name, stack in STACKS.items() for mapping in stack.kind("Lambda::EventSourceMapping")]
DAY = 86_400


def mapping_of(variant, name):
    return STACKS[variant].resources[name]["Properties"]


@pytest.mark.parametrize(("variant", "name"), MAPPINGS)
def test_every_mapping_reports_partial_failures_and_calls_the_alias(variant, name):
    mapping = mapping_of(variant, name)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert re.fullmatch(r"\$\{\w+FunctionAliaslive\}", mapping["FunctionName"])


@pytest.mark.parametrize(
    ("variant", "name"), [one for one in MAPPINGS if "MaximumRetryAttempts" in mapping_of(*one) or "Stream" in one[1]]
)
def test_a_stream_is_given_up_after_a_while_into_s3(variant, name):
    stack, mapping = STACKS[variant], mapping_of(variant, name)
    assert 0 < mapping["MaximumRetryAttempts"] <= 10_000
    assert 60 <= mapping["MaximumRecordAgeInSeconds"] <= 7 * DAY
    retention = stack.kind("Kinesis::Stream")["Stream"]["RetentionPeriodHours"] * 3600
    assert mapping["MaximumRecordAgeInSeconds"] < retention, "it would expire in the stream before it is stored"
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == "${FailuresBucket.Arn}"
    assert ("s3:PutObject", "${FailuresBucket.Arn}/aws/lambda/*") in stack.allowed("StreamRole")
    assert mapping["MaximumBatchingWindowInSeconds"] == 60


def test_no_timeouts_of_retries_can_be_made_endless():
    parameters = source()["Parameters"]
    for name in ("StreamRetries", "StreamMaxAgeSeconds"):
        assert parameters[name]["MinValue"] > 0, "-1 is for ever"
    assert parameters["StreamMaxAgeSeconds"]["MaxValue"] <= 7 * DAY


@pytest.mark.parametrize("variant", [name for name, stack in STACKS.items() if stack.conditions["WithStream"]])
def test_a_ledger_has_one_batch_of_a_shard_at_a_time_and_alone_halves_batches(variant):
    stack = STACKS[variant]
    mapping = stack.kind("Lambda::EventSourceMapping")["StreamFunctionRecords"]
    environment = stack.functions()["StreamFunction"]["Environment"]["Variables"]
    if stack.conditions["WithLedger"]:
        assert mapping["ParallelizationFactor"] == 1
        assert environment["MILLSTREAM_LEDGER"] == "dynamodb://${LedgerTable}"
        assert environment["MILLSTREAM_PARALLELIZATION"] == "1"
        assert mapping["BisectBatchOnFunctionError"] is True
    else:
        assert mapping["ParallelizationFactor"] == int(stack.parameters["ParallelizationFactor"])
        assert environment["MILLSTREAM_LEDGER"] == environment["MILLSTREAM_PARALLELIZATION"] == ""
        assert mapping["BisectBatchOnFunctionError"] is False


def test_the_mapping_of_a_ledger_cannot_be_told_another_factor():
    assert Stack.of(ParallelizationFactor="8").resources["StreamFunctionRecords"]["Properties"]["ParallelizationFactor"] == 1


QUEUES = [(name, queue) for name, stack in STACKS.items() for queue in stack.kind("SQS::Queue")]


def is_source(variant, queue):
    return any(
        mapping["EventSourceArn"] == f"${{{queue}.Arn}}"
        for mapping in STACKS[variant].kind("Lambda::EventSourceMapping").values()
    )


@pytest.mark.parametrize(("variant", "name"), [one for one in QUEUES if is_source(*one)])
def test_a_queue_gives_time_and_keeps_what_fails(variant, name):
    stack = STACKS[variant]
    queue = stack.kind("SQS::Queue")[name]
    mapping = next(
        one for one in stack.kind("Lambda::EventSourceMapping").values() if one["EventSourceArn"] == f"${{{name}.Arn}}"
    )
    timeout = int(stack.parameters["Timeout"])
    assert queue["VisibilityTimeout"] >= 6 * timeout + mapping.get("MaximumBatchingWindowInSeconds", 0)
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5
    dead = re.fullmatch(r"\$\{(\w+)\.Arn\}", queue["RedrivePolicy"]["deadLetterTargetArn"])[1]
    letters = stack.kind("SQS::Queue")[dead]
    assert letters["MessageRetentionPeriod"] == 14 * DAY
    assert queue["MessageRetentionPeriod"] < letters["MessageRetentionPeriod"], "its age goes on in the dead-letter queue"
    assert letters.get("FifoQueue") == queue.get("FifoQueue")
    assert f"{dead}NotEmpty" in stack.resources


@pytest.mark.parametrize(("variant", "name"), [one for one in QUEUES if not is_source(*one)])
def test_what_is_no_source_keeps_messages_for_14_days(variant, name):
    assert STACKS[variant].kind("SQS::Queue")[name]["MessageRetentionPeriod"] == 14 * DAY


@pytest.mark.parametrize("timeout", source()["Parameters"]["Timeout"]["AllowedValues"])
def test_the_visibility_timeout_is_long_enough_for_each_timeout(timeout):
    told = expanded()["Mappings"]["Timeouts"][str(timeout)]
    window = source()["Parameters"]["BatchingWindow"]["MaxValue"]
    assert 6 * timeout + window <= told["Visibility"] <= 43_200
    assert told["NearMs"] == timeout * 800


def test_receive_counts_cannot_be_set_lower_than_five():
    for name in ("MaxReceiveCount", "ObjectMaxReceiveCount"):
        assert source()["Parameters"][name]["MinValue"] >= 5


@pytest.mark.parametrize(("variant", "name"), MAPPINGS)
def test_batches_are_of_sizes_that_lambda_takes(variant, name):
    mapping, stack = mapping_of(variant, name), STACKS[variant]
    queue = re.fullmatch(r"\$\{(\w+)\.Arn\}", mapping["EventSourceArn"])[1]
    if stack.resources[queue]["Type"] == "AWS::Kinesis::Stream":
        assert mapping["BatchSize"] <= 10_000
    elif stack.resources[queue]["Properties"].get("FifoQueue"):
        assert mapping["BatchSize"] == 10
        assert "MaximumBatchingWindowInSeconds" not in mapping
    elif mapping["BatchSize"] > 10:
        assert mapping["MaximumBatchingWindowInSeconds"] == 60
    else:
        assert name == "ObjectsFunctionMessages"
    if "ScalingConfig" in mapping:
        reserved = int(stack.parameters["ReservedConcurrency"])
        assert mapping["ScalingConfig"]["MaximumConcurrency"] <= (reserved or 1000), "what is refused counts as received"


def test_filters_are_there_when_they_are_asked_for():
    filtered = {
        name: mapping["FilterCriteria"]["Filters"][0]["Pattern"]
        for name, mapping in STACKS["everything"].kind("Lambda::EventSourceMapping").items()
        if "FilterCriteria" in mapping
    }
    given = VARIANTS["everything"]
    assert filtered == {
        "StreamFunctionRecords": given["StreamFilter"],
        "QueueFunctionMessages": given["QueueFilter"],
        "FifoFunctionMessages": given["QueueFilter"],
    }
    assert not any("FilterCriteria" in one for one in STACKS["defaults"].kind("Lambda::EventSourceMapping").values())


# ---- objects


def chosen(rule):
    """The patterns of a rule's keys."""
    return [one["wildcard"] for one in rule["EventPattern"]["detail"]["object"]["key"]]


def matches(rule, key):
    """EventBridge's wildcard: * is any text, also with slashes, and nothing else is special."""
    return any(re.fullmatch(".*".join(map(re.escape, one.split("*"))), key, re.DOTALL) for one in chosen(rule))


@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("in/a.csv", "objects"),
        ("in/2024/01/a b.csv", "objects"),
        ("in/a.json", "objects"),
        ("in/a.json.gz", "objects"),
        ("in/a.ndjson.zst", "objects"),
        ("in/a.csv.tmp", "objects"),  # told by what stands before it
        ("a.csv", None),
        ("in/a.parquet", None),
        ("workflow/a.csv", "machine"),
        ("workflow/2024/a.json", "machine"),
        ("_check/1", None),
    ],
)
def test_keys_go_where_their_names_say_and_to_one_place_alone(key, takes):
    rules = STACKS["defaults"].kind("Events::Rule")
    found = [what for what, name in (("objects", "ObjectsRule"), ("machine", "WorkflowRule")) if matches(rules[name], key)]
    assert found == ([takes] if takes else [])


def test_a_pattern_may_be_of_csv_alone():
    rule = Stack.of(ObjectPattern="*.csv", ObjectPattern2="", ObjectPattern3="").kind("Events::Rule")["ObjectsRule"]
    assert chosen(rule) == ["*.csv"]
    assert [key for key in ("a.csv", "in/b.csv", "b.csv.gz", "csv") if matches(rule, key)] == ["a.csv", "in/b.csv"]


@pytest.mark.parametrize("variant", [name for name, stack in STACKS.items() if stack.conditions["WithRaw"]])
def test_what_is_written_starts_nothing(variant):
    stack = STACKS[variant]
    for rule in stack.kind("Events::Rule").values():
        assert rule["EventPattern"]["detail"]["bucket"]["name"] == ["${RawBucket}"]
        assert rule["EventPattern"]["detail-type"] == ["Object Created"]
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == "${UndeliveredQueue.Arn}"
    for bucket, properties in stack.kind("S3::Bucket").items():
        assert ("NotificationConfiguration" in properties) == (bucket == "RawBucket")
    for role in stack.kind("IAM::Role"):
        puts = {resource for action, resource in stack.allowed(role) if action == "s3:PutObject" and "RawBucket" in resource}
        assert puts <= {"${RawBucket.Arn}/_check/*"}, f"{role} may write to the raw bucket"
    written = [one["Environment"]["Variables"][name] for one in stack.functions().values() for name in WRITTEN]
    assert all("CuratedBucket" in place for place in written)


WRITTEN = ("MILLSTREAM_SINK", "MILLSTREAM_REJECTS")


@pytest.mark.parametrize("variant", VARIANTS)
def test_rejects_stand_apart_from_rows(variant):
    for function in STACKS[variant].functions().values():
        sink, rejects = (function["Environment"]["Variables"][name] for name in WRITTEN)
        assert not sink.startswith(rejects)
        assert not rejects.startswith(sink)


def test_the_lake_is_tidied():
    rules = {
        one["Id"]: one for one in STACKS["defaults"].kind("S3::Bucket")["CuratedBucket"]["LifecycleConfiguration"]["Rules"]
    }
    assert rules["tier-data"]["Prefix"] == "data/"
    assert rules["expire-rejects"]["Prefix"] == "rejects/"
    assert rules["expire-rejects"]["ExpirationInDays"] == 90
    assert not any("ExpirationInDays" in one and one.get("Prefix", "") in ("", "data/") for one in rules.values()), (
        "rows expire"
    )
    for properties in STACKS["everything"].kind("S3::Bucket").values():
        told = properties["LifecycleConfiguration"]["Rules"]
        assert any(one.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation") == 1 for one in told)


# ---- HTTP


def test_the_front_door_is_a_service_integration_with_a_model_a_limit_and_signed_requests():
    stack = STACKS["everything"]
    body = stack.kind("ApiGateway::RestApi")["Http"]["Body"]
    post = body["paths"]["/records"]["post"]
    integration = post["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws"
    assert integration["uri"] == "arn:aws:apigateway:eu-west-1:kinesis:action/PutRecord"
    assert integration["credentials"] == "${HttpRole.Arn}"
    assert integration["passthroughBehavior"] == "never"
    assert not any("lambda" in one.lower() for one in integration["uri"].split(":"))
    assert body["x-amazon-apigateway-request-validators"][post["x-amazon-apigateway-request-validator"]]["validateRequestBody"]
    model = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert body["components"]["schemas"][model]
    assert post["x-amazon-apigateway-auth"]["type"] == "AWS_IAM"
    stage = next(iter(stack.kind("ApiGateway::Stage").values()))
    assert stage["MethodSettings"][0]["ThrottlingRateLimit"] == 100
    assert stage["MethodSettings"][0]["ThrottlingBurstLimit"] == 200
    assert stage["MethodSettings"][0]["DataTraceEnabled"] is False, "bodies would be in the log"
    assert stage["TracingEnabled"] is True
    assert "$input" not in stage["AccessLogSetting"]["Format"]


def test_the_front_door_is_open_only_when_asked_and_there_only_with_a_stream():
    assert not STACKS["defaults"].kind("ApiGateway::RestApi")
    body = STACKS["open door"].kind("ApiGateway::RestApi")["Http"]["Body"]
    assert body["paths"]["/records"]["post"]["x-amazon-apigateway-auth"]["type"] == "NONE"
    assert not Stack.of(HttpSource="true", StreamSource="false").kind("ApiGateway::RestApi")


# ---- the table that Athena reads


def test_the_table_is_that_of_the_pipeline():
    from millstream import Pipeline
    from tests.sam.stack import FOLDER

    schema = Pipeline.from_spec(FOLDER / "function" / "pipeline.yaml").plan().schema
    told = yaml.safe_load((FOLDER / "function" / "pipeline.yaml").read_text())
    table = STACKS["defaults"].kind("Glue::Table")["GlueTable"]["TableInput"]
    keys = [one["Name"] for one in table["PartitionKeys"]]
    columns = [one["Name"] for one in table["StorageDescriptor"]["Columns"]]
    assert keys == told["output"]["partition_by"]
    assert columns == [name for name in schema.names if name not in keys]
    assert table["StorageDescriptor"]["Location"] == "s3://${CuratedBucket}/data/"
    assert table["Parameters"]["projection.enabled"] == "true"
    assert table["Parameters"]["storage.location.template"] == "s3://${CuratedBucket}/data/month=${month}/"
    assert '"${GlueTable}"' in STACKS["defaults"].kind("Athena::NamedQuery")["SavedQuery"]["QueryString"]
