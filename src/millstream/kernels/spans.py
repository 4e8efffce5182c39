"""Where payloads lie in a buffer: spans [start, end) of records."""

from numba import int64

from millstream.kernels.simd import equal_mask, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, inlined, kernel


@inlined
def is_blank(text, p, end):
    """Is text[p:end] nothing but space?"""
    while p < end and (text[p] == 32 or text[p] == 13 or text[p] == 9):
        p += 1
    return p == end


@kernel
def frame_lines(text: U8, begin: INT, end: INT, starts: I64, ends: I64):
    """Lines of text[begin:end] that are not blank, as spans without the newline; the last needs none.

    Nothing behind `end` is read. Returns how many there are, or -1 where there is no room for them.
    """
    count = 0
    line = begin
    base = begin
    while base < end:
        if base + 64 <= end:
            hits = equal_mask(text, base, 10)
        else:
            hits = int64(0)
            for i in range(end - base):
                if text[base + i] == 10:
                    hits |= int64(1) << i
        while hits != 0:
            stop = base + trailing_zeros(hits)
            hits &= hits - 1
            if not is_blank(text, line, stop):
                if count == len(starts):
                    return int64(-1)
                starts[count] = line
                ends[count] = stop
                count += 1
            line = stop + 1
        base += 64
    if not is_blank(text, line, end):
        if count == len(starts):
            return int64(-1)
        starts[count] = line
        ends[count] = end
        count += 1
    return count


@kernel
def spans_of_lengths(lengths: I64, gap: INT, starts: I64, ends: I64):
    """Spans of payloads that lie one after another, `gap` bytes between them. Returns where the last ends."""
    at = int64(0)
    for i in range(len(lengths)):
        starts[i] = at
        at += lengths[i]
        ends[i] = at
        at += gap
    return at


@kernel
def longest_span(starts: I64, ends: I64):
    longest = int64(0)
    for i in range(len(starts)):
        longest = max(longest, ends[i] - starts[i])
    return longest


@kernel
def sum_spans(starts: I64, ends: I64):
    total = int64(0)
    for i in range(len(starts)):
        total += ends[i] - starts[i]
    return total
