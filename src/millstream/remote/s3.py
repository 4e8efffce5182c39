"""An object of S3 that holds a lookup: read whole, and again when its ETag has changed."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError, IncompleteReadError

from millstream.classes import dataclass
from millstream.errors import PlanError, SourceError
from millstream.lookups.formats import MOST_BYTES
from millstream.lookups.sources import Content
from millstream.sinks.clients import client
from millstream.sinks.retry import Again, Backoff, code_of, retry
from millstream.tables import Lookup

LOAD_SECONDS = 60.0
"""No attempt to read an object for the first time is begun after so long."""
LOOK_SECONDS = 5.0
"""The same where there is a table already: the batch waits for it."""

_GONE = {"NoSuchKey": "it is not there", "NoSuchBucket": "there is no such bucket", "404": "it is not there"}


@dataclass(frozen=True)
class S3Object:
    """An object. Its version is its ETag: one that is the same costs one conditional request and no bytes."""

    lookup: Lookup
    backoff: Backoff = Backoff()

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and key. Raises PlanError for a URL that names none."""
        bucket, _, key = self.lookup.source.partition("://")[2].partition("/")
        if not bucket or not key or key.endswith("/"):
            raise PlanError(f"{self.lookup.told} is no object; write s3://bucket/folder/table.csv")
        return bucket, unquote(key)

    def read(self, known: str | None) -> Content | None:
        """See `Source`. Raises SourceError."""
        bucket, key = self.place
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if known is not None:
            asked["IfNoneMatch"] = known

        def attempt() -> Content | None:
            try:
                found = client("s3").get_object(**asked)
                if found["ContentLength"] > MOST_BYTES:
                    raise PlanError(f"{self.lookup.told} is larger than 1 GiB; a lookup is a small table")
                return Content(b"".join(found["Body"].iter_chunks(1 << 20)), found["ETag"])
            except IncompleteReadError:
                raise Again("the connection was lost") from None
            except ClientError as error:
                code = code_of(error)
                if code in ("304", "NotModified"):
                    return None
                if code in _GONE:
                    raise SourceError(
                        f"{self.lookup.told} cannot be read: {_GONE[code]}; put it there, or correct the URL"
                    ) from None
                raise

        until = self.backoff.clock() + (LOAD_SECONDS if known is None else LOOK_SECONDS)
        doing = f"{self.lookup.told} cannot be read"
        return retry(attempt, self.backoff, until, doing=doing, action="s3:GetObject", error=SourceError)
