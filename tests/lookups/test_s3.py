"""Lookups in S3: one object, looked at again by its ETag, whatever happens on the way."""

import logging
from typing import Any

import pyarrow as pa
import pytest

from millstream import clock
from millstream.errors import PlanError, SourceError
from millstream.lookups.live import TableMatcher
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from millstream.tables import lookup
from tests.lookups.times import Times
from tests.servers import Faults, answer, cut_short, lost_before

pytestmark = pytest.mark.once

ROWS = pa.record_batch({"c": ["FR", "DE"]})
P = Pipeline({"c": "string"})
GET = "GetObject"


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    made = Times()
    monkeypatch.setattr(clock, "source", made)
    return made


def put(bucket: str, text: str, key: str = "t ä/rates.csv") -> str:
    clients.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
    return f"s3://{bucket}/{key}"


def rates(pipeline: Pipeline) -> list[Any]:
    return pipeline.run(ROWS).batch["rate"].to_pylist()  # type: ignore[no-any-return]


def matcher(pipeline: Pipeline) -> TableMatcher:
    (step,) = pipeline.plan().steps
    return step.lookup  # type: ignore[union-attr,return-value]


def test_an_object_is_read_once_and_again_when_it_has_changed(bucket: str, times: Times, s3_faults: Faults) -> None:
    url = put(bucket, "code,rate\nFR,20\n")
    pipeline = P.join(lookup(url, key="code", refresh="5m"), on="c")
    s3_faults.calls.clear()
    assert rates(pipeline) == rates(pipeline) == [20, None]
    assert s3_faults.calls == [GET]
    first = matcher(pipeline).version
    sent: list[Any] = []
    answers: list[int] = []
    events = clients.client("s3").meta.events
    events.register("before-send.s3.GetObject", lambda request, **_: sent.append(request.headers.get("If-None-Match")))
    events.register("after-call.s3.GetObject", lambda http_response, **_: answers.append(http_response.status_code))
    for _ in range(2):
        times.pass_(300)
        assert rates(pipeline) == [20, None]
    assert s3_faults.calls == [GET] * 3
    assert answers == [304, 304], "one request each, and no bytes"
    put(bucket, "code,rate\nDE,19\n")
    times.pass_(300)
    assert rates(pipeline) == [None, 19]
    assert answers == [304, 304, 200]
    assert {one.decode() for one in sent} == {first}
    found = matcher(pipeline)
    assert found.version != first
    assert (found.looks, found.loads, found.failures) == (3, 1, 0)


def test_a_refresh_that_fails_keeps_the_table(
    bucket: str, times: Times, s3_faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    url = put(bucket, "code,rate\nFR,20\n")
    pipeline = P.join(lookup(url, key="code", refresh="5m"), on="c")
    assert rates(pipeline) == [20, None]
    found = matcher(pipeline)
    with caplog.at_level(logging.WARNING, "millstream.lookups"):
        times.pass_(300)
        s3_faults.on(GET, answer("AccessDenied", 403))
        assert rates(pipeline) == [20, None]
        assert "allow s3:GetObject" in caplog.messages[-1]
        times.pass_(60)
        clients.client("s3").delete_object(Bucket=bucket, Key="t ä/rates.csv")
        assert rates(pipeline) == [20, None]
        assert "it is not there" in caplog.messages[-1]
        times.pass_(60)
        s3_faults.on(GET, *[answer("SlowDown", 503)] * 99)
        started = times.time
        assert rates(pipeline) == [20, None]
        assert times.time - started <= 5, "a batch does not wait longer"
        assert "time is up" in caplog.messages[-1]
    assert found.failures == 3
    assert "secret" not in caplog.text
    s3_faults._waiting.clear()
    put(bucket, "code,rate\nFR,21\n")
    times.pass_(60)
    assert rates(pipeline) == [21, None]


def test_what_goes_wrong_on_the_way_is_tried_again(bucket: str, times: Times, s3_faults: Faults) -> None:
    url = put(bucket, "code,rate\nFR,20\n")
    s3_faults.on(GET, answer("InternalError", 500), lost_before, cut_short(5))
    assert rates(P.join(lookup(url, key="code"), on="c")) == [20, None]
    assert len(times.slept) == 3


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (
            "s3://{}/none.csv",
            SourceError,
            "the lookup 's3://.*' cannot be read: it is not there; put it there, or correct the URL",
        ),
        ("s3://nowhere-{}/none.csv", SourceError, "there is no such bucket"),
        ("s3://{}/folder/", PlanError, "neither .csv nor .parquet"),
        ("s3:///x.csv", PlanError, "write s3://bucket/folder/table.csv"),
    ],
)
def test_what_cannot_be_read(bucket: str, place: str, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        P.join(lookup(place.format(bucket), key="code"), on="c").plan()


def test_an_object_that_is_too_large(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.remote.s3.MOST_BYTES", 5)
    with pytest.raises(PlanError, match="larger than 1 GiB; a lookup is a small table"):
        P.join(lookup(put(bucket, "code,rate\nFR,20\n"), key="code"), on="c").plan()
