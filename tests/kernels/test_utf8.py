"""UTF-8 by masks beside Python's own decoder: what is taken, and where the first fault is."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from millstream.native.bind import kernels
from millstream.native.memory import PADDING
from tests.guard import guarded, guarded_bytes, guarded_numbers


def check(texts: Sequence[bytes]) -> None:
    views, data = [], b""
    for text in texts:
        views.append(len(data) | len(text) << 32)
        data += text + b'"'
    out = guarded(len(texts), 8)
    kernels.find_invalid_utf8(guarded_bytes(data + bytes(PADDING)), guarded_numbers("q", views), out)
    for text, found in zip(texts, out.tolist(), strict=True):
        assert found == fault(text), text


def fault(text: bytes) -> int:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return -1


CHARACTERS = ["a", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U000fffff", "\U0010ffff"]
BROKEN = [
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc2\x41", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xef\xbf",
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xf8\x88\x80\x80\x80", b"\xe2\x28\xa1", b"\xf0\x9f\x28\x80",
]  # fmt: skip


def test_every_boundary_at_every_place_around_64_bytes() -> None:
    for piece in [*(one.encode() for one in CHARACTERS), *BROKEN]:
        check([b"x" * before + piece + b"y" * after for before in range(56, 72) for after in (0, 1, 70)])
        check([b"x" * before + piece + "é€".encode() for before in range(120, 132)])


def test_two_bytes_of_every_kind() -> None:
    check(
        [
            bytes([first, second]) + tail
            for first in range(128, 256)
            for second in range(64, 256, 8)
            for tail in (b"", b"\x80", b"\x80\x80", b"a")
        ]
    )
    check([b"x" * 63 + bytes([first, second, 0x80, 0x80]) for first in range(192, 256) for second in range(120, 200)])


@given(st.lists(st.text(max_size=200).map(str.encode) | st.binary(max_size=150), max_size=12))
def test_any_text_and_any_bytes(texts: list[bytes]) -> None:
    check(texts)


def test_text_with_a_byte_changed() -> None:
    draw = random.Random(4)
    texts = []
    for _ in range(3000):
        text = bytearray("".join(draw.choice(CHARACTERS) for _ in range(draw.randrange(1, 90))).encode())
        text[draw.randrange(len(text))] = draw.randrange(256)
        texts.append(bytes(text[: draw.randrange(1, len(text) + 1)]))
    check(texts)
