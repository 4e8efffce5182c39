"""Each variable that a function reads: what it takes, what it refuses, and what it says then."""

import json

import pytest

from millstream.aws import entry, kinesis_handler, s3_handler, sqs_handler
from millstream.aws.settings import SETTINGS, Settings
from millstream.classes import replace
from millstream.errors import SettingsError
from millstream.pipeline import Pipeline
from tests.aws import events

pytestmark = pytest.mark.once
PIPELINE = Pipeline({"id": "int64"}, name="orders")
NO_TEXT = {" ": "write text without blanks", " x": "write text without blanks", "x\n": "write text", "a\0b": "write text"}
TEXT = {"valid": {"x": "x", "a b/ü": "a b/ü"}, "invalid": NO_TEXT}
NO_LEDGER = dict.fromkeys(
    (
        "orders",
        "dynamodb://",
        "dynamodb:orders",
        "dynamodb://ab",
        "dynamodb://a/b",
        "dynamodb://ü00",
        "sqlite://x/y",
        "s3://b/k",
    ),
    "write dynamodb://TABLE or sqlite:///path",
)
MARGINS = dict.fromkeys(
    ("-1", "600001", "1.5", "2s", " 1", "१", "9" * 13, "0" * 12 + "9" * 9, "9" * 5000), "write a whole number from 0 to 600,000"
)
CASES = {
    "PIPELINE": TEXT,
    "SINK": TEXT,
    "REJECTS": TEXT,
    "ON_REJECT": {
        "valid": {"fail": "fail", "drop-and-count": "drop-and-count"},
        "invalid": dict.fromkeys(("ignore", "FAIL", "fail "), "write fail or drop-and-count"),
    },
    "LEDGER": {
        "valid": {one: one for one in ("dynamodb://orders", "dynamodb://a.b-c_d", "sqlite:///x/y.db")},
        "invalid": NO_LEDGER,
    },
    "KMS_KEY": TEXT,
    "FILE_PATTERN": TEXT,
    "DEADLINE_MARGIN_MS": {"valid": {"0": 0, "0500": 500, "600000": 600_000}, "invalid": MARGINS},
    "RAW_EVENTS": {"valid": {"0": False, "1": True}, "invalid": dict.fromkeys(("true", "no", "2"), "write 1 or 0")},
    "BACKEND": {"valid": {"native": "native", "checked": "checked"}, "invalid": {"fast": "write "}},
    "CACHE_DIR": TEXT,
    "NAMESPACE": {
        "valid": {"main": "main", "again-2": "again-2", "a_b.c": "a_b.c"},
        "invalid": dict.fromkeys((" ", "a b", "a#b", "ü", "x" * 65), "write 1 to 64 letters"),
    },
    "PARALLELIZATION": {"valid": {"1": "1"}, "invalid": {"2": "write 1"}},
    "SQS_ONCE": {"valid": {"0": False, "1": True}, "invalid": dict.fromkeys(("true", "no", "2"), "write 1 or 0")},
    "NOTIFY": TEXT,
}
GOOD = [(name, text, value) for name, one in CASES.items() for text, value in one["valid"].items()]
BAD = [(name, text, says) for name, one in CASES.items() for text, says in one["invalid"].items()]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for one in SETTINGS:
        monkeypatch.delenv(one.variable, raising=False)


def test_each_setting_is_tested_and_has_its_field():
    names = [one.name for one in SETTINGS]
    assert list(CASES) == names
    assert [name.upper() for name in Settings.__fields__] == names
    assert {one.name: one.default for one in SETTINGS} == {name.upper(): value for name, value in vars(Settings.of({})).items()}


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_what_a_variable_takes(name, text, value):
    found = Settings.of({f"MILLSTREAM_{name}": text, "OTHER": "x"})
    assert found == replace(Settings(), **{name.lower(): value})


@pytest.mark.parametrize(("name", "text", "says"), BAD)
def test_what_a_variable_refuses(name, text, says):
    with pytest.raises(SettingsError) as raised:
        Settings.of({f"MILLSTREAM_{name}": text})
    assert str(raised.value).startswith(f"MILLSTREAM_{name} is {text[:200]!r}: {says}")


@pytest.mark.parametrize("name", CASES)
def test_a_variable_that_is_set_to_nothing_is_not_set(name):
    assert Settings.of({f"MILLSTREAM_{name}": ""}) == Settings()


def test_variables_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("MILLSTREAM_NAMESPACE", "two")
    assert Settings.of() == Settings(namespace="two")


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("MILLSTREAM_SINKS", "SINK"),
        ("MILLSTREAM_REJECT", "REJECTS"),
        ("MILLSTREAM_ONREJECT", "ON_REJECT"),
        ("MILLSTREAM_DEADLINE_MARGIN", "DEADLINE_MARGIN_MS"),
        ("MILLSTREAM_sink", None),
        ("MILLSTREAM_", None),
        ("MILLSTREAM_QWXYZ", None),
    ],
)
def test_a_variable_that_is_none_is_told_with_the_one_that_was_meant(variable, near):
    for value in ("x", ""):
        with pytest.raises(SettingsError) as raised:
            Settings.of({variable: value})
        said = str(raised.value)
        assert said.startswith(f"{variable} is no setting")
        if near is not None:
            assert f"did you mean MILLSTREAM_{near}?" in said
    assert Settings.of({"MILLSTREAMSINK": "x", "X_MILLSTREAM_SNIK": "x", "MILLSTREAM_PROGRESS": "x"}) == Settings()


def test_all_are_listed():
    listed = Settings.of({"MILLSTREAM_RAW_EVENTS": "0"}).listed()
    assert [one["variable"] for one in listed] == [f"MILLSTREAM_{name}" for name in CASES]
    assert all(one["meaning"] for one in listed)
    told = {one["variable"]: (one["value"], one["default"]) for one in listed}
    assert told["MILLSTREAM_RAW_EVENTS"] == (False, True)
    assert told["MILLSTREAM_DEADLINE_MARGIN_MS"] == (2000, 2000)
    assert json.loads(json.dumps(listed)) == listed


MAKERS = {"kinesis": kinesis_handler, "sqs": sqs_handler, "s3": s3_handler}


@pytest.mark.parametrize("source", MAKERS)
def test_arguments_win_over_the_environment(tmp_path, monkeypatch, source):
    told = {"SINK": "env", "REJECTS": "env-bad", "PIPELINE": "nowhere.yaml"} | (
        {} if source == "kinesis" else {"LEDGER": "dynamodb://env"}
    )
    for name, value in told.items():
        monkeypatch.setenv(f"MILLSTREAM_{name}", str(tmp_path / value) if name in ("SINK", "REJECTS") else value)
    handler = MAKERS[source](PIPELINE)
    assert (handler.sink.url, handler.rejects.url) == (str(tmp_path / "env"), str(tmp_path / "env-bad"))
    own = {} if source == "kinesis" else {"ledger": "dynamodb://own"}
    handler = MAKERS[source](PIPELINE, sink=tmp_path / "own", rejects=tmp_path / "own-bad", **own)
    assert (handler.sink.url, handler.rejects.url) == (str(tmp_path / "own"), str(tmp_path / "own-bad"))
    assert handler.ledger == own.get("ledger")
    assert handler.pipeline is PIPELINE
    handler = MAKERS[source](PIPELINE, on_reject="fail")  # that there are no rejects is said by this
    assert (handler.rejects, handler.fails) == (None, True)


@pytest.mark.parametrize("source", MAKERS)
def test_what_a_rejected_record_does_is_told_once(tmp_path, monkeypatch, source):
    monkeypatch.setenv("MILLSTREAM_SINK", str(tmp_path / "out"))
    with pytest.raises(
        SettingsError, match=r"no rejects and no on_reject: .* \(MILLSTREAM_REJECTS\).* \(MILLSTREAM_ON_REJECT\)"
    ):
        MAKERS[source](PIPELINE)
    monkeypatch.setenv("MILLSTREAM_ON_REJECT", "fail")
    assert MAKERS[source](PIPELINE).fails
    monkeypatch.setenv("MILLSTREAM_REJECTS", str(tmp_path / "bad"))
    with pytest.raises(SettingsError, match=r"on_reject \(MILLSTREAM_ON_REJECT\) is for functions without rejects"):
        MAKERS[source](PIPELINE)
    assert MAKERS[source](PIPELINE, rejects=tmp_path / "bad").rejects is not None
    with pytest.raises(SettingsError, match="on_reject 'ignore'"):
        MAKERS[source](PIPELINE, on_reject="ignore")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SINK": ""}, "there is no sink: set MILLSTREAM_SINK"),
        ({"SINK": "ftp://x/"}, "sink (MILLSTREAM_SINK) is 'ftp://x/', which cannot be written to; write a path"),
        ({"SINK": "s3://b_/x"}, "MILLSTREAM_SINK"),
        ({"REJECTS": "ftp://x/"}, "rejects (MILLSTREAM_REJECTS) is 'ftp://x/', which cannot be written to; write a path"),
        ({"REJECTS": "sqs+https://x"}, "rejects (MILLSTREAM_REJECTS) is 'sqs+https://x'; write sqs+https://sqs.REGION"),
        ({"KMS_KEY": "alias/x"}, "which no KMS key encrypts"),
        ({"PIPELINE": ""}, "there is no pipeline: set MILLSTREAM_PIPELINE to file.yaml or file.py:name"),
    ],
)
def test_settings_that_cannot_work_together(tmp_path, monkeypatch, settings, says):
    told = {"SINK": str(tmp_path / "out"), "REJECTS": str(tmp_path / "bad")} | settings
    for name, value in told.items():
        monkeypatch.setenv(f"MILLSTREAM_{name}", value)
    with pytest.raises(SettingsError) as raised:
        kinesis_handler(None if "PIPELINE" in settings else PIPELINE)
    assert says in str(raised.value)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function's folder and environment; handlers of `entry` are forgotten before the test and after it."""
    for name in entry.__all__:
        vars(entry).pop(name, None)
    (tmp_path / "orders.yaml").write_text("{version: 1, name: orders, schema: {id: int64}}")
    (tmp_path / "orders.py").write_text("from millstream import Pipeline\norders = Pipeline({'id': 'int64'}, name='module')")
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    for name, value in {"PIPELINE": "orders.yaml", "SINK": str(tmp_path / "out"), "ON_REJECT": "fail"}.items():
        monkeypatch.setenv(f"MILLSTREAM_{name}", value)
    yield tmp_path
    for name in entry.__all__:
        vars(entry).pop(name, None)


@pytest.mark.parametrize("source", MAKERS)
def test_handlers_of_the_environment_are_made_once(told, source):
    handler = getattr(entry, source)
    assert getattr(entry, source) is handler
    assert (type(handler).source, handler.pipeline.name, handler.sink.url) == (source, "orders", str(told / "out"))
    if source == "kinesis":
        assert handler(events.kinesis(b'{"id":1}')) == {"batchItemFailures": []}


def test_a_pipeline_may_be_in_a_module(told, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_PIPELINE", "orders.py:orders")
    assert entry.sqs.pipeline.name == "module"
    monkeypatch.setenv("MILLSTREAM_PIPELINE", str(told / "orders.yaml"))  # an absolute path is one
    assert entry.s3.pipeline.name == "orders"


def test_there_are_no_other_handlers(told):
    with pytest.raises(AttributeError, match="has no handler 'kafka'; there are kinesis, s3, sqs"):
        entry.kafka  # noqa: B018
    assert dir(entry) == ["kinesis", "s3", "sqs"]


def test_a_handler_that_cannot_be_made_is_no_missing_one(told, monkeypatch):
    """The runtime takes an AttributeError for a wrong name."""
    monkeypatch.setenv("MILLSTREAM_SINK", "")
    with pytest.raises(SettingsError, match="there is no sink"):
        entry.kinesis  # noqa: B018
    monkeypatch.setenv("MILLSTREAM_SINK", str(told / "out"))
    assert entry.kinesis.sink.url == str(told / "out")
