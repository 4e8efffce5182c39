"""What deliveries hold: one record, many in an aggregate of the Kinesis Producer Library, or something compressed."""

from numba import int64

from millstream.kernels.memory import copy_bytes
from millstream.kernels.simd import equal_mask, load_word, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

# Kinds of payloads.
PLAIN, AGGREGATE, ARRAY, GZIP, ZLIB, ZSTD, BZIP2, LZ4 = range(8)

_MD5 = 16


@helper
def kind_of(text, start, end):
    """What a payload is, by its first bytes; 8 bytes from `start` can be read."""
    word = load_word(text, start) if end - start >= 4 else int64(0)
    four = word & 0xFFFFFFFF
    first = word & 0xFF
    if first == 123 or first == 34:  # { "
        return int64(PLAIN)
    if four == 0xC29A89F3 and end - start >= 4 + _MD5:
        return int64(AGGREGATE)
    if four & 0xFFFF == 0x8B1F:
        return int64(GZIP)
    if four == 0xFD2FB528 or (four & 0xFFFFFFF0) == 0x184D2A50:
        return int64(ZSTD)
    if four == 0x184D2204:
        return int64(LZ4)
    if four & 0xFFFFFF == 0x685A42:
        return int64(BZIP2)
    if first == 0x78:
        flags = (word >> 8) & 0xFF
        if flags == 0x01 or flags == 0x5E or flags == 0x9C or flags == 0xDA:
            return int64(ZLIB)
    p = start
    while p < end and (text[p] == 32 or text[p] == 10 or text[p] == 13 or text[p] == 9):
        p += 1
    return int64(ARRAY) if p < end and text[p] == 91 else int64(PLAIN)


@kernel
def tell_kinds(text: U8, starts: I64, ends: I64, out: I64):
    """The kind of each payload. Returns how many are not plain."""
    others = int64(0)
    for i in range(len(starts)):
        out[i] = kind_of(text, starts[i], ends[i])
        if out[i] != PLAIN:
            others += 1
    return others


@helper
def read_long_varint(text, p, end):
    value = int64(0)
    shift = int64(0)
    while p < end and shift < 63:
        byte = int64(text[p])
        p += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, p
        shift += 7
    return int64(-1), int64(-1)


@inlined
def read_varint(text, p, end):
    """A protobuf varint at text[p]: (value, position behind it), or (-1, -1) where it does not end, or is 2**63 and more."""
    if p < end and text[p] < 0x80:
        return int64(text[p]), p + 1
    return read_long_varint(text, p, end)


@helper
def skip_field(text, p, end, wire):
    """The position behind a protobuf field's value, or -1."""
    if wire == 0:
        _, p = read_varint(text, p, end)
        return p
    if wire == 2:
        size, p = read_varint(text, p, end)
        return p + size if p >= 0 and size <= end - p else int64(-1)
    size = 8 if wire == 1 else 4 if wire == 5 else 1 << 30
    return p + size if size <= end - p else int64(-1)


@helper
def find_data(text, p, end):
    """The data of one record of an aggregate, and the number of its partition key: (start, end, key); start is -1 where it is corrupt."""
    start = int64(-1)
    stop = int64(-1)
    key = int64(-1)
    while p < end:
        tag, p = read_varint(text, p, end)
        if p < 0 or tag < 8:
            return int64(-1), int64(-1), int64(-1)
        if tag == 8:
            key, p = read_varint(text, p, end)
        elif tag == 26:
            size, p = read_varint(text, p, end)
            if p < 0 or size > end - p:
                return int64(-1), int64(-1), int64(-1)
            start = p
            p += size
            stop = p
        else:
            p = skip_field(text, p, end, tag & 7)
        if p < 0:
            return int64(-1), int64(-1), int64(-1)
    if key < 0:
        return int64(-1), int64(-1), int64(-1)
    return start, stop, key


@helper
def split_aggregate(text, begin, end, at, starts, ends):
    """The records of the message text[begin:end]: how many, their places at starts[at:] and on.

    -1 if the message is corrupt, -2 if there is no room.
    """
    keys = int64(0)
    highest = int64(-1)  # the table of keys may come behind the records
    count = int64(0)
    p = begin
    while p < end:
        tag, p = read_varint(text, p, end)
        if p < 0 or tag < 8:
            return int64(-1)
        if tag != 10 and tag != 26:
            p = skip_field(text, p, end, tag & 7)
            if p < 0:
                return int64(-1)
            continue
        size, p = read_varint(text, p, end)
        if p < 0 or size > end - p:
            return int64(-1)
        if tag == 10:
            keys += 1
        else:
            start, stop, key = find_data(text, p, p + size)
            if start < 0:
                return int64(-1)
            if at + count == len(starts):
                return int64(-2)
            highest = max(highest, key)
            starts[at + count] = start
            ends[at + count] = stop
            count += 1
        p += size
    return count if highest < keys else int64(-1)


@kernel
def split_aggregates(text: U8, begins: I64, stops: I64, first: INT, at: INT, counts: I64, starts: I64, ends: I64):
    """The records in aggregates `first` and up: counts of each, -1 where one is corrupt; their places at starts[at:].

    An aggregate is 4 bytes of magic, a message, 16 bytes of MD5, which is not looked at here. Returns how many aggregates are done: all, or
    as many as `starts` has room for.
    """
    for i in range(first, len(begins)):
        count = split_aggregate(text, begins[i] + 4, stops[i] - _MD5, at, starts, ends)
        if count == -2:
            return int64(i)
        counts[i] = count
        at += max(count, 0)
    return int64(len(begins))


@kernel
def spread_items(
    counts: I64, starts: I64, ends: I64, marks: I64, owner: I64,
    found_starts: I64, found_ends: I64, found_marks: I64,
    out_starts: I64, out_ends: I64, out_marks: I64, out_owner: I64,
):  # fmt: skip
    """Items in place of those they came from. Item i stays where counts[i] is -1; else the next counts[i] of those found replace it.

    Returns how many there are then.
    """
    at = int64(0)
    taken = int64(0)
    for i in range(len(counts)):
        if counts[i] < 0:
            out_starts[at] = starts[i]
            out_ends[at] = ends[i]
            out_marks[at] = marks[i]
            out_owner[at] = owner[i]
            at += 1
            continue
        for k in range(taken, taken + counts[i]):
            out_starts[at] = found_starts[k]
            out_ends[at] = found_ends[k]
            out_marks[at] = found_marks[k]
            out_owner[at] = owner[i]
            at += 1
        taken += counts[i]
    return at


@kernel
def number_within(owner: I64, out: I64):
    """The number of each item among those of its owner; items of one stand together."""
    number = int64(0)
    for i in range(len(owner)):
        number = number + 1 if i > 0 and owner[i] == owner[i - 1] else int64(0)
        out[i] = number
    return int64(len(owner))


@kernel
def shift_numbers(by: INT, out: I64):
    for i in range(len(out)):
        out[i] += by
    return int64(len(out))


@kernel
def prepend_text(prefix: U8, source: U8, views: I64, at: INT, out: U8, starts: I64, ends: I64):
    """`prefix` and then each view of `source` but for its first byte, a newline behind each, at out[at:]; their places.

    Returns where the last ends.
    """
    for i in range(len(views)):
        starts[i] = at
        for k in range(len(prefix)):
            out[at + k] = prefix[k]
        at += len(prefix)
        start = (views[i] & 0xFFFFFFFF) + 1
        size = (views[i] >> 32) - 1
        for k in range(size):
            out[at + k] = source[start + k]
        at += size
        ends[i] = at
        out[at] = 10
        at += 1
    return at


@kernel
def find_notices(text: U8, starts: I64, ends: I64, out: I64):
    """Payloads that hold `:s3` or `.s3` before a quote or a backslash, or `s3:T`: they may be notifications of S3's. Returns how many.

    `text` holds 64 more bytes.
    """
    count = int64(0)
    for i in range(len(starts)):
        at = starts[i]
        end = ends[i]
        found = False
        while at < end and not found:
            hits = equal_mask(text, at, 115) & equal_mask(text, at + 1, 51)
            while hits != 0:
                p = at + trailing_zeros(hits)
                hits &= hits - 1
                if p + 3 < end and p > starts[i]:
                    before = text[p - 1]
                    after = text[p + 2]
                    if (before == 58 or before == 46) and (after == 34 or after == 92):
                        found = True
                    if after == 58 and text[p + 3] == 84:
                        found = True
            at += 64
        if found:
            out[count] = i
            count += 1
    return count


@kernel
def gather_spans(text: U8, starts: I64, ends: I64, out: U8, sizes: I64):
    """Spans of `text` in `out`, a newline behind each, and their sizes; one from -1 to -1 is empty. Returns the size of all."""
    at = int64(0)
    for i in range(len(starts)):
        sizes[i] = 0
        if starts[i] >= 0:
            sizes[i] = ends[i] - starts[i]
            copy_bytes(text, starts[i], sizes[i], out, at)
            at += sizes[i]
        out[at] = 10
        at += 1
    return at
