"""S3's uploads in parts."""

from __future__ import annotations

from hashlib import md5
from typing import Any

from tests.faults.held import Held, Upload, about_of, lowered, sent, version_of
from tests.faults.services import Service

LEAST_PART_BYTES = 5 << 20


class Uploads(Service):
    """The operations on uploads; what they make objects with is S3's."""

    least_part_bytes = LEAST_PART_BYTES
    completes_again = False
    """Is an upload that was completed completed again, while its object stands? AWS promises only that it may be unknown then."""

    def create_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        Metadata: dict[str, str] | None = None,
        ContentType: str = "binary/octet-stream",
        ServerSideEncryption: str | None = None,
        SSEKMSKeyId: str | None = None,
        BucketKeyEnabled: bool | None = None,
    ) -> dict[str, Any]:
        bucket = self._bucket(Bucket)
        identity = self.world.token()
        about = about_of(ContentType, ServerSideEncryption, SSEKMSKeyId, BucketKeyEnabled)
        bucket.uploads[identity] = Upload(Key, self._date(), lowered(Metadata), about)
        return self.answer(Bucket=Bucket, Key=Key, UploadId=identity)

    def upload_part(self, *, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: Any = b"") -> dict[str, Any]:
        if not 1 <= PartNumber <= 10_000:
            raise self.error("InvalidArgument", 400, "Part number must be an integer between 1 and 10000, inclusive")
        data = sent(Body)
        etag = f'"{md5(data).hexdigest()}"'
        self._upload(self._bucket(Bucket), Key, UploadId).parts[PartNumber] = etag, data
        return self.answer(ETag=etag)

    def complete_multipart_upload(
        self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: dict[str, Any], IfNoneMatch: str | None = None
    ) -> dict[str, Any]:
        bucket = self._bucket(Bucket)
        found = bucket.current(Key)
        if self.completes_again and found is not None and found.upload == UploadId:
            return self.answer(ETag=found.etag, **version_of(found))
        upload = self._upload(bucket, Key, UploadId)
        named = MultipartUpload.get("Parts", [])
        if not named:
            raise self.error("MalformedXML", 400, "The XML you provided was not well-formed")
        numbers = [one["PartNumber"] for one in named]
        if numbers != sorted(set(numbers)):
            raise self.error("InvalidPartOrder", 400, "The list of parts was not in ascending order.")
        bodies = []
        for one in named:
            etag, data = upload.parts.get(one["PartNumber"], ("", b""))
            if not etag or etag.strip('"') != one["ETag"].strip('"'):
                raise self.error("InvalidPart", 400, "One or more of the specified parts could not be found.")
            bodies.append(data)
        if any(len(data) < self.least_part_bytes for data in bodies[:-1]):
            raise self.error("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size")
        self._conditions(bucket, Key, IfNoneMatch, None)
        del bucket.uploads[UploadId]
        whole = md5(b"".join(md5(data).digest() for data in bodies)).hexdigest()
        etag = f'"{whole}-{len(bodies)}"'
        told = self._written(bucket, Key, b"".join(bodies), etag, upload.metadata, upload.about)
        bucket.keys[Key][-1].upload = UploadId
        return told

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> dict[str, Any]:
        bucket = self._bucket(Bucket)
        self._upload(bucket, Key, UploadId)
        del bucket.uploads[UploadId]
        return self.answer(204)

    def list_multipart_uploads(self, *, Bucket: str, Prefix: str = "") -> dict[str, Any]:
        found = [
            {"Key": one.key, "UploadId": identity, "Initiated": one.begun}
            for identity, one in self._bucket(Bucket).uploads.items()
            if one.key.startswith(Prefix)
        ]
        told = {"Uploads": sorted(found, key=lambda one: one["Key"])} if found else {}
        return self.answer(Bucket=Bucket, Prefix=Prefix, IsTruncated=False, **told)

    def _upload(self, bucket: Held, key: str, identity: str) -> Upload:
        found = bucket.uploads.get(identity)
        if found is None or found.key != key:
            message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
            raise self.error("NoSuchUpload", 404, message)
        return found
