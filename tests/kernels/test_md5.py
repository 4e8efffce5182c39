"""MD5 of many messages, beside hashlib's."""

import hashlib
import random

import pytest

from millstream.decode.payloads import Payloads
from millstream.native.bind import kernels
from millstream.native.memory import allocate

DRAW = random.Random(5)


def digests(messages):
    payloads = Payloads.of_records(messages)
    out = allocate(16 * len(messages), 1)
    kernels.digest_md5(payloads.text, payloads.starts, payloads.ends, allocate(1024, 1), allocate(32, 4), allocate(8, 8), out)
    whole = out.tobytes()
    return [whole[i : i + 16] for i in range(0, len(whole), 16)]


@pytest.mark.parametrize(
    "sizes",
    [range(300), [0], [64], [1] * 9, [55, 56, 63, 64, 65, 119, 120, 128], [100_000, 0, 3, 51_200, 51_200, 7, 64, 1, 1, 1000]],
)
def test_as_hashlib_has_it(sizes):
    messages = [DRAW.randbytes(size) for size in sizes]
    assert digests(messages) == [hashlib.md5(one).digest() for one in messages]


def test_any_lengths_beside_each_other():
    for _ in range(40):
        messages = [
            DRAW.randbytes(DRAW.choice((0, 5, 60, 64, 300, DRAW.randrange(5000)))) for _ in range(DRAW.randrange(1, 30))
        ]
        assert digests(messages) == [hashlib.md5(one).digest() for one in messages]


def test_no_message():
    assert digests([]) == []
