"""Validity, three-valued logic and choice. Validity bytes: 1 valid, 0 null, 2 and up an error code, which always wins.

Both sides of a choice are loaded, whichever is taken: a load that depends on a test keeps LLVM from a loop over vectors.
"""

from numba import int64, uint8

from millstream.kernels.memory import copy_bytes
from millstream.kernels.spec import I64, INT, U8, inlined, kernel


@inlined
def worse(left, right):
    """The validity of what needs both: an error before a null before a value; the left error before the right."""
    if left > 1:
        return left
    return right if right > 1 else left & right


@kernel
def merge_validity(left: U8, right: U8, out: U8):
    for i in range(len(out)):
        out[i] = worse(int(left[i]), int(right[i]))
    return len(out)


@kernel
def greatest_uint8(source: U8):
    greatest = uint8(0)
    for i in range(len(source)):
        greatest = max(greatest, source[i])
    return int64(greatest)


@kernel
def copy_uint8(source: U8, out: U8):
    for i in range(len(out)):
        out[i] = source[i]
    return len(out)


@kernel
def and_kleene(left: U8, left_valid: U8, right: U8, right_valid: U8, out: U8, out_valid: U8):
    """False beats null; an error beats both."""
    for i in range(len(out)):
        lv, rv = int(left_valid[i]), int(right_valid[i])
        a, b = int(left[i]), int(right[i])
        decided = ((lv == 1) & (a == 0)) | ((rv == 1) & (b == 0))
        out[i] = 0 if decided else a & b
        out_valid[i] = 1 if decided & (lv < 2) & (rv < 2) else worse(lv, rv)
    return len(out)


@kernel
def or_kleene(left: U8, left_valid: U8, right: U8, right_valid: U8, out: U8, out_valid: U8):
    """True beats null; an error beats both."""
    for i in range(len(out)):
        lv, rv = int(left_valid[i]), int(right_valid[i])
        a, b = int(left[i]), int(right[i])
        decided = ((lv == 1) & (a == 1)) | ((rv == 1) & (b == 1))
        out[i] = 1 if decided else a | b
        out_valid[i] = 1 if decided & (lv < 2) & (rv < 2) else worse(lv, rv)
    return len(out)


@kernel
def and_uint8(left: U8, right: U8, out: U8):
    for i in range(len(out)):
        out[i] = left[i] & right[i]
    return len(out)


@kernel
def or_uint8(left: U8, right: U8, out: U8):
    for i in range(len(out)):
        out[i] = left[i] | right[i]
    return len(out)


@kernel
def not_uint8(source: U8, out: U8):
    for i in range(len(out)):
        out[i] = source[i] ^ 1
    return len(out)


@kernel
def find_nulls(valid: U8, flip: INT, out: U8, out_valid: U8):
    """1 where null (with `flip`: where not null); errors stay errors."""
    for i in range(len(out)):
        known = valid[i]
        out[i] = (1 if known == 0 else 0) ^ flip
        out_valid[i] = known if known > 1 else uint8(1)
    return len(out)


@kernel
def choose_validity(test: U8, test_valid: U8, yes: U8, no: U8, picked: U8, out_valid: U8):
    """picked: 1 for the `yes` row, 0 for the `no` row, which a null test takes. Only the picked row's null or error counts."""
    for i in range(len(picked)):
        known, a, b = test_valid[i], yes[i], no[i]
        pick = (known == 1) & (test[i] == 1)
        picked[i] = 1 if pick else 0
        of_pick = a if pick else b
        out_valid[i] = known if known > 1 else of_pick
    return len(picked)


@kernel
def choose_int64(picked: U8, yes: I64, no: I64, out: I64):
    """Of a side with fewer items than there are rows the first stands for every row."""
    if len(no) < len(out):
        b = no[0]
        for i in range(len(out)):
            a = yes[i if len(yes) >= len(out) else 0]
            out[i] = a if picked[i] == 1 else b
    elif len(yes) < len(out):
        a = yes[0]
        for i in range(len(out)):
            b = no[i]
            out[i] = a if picked[i] == 1 else b
    else:
        for i in range(len(out)):
            a, b = yes[i], no[i]
            out[i] = a if picked[i] == 1 else b
    return len(out)


@kernel
def choose_int128(picked: U8, yes: I64, no: I64, out: I64):
    """Two words a row."""
    for i in range(len(picked)):
        a, b, c, d = yes[2 * i], yes[2 * i + 1], no[2 * i], no[2 * i + 1]
        out[2 * i] = a if picked[i] == 1 else c
        out[2 * i + 1] = b if picked[i] == 1 else d
    return len(picked)


@kernel
def choose_uint8(picked: U8, yes: U8, no: U8, out: U8):
    for i in range(len(out)):
        a, b = yes[i], no[i]
        out[i] = a if picked[i] == 1 else b
    return len(out)


@kernel
def measure_choice(picked: U8, valid: U8, yes: I64, no: I64, out: I64):
    """The views of the chosen strings laid one after another; nulls are empty. Returns the bytes they need."""
    total = 0
    for i in range(len(out)):
        a, b = yes[i], no[i]
        length = (a if picked[i] == 1 else b) >> 32
        length = length if valid[i] == 1 else 0
        out[i] = (total & 0xFFFFFFFF) | length << 32
        total += length
    return total


@kernel
def choose_string(picked: U8, yes_data: U8, yes: I64, no_data: U8, no: I64, views: I64, out: U8):
    """The bytes of the chosen strings, where `measure_choice` put them."""
    for i in range(len(views)):
        at, length = views[i] & 0xFFFFFFFF, views[i] >> 32
        if picked[i] == 1:
            copy_bytes(yes_data, yes[i] & 0xFFFFFFFF, length, out, at)
        else:
            copy_bytes(no_data, no[i] & 0xFFFFFFFF, length, out, at)
    return len(views)


@kernel
def fill_sequence(out: I64):
    """0, 1, 2, …"""
    for i in range(len(out)):
        out[i] = i
    return len(out)


@kernel
def find_errors(valid: U8, out: I64):
    """Positions with an error code; `out` has room for all. Returns how many."""
    count = 0
    for i in range(len(valid)):
        if valid[i] > 1:
            out[count] = i
            count += 1
    return count


@kernel
def scatter_uint8(value: INT, indices: I64, out: U8):
    """out[index] = value for each index."""
    for i in range(len(indices)):
        out[indices[i]] = value
    return len(indices)


@kernel
def put_uint8(source: U8, indices: I64, out: U8):
    """out[indices[i]] = source[i]"""
    for i in range(len(indices)):
        out[indices[i]] = source[i]
    return len(indices)


@kernel
def find_missing(indices: I64, flip: INT, out: U8):
    """1 where an index is below 0 (with `flip`: where it is not)."""
    for i in range(len(out)):
        out[i] = (1 if indices[i] < 0 else 0) ^ flip
    return len(out)


@kernel
def forgive_errors(before: U8, status: U8):
    """New errors (where `before` has none) become nulls. Returns how many."""
    count = 0
    for i in range(len(status)):
        if status[i] > 1 and before[i] < 2:
            status[i] = 0
            count += 1
    return count


@kernel
def replace_uint8(old: INT, new: INT, source: U8, out: U8):
    before, after = uint8(old), uint8(new)
    for i in range(len(out)):
        value = source[i]
        out[i] = after if value == before else value
    return len(out)


@kernel
def clear_invalid(valid: U8, out: I64):
    """Rows that are not valid become 0."""
    for i in range(len(out)):
        out[i] = out[i] if valid[i] == 1 else 0
    return len(out)
