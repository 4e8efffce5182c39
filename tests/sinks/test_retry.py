"""What is tried again, when no more, and what is told then."""

import math

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from millstream.errors import SinkError
from millstream.sinks.retry import Again, Backoff, retry

pytestmark = pytest.mark.once


class Clock:
    """A clock that only waits and attempts move; waits are as long as they may be, and are kept."""

    def __init__(self, **settings):
        self.now, self.waits, self.made = 0.0, [], 0
        self.backoff = Backoff(clock=lambda: self.now, sleep=self.sleep, uniform=lambda low, high: high, **settings)

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds

    def run(self, *errors, until=math.inf, seconds=0.0):
        def attempt():
            self.now += seconds
            self.made += 1
            if self.made <= len(errors):
                raise errors[self.made - 1]
            return "done"

        return retry(attempt, self.backoff, until, doing="cannot write s3://b/k", action="s3:PutObject")


def client_error(code, status=400):
    details = {
        "Error": {"Code": code, "Message": "secret"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "4F/x"},
    }
    return ClientError(details, "PutObject")


WORTH_IT = [
    *[client_error(code, 503) for code in ("SlowDown", "ServiceUnavailable", "503", "Whatever")],
    client_error("InternalError", 500),
    client_error("InternalError", 200),
    *[client_error(code) for code in ("RequestTimeout", "ThrottlingException", "BadDigest", "KmsThrottled")],
    client_error("429", 429),
    client_error("ConditionalRequestConflict", 409),
    client_error("OperationAborted", 409),
    ReadTimeoutError(endpoint_url="https://secret"),
    ConnectTimeoutError(endpoint_url="https://secret"),
    EndpointConnectionError(endpoint_url="https://secret"),
    Again("gone"),
]


@pytest.mark.parametrize("error", WORTH_IT, ids=repr)
def test_it_is_tried_again(error):
    clock = Clock()
    assert clock.run(error, error) == "done"
    assert clock.made == 3


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (client_error("AccessDenied", 403), "the answer is AccessDenied (403), request 4Fx; allow s3:PutObject"),
        (client_error("403", 403), "the answer is 403, request 4Fx; allow s3:PutObject"),
        (client_error("AccessDenied", 500), "allow s3:PutObject"),
        (client_error("NoSuchBucket", 404), "create the bucket"),
        (client_error("ExpiredToken"), "get new credentials"),
        (client_error("InvalidAccessKeyId", 403), "AWS_ACCESS_KEY_ID"),
        (client_error("PermanentRedirect", 301), "AWS_DEFAULT_REGION"),
        (client_error("NotImplemented", 501), "conditional writes"),
        (client_error("KMS.DisabledException"), "KMS key"),
        (client_error("InvalidArgument"), "the answer is InvalidArgument (400), request 4Fx"),
        (client_error("<a href='x'>\n" * 99), "the answer is ahrefxahrefx"),
        (NoCredentialsError(), "there are no AWS credentials"),
        (ParamValidationError(report="secret"), "botocore refuses it (ParamValidationError)"),
    ],
    ids=repr,
)
def test_it_ends_at_once(error, says):
    clock = Clock()
    with pytest.raises(SinkError) as raised:
        clock.run(error)
    text = str(raised.value)
    assert text.startswith("cannot write s3://b/k: ")
    assert says in text
    assert "secret" not in text
    assert len(text) < 300
    assert clock.made == 1


def test_waits_double_up_to_the_cap():
    clock = Clock(base=1, cap=5, attempts=6)
    with pytest.raises(SinkError, match=r"the answer is SlowDown \(503\), request 4Fx, after 6 attempts; run again later"):
        clock.run(*[client_error("SlowDown", 503)] * 6)
    assert clock.waits == [1, 2, 4, 5, 5]


def test_waits_are_random_from_nothing_on():
    backoff = Backoff(base=1, cap=5)
    waits = [backoff.wait(3) for _ in range(200)]
    assert min(waits) < 1
    assert max(waits) > 3
    assert max(waits) <= 4


def test_no_network_is_told_with_where_to_look():
    with pytest.raises(SinkError, match=r"no connection could be made, after 2 attempts; check the network") as raised:
        Clock(attempts=2).run(*[EndpointConnectionError(endpoint_url="https://secret")] * 2)
    assert "secret" not in str(raised.value)


def test_no_attempt_and_no_wait_is_begun_when_time_is_up():
    clock = Clock(base=1)
    with pytest.raises(SinkError, match="time is up before the first attempt"):
        clock.run(until=0)
    assert clock.made == 0
    with pytest.raises(SinkError, match=r"time is up after 1 attempt \(the answer is SlowDown \(503\), request 4Fx\)"):
        clock.run(client_error("SlowDown", 503), until=1)
    assert (clock.made, clock.waits) == (1, [])
    slow = Clock(base=1)
    with pytest.raises(SinkError, match="time is up after 2 attempts"):
        slow.run(*[client_error("SlowDown", 503)] * 9, until=10, seconds=4)
    assert (slow.made, slow.waits) == (2, [1])


def test_other_errors_pass():
    with pytest.raises(KeyError):
        Clock().run(KeyError("x"))
