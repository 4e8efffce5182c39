"""A hash table over keys of one column or several: open addressing with linear probing, at most half full.

`slots` holds row numbers, -1 where empty; its size is a power of two. `hashes` holds each row's hash, so that few keys are
compared. Every search ends after `len(slots)` steps at the latest, whatever the keys.

Keys of several columns are hashed row by row, whatever their types, by kernels that take a table of addresses. One column is looked
up by kernels of its own, whose hashes are the same.
"""

from numba import int64

from millstream.kernels.compare import same_bytes
from millstream.kernels.hash import hash_bytes, mix
from millstream.kernels.simd import bits_of_double
from millstream.kernels.spec import F64, I64, INT, U8, helper, kernel
from millstream.kernels.table import bytes_at, words_at

# A row of the table of `hash_rows`, `build_rows` and `probe_rows`: one key column. Address 0 of validity: all are valid.
_IS_STRING, _VALUES, _COUNT, _VALID, _DATA, _DATA_BYTES = 0, 1, 2, 3, 4, 5
_COLUMN = 6


@kernel
def hash_rows(table: I64, hashes: I64, valid: U8):
    """The hash of each row of keys. A row with a null in any column is not valid. Returns how many are."""
    for i in range(len(hashes)):
        hashes[i] = 0
        valid[i] = 1
    for at in range(0, len(table), _COLUMN):
        values = words_at(table[at + _VALUES], table[at + _COUNT])
        data = bytes_at(table[at + _DATA], table[at + _DATA_BYTES])
        if table[at + _IS_STRING] == 1:
            for i in range(len(hashes)):
                hashes[i] = hash_bytes(data, values[i] & 0xFFFFFFFF, values[i] >> 32, hashes[i])
        else:
            for i in range(len(hashes)):
                hashes[i] = mix(hashes[i] ^ values[i])
        if table[at + _VALID] != 0:
            marks = bytes_at(table[at + _VALID], table[at + _COUNT])
            for i in range(len(hashes)):
                valid[i] = valid[i] & (marks[i] == 1)
    count = 0
    for i in range(len(valid)):
        count += valid[i]
    return count


@helper
def same_keys(left, i, right, j):
    """Are the keys of row `i` of one table those of row `j` of another?"""
    for at in range(0, len(left), _COLUMN):
        ones = words_at(left[at + _VALUES], left[at + _COUNT])
        others = words_at(right[at + _VALUES], right[at + _COUNT])
        one, other = ones[i], others[j]
        if left[at + _IS_STRING] == 1:
            if one >> 32 != other >> 32:
                return False
            data = bytes_at(left[at + _DATA], left[at + _DATA_BYTES])
            others_data = bytes_at(right[at + _DATA], right[at + _DATA_BYTES])
            if same_bytes(data, one & 0xFFFFFFFF, others_data, other & 0xFFFFFFFF, one >> 32) == 0:
                return False
        elif one != other:
            return False
    return True


@kernel
def build_rows(table: I64, valid: U8, hashes: I64, keep_last: INT, slots: I64):
    """Fill the table; null keys stay out. Returns the first row whose key an earlier row has, or -1.

    Of rows with the same key the first is kept, or the last.
    """
    mask = len(slots) - 1
    duplicate = -1
    for i in range(len(slots)):
        slots[i] = -1
    for row in range(len(hashes)):
        if valid[row] != 1:
            continue
        at = hashes[row] & mask
        while slots[at] >= 0 and (hashes[slots[at]] != hashes[row] or not same_keys(table, slots[at], table, row)):
            at = (at + 1) & mask
        if slots[at] < 0:
            slots[at] = row
            continue
        if duplicate < 0:
            duplicate = row
        if keep_last == 1:
            slots[at] = row
    return duplicate


@kernel
def probe_rows(keys: I64, valid: U8, hashes: I64, table: I64, table_hashes: I64, slots: I64, out: I64):
    """As `probe_int64`, for keys of several columns; `keys` and `hashes` are those of the rows that look up."""
    mask = len(slots) - 1
    found = 0
    for i in range(len(out)):
        out[i] = -1
        if valid[i] != 1:
            continue
        at = hashes[i] & mask
        for _ in range(len(slots)):
            row = slots[at]
            if row < 0:
                break
            if table_hashes[row] == hashes[i] and same_keys(keys, i, table, row):
                out[i] = row
                found += 1
                break
            at = (at + 1) & mask
    return found


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
def number_keys(firsts: I64, rows: I64, out: I64):
    """Numbers for keys, dense and from 0 in the order of first appearance.

    firsts: for each row the first row with its key, -1 for null keys. rows: gets each number's first row; out: each row's number, -1
    for null keys. Returns how many keys there are.
    """
    count = 0
    for i in range(len(out)):
        first = firsts[i]
        if first == i:
            rows[count] = i
            out[i] = count
            count += 1
        else:
            out[i] = out[first] if first >= 0 else -1
    return count


@kernel
def fill_missing(value: INT, rows: I64):
    """Put a row in the place of those that were not found (-1). Returns how many those were."""
    count = 0
    for i in range(len(rows)):
        if rows[i] == -1:
            rows[i] = value
            count += 1
    return count


@kernel
def key_float64(source: F64, out: I64):
    """Bits that are the same where floats compare as the same: one zero, one NaN."""
    for i in range(len(out)):
        value = source[i]
        bits = bits_of_double(value + 0.0)
        out[i] = bits if value == value else int64(0x7FF8000000000000)
    return len(out)
