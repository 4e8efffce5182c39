"""Columns of text to JSON: strings quoted, and texts put together to rows."""

from numba import int64

from millstream.kernels.spec import I64, INT, U8, inlined, kernel


@inlined
def escape_of(byte):
    """The letter of a short escape, 117 for \\u00XX, 0 where none is needed."""
    value = int64(byte)
    if value == 34 or value == 92:
        return value
    if value >= 32:
        return int64(0)
    if value == 10:
        return int64(110)
    if value == 13:
        return int64(114)
    if value == 9:
        return int64(116)
    if value == 8:
        return int64(98)
    if value == 12:
        return int64(102)
    return int64(117)


@kernel
def measure_json_strings(data: U8, views: I64, valid: U8):
    """The bytes of all strings as JSON, quotes included."""
    total = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            length = views[i] >> 32
            total += length + 2
            for p in range(start, start + length):
                letter = escape_of(data[p])
                if letter != 0:
                    total += 5 if letter == 117 else 1
    return total


@kernel
def escape_json(data: U8, views: I64, valid: U8, out: U8, to: I64):
    """Strings as JSON, quoted and escaped, to `out`, which holds what `measure_json_strings` says. Returns the bytes used."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            start = views[i] & 0xFFFFFFFF
            length = views[i] >> 32
            out[at] = 34
            at += 1
            for p in range(start, start + length):
                letter = escape_of(data[p])
                if letter == 0:
                    out[at] = data[p]
                    at += 1
                    continue
                out[at] = 92
                out[at + 1] = letter
                at += 2
                if letter == 117:
                    out[at] = 48
                    out[at + 1] = 48
                    out[at + 2] = 48 + (data[p] >> 4)
                    low = int64(data[p] & 15)
                    out[at + 3] = 48 + low if low < 10 else 87 + low
                    at += 4
            out[at] = 34
            at += 1
        to[i] = begun | (at - begun) << 32
    return at


@kernel
def measure_base64(views: I64, valid: U8):
    """The bytes of all binary strings as base64 in quotes."""
    total = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            total += ((views[i] >> 32) + 2) // 3 * 4 + 2
    return total


@inlined
def base64_digit(value):
    """The byte that stands for six bits."""
    if value < 26:
        return 65 + value
    if value < 52:
        return 71 + value
    if value < 62:
        return value - 4
    return 43 if value == 62 else 47


@kernel
def encode_base64(data: U8, views: I64, valid: U8, out: U8, to: I64):
    """Binary strings as base64 in quotes, padded, to `out`, which holds what `measure_base64` says. Returns the bytes used."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            p = views[i] & 0xFFFFFFFF
            end = p + (views[i] >> 32)
            out[at] = 34
            at += 1
            while p < end:
                group = int64(data[p]) << 16
                if p + 1 < end:
                    group |= int64(data[p + 1]) << 8
                if p + 2 < end:
                    group |= int64(data[p + 2])
                out[at] = base64_digit(group >> 18)
                out[at + 1] = base64_digit((group >> 12) & 63)
                out[at + 2] = base64_digit((group >> 6) & 63) if p + 1 < end else 61
                out[at + 3] = base64_digit(group & 63) if p + 2 < end else 61
                at += 4
                p += 3
            out[at] = 34
            at += 1
        to[i] = begun | (at - begun) << 32
    return at


@kernel
def measure_lists(views: I64, valid: U8, items: I64, extra: INT):
    """The bytes that `join_texts` writes: of each item a text with `extra` bytes of quotes, or null."""
    total = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            first = views[i] & 0xFFFFFFFF
            count = views[i] >> 32
            total += 2 + max(count - 1, 0)
            for p in range(first, first + count):
                length = items[p] >> 32
                total += length + extra if length > 0 else 4
    return total


@inlined
def put_text(data, view, quote, out, at):
    """A text, in quotes where `quote`; null where its view is empty. Returns the position after it. Not a byte more is touched."""
    start = view & 0xFFFFFFFF
    length = view >> 32
    if length == 0:
        out[at] = 110
        out[at + 1] = 117
        out[at + 2] = 108
        out[at + 3] = 108
        return at + 4
    if quote == 1:
        out[at] = 34
        at += 1
    for p in range(length):
        out[at + p] = data[start + p]
    at += length
    if quote == 1:
        out[at] = 34
        at += 1
    return at


@kernel
def join_texts(views: I64, valid: U8, data: U8, items: I64, quote: INT, opening: INT, closing: INT, out: U8, to: I64):
    """Each list's items as text between two brackets, with commas; `out` holds what `measure_lists` says. Returns the bytes used."""
    at = int64(0)
    for i in range(len(views)):
        begun = at
        if valid[i] == 1:
            out[at] = opening
            at += 1
            first = views[i] & 0xFFFFFFFF
            end = first + (views[i] >> 32)
            for p in range(first, end):
                at = put_text(data, items[p], quote, out, at)
                if p + 1 < end:
                    out[at] = 44
                    at += 1
            out[at] = closing
            at += 1
        to[i] = begun | (at - begun) << 32
    return at


@kernel
def view_appended(ends: I64, valid: U8, out: I64):
    """Views of the texts that `append_texts` wrote one after another, from its cursors; those of rows that are not valid are empty."""
    begun = int64(0)
    for i in range(len(ends)):
        out[i] = begun | (ends[i] - begun) << 32 if valid[i] == 1 else 0
        begun = ends[i]
    return begun


@kernel
def add_lengths(views: I64, fixed: INT, extra: INT, lengths: I64):
    """lengths[i] += what `append_texts` writes for row i: `fixed` bytes and a text with `extra` bytes of quotes, or null."""
    for i in range(len(views)):
        length = views[i] >> 32
        lengths[i] += fixed + (length + extra if length > 0 else 4)
    return len(views)


@kernel
def starts_of_lengths(lengths: I64):
    """Lengths become start positions, in place. Returns their sum."""
    at = int64(0)
    for i in range(len(lengths)):
        length = lengths[i]
        lengths[i] = at
        at += length
    return at


@kernel
def append_texts(before: U8, data: U8, views: I64, quote: INT, after: U8, cursors: I64, out: U8):
    """To each row at its cursor: `before`, its text (in quotes where `quote`; null where the view is empty), `after`.

    Cursors move on. Columns are written one after another, so not a byte more than the text may be touched.
    """
    for i in range(len(views)):
        at = cursors[i]
        for p in range(len(before)):
            out[at + p] = before[p]
        at = put_text(data, views[i], quote, out, at + len(before))
        for p in range(len(after)):
            out[at + p] = after[p]
        cursors[i] = at + len(after)
    return len(views)
