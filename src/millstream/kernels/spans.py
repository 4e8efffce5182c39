"""Where payloads lie in a buffer: spans [start, end) of records."""

from numba import int64

from millstream.kernels.simd import count_ones, equal_mask, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, kernel


@kernel
def count_newlines(text: U8, begin: INT, end: INT):
    """Newlines in text[begin:end]; 64 more bytes can be read."""
    count = 0
    for base in range(begin, end, 64):
        hits = equal_mask(text, base, 10)
        if end - base < 64:
            hits &= (int64(1) << (end - base)) - 1
        count += count_ones(hits)
    return count


@kernel
def frame_lines(text: U8, begin: INT, end: INT, blank: INT, starts: I64, ends: I64):
    """Lines of text[begin:end] as spans without the newline; the last needs none. Returns how many.

    blank: 1 keeps lines of nothing but space, 0 leaves them out. There is room for one span more than there are newlines; 64 more
    bytes can be read.
    """
    count = 0
    line = begin
    for base in range(begin, end, 64):
        hits = equal_mask(text, base, 10)
        if end - base < 64:
            hits &= (int64(1) << (end - base)) - 1
        while hits != 0:
            stop = base + trailing_zeros(hits)
            hits &= hits - 1
            p = line
            if blank == 0:
                while p < stop and (text[p] == 32 or text[p] == 13 or text[p] == 9):
                    p += 1
            if p < stop or blank == 1:
                starts[count] = line
                ends[count] = stop
                count += 1
            line = stop + 1
    p = line
    if blank == 0:
        while p < end and (text[p] == 32 or text[p] == 13 or text[p] == 9):
            p += 1
    if p < end or blank == 1:
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
