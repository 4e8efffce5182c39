"""Comparison: equal and less for each physical kind; the other four follow by swapping sides and by `flip`.

`flip` is 0 or 1 and turns the answer round: a <= b is less(b, a) flipped. That holds for floats too, because NaN is equal
to itself and greater than all else here, as in Polars.
"""

from numba import uint64

from millstream.kernels.simd import load_word
from millstream.kernels.spec import F64, I64, INT, U8, U64, helper, kernel


@kernel
def equal_int64(left: I64, right: I64, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] == right[i] else 0) ^ flip
    return len(out)


@kernel
def less_int64(left: I64, right: I64, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] < right[i] else 0) ^ flip
    return len(out)


@kernel
def less_uint64(left: U64, right: U64, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] < right[i] else 0) ^ flip
    return len(out)


@kernel
def equal_float64(left: F64, right: F64, flip: INT, out: U8):
    for i in range(len(out)):
        a, b = left[i], right[i]
        out[i] = (1 if (a == b) | ((a != a) & (b != b)) else 0) ^ flip
    return len(out)


@kernel
def less_float64(left: F64, right: F64, flip: INT, out: U8):
    for i in range(len(out)):
        a, b = left[i], right[i]
        out[i] = (1 if (a < b) | ((a == a) & (b != b)) else 0) ^ flip
    return len(out)


@kernel
def equal_uint8(left: U8, right: U8, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] == right[i] else 0) ^ flip
    return len(out)


@kernel
def less_uint8(left: U8, right: U8, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] < right[i] else 0) ^ flip
    return len(out)


@kernel
def equal_decimal(left: I64, right: I64, flip: INT, out: U8):
    """Two words a row, the low one first."""
    for i in range(len(out)):
        same = (left[2 * i] == right[2 * i]) & (left[2 * i + 1] == right[2 * i + 1])
        out[i] = (1 if same else 0) ^ flip
    return len(out)


@kernel
def less_decimal(left: I64, right: I64, flip: INT, out: U8):
    """Two words a row, the low one first, without a sign."""
    for i in range(len(out)):
        a, b = left[2 * i + 1], right[2 * i + 1]
        below = uint64(left[2 * i]) < uint64(right[2 * i])
        out[i] = (1 if (a < b) | ((a == b) & below) else 0) ^ flip
    return len(out)


@kernel
def compare_scaled(coarse: I64, fine: I64, factor: INT, out: I64):
    """-1, 0 or 1: how `coarse` of `factor` ticks each compares with `fine` ticks, without overflow."""
    for i in range(len(out)):
        whole = fine[i] // factor
        rest = fine[i] - whole * factor
        if coarse[i] == whole:
            out[i] = -1 if rest > 0 else 0
        else:
            out[i] = -1 if coarse[i] < whole else 1
    return len(out)


@kernel
def compare_mixed(signed: I64, unsigned: I64, out: I64):
    """-1, 0 or 1: how an int64 compares with a uint64, whose bits are given."""
    for i in range(len(out)):
        a, b = signed[i], unsigned[i]
        if a < 0 or b < 0:
            out[i] = -1
        else:
            out[i] = (1 if a > b else 0) - (1 if a < b else 0)
    return len(out)


@helper
def same_bytes(left, left_at, right, right_at, length):
    """1 where two runs of bytes are the same. Reads nothing outside them."""
    i = 0
    while i + 8 <= length:
        if load_word(left, left_at + i) != load_word(right, right_at + i):
            return 0
        i += 8
    while i < length:
        if left[left_at + i] != right[right_at + i]:
            return 0
        i += 1
    return 1


@helper
def less_bytes(left, left_at, left_length, right, right_at, right_length):
    """1 where the left run of bytes sorts before the right one."""
    shared = min(left_length, right_length)
    i = 0
    while i + 8 <= shared and load_word(left, left_at + i) == load_word(right, right_at + i):
        i += 8
    while i < shared:
        a, b = left[left_at + i], right[right_at + i]
        if a != b:
            return 1 if a < b else 0
        i += 1
    return 1 if left_length < right_length else 0


@kernel
def equal_string(left_data: U8, left: I64, right_data: U8, right: I64, flip: INT, out: U8):
    for i in range(len(out)):
        a, b = left[i], right[i]
        length = a >> 32
        same = 0
        if length == b >> 32:
            same = same_bytes(left_data, a & 0xFFFFFFFF, right_data, b & 0xFFFFFFFF, length)
        out[i] = same ^ flip
    return len(out)


@kernel
def less_string(left_data: U8, left: I64, right_data: U8, right: I64, flip: INT, out: U8):
    for i in range(len(out)):
        a, b = left[i], right[i]
        out[i] = less_bytes(left_data, a & 0xFFFFFFFF, a >> 32, right_data, b & 0xFFFFFFFF, b >> 32) ^ flip
    return len(out)
