"""Binary data as text: base64 (RFC 4648, section 4 and 5) and hexadecimal digits (section 8)."""

import numpy as np
from numba import int64

from millstream.kernels.simd import decode_sextets, load_word
from millstream.kernels.spec import I64, INT, U8, helper, kernel

_BAD = 0x80
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HEX = b"0123456789abcdef"


def _values(*alphabets):
    """The value of each character, 0x80 for one that is in no alphabet."""
    table = np.full(256, _BAD, np.uint8)
    for alphabet in alphabets:
        for value, character in enumerate(alphabet):
            table[character] = value
    return table


SIXES = _values(_STANDARD, _STANDARD[:62] + b"-_")
FOURS = _values(_HEX, _HEX.upper())


@helper
def decode_base64(text, p, end, at):
    """Decode text[p:end] to text[at:]: the position behind it, or -1. `at` is p, or lies behind the text.

    8 bytes past `end` can be read, and 8 past what is decoded can be written. Both alphabets are taken, padding or none; white space
    and bits that would be lost are not.
    """
    if end - p >= 4 and (end - p) % 4 == 0 and text[end - 1] == 61:
        end -= 2 if text[end - 2] == 61 else 1
    while p + 32 <= end:
        if decode_sextets(text, p, text, at) != 0:
            return int64(-1)
        p += 32
        at += 24
    bad = 0
    while p + 4 <= end:
        word = load_word(text, p)
        first = int64(SIXES[word & 0xFF])
        second = int64(SIXES[(word >> 8) & 0xFF])
        third = int64(SIXES[(word >> 16) & 0xFF])
        fourth = int64(SIXES[(word >> 24) & 0xFF])
        bad |= first | second | third | fourth
        bits = (first << 18) | (second << 12) | (third << 6) | fourth
        text[at] = bits >> 16
        text[at + 1] = (bits >> 8) & 0xFF
        text[at + 2] = bits & 0xFF
        p += 4
        at += 3
    left = end - p
    if left == 1:
        return int64(-1)
    if left >= 2:
        first = int64(SIXES[text[p]])
        second = int64(SIXES[text[p + 1]])
        third = int64(SIXES[text[p + 2]]) if left == 3 else int64(0)
        bits = (first << 18) | (second << 12) | (third << 6)
        bad |= first | second | third
        if (bits & (0xFF if left == 3 else 0xFFFF)) != 0:
            return int64(-1)
        text[at] = (bits >> 16) & 0xFF
        at += 1
        if left == 3:
            text[at] = (bits >> 8) & 0xFF
            at += 1
    return at if bad < _BAD else int64(-1)


@helper
def decode_hex(text, p, end, at):
    """Decode pairs of hexadecimal digits in text[p:end] to text[at:]: the position behind it, or -1. `at` as in `decode_base64`."""
    if (end - p) % 2 != 0:
        return int64(-1)
    bad = 0
    while p < end:
        high = int64(FOURS[text[p]])
        low = int64(FOURS[text[p + 1]])
        bad |= high | low
        text[at] = ((high << 4) | low) & 0xFF
        p += 2
        at += 1
    return at if bad < _BAD else int64(-1)


@kernel
def parse_binary(data: U8, views: I64, hexadecimal: INT, heap: INT, out: I64):
    """Text in views of `data`, which holds 64 more bytes, to views of what it encodes, at data[heap:]; -1 where it encodes nothing.

    Returns where what was decoded ends.
    """
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        end = start + (views[i] >> 32)
        stop = decode_hex(data, start, end, heap) if hexadecimal == 1 else decode_base64(data, start, end, heap)
        out[i] = -1
        if stop >= 0:
            out[i] = heap | ((stop - heap) << 32)
            heap = stop
    return heap


@kernel
def encode_hex(data: U8, views: I64, valid: U8, out: U8, to: I64):
    """Strings as pairs of hexadecimal digits, small ones, to `out`, which holds two bytes for each of theirs. Returns the bytes used."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            for p in range(start, start + (views[i] >> 32)):
                high = int64(data[p]) >> 4
                low = int64(data[p]) & 15
                out[at] = high + (48 if high < 10 else 87)
                out[at + 1] = low + (48 if low < 10 else 87)
                at += 2
        to[i] = begun | (at - begun) << 32
    return at
