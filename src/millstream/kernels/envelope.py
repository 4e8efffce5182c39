"""Event text: where the payload, the identity and the arrival of each delivery stand in it.

The text is the event's own copy: NUL and 63 more bytes lie behind it. Base64 is decoded in its place, escapes are behind it all.
"""

from numba import int64

from millstream.kernels.base64 import decode_base64
from millstream.kernels.json_text import find_close, skip_any, skip_colon, skip_number, skip_space, unescape
from millstream.kernels.simd import above_mask, below_mask, differing_bytes, equal_mask, other_mask, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, helper, kernel
from millstream.kernels.utf8 import invalid_utf8

UNEXPECTED = -2
MORE_ROOM = -1
NAME = 32

# What a field holds.
STRING, NUMBER, OPTIONAL_STRING = 0, 1, 2


@helper
def find_name(text, p, size, names, lengths, first, end):
    """Which of names `first` to `end`, 32 bytes each, text[p:p + size] is, or -1."""
    for i in range(first, end):
        if lengths[i] == size:
            differing = differing_bytes(text, p, names, i * NAME)
            if (differing & ((int64(1) << size) - 1)) == 0:
                return int64(i)
    return int64(-1)


@helper
def find_end(text, p):
    """The quote that ends the string from p on: (its position, any backslash, any byte beyond ASCII); or where a control character is.

    Unlike `end_of_string` it takes 64 bytes at a time where there are many escapes, as in JSON that stands in a string.
    """
    slashes = False
    high = int64(0)
    skipped = int64(0)
    while True:
        backs = equal_mask(text, p, 92)
        low = below_mask(text, p, 32)
        beyond = above_mask(text, p, 127)
        events = (equal_mask(text, p, 34) | backs | low) & ~skipped
        skipped = 0
        while events != 0:
            place = trailing_zeros(events)
            bit = int64(1) << place
            if (backs & bit) == 0:
                return p + place, slashes, (high | (beyond & (bit - 1))) != 0
            slashes = True
            events &= ~(bit | ((bit << 1) & ~low))
            if place == 63 and text[p + 64] >= 32:
                skipped = 1
        high |= beyond
        p += 64


@helper
def is_key(text, p, names, lengths, name):
    """The position of the value behind the key at text[p], if it is a quote and the key is `name`; else -1."""
    if text[p] != 34:
        return int64(-1)
    close, unusual = find_close(text, p + 1)
    if unusual or find_name(text, p + 1, close - p - 1, names, lengths, name, name + 1) < 0:
        return int64(-1)
    p, code = skip_colon(text, close + 1)
    return p if code == 0 else int64(-1)


@helper
def read_delivery(text, p, names, lengths, kinds, nested, room, row, stack, out):
    """The fields of the object at text[p], a brace: the position behind it, or UNEXPECTED."""
    fields = len(kinds)
    for field in range(fields):
        out[2 * field * room + row] = -1
        out[(2 * field + 1) * room + row] = -1
    inside = False
    p = skip_space(text, p + 1)
    while True:
        if text[p] != 34:
            return int64(UNEXPECTED)
        start = p + 1
        close, unusual = find_close(text, start)
        if unusual:
            return int64(UNEXPECTED)
        if inside:
            field = find_name(text, start, close - start, names, lengths, nested + 1, fields)
        else:
            field = find_name(text, start, close - start, names, lengths, 0, nested + 1)
        p, code = skip_colon(text, close + 1)
        if code != 0:
            return int64(UNEXPECTED)
        opened = False
        if field < 0:
            p, code = skip_any(text, p, 4, stack)
            if code != 0:
                return int64(UNEXPECTED)
        else:
            at = 2 * field * room + row
            if out[at] >= 0:  # twice
                return int64(UNEXPECTED)
            out[at] = p
            if field == nested:
                if text[p] != 123:
                    return int64(UNEXPECTED)
                p = skip_space(text, p + 1)
                inside = text[p] != 125
                opened = inside
                if not inside:
                    p += 1
            elif kinds[field] == NUMBER:
                end = skip_number(text, p) if text[p] == 45 or (text[p] >= 48 and text[p] <= 57) else int64(-1)
                if end < 0:
                    return int64(UNEXPECTED)
                out[at + room] = end
                p = end
            else:
                if text[p] != 34:
                    return int64(UNEXPECTED)
                p += 1
                out[at] = p
                close, slashes, high = find_end(text, p)
                if text[close] != 34 or (high and invalid_utf8(text, p, close) >= 0):
                    return int64(UNEXPECTED)
                out[at + room] = ~close if slashes else close
                p = close + 1
        while not opened:
            p = skip_space(text, p)
            if text[p] == 44:
                p = skip_space(text, p + 1)
                opened = True
            elif text[p] != 125:
                return int64(UNEXPECTED)
            elif inside:
                inside = False
                p += 1
            else:
                for field in range(fields):
                    if out[2 * field * room + row] < 0 and kinds[field] != OPTIONAL_STRING:
                        return int64(UNEXPECTED)
                return p + 1


@kernel
def find_deliveries(text: U8, end: INT, names: U8, lengths: I64, kinds: I64, nested: INT, room: INT, stack: I64, out: I64):
    """The deliveries of text[:end], `{"Records": [{...}, ...]}`: where their fields are.

    Field f of delivery r starts at out[2 * f * room + r] and ends at out[(2 * f + 1) * room + r]; at ~end where a string has escapes. An
    optional string that is not there starts and ends at -1. names: 32 bytes each; `nested` is the one object, those before stand beside it,
    those behind in it; behind all, "Records". `stack` holds 1,024 words.
    Returns how many there are; -1 if they are more than `room`; -2 where the text is otherwise: it may still be an event.
    """
    p = skip_space(text, 0)
    if text[p] != 123:
        return int64(UNEXPECTED)
    p = is_key(text, skip_space(text, p + 1), names, lengths, len(kinds))
    if p < 0 or text[p] != 91:
        return int64(UNEXPECTED)
    row = int64(0)
    while True:
        p = skip_space(text, p + 1)
        if text[p] != 123:
            return int64(UNEXPECTED)
        if row == room:
            return int64(MORE_ROOM)
        p = read_delivery(text, p, names, lengths, kinds, nested, room, row, stack, out)
        if p < 0:
            return int64(UNEXPECTED)
        row += 1
        p = skip_space(text, p)
        if text[p] == 93:
            break
        if text[p] != 44:
            return int64(UNEXPECTED)
    p = skip_space(text, p + 1)
    if text[p] != 125 or skip_space(text, p + 1) != end:
        return int64(UNEXPECTED)
    return row


@kernel
def count_same(text: U8, starts: I64, ends: I64, size: INT):
    """How many spans from the first on are the same as it; with `size` >= 0, have the same first `size` bytes."""
    if len(starts) == 0:
        return int64(0)
    first = starts[0]
    wanted = ends[0] - first if size < 0 else size
    for i in range(len(starts)):
        start = starts[i]
        length = ends[i] - start
        if length < wanted or (size < 0 and length != wanted):
            return int64(i)
        at = int64(0)
        while at < wanted:
            live = (int64(1) << min(wanted - at, 32)) - 1
            if (differing_bytes(text, first + at, text, start + at) & live) != 0:
                return int64(i)
            at += 32
    return int64(len(starts))


@kernel
def count_rising(text: U8, starts: I64, ends: I64, most: INT):
    """How many spans from the first on are whole numbers of up to `most` digits, each beyond the one before; none starts with a zero.

    A lone zero is a number, too. 32 bytes behind a span can be read.
    """
    for i in range(len(starts)):
        start = starts[i]
        size = ends[i] - start
        if size < 1 or size > most or (size > 1 and text[start] == 48):
            return int64(i)
        before = ends[i - 1] - starts[i - 1] if i > 0 else int64(0)
        if size < before:
            return int64(i)
        undecided = size == before
        at = int64(0)
        while at < size:
            live = (int64(1) << min(size - at, 32)) - 1
            if (other_mask(text, start + at) & live) != 0:
                return int64(i)
            if undecided:
                previous = starts[i - 1]
                differing = differing_bytes(text, previous + at, text, start + at) & live
                if differing != 0:
                    place = at + trailing_zeros(differing)
                    if text[start + place] < text[previous + place]:
                        return int64(i)
                    undecided = False
            at += 32
        if undecided:
            return int64(i)
    return int64(len(starts))


@kernel
def decode_spans(text: U8, starts: I64, ends: I64, out: I64):
    """Decode base64 in place: where each span ends then, -1 where it is none. Returns how many are none."""
    bad = int64(0)
    for i in range(len(starts)):
        out[i] = decode_base64(text, starts[i], ends[i], starts[i])
        if out[i] < 0:
            bad += 1
    return bad


@kernel
def unescape_spans(text: U8, starts: I64, ends: I64, at: INT):
    """Decode the JSON strings that have escapes, whose end is ~end, to text[at:], where they are from then on.

    Returns the place behind them, or the negative code of the first fault. 32 bytes more may be written.
    """
    for i in range(len(starts)):
        if ends[i] < 0 and starts[i] >= 0:
            end, code = unescape(text, starts[i], ~ends[i], at, True)
            if code != 0:
                return -int64(code)
            starts[i] = at
            ends[i] = end
            at = end
    return at
