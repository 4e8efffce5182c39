"""A service of a world beside moto's."""

import io

import pytest
from botocore.exceptions import ClientError

from millstream.sinks.clients import client

READ = {
    *("ETag", "ContentLength", "ContentRange", "ContentType", "Metadata", "DeleteMarker", "IsTruncated", "KeyCount"),
    *("Item", "Attributes", "Items", "Count", "ScannedCount", "LastEvaluatedKey", "Responses", "UnprocessedKeys"),
}
"""What is compared of answers."""


class Pair:
    """A service of a world and moto's, called as one. Names that they give are told by the order in which they came."""

    def __init__(self, world, service):
        self.service = service
        self.clients = world.clients[service], client(service)
        self.names = [], []
        self.is_versioned = False

    def call(self, operation, **asked):
        """The outcome, which is the same on both sides."""
        mine, other = (self._outcome(side, operation, dict(asked)) for side in (0, 1))
        assert mine == other, (operation, asked)
        return mine

    def name(self, side, value):
        if value not in self.names[side]:
            self.names[side].append(value)
        return self.names[side].index(value)

    def _outcome(self, side, operation, asked):
        for what in ("VersionId", "UploadId"):
            if isinstance(asked.get(what), int):
                asked[what] = self.names[side][asked[what]]
        if isinstance(asked.get("Body"), bytes):
            asked["Body"] = io.BytesIO(asked["Body"])
        try:
            answer = getattr(self.clients[side], operation)(**asked)
        except ClientError as error:
            response = error.response
            about = {"code": response["Error"]["Code"], "status": response["ResponseMetadata"]["HTTPStatusCode"]}
            reasons = [(one["Code"], one.get("Item")) for one in response.get("CancellationReasons", ())]
            return about | {"Item": response.get("Item"), "reasons": reasons, "operation": error.operation_name}
        found = {name: answer[name] for name in READ & answer.keys()}
        found["status"] = answer["ResponseMetadata"]["HTTPStatusCode"]
        if "Body" in answer:
            found["Body"] = answer["Body"].read()
        for what in ("VersionId", "UploadId"):
            # moto tells a version of what was made of parts also where a bucket has none.
            if what in answer and (self.is_versioned or what == "UploadId"):
                found[what] = self.name(side, answer[what])
        if "Contents" in answer:
            found["Contents"] = [(one["Key"], one["ETag"], one["Size"]) for one in answer["Contents"]]
        if "Uploads" in answer:
            found["Uploads"] = sorted((one["Key"], self.name(side, one["UploadId"])) for one in answer["Uploads"])
        if "Items" in found:
            found["Items"] = sorted(found["Items"], key=repr)
        return found


def refused(call, *args, **asked):
    with pytest.raises(ClientError) as found:
        call(*args, **asked)
    return found.value.response["Error"]["Code"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
