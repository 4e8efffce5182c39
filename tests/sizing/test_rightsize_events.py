"""Events that a function is measured with: made, recorded, and come again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from millstream.aws.kinesis import kinesis_text
from millstream.aws.notification import objects_of
from millstream.aws.sqs import sqs_text
from millstream.errors import UsageError
from millstream.pipeline import Pipeline
from millstream.sizing.bucket import SOURCE, serving
from millstream.sizing.events import find_events

pytestmark = pytest.mark.once
RECORDS = [b'{"a": %d}' % i for i in range(25)]
JSON = Pipeline({"a": "int64"})
EVENTS = Path(__file__).parent.parent.parent / "sam" / "events"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.ndjson"
    path.write_bytes(b"\n".join(RECORDS))
    return path


def written(path: Path, source: str | None, batch: int, count: int, folder: Path, pipeline: Pipeline = JSON) -> list[bytes]:
    names, _ = find_events(str(path), pipeline, source, batch, count).write(folder, count)
    return [Path(name).read_bytes() for name in names]


@pytest.mark.parametrize(("source", "read"), [("kinesis", kinesis_text), ("sqs", sqs_text)])
def test_data_files_become_events_as_lambda_makes_them(data: Path, tmp_path: Path, source: str, read) -> None:
    """They are read by their text, the quick way; each holds a batch; the records come in turn, and again from the first on."""
    texts = written(data, source, 10, 6, tmp_path)
    payloads, identities = [], []
    for text in texts:
        (deliveries,) = read(text)
        assert deliveries.raw
        assert deliveries.count == 10
        payloads += [bytes(deliveries.payloads.payload(i)) for i in range(10)]
        identities += [deliveries.identities(i) for i in range(10)]
    assert payloads == [RECORDS[i % 25] for i in range(30)] * 2
    assert len(set(identities)) == 60, "each is a delivery of its own"
    if source == "kinesis":
        assert [int(one) for one in identities] == sorted(map(int, identities))


def test_files_become_objects(data: Path, tmp_path: Path) -> None:
    texts = written(data, "s3", 1000, 3, tmp_path)
    refs = [objects_of(json.loads(text))[0] for text in texts]
    assert {one.key for one in refs} == {"in/data.ndjson"}
    assert len({one.etag for one in refs}) == 3


def test_rows_of_csv_have_their_header(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    pipeline = Pipeline({"a": "int64"}, input={"format": "csv"})
    (text,) = written(path, None, 2, 1, tmp_path, pipeline)
    payloads = [base64.b64decode(one["kinesis"]["data"]) for one in json.loads(text)["Records"]]
    assert payloads == [b"a,b\n1,x", b"a,b\n2,y"]
    assert pipeline.run(payloads).batch.to_pylist() == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("name", ["stream.json", "queue.json", "fifo.json"])
def test_recorded_events_come_again_as_other_deliveries(name: str, tmp_path: Path) -> None:
    found = find_events(str(EVENTS / name), JSON, None, 1000, 3)
    names, _ = found.write(tmp_path, 3)
    events = [json.loads(Path(one).read_bytes()) for one in names]
    recorded = json.loads((EVENTS / name).read_bytes())
    read = kinesis_text if name == "stream.json" else sqs_text
    identities = []
    for one in names:
        (deliveries,) = read(Path(one).read_bytes())
        identities += [deliveries.identities(i) for i in range(deliveries.count)]
    assert len(set(identities)) == len(identities) == 3 * len(recorded["Records"])
    payload = "kinesis" if name == "stream.json" else "body"
    for event in events:
        for mine, theirs in zip(event["Records"], recorded["Records"], strict=True):
            assert mine.keys() == theirs.keys()
            assert (mine[payload]["data"] if payload == "kinesis" else mine[payload]) == (
                theirs[payload]["data"] if payload == "kinesis" else theirs[payload]
            )


def test_an_event_is_no_larger_than_lambda_takes(tmp_path: Path) -> None:
    path = tmp_path / "data.ndjson"
    path.write_bytes((b'{"a": 1, "b": "' + b"x" * 8000 + b'"}\n') * 1000)
    with pytest.raises(UsageError, match=r"an event of 1,000 records has 1\d,\d\d\d,\d\d\d bytes, .* write a smaller --batch"):
        written(path, None, 1000, 1, tmp_path)


def test_text_alone_becomes_messages(tmp_path: Path) -> None:
    path = tmp_path / "data.ndjson"
    path.write_bytes(b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(UsageError, match="record 1 is no UTF-8 text"):
        written(path, "sqs", 2, 1, tmp_path)


def test_events_and_data_do_not_mix(data: Path) -> None:
    (data.parent / "event.json").write_bytes((EVENTS / "stream.json").read_bytes())
    with pytest.raises(UsageError, match=r"data\.ndjson is none"):
        find_events(str(data.parent), JSON, None, 1000, 1)


def test_names_are_encoded_as_s3_does(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a+b %20ü.ndjson").write_bytes(RECORDS[0])
    found = find_events(str(tmp_path / "in"), JSON, "s3", 1000, 1)
    (name,), _ = found.write(tmp_path, 1)
    (told,) = objects_of(json.loads(Path(name).read_text()))
    assert told.key in found.objects


def test_half_a_surrogate_pair_is_told(tmp_path: Path) -> None:
    event = json.loads((EVENTS / "queue.json").read_text())
    event["Records"][0]["body"] = "\ud800"
    (tmp_path / "event.json").write_text(json.dumps(event))
    with pytest.raises(UsageError, match="half a surrogate pair"):
        find_events(str(tmp_path / "event.json"), JSON, None, 1000, 1).write(tmp_path, 1)


def test_the_bucket_takes_uploads_in_parts_and_gives_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="NOT TESTED: boto3 is not installed")
    import boto3

    (tmp_path / "data").write_bytes(b"0123456789")
    with serving(tmp_path, {"key": tmp_path / "data"}) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        begun = client.create_multipart_upload(Bucket="b", Key="k")
        part = client.upload_part(Bucket="b", Key="k", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 1000)
        parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        assert client.complete_multipart_upload(Bucket="b", Key="k", UploadId=begun["UploadId"], MultipartUpload=parts)["ETag"]
        assert client.get_object(Bucket=SOURCE, Key="key", Range="bytes=2-4")["Body"].read() == b"234"
        assert client.get_object(Bucket=SOURCE, Key="key", Range="bytes=7-")["ContentRange"] == "bytes 7-9/10"
        assert client.head_object(Bucket=SOURCE, Key="key")["ContentLength"] == 10
