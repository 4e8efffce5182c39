"""Alarms and the dashboard look at metrics that are there: those that handlers write, under these names and dimensions, and AWS's own."""

import json
import re

import pytest

from millstream.aws import observe
from millstream.sinks.landed import Landed
from millstream.sinks.store import Stored
from tests.sam.stack import VARIANTS, Stack, source

pytestmark = pytest.mark.once

STACKS = {name: Stack.of(**given) for name, given in VARIANTS.items()}
FULL = STACKS["everything"]
OWN = {
    "AWS/Lambda": "Duration Errors Throttles IteratorAge DestinationDeliveryFailures OnFailureDestinationDeliveredEventCount",
    "AWS/SQS": "ApproximateNumberOfMessagesVisible ApproximateAgeOfOldestMessage",
    "AWS/States": "ExecutionsFailed ExecutionsTimedOut ExecutionsAborted",
    "AWS/ApiGateway": "5XXError",
}
"""Metrics that AWS writes, by namespace: a list of our own, not compared with AWS."""


@pytest.fixture
def emitted(capsys, monkeypatch):
    """What a handler of the stack's writes: names of metrics by their dimensions' names, and the values of these."""
    variables = FULL.functions()["StreamFunction"]["Environment"]["Variables"]
    for name in ("POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"):
        monkeypatch.setenv(name, variables[name])
    landed = Landed(files=[(Stored("s3://b/k", 100, True), 1)], rejected_by_code={"BAD_JSON": 1})
    batch = observe.Batch("flights", "f" * 12, "kinesis", "arn", "shard", "1", "2", 2, 100, 5, stage_ms={"decode": 1.0})
    observe.emit_metrics(batch, landed)
    found, values = {}, {}
    for line in capsys.readouterr().out.splitlines():
        told = json.loads(line)
        for one in told["_aws"]["CloudWatchMetrics"]:
            assert one["Namespace"] == "Millstream"
            (dimensions,) = one["Dimensions"]
            found.setdefault(frozenset(dimensions), set()).update(metric["Name"] for metric in one["Metrics"])
            values |= {name: told[name] for name in dimensions}
    return found, values


def dashboard(stack):
    (one,) = stack.kind("CloudWatch::Dashboard").values()
    return json.loads(one["DashboardBody"])["widgets"]


def drawn(stack):
    """(namespace, name, dimensions) of each metric that is drawn; searches apart."""
    for widget in dashboard(stack):
        for one in widget["properties"]["metrics"]:
            if isinstance(one[0], str):
                *told, _ = one
                yield told[0], told[1], dict(zip(told[2::2], told[3::2], strict=True))


def watched(stack):
    """(alarm, namespace, name, dimensions) of each metric that an alarm looks at."""
    for name, alarm in stack.kind("CloudWatch::Alarm").items():
        metrics = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one] or [alarm]
        for one in metrics:
            yield name, one["Namespace"], one["MetricName"], {told["Name"]: told["Value"] for told in one["Dimensions"]}


def test_metrics_of_handlers_are_called_as_handlers_call_them(emitted):
    names, values = emitted
    ours = [told[-3:] for told in (*drawn(FULL), *watched(FULL)) if told[-3] == "Millstream"]
    assert len(ours) > 40
    for _, name, dimensions in ours:
        assert name in names[frozenset(dimensions)], f"no handler writes {name} by {sorted(dimensions)}"
        assert dimensions["service"] == values["service"] == "ms"
        assert dimensions["source"] in {"kinesis", "sqs", "s3"}
    (search,) = re.findall(r"SEARCH\('(.*?)', 'Sum', 60\)", json.dumps(dashboard(FULL)).replace('\\"', '"'))
    assert set(re.match(r"\{Millstream,([\w,]+)\}", search)[1].split(",")) in map(set, names)
    assert 'MetricName="RejectedByCode"' in search
    assert 'service="ms"' in search


def test_metrics_of_awss_are_called_as_aws_calls_them():
    for told in (*drawn(FULL), *watched(FULL)):
        namespace, name = told[-3:-1]
        assert namespace == "Millstream" or name in OWN[namespace].split(), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_dashboard_is_json_and_draws_what_is_there(variant):
    stack = STACKS[variant]
    for _, _, dimensions in drawn(stack):
        for value in dimensions.values():
            held = re.fullmatch(r"\$\{(\w+)(\.QueueName)?\}", value)
            assert held is None or held[1] in stack.resources
    for widget in dashboard(stack):
        assert widget["properties"]["region"] == "eu-west-1"
        assert widget["properties"]["title"]


def test_the_dashboard_shows_what_an_operator_asks_for():
    found = {(namespace, name) for namespace, name, _ in drawn(FULL)}
    ours = "Written Filtered Duplicate Rejected Failed Delivered Rows BytesIn BytesOut BytesPerObject Duration IteratorAge"
    assert {("Millstream", name) for name in ours.split()} <= found
    for name in ("Duration", "Errors", "Throttles", "IteratorAge"):
        assert ("AWS/Lambda", name) in found
    assert {("AWS/SQS", name) for name in OWN["AWS/SQS"].split()} <= found
    durations = {
        one[-1]["stat"]
        for widget in dashboard(FULL)
        for one in widget["properties"]["metrics"]
        if isinstance(one[0], str) and one[:2] == ["AWS/Lambda", "Duration"]
    }
    assert durations == {"p50", "p95", "p99"}
    dead = {dimensions["QueueName"] for _, _, dimensions in drawn(FULL) if "QueueName" in dimensions}
    assert {"${QueueDead.QueueName}", "${FifoDead.QueueName}", "${ObjectsDead.QueueName}"} <= dead


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_alarm_tells_the_topic_and_says_what_is_wrong(variant):
    for name, alarm in STACKS[variant].kind("CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == ["${AlarmTopic}"], name
        assert len(alarm["AlarmDescription"]) > 15
        assert alarm["TreatMissingData"] == ("breaching" if name == "NoData" else "notBreaching")
        period = alarm.get("Period") or max(one["MetricStat"]["Period"] for one in alarm["Metrics"] if "MetricStat" in one)
        assert period * alarm["EvaluationPeriods"] <= (86_400 if period < 3600 else 604_800), "CloudWatch takes no more"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_source_has_its_alarms(variant):
    stack = STACKS[variant]
    alarms = stack.kind("CloudWatch::Alarm").keys()
    for function in stack.functions():
        name = function.removesuffix("Function")
        assert {f"{name}Errors", f"{name}Throttles", f"{name}NearTimeout"} <= alarms
    for queue, told in stack.kind("SQS::Queue").items():
        if "RedrivePolicy" not in told:
            assert f"{queue.removesuffix('Queue')}NotEmpty" in alarms, queue
    assert {"StreamIteratorAge", "StreamGivenUp", "StreamLost"} <= alarms or "Stream" not in stack.resources
    assert "RejectRate" in alarms
    assert ("NoData" in alarms) == (stack.parameters["NoDataHours"] != "0")


@pytest.mark.parametrize("timeout", source()["Parameters"]["Timeout"]["AllowedValues"])
def test_a_duration_near_the_timeout_is_told_before_it(timeout):
    alarm = Stack.of(Timeout=str(timeout)).kind("CloudWatch::Alarm")["StreamNearTimeout"]
    assert alarm["Threshold"] == 0.8 * timeout * 1000


def test_rates_are_of_enough_records():
    metrics = {one["Id"]: one for one in FULL.kind("CloudWatch::Alarm")["RejectRate"]["Metrics"]}
    assert "delivered >= 100" in metrics["percent"]["Expression"], "a single reject at night would be 100 %"
    assert [name for name, one in metrics.items() if one.get("ReturnData", True)] == ["percent"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_logs_go_to_groups_that_expire_and_traces_are_on(variant):
    stack = STACKS[variant]
    for name, function in stack.kind("Lambda::Function").items():
        group = re.fullmatch(r"\$\{(\w+)\}", function["LoggingConfig"]["LogGroup"])[1]
        assert stack.resources[group]["Properties"]["RetentionInDays"] == 30, name
        assert function["TracingConfig"] == {"Mode": "Active"}
    for name, group in stack.kind("Logs::LogGroup").items():
        assert group["RetentionInDays"] > 0, name
