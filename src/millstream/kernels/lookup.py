"""A hash table over keys of one column or several: open addressing with linear probing, at most half full.

A slot holds a row number in its low half and half of the row's hash in its high one, so that few keys are compared; -1 where it is
empty. The count of slots is a power of two. Every search ends after `len(slots)` steps at the latest, whatever the keys.

Keys are hashed row by row, whatever their types, by kernels that take a table of addresses. A column of words is looked up by a kernel
of its own, whose hashes are the same. All start from a seed, which is to be secret: else keys can be made that all look for one slot.
"""

from numba import int64

from millstream.kernels.compare import same_bytes
from millstream.kernels.hash import mix
from millstream.kernels.simd import bits_of_double, load_word
from millstream.kernels.spec import F64, I64, INT, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at, words_at

# A row of the table of `hash_rows`, `build_rows` and `probe_rows`: one key column. Address 0 of validity: all are valid.
_IS_STRING, _VALUES, _COUNT, _VALID, _DATA, _DATA_BYTES = 0, 1, 2, 3, 4, 5
_COLUMN = 6

_ROW = 0xFFFFFFFF


@helper
def hash_text(data, start, length, seed):
    """A hash of some bytes, eight at a time, the last of which may be taken twice."""
    word = seed ^ int64(length)
    i = 0
    while i + 8 <= length:
        word = mix(word ^ load_word(data, start + i))
        i += 8
    if i < length:
        tail = int64(0)
        if length >= 8:
            tail = load_word(data, start + length - 8)
        else:
            for at in range(length):
                tail = tail << 8 | int64(data[start + at])
        word ^= tail
    return mix(word)


@inlined
def slot_of(row, word):
    """What a slot holds of a row and its hash."""
    return (word & ~_ROW) | row


@inlined
def is_alike(slot, word):
    """May a slot that is not empty hold a row with this hash?"""
    return (slot ^ word) & ~_ROW == 0


@kernel
def hash_rows(table: I64, seed: INT, hashes: I64, valid: U8):
    """The hash of each row of keys. A row with a null in any column is not valid. Returns how many are."""
    for i in range(len(hashes)):
        hashes[i] = seed
        valid[i] = 1
    for at in range(0, len(table), _COLUMN):
        values = words_at(table[at + _VALUES], table[at + _COUNT])
        data = bytes_at(table[at + _DATA], table[at + _DATA_BYTES])
        if table[at + _IS_STRING] == 1:
            for i in range(len(hashes)):
                hashes[i] = hash_text(data, values[i] & 0xFFFFFFFF, values[i] >> 32, hashes[i])
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
    """Fill the slots; null keys stay out. Returns the first row whose key an earlier row has, or -1.

    Of rows with the same key the first is kept, or the last.
    """
    mask = len(slots) - 1
    duplicate = -1
    for i in range(len(slots)):
        slots[i] = -1
    for row in range(len(hashes)):
        if valid[row] != 1:
            continue
        word = hashes[row]
        at = word & mask
        while slots[at] != -1 and not (is_alike(slots[at], word) and same_keys(table, slots[at] & _ROW, table, row)):
            at = (at + 1) & mask
        if slots[at] != -1 and duplicate < 0:
            duplicate = row
        if slots[at] == -1 or keep_last == 1:
            slots[at] = slot_of(row, word)
    return duplicate


@kernel
def probe_rows(keys: I64, valid: U8, hashes: I64, table: I64, slots: I64, out: I64):
    """out: the table's row with the keys of each row, -1 where there is none or a key is null. Returns how many were found."""
    mask = len(slots) - 1
    found = 0
    for i in range(len(out)):
        out[i] = -1
        if valid[i] != 1:
            continue
        word = hashes[i]
        at = word & mask
        for _ in range(len(slots)):
            slot = slots[at]
            if slot == -1:
                break
            if is_alike(slot, word) and same_keys(keys, i, table, slot & _ROW):
                out[i] = slot & _ROW
                found += 1
                break
            at = (at + 1) & mask
    return found


@kernel
def find_among(words: I64, known: I64, out: U8):
    """Which words are among a few: one comparison for each."""
    for i in range(len(out)):
        out[i] = 0
    for k in range(len(known)):
        wanted = known[k]
        for i in range(len(out)):
            out[i] |= words[i] == wanted
    return 0


@kernel
def probe_int64(keys: I64, valid: U8, table: I64, slots: I64, seed: INT, out: I64):
    """As `probe_rows`, for one column of words."""
    mask = len(slots) - 1
    found = 0
    for i in range(len(out)):
        out[i] = -1
        if valid[i] != 1:
            continue
        at = mix(keys[i] ^ seed) & mask
        for _ in range(len(slots)):
            slot = slots[at]
            if slot == -1:
                break
            if table[slot & _ROW] == keys[i]:
                out[i] = slot & _ROW
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
