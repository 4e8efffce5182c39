"""SnapStart and `handler.warm()`: the first batch before there is one, and what is renewed in each environment of a snapshot."""

import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snapshot_restore_py

from millstream import decode_json
from millstream.aws import kinesis_handler, observe, s3_handler, sqs_handler, warm
from millstream.errors import SettingsError
from millstream.expr import col
from millstream.pipeline import Pipeline
from millstream.schema import COERCIONS, Column, Schema
from millstream.sinks import clients
from millstream.tables import lookup
from millstream.types import TYPES, parse_type
from tests.aws import events
from tests.lambda_runtime.runtime import LambdaRuntime

INIT = "AWS_LAMBDA_INITIALIZATION_TYPE"
MAKERS = {"kinesis": kinesis_handler, "sqs": sqs_handler, "s3": s3_handler}
ORDERS = Pipeline({"order": "int64", "kind": "string"}, name="orders")


@pytest.fixture(autouse=True)
def hooks(monkeypatch):
    """The module of Lambda's runtimes, with nobody in its lists; what runs them as the runtime does."""
    before, after = [], []
    monkeypatch.setattr(snapshot_restore_py, "_before_snapshot_registry", before)
    monkeypatch.setattr(snapshot_restore_py, "_after_restore_registry", after)

    def run(found):
        for function, arguments, named in found:
            function(*arguments, **named)

    return lambda: run(reversed(snapshot_restore_py.get_before_snapshot())), lambda: run(
        snapshot_restore_py.get_after_restore()
    )


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("somebody wants to connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def puts(monkeypatch):
    """The objects that a warm-up wrote nowhere: names and bytes."""
    found = []
    put = warm._Nowhere.put

    def note(self, name, body, *rest):
        found.append((name, bytes(body)))
        return put(self, name, body, *rest)

    monkeypatch.setattr(warm._Nowhere, "put", note)
    return found


def made(fields, count=16):
    return list(warm.made_records(fields.values(), count))


# --- records -------------------------------------------------------------------------------------------------------------

NESTED = (
    "decimal128(1, 0)",
    "decimal128(1, 1)",
    "decimal128(38, 38)",
    "decimal128(18, 2)",
    "list<int8>",
    "map<string, date32>",
    'struct<a: json, "b c": list<struct<d: uint64, e: map<string, binary>>>>',
    "list<list<timestamp[ns, UTC]>>",
)


@pytest.mark.parametrize("kind", [*TYPES, *NESTED])
@pytest.mark.parametrize("name", [None, *COERCIONS])
def test_made_records_decode_to_rows(kind, name):
    leaves = {one.family for one in parse_type(kind).leaves if one.name != "json"}
    coerce = [one for one in COERCIONS if one == name and leaves & set(COERCIONS[one])]
    schema = Schema({"a": Column(kind, nullable=False, coerce=coerce), "b": Column(kind, path=("x", "y z"), coerce=coerce)})
    batch, rejects = decode_json(made(schema), schema)
    assert (batch.num_rows, rejects.num_rows) == (16, 0), rejects.to_pylist()[:1]
    assert (batch.column("a").null_count, batch.column("b").null_count) == (0, 2)


def test_made_records_take_paths_and_the_rest():
    schema = Schema(
        {
            "a": Column("int64", path="s.a"),
            "b": Column("string", path="s.t.b"),
            "more": Column("json", path="*", nullable=False),
        }
    )
    batch, rejects = decode_json(made(schema), schema)
    assert (batch.num_rows, rejects.num_rows) == (16, 0)
    assert json.loads(batch.column("more")[0].as_py()) == {"millstream-warm": 0}


CSV = {
    "as written": {},
    "no quotes": {"delimiter": ";", "quote": None},
    "no header": {"header": False, "escape": "\\"},
    "names told": {"header": ["more", "b", "t", "a", "f", "n"], "null_values": ["NA"], "encoding": "latin-1", "comment": "#"},
    "gzip": {"compression": "gzip"},
}
CSV_COLUMNS = {
    "a": Column("int64", nullable=False), "b": "string", "t": "timestamp[us, UTC]", "f": "float64", "n": "decimal128(9, 2)",
}  # fmt: skip


@pytest.mark.parametrize("source", MAKERS)
@pytest.mark.parametrize("settings", CSV.values(), ids=CSV)
def test_made_rows_of_csv_decode(tmp_path, source, settings):
    """As the input has them: all are written, which JSON in their place would not be."""
    reports = []
    handler = MAKERS[source](
        Pipeline(CSV_COLUMNS, input={"format": "csv", **settings}), sink=tmp_path / "out", on_reject="fail"
    )
    handler.report = lambda batch, landed: reports.append(landed)
    assert handler.warm() is True
    if (source, settings) == ("sqs", CSV["gzip"]):  # bodies are text, and so never compressed
        return
    assert reports[0].counts == dict.fromkeys(reports[0].counts, 0) | {"delivered": warm.RECORDS, "written": warm.RECORDS}


# --- warm ----------------------------------------------------------------------------------------------------------------

COUNTRIES = pa.table({"code": ["alpha", "zz"], "country": ["A", "Z"]})
PIPELINES = {
    "plain": ORDERS,
    "rows of which none stays": ORDERS.filter(col("order") > 1000),
    "records that are all rejected": ORDERS.with_columns(n=col("kind").cast("date32")),
    "partitions": Pipeline({"at": "timestamp[s]", "n": "int64"}, output={"partition_by": ["day"]}).with_columns(
        day=col("at").cast("date32")
    ),
    "a lookup": ORDERS.join(lookup(COUNTRIES, key="code"), on="kind", how="inner"),
    "lookup without a match": ORDERS.join(lookup(COUNTRIES.slice(1), key="code"), on="kind", how="inner"),
    "json": Pipeline({"a": "list<struct<b: int8>>", "c": "json"}, output={"format": "ndjson"}),
    **{one: Pipeline({"a": "string"}, input={"compression": one}) for one in ("gzip", "zlib", "zstd", "bzip2", "lz4", "none")},
    **{one: Pipeline({"a": "string"}, input={"format": one}) for one in ("json", "ndjson", "concatenated")},
    "short records": Pipeline({"a": "string"}, input={"max_record_bytes": 4}),
}


@pytest.mark.parametrize("source", MAKERS)
@pytest.mark.parametrize("name", PIPELINES)
def test_a_warm_up_writes_rows_nowhere_and_says_nothing(tmp_path, monkeypatch, capsys, no_network, puts, source, name):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")  # metrics are wanted
    monkeypatch.setenv("MILLSTREAM_FILE_PATTERN", "*.json")
    records = []
    monkeypatch.setattr(logging.Logger, "handle", lambda self, record: records.append(record))
    for options in ({"rejects": tmp_path / "bad"}, {"on_reject": "fail"}):
        handler = MAKERS[source](PIPELINES[name], sink=tmp_path / "out", **options)
        before = dict(vars(handler))
        puts.clear()
        assert handler.warm() is True
        assert puts
        assert vars(handler) == before
    assert os.listdir(tmp_path) == []
    assert capsys.readouterr() == ("", "")
    assert records == []


@pytest.mark.parametrize("source", MAKERS)
@pytest.mark.parametrize("raw", ["0", "1"])
def test_a_warm_up_goes_the_handlers_own_way(tmp_path, monkeypatch, source, raw):
    """From the event on, with the source's own identities, and no step left out."""
    monkeypatch.setenv("MILLSTREAM_RAW_EVENTS", raw)
    reports = []
    handler = MAKERS[source](ORDERS.filter(col("order") > 2), sink=tmp_path / "out", on_reject="fail")
    handler.report = lambda batch, landed: reports.append((batch, landed))
    assert handler.warm() is True
    ((batch, landed),) = reports
    counts = {name: count for name, count in landed.counts.items() if count}
    assert counts == {"delivered": warm.RECORDS, "written": warm.RECORDS * 5 // 8, "filtered": warm.RECORDS * 3 // 8}
    assert batch.source == source
    assert batch.raw is (raw == "1" and source != "s3")
    assert landed.files[0][0].url.startswith("nowhere/")


def test_places_at_aws_are_not_asked(aws, monkeypatch, no_network, puts):
    """boto3 is loaded; no client is made that has credentials, or is kept."""
    clients.forget()
    where = {"sink": "s3://lake/orders/", "rejects": "sqs+https://sqs.us-east-1.amazonaws.com/123456789012/bad"}
    made = []
    make = clients.make

    def note(service, *rest, **named):
        found = make(service, *rest, **named)
        made.append((service, found._request_signer._credentials.access_key))
        return found

    monkeypatch.setattr(clients, "make", note)
    assert sqs_handler(ORDERS, **where, ledger="dynamodb://orders").warm() is True
    assert made == [("s3", "none"), ("sqs", "none"), ("dynamodb", "none")]
    assert clients._clients == {}
    assert puts


def test_what_a_real_batch_gives_is_the_same_after_a_warm_up(tmp_path):
    event = events.to_bytes(events.kinesis(*(json.dumps({"order": i, "kind": f"k{i}"}).encode() for i in range(99))))
    files = []
    for is_warm in (False, True):
        pipeline = Pipeline({"order": "int64", "kind": "string"}, name="orders")
        handler = kinesis_handler(pipeline, sink=tmp_path / str(is_warm), on_reject="fail")
        if is_warm:
            handler.warm()
        handler(event)
        files.append({path.name: path.read_bytes() for path in (tmp_path / str(is_warm)).iterdir()})
    assert files[0] == files[1]


def test_a_warm_up_that_fails_is_logged_and_no_more(tmp_path, monkeypatch, capsys):
    handler = kinesis_handler(ORDERS, sink=tmp_path / "out", on_reject="fail")

    def fail(*arguments):
        raise ZeroDivisionError("of whatever kind")

    with monkeypatch.context() as broken:
        broken.setattr(Pipeline, "run", fail)
        assert handler.warm() is False
    line = json.loads(capsys.readouterr().out)
    assert line["level"] == "WARNING"
    assert line["message"] == "the warm-up failed, and the function works without: ZeroDivisionError: of whatever kind"
    assert handler(events.kinesis(b'{"order":1}')) == {"batchItemFailures": []}
    assert json.loads(capsys.readouterr().out)["message"] == "batch"


# --- hooks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "", "on-demand", "provisioned-concurrency", "snap-start"])
def test_a_handler_registers_itself_where_a_snapshot_is_taken_alone(tmp_path, monkeypatch, kind):
    monkeypatch.delenv(INIT, raising=False)
    if kind is not None:
        monkeypatch.setenv(INIT, kind)
    kinesis_handler(ORDERS, sink=tmp_path / "out", on_reject="fail")
    sqs_handler(ORDERS, sink=tmp_path / "out", on_reject="fail")
    expected = 2 if kind == "snap-start" else 0
    assert len(snapshot_restore_py.get_before_snapshot()) == expected
    assert len(snapshot_restore_py.get_after_restore()) == expected


def test_elsewhere_the_module_is_not_looked_for(child):
    source = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        assert name not in ("snapshot_restore_py", "millstream.aws.warm"), name
sys.meta_path.insert(0, Guard())
from millstream import Pipeline
from millstream.aws import kinesis_handler
kinesis_handler(Pipeline({"a": "int64"}), sink="nowhere", on_reject="fail")
print("made")
"""
    assert child(source, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand").stdout == "made\n"


def test_a_runtime_without_the_module_is_none_of_snapstarts(tmp_path, monkeypatch):
    monkeypatch.setenv(INIT, "snap-start")
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    handler = kinesis_handler(ORDERS, sink=tmp_path / "out", on_reject="fail")
    assert handler(events.kinesis(b'{"order":1}')) == {"batchItemFailures": []}


def test_what_cannot_work_is_told_when_the_handler_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(INIT, "snap-start")
    with pytest.raises(SettingsError, match="no rejects and no on_reject"):
        kinesis_handler(ORDERS, sink=tmp_path / "out")
    assert snapshot_restore_py.get_before_snapshot() == []


def test_a_failure_does_not_break_the_snapshot(tmp_path, monkeypatch, capsys, hooks):
    monkeypatch.setenv(INIT, "snap-start")
    kinesis_handler(ORDERS, sink=tmp_path / "out", on_reject="fail")
    monkeypatch.setattr(warm, "_rehearse", lambda handler: 1 / 0)
    hooks[0]()
    assert "the warm-up failed" in capsys.readouterr().out


def test_environments_of_a_snapshot_share_nothing_that_they_must_not(aws, table, monkeypatch, hooks, puts):
    monkeypatch.setenv(INIT, "snap-start")
    monkeypatch.setenv("POWERTOOLS_LOGGER_SAMPLE_RATE", "0.5")
    handler = s3_handler(ORDERS, sink="s3://lake/orders/", on_reject="fail", ledger=f"dynamodb://{table}")
    before, after = hooks
    before()
    assert puts
    old = {"client": clients.client("s3"), "persistence": handler.persistence()}
    drawn, levels = [], []
    for _ in range(32):
        random.seed(7)  # as all of them find it
        after()
        drawn.append(random.random())
        levels.append(observe._logger("orders").log_level)
    assert len(set(drawn)) == 32
    assert len(set(levels)) == 2, "the sample is drawn once"
    assert clients.client("s3") is not old["client"]
    assert handler.persistence() is not old["persistence"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-now")
    after()
    assert clients.client("s3")._request_signer._credentials.access_key == "of-now"


# --- in Lambda's own runtime ---------------------------------------------------------------------------------------------


class RuntimeApi(BaseHTTPRequestHandler):
    """Lambda's Runtime API, as far as a function with SnapStart needs it, which AWS's emulator does not have: one restore, then events."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.calls.append(self.path)
        if self.path.endswith("/restore/next"):
            self.server.on_restore()
            self._answer(200, b"")
        elif self.server.events:
            headers = {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": f"{1000 * time.time() + 60_000:.0f}"}
            headers["Lambda-Runtime-Invoked-Function-Arn"] = "arn:aws:lambda:us-east-1:123456789012:function:orders"
            self._answer(200, self.server.events.pop(0), headers)
        else:
            self.server.is_done.set()
            self.server.is_over.wait(60)  # as Lambda does: the next event may never come
            self.close_connection = True

    def do_POST(self):
        self.server.calls.append(self.path)
        self.server.answers.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(202, b"")

    def _answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments): ...


@contextmanager
def runtime_api(given, on_restore):
    server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.calls, server.answers, server.events, server.on_restore = [], [], list(given), on_restore
    server.is_done, server.is_over = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("source", ["kinesis", "sqs"])
@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: AWS's runtime client needs Linux")
def test_a_function_with_snapstart(lambda_parts, layer, tmp_path, canary, source):
    """AWS's runtime client calls the hooks; a stand-in for the Runtime API takes the snapshot, which is no more than a moment."""
    (tmp_path / "pipeline.yaml").write_text("{version: 1, name: orders, schema: {order: int64, kind: string}}")
    settings = {
        INIT: "snap-start",
        "MILLSTREAM_PIPELINE": "pipeline.yaml",
        "MILLSTREAM_SINK": str(tmp_path / "out"),
        "MILLSTREAM_REJECTS": str(tmp_path / "bad"),
    }
    handler = f"millstream.aws.entry.{source}"
    of_function = LambdaRuntime(handler, task_root=tmp_path, layer=layer, parts=lambda_parts, environment=settings)
    record = json.dumps({"order": 1, "kind": events.CANARY})
    event = events.kinesis(record.encode()) if source == "kinesis" else events.sqs(record)
    written = []
    with runtime_api([events.to_bytes(event)], lambda: written.append(os.listdir(tmp_path))) as api:
        environment = of_function.environment | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}", "_HANDLER": handler}
        command = [sys.executable, "-m", "awslambdaric", handler]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            is_done = api.is_done.wait(60)
        finally:
            process.terminate()
            said = process.communicate(timeout=10)[0]
    canary.hear("what the function wrote", said)
    assert is_done, said
    begin = "/2018-06-01/runtime/"
    assert api.calls == [
        f"{begin}restore/next",
        f"{begin}invocation/next",
        f"{begin}invocation/1/response",
        f"{begin}invocation/next",
    ], said
    assert [json.loads(one) for one in api.answers] == [{"batchItemFailures": []}]
    assert written == [["pipeline.yaml"]]
    (file,) = (tmp_path / "out").iterdir()
    assert pq.read_table(file).to_pylist() == [{"order": 1, "kind": events.CANARY}]
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    (line,) = [one for one in lines if one.get("message") == "batch"]
    assert line["raw"] is True
    assert line["counts"]["written"] == line["counts"]["delivered"] == 1
    assert "warm-up" not in said
