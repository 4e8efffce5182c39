"""What lookups do in a handler: a warm-up asks nobody, and faults of what is asked fail the batch."""

from pathlib import Path
from typing import Any

import pytest

from millstream.aws import kinesis_handler, s3_handler, sqs_handler
from millstream.errors import RunError
from millstream.pipeline import Pipeline
from millstream.tables import lookup
from tests.aws import events
from tests.servers import Faults, refusal

pytestmark = pytest.mark.once

ORDERS = Pipeline({"id": "int64", "kind": "string"}, name="orders")
CUSTOMERS = lookup("dynamodb://customers", key="id", schema={"id": "string", "tier": "int64"})


def asked(pipeline: Pipeline) -> Pipeline:
    return pipeline.join(CUSTOMERS, on="kind", on_missing="reject")


@pytest.mark.parametrize("make", [kinesis_handler, sqs_handler, s3_handler])
def test_a_warm_up_asks_nobody(make: Any, tmp_path: Path, dynamodb_faults: Faults) -> None:
    calls: list[Any] = []

    def function(keys: list[Any]) -> Any:
        calls.append(keys)
        return {}

    pipeline = asked(ORDERS.enrich(function, key="id", columns={"score": "int64"}, on_missing="reject"))
    handler = make(pipeline, sink=tmp_path / "out", rejects=tmp_path / "bad")
    dynamodb_faults.calls.clear()
    assert handler.warm()
    assert calls == []
    assert dynamodb_faults.calls == []


def test_a_lookup_that_does_not_answer_fails_the_batch(
    tmp_path: Path, dynamodb_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = kinesis_handler(asked(ORDERS), sink=tmp_path / "out", rejects=tmp_path / "bad")
    dynamodb_faults.on("BatchGetItem", refusal("AccessDeniedException"))
    with pytest.raises(RunError, match="allow dynamodb:BatchGetItem"):
        handler(events.kinesis(b'{"id": 1, "kind": "a"}'), None)
    assert not list(tmp_path.rglob("*.parquet"))
