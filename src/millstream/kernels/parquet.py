"""Columns as Parquet has them: plain values, runs of bits, levels, least and greatest values.

A row whose validity byte is not 1 has no value. Sources: the Parquet format, Encodings.md and README.md.
"""

from numba import int64

from millstream.kernels.memory import copy_bytes
from millstream.kernels.simd import load_word, store_word, trailing_zeros
from millstream.kernels.spec import F32, F64, I64, INT, U8, U64, helper, kernel


@kernel
def measure_plain(views: I64, valid: U8):
    """The bytes of strings in plain form: four for the length, then the string."""
    total = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            total += 4 + (views[i] >> 32)
    return total


@kernel
def encode_strings(data: U8, views: I64, valid: U8, out: U8):
    """Strings in plain form. `out` holds 8 bytes more than `measure_plain` says. Returns the bytes."""
    at = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            size = views[i] >> 32
            store_word(out, at, size)
            copy_bytes(data, views[i] & 0xFFFFFFFF, size, out, at + 4)
            at += 4 + size
    return at


@kernel
def encode_words(values: I64, valid: U8, width: INT, out: U8):
    """The low `width` bytes (4 or 8) of each value. `out` holds 8 bytes more. Returns the bytes."""
    at = int64(0)
    for i in range(len(values)):
        store_word(out, at, values[i])
        at += width if valid[i] == 1 else 0
    return at


@kernel
def encode_singles(values: F64, valid: U8, out: F32):
    """float32 of each value. `out` holds one item more. Returns the count."""
    count = int64(0)
    for i in range(len(values)):
        if valid[i] == 1:
            out[count] = values[i]
            count += 1
    return count


@kernel
def encode_decimals(words: I64, valid: U8, width: INT, out: U8):
    """The low `width` bytes of each decimal, the highest first. Returns the bytes."""
    at = int64(0)
    for i in range(len(valid)):
        if valid[i] == 1:
            for k in range(width):
                byte = width - 1 - k
                out[at + k] = (words[2 * i + (byte >> 3)] >> (8 * (byte & 7))) & 0xFF
            at += width
    return at


@kernel
def encode_flags(values: U8, valid: U8, out: U8):
    """Booleans as bits, the lowest first. `out` is zero. Returns how many."""
    count = int64(0)
    for i in range(len(values)):
        if valid[i] == 1:
            out[count >> 3] |= values[i] << (count & 7)
            count += 1
    return count


@kernel
def pack_numbers(numbers: I64, valid: U8, above: INT, width: INT, out: U8):
    """Numbers of `width` bits (1 to 32), the lowest bits first; those greater than `above` are one less. Rest bits are zero.

    `out` holds 16 bytes more. Returns how many there are.
    """
    word = int64(0)
    filled = int64(0)
    at = int64(0)
    count = int64(0)
    for i in range(len(numbers)):
        if valid[i] == 1:
            number = numbers[i] - (1 if numbers[i] > above else 0)
            word |= number << filled
            filled += width
            count += 1
            if filled >= 32:
                store_word(out, at, word & 0xFFFFFFFF)
                at += 4
                word >>= 32
                filled -= 32
    store_word(out, at, word)
    store_word(out, at + 8, 0)
    return count


@kernel
def range_int64(values: I64, valid: U8, out: I64):
    """The least and the greatest value. Returns how many values there are."""
    count = int64(0)
    least = int64(0)
    greatest = int64(0)
    for i in range(len(values)):
        if valid[i] == 1:
            value = values[i]
            least = value if count == 0 else min(least, value)
            greatest = value if count == 0 else max(greatest, value)
            count += 1
    out[0] = least
    out[1] = greatest
    return count


@kernel
def range_uint64(values: U64, valid: U8, out: U64):
    """As `range_int64`."""
    count = int64(0)
    for i in range(len(values)):
        if valid[i] == 1:
            value = values[i]
            if count == 0 or value < out[0]:
                out[0] = value
            if count == 0 or value > out[1]:
                out[1] = value
            count += 1
    return count


@kernel
def range_float64(values: F64, valid: U8, out: F64):
    """The least and the greatest value but NaN. Returns how many these are; zeros are told as -0.0 to 0.0."""
    count = int64(0)
    for i in range(len(values)):
        value = values[i]
        if valid[i] == 1 and value == value:
            if count == 0 or value < out[0]:
                out[0] = value
            if count == 0 or value > out[1]:
                out[1] = value
            count += 1
    if count > 0:
        if out[0] == 0.0:
            out[0] = -0.0
        if out[1] == 0.0:
            out[1] = 0.0
    return count


@helper
def less_bytes(data, left, right):
    """Is the string of one view less than that of another, byte by byte?"""
    p = left & 0xFFFFFFFF
    q = right & 0xFFFFFFFF
    size = min(left >> 32, right >> 32)
    k = int64(0)
    while k + 8 <= size:
        one = load_word(data, p + k)
        other = load_word(data, q + k)
        if one != other:
            shift = trailing_zeros(one ^ other) & 56
            return ((one >> shift) & 0xFF) < ((other >> shift) & 0xFF)
        k += 8
    while k < size:
        if data[p + k] != data[q + k]:
            return data[p + k] < data[q + k]
        k += 1
    return (left >> 32) < (right >> 32)


@kernel
def range_string(data: U8, views: I64, valid: U8, out: I64):
    """Views of the least and the greatest string, by their bytes. Returns how many strings there are."""
    count = int64(0)
    least = int64(0)
    greatest = int64(0)
    for i in range(len(views)):
        if valid[i] == 1:
            view = views[i]
            if count == 0:
                least = view
                greatest = view
            elif less_bytes(data, view, least):
                least = view
            elif less_bytes(data, greatest, view):
                greatest = view
            count += 1
    out[0] = least
    out[1] = greatest
    return count


@kernel
def define_entries(valid: U8, level: INT, places: I64, out: I64):
    """Entries of a column that may be null: where the row at places[i] is valid, the level is `level`, else the entry ends there.

    An entry that has ended has the place -1. Returns how many go on.
    """
    count = int64(0)
    for i in range(len(places)):
        if places[i] >= 0:
            if valid[places[i]] == 1:
                out[i] = level
                count += 1
            else:
                places[i] = -1
    return count


@kernel
def count_entries(views: I64, places: I64):
    """How many entries there are when lists are spread: one for each item, and for each list without."""
    total = int64(0)
    for i in range(len(places)):
        total += max(views[places[i]] >> 32, 1) if places[i] >= 0 else 1
    return total


@kernel
def spread_entries(
    views: I64,
    places: I64,
    repeats: I64,
    defined: I64,
    repeat: INT,
    level: INT,
    out_places: I64,
    out_repeats: I64,
    out_defined: I64,
):
    """An entry for each item of the list at places[i], of definition level `level`; an entry without items stays.

    The first item has the entry's repetition level, the others have `repeat`. Returns how many there are.
    """
    at = int64(0)
    for i in range(len(places)):
        size = views[places[i]] >> 32 if places[i] >= 0 else int64(0)
        out_repeats[at] = repeats[i]
        if size == 0:
            out_places[at] = -1
            out_defined[at] = defined[i]
            at += 1
            continue
        first = views[places[i]] & 0xFFFFFFFF
        for k in range(size):
            out_places[at] = first + k
            out_defined[at] = level
            if k > 0:
                out_repeats[at] = repeat
            at += 1
    return at


@kernel
def live_places(places: I64, out: I64):
    """The places of entries that have not ended. Returns how many."""
    count = int64(0)
    for i in range(len(places)):
        if places[i] >= 0:
            out[count] = places[i]
            count += 1
    return count
