"""Settings of a mapping: from the command line, and from SAM and CloudFormation templates."""

import argparse
import json
import textwrap

import pytest

from millstream.cli import main
from millstream.errors import UsageError
from millstream.local.emulate.arguments import add_emulate
from millstream.local.emulate.destination import Destination
from millstream.local.emulate.settings import Settings, Source, check_command

pytestmark = pytest.mark.once

SAM = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Timeout: 45
Parameters:
  Window: {Type: Number, Default: 60}
  Retries: {Type: Number, Default: "5"}
  Bisect: {Type: String, Default: "true"}
  NoDefault: {Type: Number}
Conditions:
  Small: !Equals [!Ref Window, 1]
Resources:
  Raw: {Type: AWS::Kinesis::Stream}
  Uploads: {Type: AWS::SQS::Queue}
  Failed: {Type: AWS::S3::Bucket}
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      Role: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/x"
      Events:
        Stream:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Raw.Arn
            StartingPosition: LATEST
            BatchSize: 500
            MaximumBatchingWindowInSeconds: !Ref Window
            MaximumRetryAttempts: !Ref Retries
            MaximumRecordAgeInSeconds: 3600
            BisectBatchOnFunctionError: !Ref Bisect
            ParallelizationFactor: 2
            FunctionResponseTypes: [ReportBatchItemFailures]
            DestinationConfig:
              OnFailure: {Type: S3, Destination: "arn:aws:s3:::failed"}
            FilterCriteria:
              Filters:
                - Pattern: '{"data": {"kind": ["a"]}}'
        Queue:
          Type: SQS
          Properties: {Queue: !GetAtt Uploads.Arn, BatchSize: 7}
  Quick:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 3
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Uploads.Arn}}
        Timer: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
"""

PLAIN = """
Resources:
  Raw: {Type: AWS::Kinesis::Stream}
  Orders:
    Type: AWS::Lambda::Function
    Properties: {Timeout: 120}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Raw.Arn
      FunctionName: !Ref Orders
      StartingPosition: AT_TIMESTAMP
      StartingPositionTimestamp: 1700000000
      BatchSize: 10
  Others:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders
      FunctionName: {"Fn::GetAtt": [Orders, Arn]}
      BatchSize: 3
"""


def words(*given):
    parser = argparse.ArgumentParser()
    add_emulate(parser.add_subparsers())
    return parser.parse_args(["emulate", "orders", *map(str, given)])


def read(tmp_path, text, function, kind, *given):
    path = tmp_path / "template.yaml"
    path.write_text(textwrap.dedent(text))
    return Settings.of(words("--template", path, "--function", function, *given), kind)


def test_a_sam_templates_stream(tmp_path):
    found = read(tmp_path, SAM, "Orders", "kinesis")
    assert (found.batch_size, found.window, found.maximum_retries, found.maximum_age) == (500, 60, 5, 3600)
    assert (found.bisect, found.parallelization, found.report_batch_item_failures) == (True, 2, True)
    assert (found.starting_position, found.destination, found.timeout) == ("LATEST", "arn:aws:s3:::failed", 45)
    assert found.filters is not None
    assert len(found.filters.patterns) == 1


def test_a_sam_templates_queue(tmp_path):
    found = read(tmp_path, SAM, "Orders", "sqs")
    assert (found.batch_size, found.window, found.report_batch_item_failures, found.timeout) == (7, None, False, 45)
    assert read(tmp_path, SAM, "Quick", "sqs").timeout == 3


def test_a_cloudformation_templates_mappings(tmp_path):
    stream = read(tmp_path, PLAIN, "Orders", "kinesis")
    assert (stream.batch_size, stream.starting_position, stream.timeout) == (10, 1_700_000_000.0, 120)
    assert read(tmp_path, PLAIN, "Orders", "sqs").batch_size == 3


def test_a_template_may_be_json(tmp_path):
    events = {"Q": {"Type": "SQS", "Properties": {"BatchSize": 4}}}
    function = {"Type": "AWS::Serverless::Function", "Properties": {"Events": events}}
    found = read(tmp_path, json.dumps({"Resources": {"Orders": function}}), "Orders", "sqs")
    assert (found.batch_size, found.timeout) == (4, 3)  # Lambda's own default


def test_options_go_before_the_template(tmp_path):
    given = ("--batch-size", 9, "--window", 1, "--destination", "none", "--starting-position", "TRIM_HORIZON", "--timeout", 7)
    found = read(tmp_path, SAM, "Orders", "kinesis", *given)
    assert (found.batch_size, found.window, found.destination, found.timeout) == (9, 1, None, 7)
    assert (found.starting_position, found.maximum_retries) == ("TRIM_HORIZON", 5)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "BatchSize: 500",
            "BatchSize: !Ref NoDefault",
            "BatchSize is a Ref that only a stack knows; give --batch-size instead",
        ),
        (
            "BatchSize: 500",
            "BatchSize: !If [Unknown, 1, 2]",
            "BatchSize is a !If that only a stack knows; give --batch-size instead",
        ),
        ('"arn:aws:s3:::failed"', "!GetAtt Failed.Arn", "Destination is a !GetAtt that only a stack knows; give --destination"),
        ("BatchSize: 500", "BatchSize: many", "BatchSize is no number; correct it, or give --batch-size"),
        ("!Ref Bisect", "perhaps", "BisectBatchOnFunctionError is no true or false; correct it, or give --bisect"),
        ("[ReportBatchItemFailures]", "!Ref Window", "FunctionResponseTypes is no list"),
        ("OnFailure: {", "OnSuccess: {", "DestinationConfig is no object with OnFailure.Destination"),
        ("Filters:", "Filter:", "FilterCriteria is no object with Filters"),
        ("BatchSize: 500", "TumblingWindowInSeconds: 30", "TumblingWindowInSeconds cannot be emulated"),
        ("Timeout: 45", "Timeout: !Ref NoDefault", "Orders: Timeout is a Ref that only a stack knows; give --timeout instead"),
        ("BatchSize: 500", "BatchSize: 1.5", "--batch-size is 1.5; write a whole number"),
        ("LATEST", "NOW", "--starting-position is 'NOW'; write TRIM_HORIZON, LATEST or a time"),
        ("Type: Kinesis", "Type: DynamoDB", "Orders has no event source of Kinesis, not one; give the settings as options"),
        ("Type: SQS", "Type: Kinesis", "2 event sources of Kinesis (Orders.Events.Stream, Orders.Events.Queue), not one"),
        ("Resources:", "Resource:", "is no template: it has no Resources"),
        ("Transform:", "  Transform:", "it is no YAML (line 3)"),
    ],
)
def test_what_a_template_does_not_tell(tmp_path, old, new, says):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, SAM.replace(old, new), "Orders", "kinesis")
    assert says in str(refused.value)
    assert str(tmp_path) in str(refused.value) or str(refused.value).startswith("--")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--template", "none.yaml", "--function", "Orders"), "cannot read none.yaml: No such file or directory"),
        (("--template", "none.yaml"), "--template and --function go together"),
        (("--timeout", 901), "--timeout is 901; write 1 to 900"),
        (("--timeout", "nan"), "--timeout is nan; write 1 to 900"),
        (("--maximum-retries", -2), "--maximum-retries is -2; write -1 to 10,000"),
        (("--starting-position", "yesterday"), "--starting-position is 'yesterday'"),
        (("--filter", "{"), "filter 1 cannot be used: it is no JSON"),
    ],
)
def test_settings_that_cannot_be(given, says):
    with pytest.raises(UsageError) as refused:
        Settings.of(words(*given), "kinesis")
    assert str(refused.value).startswith(says)


def test_a_function_that_a_template_does_not_have(tmp_path):
    with pytest.raises(UsageError, match=r"there is no function Raw; there are Orders, Quick$"):
        read(tmp_path, SAM, "Raw", "kinesis")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "which function? write --invoke"),
        (("--invoke", "127.0.0.1:8080"), "--invoke is a URL of host and port alone"),
        (("--invoke", "http://127.0.0.1:8080/2015-03-31/functions"), "--invoke is a URL of host and port alone"),
        (("--name", "f", "--concurrency", 0), "--concurrency is 0; write 1 to 32"),
        (("--name", "f", "--until-idle", 0), "--until-idle is 0; write a number of seconds above 0"),
        (("--name", "f", "--until-idle", "nan"), "--until-idle is nan"),
    ],
)
def test_words_that_cannot_be(given, says):
    with pytest.raises(UsageError) as refused:
        check_command(words(*given))
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("orders", Source("kinesis", "orders")),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/a", Source("kinesis", "a", "eu-west-1", account="123456789012")),
        (
            "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders",
            Source("kinesis", "orders", "cn-north-1", account="123456789012"),
        ),
        ("arn:aws:sqs:eu-west-1:123456789012:a.fifo", Source("sqs", "a.fifo", "eu-west-1", account="123456789012")),
        ("http://127.0.0.1:5000/123456789012/q", Source("sqs", "q", None, "http://127.0.0.1:5000/123456789012/q")),
        (
            "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
            Source("sqs", "q", "eu-west-1", "https://sqs.eu-west-1.amazonaws.com/123456789012/q"),
        ),
        (
            "https://eu-west-1.queue.amazonaws.com/123456789012/q",
            Source("sqs", "q", "eu-west-1", "https://eu-west-1.queue.amazonaws.com/123456789012/q"),
        ),
    ],
)
def test_sources(text, found):
    assert Source.of(text) == found


@pytest.mark.parametrize(
    "text", ["", "a b", "arn:aws:s3:::bucket", "arn:aws:dynamodb:us-east-1:123456789012:table/x", "https://host"]
)
def test_what_is_no_source(text):
    with pytest.raises(UsageError, match=r"; write a stream's name or ARN, or a queue's URL or ARN$"):
        Source.of(text)


@pytest.mark.parametrize(
    ("text", "kind", "name", "form"),
    [
        ("s3://failed", "s3", "failed", "s3"),
        ("s3://failed/", "s3", "failed", "s3"),
        ("arn:aws:s3:::failed", "s3", "failed", "s3"),
        ("arn:aws:sns:eu-west-1:123456789012:failed", "sns", "arn:aws:sns:eu-west-1:123456789012:failed", "sqs"),
        ("http://127.0.0.1:1/1/failed", "sqs", "http://127.0.0.1:1/1/failed", "sqs"),
    ],
)
def test_destinations(text, kind, name, form):
    found = Destination.of(text)
    assert (found.kind, found.name, found.form) == (kind, name, form)


@pytest.mark.parametrize(
    "text", ["failed", "s3://failed/prefix", "http://127.0.0.1:1/1/q.fifo", "arn:aws:lambda:x:1:function:f"]
)
def test_what_is_no_destination(text):
    with pytest.raises(UsageError, match="write s3://BUCKET"):
        Destination.of(text)


def test_the_command_tells_its_words(capsys):
    with pytest.raises(SystemExit):
        main(["emulate", "--help"])
    told = capsys.readouterr().out
    for option in ("--invoke URL", "--template FILE", "--filter PATTERN", "--until-idle S", "--checkpoints FILE"):
        assert option in told


def test_without_boto3_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["emulate", "orders", "--name", "orders"]) == 2
    told = "millstream: error: millstream emulate needs boto3, which is not installed: pip install 'millstream[aws]'\n"
    assert capsys.readouterr().err == told


CONDITIONS = """
Conditions:
  Small: !Equals [!Ref Size, small]
  Large: !Not [!Condition Small]
  Live: !Equals [!Ref NoDefault, "yes"]
  Both: !And [!Condition Small, !Condition Live]
  Either: !Or [!Condition Small, !Condition Live]
  One: !Equals [!Ref One, "1"]
  Sure: !Equals [!Ref Sure, "true"]
  Neither: !And [!Condition Large, !Condition Live]
  Ring: !Not [!Condition Ring]
"""


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("!If [Small, 1, 2]", 1),
        ("!If [Large, 1, 2]", 2),
        ("!If [Either, 1, 2]", 1),
        ("!If [Neither, 1, 2]", 2),
        ("!If [One, 1, 2]", 1),
        ("!If [Sure, 1, 2]", 1),
        ("!If [Large, 1, !If [Small, !Ref One, 3]]", 1),
        ("!If [Large, 7, !Ref AWS::NoValue]", None),
        *((f"!If [{one}, 1, 2]", "refused") for one in ("Live", "Both", "Ring", "Missing", "[Small]")),
        ("!If [Small, 1]", "refused"),
    ],
)
def test_conditions_on_defaults_are_decided(tmp_path, written, size):
    parameters = "Parameters:\n  Size: {Type: String, Default: small}\n  One: {Type: Number, Default: 1}\n  Sure: {Type: String, Default: true}\n"
    assert "Parameters:\n" in SAM
    template = SAM.replace("Parameters:\n", parameters).replace("BatchSize: 500", f"BatchSize: {written}") + CONDITIONS
    if size != "refused":
        assert read(tmp_path, template, "Orders", "kinesis").batch_size == size
        return
    with pytest.raises(UsageError, match="BatchSize is a !If that only a stack knows"):
        read(tmp_path, template, "Orders", "kinesis")
