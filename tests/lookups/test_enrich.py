"""Call-outs: each key once, attempts with waits, the circuit breaker, and the policies for what is missing or failed."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream import clock
from millstream.errors import PlanError, RunError, SpecError
from millstream.lookups.callout import Breaker, CallMatcher
from millstream.lookups.matching import rehearsal
from millstream.pipeline import Pipeline
from tests.lookups.times import Times

P = Pipeline({"k": "string", "n": "int64"})
ROWS = pa.record_batch({"k": ["a", "b", None, "a", "c"], "n": [1, 2, 3, 4, 5]})
COLUMNS = {"segment": "string", "score": "int64"}
KNOWN = {"a": {"segment": "gold", "score": 7}, "b": {"segment": "lead"}, "c": None}


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    made = Times()
    monkeypatch.setattr(clock, "source", made)
    return made


class Service:
    """A function of keys that fails when it is told to. calls: the keys it was called with."""

    def __init__(self, known: Any = KNOWN) -> None:
        self.known, self.calls = known, list[list[Any]]()
        self.failing = 0

    def __call__(self, keys: list[Any]) -> Any:
        self.calls.append(keys)
        if self.failing:
            self.failing -= 1
            raise ConnectionError("secret")
        return self.known


def rows(outcome: Any) -> list[Any]:
    return [(one["segment"], one["score"]) for one in outcome.batch.to_pylist()]


def matcher(pipeline: Pipeline) -> CallMatcher:
    (step,) = pipeline.plan().steps
    assert isinstance(step.lookup, CallMatcher)  # type: ignore[union-attr]
    return step.lookup  # type: ignore[union-attr]


def test_a_function_is_called_once_with_each_key_once() -> None:
    service = Service()
    outcome = P.enrich(service, key="k", columns=COLUMNS).run(ROWS)
    assert service.calls == [["a", "b", "c"]]
    assert outcome.batch.schema.names == ["k", "n", "segment", "score"]
    assert rows(outcome) == [("gold", 7), ("lead", None), (None, None), ("gold", 7), (None, None)]


def test_what_is_missing_is_null_a_default_or_rejected() -> None:
    filled = P.enrich(Service(), key="k", columns=COLUMNS, on_missing={"segment": "none"}).run(ROWS)
    assert rows(filled) == [("gold", 7), ("lead", None), ("none", None), ("gold", 7), ("none", None)]
    rejected = P.enrich(Service(), key="k", columns=COLUMNS, on_missing="reject").run(ROWS)
    assert rejected.rejects["position"].to_pylist() == [2, 4]
    assert rejected.rejects["code"].to_pylist() == ["NO_MATCH", "NO_MATCH"]


def test_several_key_columns_come_as_tuples() -> None:
    service = Service({("a", 1): {"score": 1}, ("b", 2): {"score": 2}})
    outcome = P.enrich(service, key=["k", "n"], columns={"score": "int64"}).run(ROWS)
    assert service.calls == [[("a", 1), ("b", 2), ("a", 4), ("c", 5)]]
    assert outcome.batch["score"].to_pylist() == [1, 2, None, None, None]


@given(
    st.lists(st.none() | st.integers(-5, 5), max_size=50), st.dictionaries(st.integers(-5, 5), st.none() | st.integers(0, 9))
)
def test_any_keys_and_any_answer(keys: list[Any], known: dict[int, Any]) -> None:
    service = Service({key: {"score": value} for key, value in known.items()})
    outcome = (
        Pipeline({"k": "int64"})
        .enrich(service, key="k", columns={"score": "int64"})
        .run(pa.record_batch({"k": pa.array(keys, pa.int64())}))
    )
    assert outcome.batch["score"].to_pylist() == [known.get(key) for key in keys]
    different = list(dict.fromkeys(key for key in keys if key is not None))
    assert service.calls == ([different] if different else [])


@pytest.mark.parametrize("value", ["text", 1 << 80, [1], {"x": 1}])
def test_a_value_that_does_not_fit_rejects_its_records_alone(value: Any) -> None:
    for wrong in ({"segment": "x", "score": value}, value if not isinstance(value, dict) else 5):
        service = Service({"a": wrong, "b": {"segment": "lead", "score": 2}})
        for on_missing, bad in (("null", {0, 3}), ("reject", {0, 2, 3, 4})):
            outcome = P.enrich(service, key="k", columns=COLUMNS, on_missing=on_missing).run(ROWS)
            assert set(outcome.rejects["position"].to_pylist()) == bad
            codes = dict(zip(outcome.rejects["position"].to_pylist(), outcome.rejects["code"].to_pylist(), strict=True))
            assert (codes[0], codes[3]) == ("UDF_FAILED", "UDF_FAILED")
            assert rows(outcome)[0] == ("lead", 2)


def test_attempts_wait_longer_and_longer_over_the_whole_range(times: Times) -> None:
    service = Service()
    service.failing = 4
    outcome = P.enrich(service, key="k", columns=COLUMNS, retries=4).run(ROWS)
    assert rows(outcome)[0] == ("gold", 7)
    assert len(service.calls) == 5
    assert times.drawn == [(0, 0.1), (0, 0.2), (0, 0.4), (0, 0.8)]
    assert times.slept == [high for _, high in times.drawn]


def test_a_batch_fails_or_goes_on_as_declared(times: Times, caplog: pytest.LogCaptureFixture) -> None:
    def run(**settings: Any) -> Any:
        service = Service()
        service.failing = 99
        return P.enrich(service, key="k", columns=COLUMNS, retries=1, **settings).run(ROWS)

    with pytest.raises(RunError, match=r"^enrich: the function failed: it raised ConnectionError, after 2 calls$"):
        run()
    with caplog.at_level(logging.WARNING, "millstream.lookups"):
        assert rows(run(on_failure="null", on_missing="reject")) == [(None, None)] * 5
    assert caplog.messages == ["enrich: the function failed: it raised ConnectionError, after 2 calls"]
    rejected = run(on_failure="reject")
    assert rejected.rejects["position"].to_pylist() == [0, 1, 3, 4]
    assert set(rejected.rejects["code"].to_pylist()) == {"UDF_FAILED"}
    assert rows(rejected) == [(None, None)]
    both = run(on_failure="reject", on_missing="reject")
    assert both.rejects["code"].to_pylist() == ["UDF_FAILED", "UDF_FAILED", "NO_MATCH", "UDF_FAILED", "UDF_FAILED"]


def test_a_call_that_takes_too_long_is_a_failure() -> None:
    go_on, calls = threading.Event(), list[int]()

    def slow(keys: list[Any]) -> Any:
        calls.append(len(keys))
        go_on.wait(30)

    with pytest.raises(RunError, match=r"it gave no answer within 0\.02 s, after 1 calls"):
        P.enrich(slow, key="k", columns=COLUMNS, retries=0, timeout=0.02).run(ROWS)
    go_on.set()
    assert calls == [3]


def test_an_answer_that_is_no_mapping_fails_the_batch_at_once() -> None:
    service = Service([1])
    with pytest.raises(RunError, match="the function gave list; return a mapping of keys to columns"):
        P.enrich(service, key="k", columns=COLUMNS, on_failure="null").run(ROWS)
    assert len(service.calls) == 1


def test_the_breaker_opens_tries_once_and_closes(times: Times) -> None:
    service = Service()
    pipeline = P.enrich(service, key="k", columns=COLUMNS, retries=0, failures=3, pause="30s", on_failure="null")
    service.failing = 4
    for _ in range(5):
        assert rows(pipeline.run(ROWS)) == [(None, None)] * 5
    assert len(service.calls) == 3, "it is open after the third"
    times.pass_(29.9)
    pipeline.run(ROWS)
    assert len(service.calls) == 3
    times.pass_(0.2)
    pipeline.run(ROWS)
    pipeline.run(ROWS)
    assert len(service.calls) == 4, "one try, which failed: open again"
    times.pass_(30)
    assert rows(pipeline.run(ROWS))[0] == ("gold", 7)
    assert rows(pipeline.run(ROWS))[0] == ("gold", 7)
    assert len(service.calls) == 6
    assert (matcher(pipeline).calls, matcher(pipeline).failures) == (6, 4)


def test_an_open_breaker_ends_the_attempts_of_a_batch(times: Times) -> None:
    service = Service()
    service.failing = 99
    pipeline = P.enrich(service, key="k", columns=COLUMNS, retries=9, failures=2)
    with pytest.raises(RunError, match="the function is not called for 30 s: the last call failed: it raised ConnectionError"):
        pipeline.run(ROWS)
    with pytest.raises(RunError, match="the function is not called for 30 s: its last calls failed"):
        pipeline.run(ROWS)
    assert len(service.calls) == 2


@given(st.lists(st.sampled_from(["ask", "fail", "succeed", "pass"]), max_size=60), st.integers(1, 3))
def test_the_breaker_is_its_model(steps: list[str], most: int) -> None:
    times, before = Times(), clock.source
    clock.source = times
    try:
        breaker, failed, opened = Breaker(most, 10), 0, None
        for step in steps:
            if step == "pass":
                times.pass_(6)
                continue
            is_open = opened is not None and times.time < opened + 10
            assert breaker.allows() is not is_open
            if is_open:
                continue
            if opened is not None:
                opened = times.time  # what is let through is one call
            if step == "fail":
                failed += 1
                assert breaker.failed() is (failed >= most)
                opened = times.time if failed >= most else opened
            elif step == "succeed":
                breaker.succeeded()
                failed, opened = 0, None
    finally:
        clock.source = before


def test_nothing_is_called_in_a_rehearsal_and_for_a_batch_without_keys() -> None:
    service = Service()
    pipeline = P.enrich(service, key="k", columns=COLUMNS)
    with rehearsal():
        assert rows(pipeline.run(ROWS)) == [(None, None)] * 5
    assert pipeline.run(pa.record_batch({"k": pa.nulls(2, pa.string()), "n": [1, 2]})).batch.num_rows == 2
    assert pipeline.run(ROWS.slice(0, 0)).batch.num_rows == 0
    assert service.calls == []


def fine(keys: list[Any]) -> Any:
    return {}


def test_a_pipeline_that_calls_a_function_has_a_fingerprint_and_no_text() -> None:
    pipeline = P.enrich(fine, key="k", columns=COLUMNS)
    assert pipeline.fingerprint == P.enrich(fine, key="k", columns=COLUMNS, timeout="1s", retries=0).fingerprint
    assert pipeline.fingerprint != P.enrich(fine, key="k", columns=COLUMNS, on_missing="reject").fingerprint
    assert pipeline.fingerprint != P.enrich(Service(), key="k", columns=COLUMNS).fingerprint
    with pytest.raises(SpecError, match="enrich calls a Python function and has no text form"):
        pipeline.to_spec()


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: P.enrich("f", key="k", columns=COLUMNS), "enrich takes a function of a list of keys, not str"),
        (lambda: P.enrich(fine, key=[], columns=COLUMNS), "key is the name of a column"),
        (lambda: P.enrich(fine, key=["k", "k"], columns=COLUMNS), "each once"),
        (lambda: P.enrich(fine, key="k", columns={}), "columns are names and types"),
        (lambda: P.enrich(fine, key="k", columns={"x": "text"}), "enrich: column 'x'"),
        (lambda: P.enrich(fine, key="k", columns=COLUMNS, retries=-1), "retries is -1; write a whole number"),
        (lambda: P.enrich(fine, key="k", columns=COLUMNS, failures=0), "failures is 0"),
        (lambda: P.enrich(fine, key="k", columns=COLUMNS, timeout="soon"), "enrich: timeout is 'soon'"),
        (lambda: P.enrich(fine, key="k", columns=COLUMNS, on_failure="drop"), "on_failure is 'drop'; write one of fail, null, reject"),
        (lambda: P.enrich(fine, key="m", columns=COLUMNS).plan(), r"step 1 \(enrich\): there is no column 'm'"),
        (lambda: P.enrich(fine, key="k", columns={"n": "int64"}).plan(), "there is a column 'n' before"),
        (lambda: P.enrich(fine, key="k", columns=COLUMNS, on_missing={"x": 1}).plan(), "enrich adds no column 'x'; it adds segment, score"),
        (lambda: Pipeline({"k": "float64"}).enrich(fine, key="k", columns=COLUMNS).plan(), "float64 cannot be a key"),
    ],
)  # fmt: skip
def test_mistakes_are_told(mistake: Callable[[], Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        mistake()
