"""Is text UTF-8? 64 bytes at a time, by masks: a bit for each byte of a kind, shifted to where bytes of another kind must follow."""

from numba import int64

from millstream.kernels.simd import above_mask, below_mask, equal_mask, shift_right, trailing_zeros
from millstream.kernels.spec import I64, U8, helper, inlined, kernel


@inlined
def shifted(leads, places, before):
    """Leads moved to bytes behind them, with those of the 64 bytes before: (there, those that go to the next 64)."""
    return (leads << places) | before, shift_right(leads, 64 - places)


@helper
def invalid_utf8(text, p, end):
    """The position of the first byte of the first sequence in text[p:end] that is not UTF-8, or -1.

    text[end] is no continuation byte; 64 bytes from there on can be read.
    """
    first = second = third = int64(0)
    wide = surrogate = far = last = int64(0)
    base = p
    while base < end:
        live = int64(-1) if end - base >= 64 else (int64(1) << (end - base)) - 1
        high = above_mask(text, base, 0x7F) & live
        if (high | first | second | third) == 0:
            base += 64
            continue
        following = high & below_mask(text, base, 0xC0)
        three = above_mask(text, base, 0xDF) & live
        four = above_mask(text, base, 0xEF) & live
        leads = high & ~following
        wrong = leads & (below_mask(text, base, 0xC2) | above_mask(text, base, 0xF4))
        one, first = shifted(leads, 1, first)
        two, second = shifted(three, 2, second)
        rest, third = shifted(four, 3, third)
        wrong |= following ^ (one | two | rest)
        if (three | wide | surrogate | far | last) != 0:
            low = below_mask(text, base, 0xA0)
            after, wide = shifted(equal_mask(text, base, 0xE0) & live, 1, wide)
            wrong |= after & low
            after, surrogate = shifted(equal_mask(text, base, 0xED) & live, 1, surrogate)
            wrong |= after & ~low
            lowest = below_mask(text, base, 0x90)
            after, far = shifted(equal_mask(text, base, 0xF0) & live, 1, far)
            wrong |= after & lowest
            after, last = shifted(equal_mask(text, base, 0xF4) & live, 1, last)
            wrong |= after & ~lowest
        if wrong != 0:
            return first_wrong(text, p, end)
        base += 64
    return first_wrong(text, p, end) if (first | second | third) != 0 else int64(-1)


@helper
def first_wrong(text, p, end):
    """What `invalid_utf8` says, byte by byte."""
    while p < end:
        high = above_mask(text, p, 127)
        if end - p < 64:
            high &= (int64(1) << (end - p)) - 1
        if high == 0:
            p += 64
            continue
        p += trailing_zeros(high)
        while p < end and text[p] >= 0x80:
            lead = int64(text[p])
            second = int64(text[p + 1])
            if lead < 0xC2 or lead > 0xF4:
                return p
            least = int64(0x80)
            greatest = int64(0xBF)
            if lead == 0xE0:
                least = int64(0xA0)
            elif lead == 0xED:
                greatest = int64(0x9F)
            elif lead == 0xF0:
                least = int64(0x90)
            elif lead == 0xF4:
                greatest = int64(0x8F)
            if second < least or second > greatest:
                return p
            if lead < 0xE0:
                p += 2
                continue
            if (text[p + 2] & 0xC0) != 0x80:
                return p
            if lead < 0xF0:
                p += 3
                continue
            if (text[p + 3] & 0xC0) != 0x80:
                return p
            p += 4
    return int64(-1)


@kernel
def find_invalid_utf8(data: U8, views: I64, out: I64):
    """Where in each view of `data` (64 bytes padding, text apart by a byte below 0x80) the first byte stands that is not UTF-8, or -1."""
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        found = invalid_utf8(data, start, start + (views[i] >> 32))
        out[i] = found - start if found >= 0 else found
    return len(views)
