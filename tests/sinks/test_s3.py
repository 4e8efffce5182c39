"""Objects in S3: whole or not there, never replaced, whatever happens on the way."""

import json
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from millstream.errors import SettingsError, SinkError, UsageError
from millstream.local.run import attempt, run_files
from millstream.pipeline import Pipeline
from millstream.sinks import clients
from millstream.sinks.retry import Backoff
from millstream.sinks.s3 import S3Store
from millstream.sinks.store import DirectoryStore, check_apart, open_store
from tests.servers import answer, lost_after, lost_before, passes

pytestmark = pytest.mark.once

TAGS = {"fingerprint": "abc", "source": "0+3", "digest": "d"}
OTHER = TAGS | {"fingerprint": "xyz"}
QUICK = Backoff(base=0.001, cap=0.002, attempts=5)
SMALL = {"multipart_bytes": 50_000, "part_bytes": 40_000}
LARGE = os.urandom(70_000)  # two parts
COMPLETE = "CompleteMultipartUpload"


def store(bucket, prefix="out/", **settings):
    return S3Store(bucket, prefix, **{"backoff": QUICK} | SMALL | settings)


def objects(bucket):
    found = clients.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())
    return [one["Key"] for one in found]


def read(bucket, key, **more):
    return clients.client("s3").get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def open_uploads(bucket):
    return clients.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_an_object_with_its_metadata(bucket):
    stored = store(bucket).put("k=1/x.parquet", b"body", TAGS | {"source": "ü 100%\n"})
    assert stored == (f"s3://{bucket}/out/k=1/x.parquet", 4, True)
    found = clients.client("s3").head_object(Bucket=bucket, Key="out/k=1/x.parquet")
    assert found["Metadata"] == {
        "millstream-fingerprint": "abc",
        "millstream-source": "%C3%BC 100%25%0A",
        "millstream-digest": "d",
    }
    assert found["ContentType"] == "application/vnd.apache.parquet"
    assert read(bucket, "out/k=1/x.parquet") == b"body"
    assert store(bucket).put("k=1/x.parquet", b"other", TAGS | {"source": "ü 100%\n"}) == (stored.url, 4, False)


@pytest.mark.parametrize("body", [b"", b"x", bytearray(b"xy"), memoryview(b"xyz"), pa.py_buffer(b"1234"), LARGE], ids=len)
def test_bodies_of_any_size(bucket, body):
    assert store(bucket).put("x", body, TAGS) == (f"s3://{bucket}/out/x", len(body), True)
    assert read(bucket, "out/x") == bytes(body)
    assert store(bucket).put("x", body, TAGS).fresh is False
    assert open_uploads(bucket) == []


@pytest.mark.parametrize("settings", [{"multipart_bytes": 8 << 20}, {"part_bytes": 2 << 20}], ids=["put", "parts"])
def test_bodies_that_are_sent_in_pieces(bucket, settings):
    body = os.urandom(3 << 20)
    assert store(bucket, **settings).put("x", body, TAGS).fresh
    assert read(bucket, "out/x") == body


def test_a_large_body_goes_in_parts(bucket, s3_faults):
    store(bucket).put("x.ndjson", LARGE, TAGS)
    assert s3_faults.calls == ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]
    found = clients.client("s3").head_object(Bucket=bucket, Key="out/x.ndjson")
    assert (found["ContentLength"], found["ContentType"]) == (len(LARGE), "application/x-ndjson")
    assert found["Metadata"]["millstream-digest"] == "d"
    at = 40_000
    assert read(bucket, "out/x.ndjson", Range=f"bytes={at - 2}-{at + 2}") == LARGE[at - 2 : at + 3]


def test_parts_are_never_more_than_s3_takes(bucket, s3_faults, monkeypatch):
    monkeypatch.setattr("millstream.sinks.s3.MOST_PARTS", 1)
    store(bucket).put("x", LARGE, TAGS)
    assert s3_faults.calls.count("UploadPart") == 1


@pytest.mark.parametrize("body", [b"body", LARGE], ids=["put", "parts"])
def test_encryption_is_asked_for(bucket, body, s3_faults):
    asked = []

    def keep(request):
        asked.append({name.lower(): value for name, value in request.headers.items()})

    s3_faults.on("PutObject", keep)
    s3_faults.on("CreateMultipartUpload", keep)
    store(bucket, kms_key="alias/orders").put("x", body, TAGS)
    (headers,) = asked
    start = "x-amz-server-side-encryption"
    assert [headers[start + one].decode().lower() for one in ("", "-aws-kms-key-id", "-bucket-key-enabled")] == [
        "aws:kms",
        "alias/orders",
        "true",
    ]


@pytest.mark.parametrize("body", [b"body", LARGE], ids=["put", "parts"])
def test_another_object_is_not_replaced(bucket, body):
    store(bucket).put("x", body, TAGS)
    with pytest.raises(SinkError, match=rf"s3://{bucket}/out/x stands there .* its pipeline is abc, this one is xyz; write to"):
        store(bucket).put("x", body, OTHER)
    clients.client("s3").put_object(Bucket=bucket, Key="out/y", Body=b"theirs")
    with pytest.raises(SinkError, match="it was not written by millstream"):
        store(bucket).put("y", body, TAGS)
    assert read(bucket, "out/y") == b"theirs"
    assert open_uploads(bucket) == []


def test_of_writers_at_once_one_wins(bucket):
    """moto looks and writes in two steps, so that now and then two win there: not in all of five races."""

    def race(key):
        barrier = threading.Barrier(4)

        def write(number):
            barrier.wait()
            try:
                return store(bucket).put(key, b"body", TAGS | {"digest": str(number)}).fresh
            except SinkError as error:
                return "stands there already" in str(error) and None

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(write, range(4)))
        metadata = clients.client("s3").head_object(Bucket=bucket, Key=f"out/{key}")["Metadata"]
        assert found[int(metadata["millstream-digest"])] is True
        assert set(found) <= {True, None}
        return found.count(True)

    assert 1 in [race(f"x{i}") for i in range(5)]


@pytest.mark.parametrize("same", [True, False])
def test_another_writer_is_first_while_parts_go_up(bucket, s3_faults, same):
    """In turn, for moto looks and writes in two steps: of uploads that complete at once, several may win there."""
    s3_faults.on(COMPLETE, lambda request: store(bucket).put("x", b"first", TAGS if same else OTHER) and None)
    if same:
        assert store(bucket).put("x", LARGE, TAGS) == (f"s3://{bucket}/out/x", 5, False)
    else:
        with pytest.raises(SinkError, match="its pipeline is xyz, this one is abc"):
            store(bucket).put("x", LARGE, TAGS)
    assert s3_faults.calls[-2:] == ["AbortMultipartUpload", "HeadObject"]
    assert read(bucket, "out/x") == b"first"
    assert open_uploads(bucket) == []


# What goes wrong with one call, whether the object is our own fresh one then, and all calls.
PUT = [
    ("InternalError", answer("InternalError", 500), True, "PutObject PutObject"),
    ("SlowDown", answer("SlowDown", 503), True, "PutObject PutObject"),
    ("conflict", answer("ConditionalRequestConflict", 409), True, "PutObject PutObject"),
    ("lost before", lost_before, True, "PutObject PutObject"),
    ("lost after", lost_after, False, "PutObject PutObject HeadObject"),
]


@pytest.mark.parametrize(("fault", "fresh", "calls"), [one[1:] for one in PUT], ids=[one[0] for one in PUT])
def test_a_put_that_goes_wrong_once(bucket, s3_faults, fault, fresh, calls):
    s3_faults.on("PutObject", fault)
    assert store(bucket).put("x", b"body", TAGS) == (f"s3://{bucket}/out/x", 4, fresh)
    assert s3_faults.calls == calls.split()
    assert read(bucket, "out/x") == b"body"


ANEW = ["CreateMultipartUpload", "UploadPart", "UploadPart", COMPLETE]
PARTS = [
    ("create", "CreateMultipartUpload", [answer("SlowDown", 503)], True, [ANEW[0], *ANEW]),
    ("a part", "UploadPart", [passes, lost_after], True, [*ANEW[:3], "UploadPart", COMPLETE]),
    ("complete", COMPLETE, [answer("InternalError", 500)], True, [*ANEW, COMPLETE]),
    ("complete: 200 with an error", COMPLETE, [answer("InternalError", 200)], True, [*ANEW, COMPLETE]),
    ("complete: lost before", COMPLETE, [lost_before], True, [*ANEW, COMPLETE]),
    ("complete: lost after", COMPLETE, [lost_after], True, [*ANEW, COMPLETE]),
    (
        "complete: lost after, then the name is taken",
        COMPLETE,
        [lost_after, answer("PreconditionFailed", 412)],
        False,
        [*ANEW, COMPLETE, "AbortMultipartUpload", "HeadObject"],
    ),
    (
        "complete: lost after, then no such upload",
        COMPLETE,
        [lost_after, answer("NoSuchUpload", 404)],
        False,
        [*ANEW, COMPLETE, "AbortMultipartUpload", "HeadObject"],
    ),
    (
        "complete: 200 that says the name is taken",
        COMPLETE,
        [lost_after, answer("PreconditionFailed", 200)],
        False,
        [*ANEW, COMPLETE, "AbortMultipartUpload", "HeadObject"],
    ),
    ("complete: conflict", COMPLETE, [answer("ConditionalRequestConflict", 409)], True, [*ANEW, "AbortMultipartUpload", *ANEW]),
    (
        "complete: no such upload, no object",
        COMPLETE,
        [answer("NoSuchUpload", 404)],
        True,
        [*ANEW, "AbortMultipartUpload", "HeadObject", *ANEW],
    ),
]


@pytest.mark.parametrize(("operation", "faults", "fresh", "calls"), [one[1:] for one in PARTS], ids=[one[0] for one in PARTS])
def test_an_upload_that_goes_wrong_once(bucket, s3_faults, operation, faults, fresh, calls):
    s3_faults.on(operation, *faults)
    assert store(bucket).put("x", LARGE, TAGS) == (f"s3://{bucket}/out/x", len(LARGE), fresh)
    assert s3_faults.calls == calls
    assert read(bucket, "out/x") == LARGE
    assert open_uploads(bucket) == []


def test_an_object_that_went_away_is_written_again(bucket, s3_faults):
    s3_faults.on("PutObject", answer("PreconditionFailed", 412))
    assert store(bucket).put("x", b"body", TAGS).fresh is True
    assert s3_faults.calls == ["PutObject", "HeadObject", "PutObject"]


def test_what_stands_there_is_asked_for_again(bucket, s3_faults):
    store(bucket).put("x", b"body", TAGS)
    s3_faults.calls.clear()
    s3_faults.on("HeadObject", answer("", 503), lost_before)
    assert store(bucket).put("x", b"body", TAGS).fresh is False
    assert s3_faults.calls == ["PutObject", "HeadObject", "HeadObject", "HeadObject"]
    s3_faults.on("HeadObject", answer("", 403))
    with pytest.raises(SinkError, match=rf"cannot tell what stands at s3://{bucket}/out/x: .* allow s3:GetObject"):
        store(bucket).put("x", b"body", TAGS)


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("AccessDenied", 403, "allow s3:PutObject"),
        ("ExpiredToken", 400, "get new credentials"),
        ("InvalidAccessKeyId", 403, "check AWS_ACCESS_KEY_ID"),
        ("NoSuchBucket", 404, "create the bucket"),
    ],
)
@pytest.mark.parametrize(
    ("body", "operation"),
    [(b"body", "PutObject"), (LARGE, "CreateMultipartUpload"), (LARGE, "UploadPart"), (LARGE, COMPLETE)],
)
def test_faults_that_end_it_at_once(bucket, s3_faults, body, operation, code, status, says):
    s3_faults.on(operation, answer(code, status))
    with pytest.raises(SinkError) as raised:
        store(bucket).put("x", body, TAGS)
    text = str(raised.value)
    assert text.startswith(f"cannot write s3://{bucket}/out/x: the answer is {code} ({status}), request 4442587FB7D0A2F9; ")
    assert says in text
    assert "secret" not in text
    assert s3_faults.calls.count(operation) == 1
    assert objects(bucket) == []
    assert open_uploads(bucket) == []


@pytest.mark.parametrize("operation", ANEW)
def test_a_service_that_does_not_recover(bucket, s3_faults, operation):
    s3_faults.on(operation, *[answer("SlowDown", 503)] * 9)
    with pytest.raises(SinkError, match=r"SlowDown .* after 5 attempts"):
        store(bucket).put("x", LARGE, TAGS)
    assert s3_faults.calls.count(operation) == 5
    assert open_uploads(bucket) == []


def test_a_bucket_that_is_not_there(aws):
    with pytest.raises(SinkError, match=r"cannot write s3://no-such-bucket/out/x: the answer is NoSuchBucket \(404\)"):
        store("no-such-bucket").put("x", b"body", TAGS)


def test_no_put_is_begun_when_time_is_up(bucket, s3_faults):
    with pytest.raises(SinkError, match="time is up before the first attempt"):
        store(bucket).put("x", b"body", TAGS, until=-math.inf)
    assert s3_faults.calls == []


def test_an_upload_is_aborted_when_time_is_up(bucket, s3_faults):
    now = [0.0]

    def late(request):
        now[0] = 100.0

    s3_faults.on("UploadPart", late)
    with pytest.raises(SinkError, match="time is up"):
        store(bucket, backoff=Backoff(clock=lambda: now[0])).put("x", LARGE, TAGS, until=50)
    assert s3_faults.calls == ["CreateMultipartUpload", "UploadPart", "AbortMultipartUpload"]
    assert open_uploads(bucket) == []


def test_an_interrupted_upload_is_aborted(bucket, s3_faults, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("millstream.sinks.s3._complete", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store(bucket).put("x", LARGE, TAGS)
    assert open_uploads(bucket) == []


def test_keys_have_an_end(bucket, s3_faults):
    with pytest.raises(SinkError, match="longer than S3's 1,024 bytes; shorten the prefix"):
        store(bucket).put("é" * 512, b"", TAGS)
    assert s3_faults.calls == []


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_notes_are_replaced_and_removed(bucket, tmp_path, where):
    noting = store(bucket, "out/") if where == "s3" else DirectoryStore(tmp_path / "out")
    later = time.monotonic() + 60
    assert noting.noted("_x.json", later) is None
    for text in (b"one", b"two"):
        noting.replace("_x.json", text, later)
        assert noting.noted("_x.json", later) == text
    for _ in range(2):
        noting.forget("_x.json", later)
    assert noting.noted("_x.json", later) is None


# URLs


def test_urls(monkeypatch):
    for url, bucket, prefix in (
        ("s3://orders", "orders", ""),
        ("s3://orders/", "orders", ""),
        ("s3://my.orders-1/clean", "my.orders-1", "clean/"),
        ("s3://orders/clean/by day=1/ü/", "orders", "clean/by day=1/ü/"),
    ):
        found = open_store(url, "the sink")
        assert isinstance(found, S3Store)
        assert (found.bucket, found.prefix, found.url, found.threads) == (bucket, prefix, f"s3://{bucket}/{prefix}", 8)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("s3://Orders/x", "'Orders' is no bucket's name"),
        ("s3://ab", "is no bucket's name"),
        ("s3://a..b/x", "is no bucket's name"),
        ("s3://10.0.0.1/x", "is no bucket's name"),
        ("s3://user@orders/x", "is no bucket's name"),
        ("s3://orders/a//b", "a part that is empty"),
        ("s3://orders/a/../b", "'.' or '..'"),
        ("s3://orders/a?b=c", "holds '?'"),
        ("s3://orders/a%20b", "holds '%'"),
        ("s3://orders/a\nb", r"holds '\n'"),
    ],
)
def test_urls_that_cannot_be(url, says):
    with pytest.raises(SettingsError) as raised:
        open_store(url, "the sink")
    assert str(raised.value).startswith(f"the sink is {url!r}: ")
    assert says in str(raised.value)


def test_a_folder_takes_no_key(tmp_path):
    with pytest.raises(SettingsError, match="no KMS key encrypts"):
        open_store(tmp_path, "the sink", kms_key="alias/x")
    assert open_store("s3://orders/x", "the sink", kms_key="alias/x").url == "s3://orders/x/"


def test_prefixes_are_kept_apart(tmp_path):
    for sink, rejects in (("out/", "out/"), ("out/", "out/bad/"), ("", "bad/")):
        with pytest.raises(UsageError, match="are inside the sink"):
            check_apart(S3Store("b", sink), S3Store("b", rejects))
    with pytest.raises(UsageError, match="inside the rejects' folder"):
        check_apart(S3Store("b", "out/x/"), S3Store("b", "out/"))
    check_apart(S3Store("b", "out/"), S3Store("b", "out-rejects/"))
    check_apart(S3Store("b", "out/"), S3Store("c", "out/"))
    check_apart(S3Store("b", ""), DirectoryStore(tmp_path))
    check_apart(DirectoryStore(tmp_path), S3Store("b", ""))


NO_BOTO3 = """
import sys
sys.modules["boto3"] = None
from millstream.errors import SettingsError
from millstream.sinks.rejects import open_rejects
from millstream.sinks.store import open_store
sink = open_store("out", "the sink")
for open_one in (lambda: open_store("s3://orders/x/", "the sink"), lambda: open_rejects("sqs+https://h/1/q", "rejects", sink)):
    try:
        open_one()
    except SettingsError as error:
        print(error)
"""


def test_without_boto3(child):
    told = child(NO_BOTO3).stdout.splitlines()
    assert len(told) == 2
    assert told[0].startswith("the sink s3://orders/x/ needs boto3")
    assert all(one.endswith("pip install 'millstream[aws]'") for one in told)


FOLDER = """
import sys
from pathlib import Path
from millstream import Pipeline, run_files
folder = Path({folder!r})
(folder / "in.ndjson").write_text('{{"id": 1}}\\nbad\\n')
report = run_files(Pipeline({{"id": "int64"}}), folder / "in.ndjson", sink=folder / "out")
assert report.counts["written"] == report.counts["rejected"] == 1
print(sorted({{"boto3", "botocore"}} & sys.modules.keys()))
"""


def test_a_run_to_a_folder_imports_no_boto3(child, tmp_path):
    assert child(FOLDER.format(folder=str(tmp_path))).stdout.strip() == "[]"


# Whole runs

SCHEMA = {"id": "int64", "kind": "string"}


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "orders.ndjson"
    rows = [json.dumps({"id": i, "kind": f"k{i % 40}"}) for i in range(400)]
    path.write_text("\n".join([*rows[:200], "bad", *rows[200:]]) + "\n")
    return path


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_a_run_lands_and_a_second_one_writes_nothing(bucket, lines, s3_faults, form):
    pipeline = Pipeline(SCHEMA, name="orders", output={"partition_by": ["kind"], "format": form})
    sink = f"s3://{bucket}/clean/orders"
    report = run_files(pipeline, lines, sink=sink)
    assert (report.counts["written"], report.counts["rejected"], report.files_total) == (400, 1, 40)
    names = [file.url.removeprefix(f"{sink}/").partition("/")[0] for file in report.files]
    assert names == [f"kind=k{i}" for i in range(40)]
    keys = objects(bucket)
    assert len(keys) == 41
    assert sum(key.startswith("clean/orders-rejects/date=") for key in keys) == 1
    assert report.rejects == f"{sink}-rejects/"
    etags = {one["ETag"]: one["LastModified"] for one in clients.client("s3").list_objects_v2(Bucket=bucket)["Contents"]}
    s3_faults.calls.clear()
    again = run_files(pipeline, lines, sink=sink)
    assert (again.counts, again.files) == (report.counts, report.files)
    assert sorted(s3_faults.calls) == ["HeadObject"] * 41 + ["PutObject"] * 41
    assert etags == {
        one["ETag"]: one["LastModified"] for one in clients.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    }
    with pytest.raises(SinkError, match="its pipeline is"):
        run_files(Pipeline(SCHEMA | {"x": "int8"}, output=dict(pipeline.output)), lines, sink=sink)


def test_rows_come_back(bucket, lines, tmp_path):
    run_files(Pipeline(SCHEMA), lines, sink=f"s3://{bucket}/out/")
    key, reject = objects(bucket)[1], objects(bucket)[0]
    (tmp_path / "rows").write_bytes(read(bucket, key))
    (tmp_path / "bad").write_bytes(read(bucket, reject))
    assert ds.dataset(tmp_path / "rows").to_table()["id"].to_pylist() == list(range(400))
    assert pq.ParquetFile(tmp_path / "bad").read()["payload"].to_pylist() == [b"bad"]


def test_a_fault_in_one_of_many_parts(bucket, lines, s3_faults):
    """The parts that landed are told in their order, the others are failed; a second run completes them."""
    pipeline = Pipeline(SCHEMA, output={"partition_by": ["kind"]})
    s3_faults.on("PutObject", *[passes] * 20, *[answer("AccessDenied", 403)] * 30)
    report, error = attempt(pipeline, [lines], sink=f"s3://{bucket}/out/")
    assert "allow s3:PutObject" in str(error)
    assert report.counts["failed"] == 400
    landed = [file.url.removeprefix(f"s3://{bucket}/") for file in report.files]
    assert sorted(landed) == [key for key in objects(bucket) if key.startswith("out/")]
    parts = [int(name.split("kind=k")[1].partition("/")[0]) for name in landed]
    assert parts == sorted(parts)
    assert report.rows == 10 * len(landed)
    s3_faults._waiting.clear()
    assert run_files(pipeline, lines, sink=f"s3://{bucket}/out/").counts["written"] == 400


def test_a_whole_bucket_has_no_place_beside_it(bucket, lines):
    with pytest.raises(SettingsError, match="give the sink a prefix"):
        run_files(Pipeline(SCHEMA), lines, sink=f"s3://{bucket}/")
    with pytest.raises(UsageError, match="inside the sink"):
        run_files(Pipeline(SCHEMA), lines, sink=f"s3://{bucket}/", rejects=f"s3://{bucket}/bad/")


def test_the_client_is_made_once_for_all_threads(aws, monkeypatch):
    monkeypatch.setattr(clients, "_clients", {})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: clients.client("s3"), range(8)))
    assert len(set(map(id, found))) == 1
    config = found[0].meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.max_pool_connections >= 16
    assert "millstream/" in config.user_agent_extra


def test_settings_of_aws_that_cannot_be(aws, monkeypatch):
    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.setenv("AWS_PROFILE", "none-such")
    with pytest.raises(SettingsError, match=r"AWS settings for s3 cannot be used: .*none-such"):
        clients.client("s3")
    monkeypatch.delenv("AWS_PROFILE")
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_ENDPOINT_URL", "user:password@host")
        with pytest.raises(SettingsError, match="correct AWS_ENDPOINT_URL") as raised:
            clients.client("s3")
        assert "password" not in str(raised.value)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SettingsError, match="set AWS_DEFAULT_REGION"):
        clients.client("sqs")
