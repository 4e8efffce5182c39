"""S3, SQS and Lambda beside moto's: the same operations, drawn by a seed, have the same outcomes, as far as anybody here reads them.

Where moto is not as AWS is, the simulation is as AWS says, and the difference is told here.
"""

import random
import uuid

import pytest

from tests.faults.faults import Fault, Faults, Kind
from tests.faults.pair import Pair, refused
from tests.faults.world import START, World

pytestmark = pytest.mark.once


@pytest.fixture
def s3(aws):
    world = World(0)
    world.s3.least_part_bytes = 1
    return Pair(world, "s3")


@pytest.mark.parametrize("seed", range(4))
def test_objects(s3, seed):
    draw = random.Random(seed)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.call("create_bucket", Bucket=bucket)
    versions, uploads, ended, etags = [], {}, set(), ['"0"']
    if seed % 2:
        s3.is_versioned = True
        s3.call("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(60):
        key = draw.choice(["a", "a/b", "a/c", "é+ %"])
        place = {"Bucket": bucket if draw.random() < 0.97 else bucket + "x", "Key": key}
        which = {}
        if versions and draw.random() < 0.3:
            which["VersionId"] = draw.choice(versions)[1]
            place["Key"] = next(key for key, name in versions if name == which["VersionId"])
        if draw.random() < 0.3:
            which["IfMatch"] = draw.choice(etags)
        ways = (
            ["put"] * 3
            + ["get"] * 3
            + ["head", "delete", "list", "start", "part", "part", "complete", "complete", "abort", "open"]
        )
        match draw.choice(ways):
            case "put":
                metadata = {"Mark": str(draw.random())[:4]} if draw.random() < 0.5 else {}
                asked = {"IfNoneMatch": "*"} if draw.random() < 0.5 else {}
                body = draw.randbytes(draw.choice([0, 1, 5]))
                found = s3.call("put_object", **place, Body=body, Metadata=metadata, ContentType="text/x", **asked)
                etags += [found["ETag"]] if "ETag" in found else []
                versions += [(place["Key"], found["VersionId"])] if "VersionId" in found else []
            case "get":
                begin = draw.choice([None, 0, 0, 1, 4, 5])
                until = draw.choice(["", "", "3"])
                found_range = {} if begin is None else {"Range": f"bytes={begin}-{until if begin < 4 else ''}"}
                s3.call("get_object", **place, **which, **found_range)
            case "head":
                s3.call("head_object", **place, **which)
            # Where nothing ever stood, moto puts no marker; AWS does.
            case "delete" if not s3.is_versioned or "VersionId" in which or any(one == place["Key"] for one, _ in versions):
                which.pop("IfMatch", None)
                found = s3.call("delete_object", **place, **which)
                if "VersionId" in which:
                    versions = [one for one in versions if one[1] != which["VersionId"]]
            case "list":
                asked = {"Bucket": place["Bucket"], "Prefix": draw.choice(["", "a", "a/", "x"])}
                s3.call("list_objects_v2", **asked, MaxKeys=draw.choice([1, 2, 1000]), StartAfter=draw.choice(["", "a", "a/b"]))
            case "start":
                found = s3.call("create_multipart_upload", **place, Metadata={"mark": "m"}, ContentType="text/y")
                if "UploadId" in found:
                    uploads[found["UploadId"]] = (place, {})
            case "part" if set(uploads) - ended:  # what is asked of uploads that have ended, moto often answers with 500
                name = draw.choice(sorted(set(uploads) - ended))
                at, parts = uploads[name]
                number = draw.randrange(1, 4)
                found = s3.call("upload_part", **at, UploadId=name, PartNumber=number, Body=draw.randbytes(3))
                if "ETag" in found:
                    parts[number] = found["ETag"]
            case "complete" if set(uploads) - ended:
                name = draw.choice(sorted(set(uploads) - ended))
                at, parts = uploads[name]
                if parts:
                    named = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(parts.items())]
                    asked = {"IfNoneMatch": "*"} if draw.random() < 0.5 else {}
                    found = s3.call("complete_multipart_upload", **at, UploadId=name, MultipartUpload={"Parts": named}, **asked)
                    ended |= {name} if found["status"] == 200 else set()
                    versions += [(at["Key"], found["VersionId"])] if "VersionId" in found else []
            case "abort" if set(uploads) - ended:
                name = draw.choice(sorted(set(uploads) - ended))
                s3.call("abort_multipart_upload", **uploads[name][0], UploadId=name)
                ended.add(name)
            case "open":
                s3.call("list_multipart_uploads", Bucket=bucket)


def test_s3_as_aws_says_and_not_as_moto_does():
    s3 = World(0).clients["s3"]
    s3.create_bucket(Bucket="bucket")
    place = {"Bucket": "bucket", "Key": "key"}
    upload = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    parts = [{"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=b"1")["ETag"]} for n in (1, 2)]

    def complete(*named):
        return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": list(named)})

    assert refused(complete, *parts) == ("EntityTooSmall", 400)
    assert refused(complete, *parts[::-1]) == ("InvalidPartOrder", 400)
    assert refused(complete, {**parts[0], "ETag": '"0"'}) == ("InvalidPart", 400)
    assert "VersionId" not in complete(parts[0])
    assert refused(complete, parts[0]) == ("NoSuchUpload", 404)
    assert refused(s3.upload_part, **upload, PartNumber=1, Body=b"") == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, **upload) == ("NoSuchUpload", 404)
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_object(**place)["VersionId"] == "null"
    marker = s3.delete_object(Bucket="bucket", Key="other")  # of what never stood there
    assert marker["DeleteMarker"]
    assert refused(s3.head_object, Bucket="bucket", Key="other", VersionId=marker["VersionId"]) == ("405", 405)
    s3.put_object(Bucket="bucket", Key="other", IfNoneMatch="*")


def test_messages_and_mappings():
    world = World(0, Faults.list({0: Fault(Kind.PARTIAL)}))
    sqs, url = world.clients["sqs"], "https://sqs.us-east-1.amazonaws.com/1/q.fifo"
    assert refused(sqs.send_message_batch, QueueUrl=url, Entries=[])[0] == "AWS.SimpleQueueService.NonExistentQueue"
    queue = world.sqs.create(url)
    entries = [{"Id": str(n), "MessageBody": str(n), "MessageGroupId": "g", "MessageDeduplicationId": str(n)} for n in range(4)]

    def send(*entries):
        return sqs.send_message_batch(QueueUrl=url, Entries=list(entries))

    task = world.spawn("a", lambda: [len(send(*entries).get(name, ())) for name in ("Successful", "Failed")])
    world.run()
    assert task.value() == [2, 0]
    assert [one["MessageBody"] for one in queue] == list("0123")  # a FIFO queue knows what came before
    world.time += 300
    send(entries[0])
    assert len(queue) == 5
    assert refused(send, *entries, *entries)[0].endswith("BatchEntryIdsNotDistinct")
    mappings = {"FunctionName": "f"}
    assert world.clients["lambda"].list_event_source_mappings(**mappings)["EventSourceMappings"] == []
    world.lambda_.factors["f", "arn"] = 4
    (one,) = world.clients["lambda"].list_event_source_mappings(**mappings)["EventSourceMappings"]
    assert one["ParallelizationFactor"] == 4
    assert world.now() > START
