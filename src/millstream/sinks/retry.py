"""Calls to AWS, made again while that is worth it and there is time; the faults that end them, told with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from millstream import clock as machine
from millstream.classes import dataclass
from millstream.errors import MillstreamError, SinkError

T = TypeVar("T")

# Throttling, what a service calls its own fault, and bytes that were changed or lost on their way.
_WORTH_IT = frozenset(
    [
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "KmsThrottled",
        "KMS.ThrottlingException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "PriorRequestNotComplete",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "RequestTimeout",
        "RequestTimeoutException",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentChecksumMismatch",
        "ConditionalRequestConflict",
        "OperationAborted",
        "408",
        "429",
    ]
)
_NEVER_STATUS = (501, 505)

_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile or role that is used"
_NEW_CREDENTIALS = "get new credentials and run again"
_KMS = "check that the KMS key exists, is enabled and may be used: kms:GenerateDataKey and kms:Decrypt"
_REGION = "set AWS_DEFAULT_REGION to where it is"
_BUCKET = "create the bucket, or correct the URL"
_QUEUE = "create the queue, or correct the URL and its region"
_ADVICE = {
    "NoSuchBucket": _BUCKET,
    "ExpiredToken": _NEW_CREDENTIALS,
    "ExpiredTokenException": _NEW_CREDENTIALS,
    "RequestExpired": _NEW_CREDENTIALS,
    "TokenRefreshRequired": _NEW_CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "InvalidSecurity": _CREDENTIALS,
    "MissingAuthenticationToken": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "NotImplemented": "this store has no conditional writes, which Millstream needs; choose another",
    "AWS.SimpleQueueService.NonExistentQueue": _QUEUE,
    "QueueDoesNotExist": _QUEUE,
}
_DENIED = frozenset(["AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "401", "403"])
_NETWORK = "check the network and AWS_ENDPOINT_URL; a function in a VPC needs a VPC endpoint or a NAT gateway"


@dataclass(frozen=True)
class Backoff:
    """Random waits between attempts: of 0 to `base` seconds, then twice as long each time, `cap` at most."""

    base: float = 0.1
    cap: float = 5.0
    attempts: int = 8
    clock: Callable[[], float] = machine.monotonic
    sleep: Callable[[float], None] = machine.sleep
    uniform: Callable[[float, float], float] = machine.uniform

    def wait(self, failed: int) -> float:
        """How long to wait after so many attempts."""
        # Over the whole range, not around its middle: writers that were throttled together then come back apart.
        return self.uniform(0, min(self.cap, self.base * 2 ** (failed - 1)))


class Again(Exception):
    """Raised by an attempt: another one is worth it. Its text says what was found."""


class Fault(NamedTuple):
    """What was found, whether another attempt is worth it, what to do else."""

    found: str
    again: bool
    advice: str = ""


def retry(
    attempt: Callable[[], T],
    backoff: Backoff,
    until: float,
    *,
    doing: str,
    action: str,
    error: Callable[[str], MillstreamError] = SinkError,
) -> T:
    """What `attempt` gives. It is called again while what it raises is worth that.

    doing: the start of an error's message, with the place: "cannot write s3://bucket/key". action: the IAM action that it needs.
    until: the time, by the clock of `backoff`, at which no attempt and no wait is begun any more.
    Raises an `error` that tells why.
    """
    failed, fault = 0, Fault("", True)
    while True:
        if backoff.clock() >= until:
            raise error(_late(doing, failed, fault)) from None
        try:
            return attempt()
        except Again as again:
            fault = Fault(str(again), True)
        except (ClientError, BotoCoreError, ResponseParserError) as met:
            fault = judge(met, action)
        if not fault.again:
            raise error("; ".join(filter(None, (f"{doing}: {fault.found}", fault.advice)))) from None
        failed += 1
        if failed >= backoff.attempts:
            advice = fault.advice or "run again later: what is whole is kept and not written twice"
            raise error(f"{doing}: {fault.found}, after {failed} attempts; {advice}") from None
        wait = backoff.wait(failed)
        if backoff.clock() + wait >= until:
            raise error(_late(doing, failed, fault)) from None
        backoff.sleep(wait)


def _late(doing: str, failed: int, fault: Fault) -> str:
    after = f" after {failed} attempt{'s' if failed > 1 else ''} ({fault.found})" if failed else " before the first attempt"
    return f"{doing}: time is up{after}; give it more time, or less to do at once"


def code_of(error: ClientError) -> str:
    """The code of an answer that tells an error: a word, or the HTTP status of an answer without a body."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return re.sub(r"[^\w.-]", "", code, flags=re.ASCII)[:80] or "unknown"


def judge(error: Exception, action: str) -> Fault:
    """What to make of an error of botocore's. Nothing of its text is told: that may hold what was sent, or a URL."""
    match error:
        case ClientError():
            return _judge_answer(error, action)
        case ConnectTimeoutError() | ReadTimeoutError():
            return Fault("no answer came in time", True, _NETWORK)
        case ConnectionClosedError() | ResponseStreamingError() | ResponseParserError():
            return Fault("the connection was lost", True)
        case SSLError():
            return Fault("no secure connection could be made", True, _NETWORK)
        case EndpointConnectionError() | ProxyConnectionError() | HTTPClientError():
            return Fault("no connection could be made", True, _NETWORK)
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError():
            return Fault("there are no AWS credentials", False, _CREDENTIALS)
    return Fault(f"botocore refuses it ({type(error).__name__})", False)


def _judge_answer(error: Any, action: str) -> Fault:
    code = code_of(error)
    about = error.response.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode", 0)
    found = f"the answer is {code}" + (f" ({status})" if status and str(status) != code else "")
    request = re.sub(r"[^\w-]", "", str(about.get("RequestId") or ""), flags=re.ASCII)[:64]
    if request:
        found += f", request {request}"
    if code in _ADVICE:
        return Fault(found, False, _ADVICE[code])
    if code in _DENIED:
        keys = "; where a KMS key encrypts, also kms:GenerateDataKey and kms:Decrypt"
        return Fault(found, False, f"allow {action} to the role or user that runs this{keys}")
    if code in _WORTH_IT:
        return Fault(found, True)
    if code.lower().startswith("kms"):
        return Fault(found, False, _KMS)
    return Fault(found, status >= 500 and status not in _NEVER_STATUS)
