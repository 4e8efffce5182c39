"""A hash table over keys of one column: open addressing with linear probing, at most half full.

`slots` holds row numbers, -1 where empty; its size is a power of two. `hashes` holds each row's hash, so that few strings are
compared. Every search ends after `len(slots)` steps at the latest, whatever the keys.
"""

from numba import int64

from millstream.kernels.compare import same_bytes
from millstream.kernels.hash import hash_bytes, mix
from millstream.kernels.simd import bits_of_double
from millstream.kernels.spec import F64, I64, U8, kernel


@kernel
def build_int64(keys: I64, valid: U8, hashes: I64, slots: I64):
    """Fill the table; null keys stay out. Returns the first row whose key an earlier row has (it is left out), or -1."""
    mask = len(slots) - 1
    duplicate = -1
    for i in range(len(slots)):
        slots[i] = -1
    for row in range(len(keys)):
        if valid[row] != 1:
            continue
        hashes[row] = mix(keys[row])
        at = hashes[row] & mask
        while slots[at] >= 0 and keys[slots[at]] != keys[row]:
            at = (at + 1) & mask
        if slots[at] < 0:
            slots[at] = row
        elif duplicate < 0:
            duplicate = row
    return duplicate


@kernel
def probe_int64(keys: I64, valid: U8, table: I64, slots: I64, out: I64):
    """out: the table row with each key, -1 where there is none or the key is null. Returns how many were found."""
    mask = len(slots) - 1
    found = 0
    for i in range(len(out)):
        out[i] = -1
        if valid[i] != 1:
            continue
        at = mix(keys[i]) & mask
        for _ in range(len(slots)):
            row = slots[at]
            if row < 0:
                break
            if table[row] == keys[i]:
                out[i] = row
                found += 1
                break
            at = (at + 1) & mask
    return found


@kernel
def build_string(data: U8, keys: I64, valid: U8, hashes: I64, slots: I64):
    """As `build_int64`, for strings."""
    mask = len(slots) - 1
    duplicate = -1
    for i in range(len(slots)):
        slots[i] = -1
    for row in range(len(keys)):
        if valid[row] != 1:
            continue
        start, length = keys[row] & 0xFFFFFFFF, keys[row] >> 32
        word = hash_bytes(data, start, length, 0)
        hashes[row] = word
        at = word & mask
        same = 0
        while slots[at] >= 0 and same == 0:
            other = slots[at]
            if hashes[other] == word and keys[other] >> 32 == length:
                same = same_bytes(data, keys[other] & 0xFFFFFFFF, data, start, length)
            at = (at + 1) & mask if same == 0 else at
        if same == 0:
            slots[at] = row
        elif duplicate < 0:
            duplicate = row
    return duplicate


@kernel
def probe_string(data: U8, keys: I64, valid: U8, table_data: U8, table: I64, hashes: I64, slots: I64, out: I64):
    """As `probe_int64`, for strings."""
    mask = len(slots) - 1
    found = 0
    for i in range(len(out)):
        out[i] = -1
        if valid[i] != 1:
            continue
        start, length = keys[i] & 0xFFFFFFFF, keys[i] >> 32
        word = hash_bytes(data, start, length, 0)
        at = word & mask
        for _ in range(len(slots)):
            row = slots[at]
            if row < 0:
                break
            if hashes[row] == word and table[row] >> 32 == length:
                if same_bytes(table_data, table[row] & 0xFFFFFFFF, data, start, length) == 1:
                    out[i] = row
                    found += 1
                    break
            at = (at + 1) & mask
    return found


@kernel
def key_float64(source: F64, out: I64):
    """Bits that are the same where floats compare as the same: one zero, one NaN."""
    for i in range(len(out)):
        value = source[i]
        bits = bits_of_double(value + 0.0)
        out[i] = bits if value == value else int64(0x7FF8000000000000)
    return len(out)
