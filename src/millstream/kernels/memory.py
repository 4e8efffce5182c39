"""Moving rows: bitmaps, widths, selections, string views.

Inside the engine a number is an int64, uint64 or float64, a bool is a byte, a decimal is two words, the low one first, a string
is a view: offset in the low 32 bits, length in the high 32, of its column's bytes. Validity is a byte a row: 1 valid, 0 null,
2 and up an error code.
"""

from millstream.kernels.simd import copy_block, store_word
from millstream.kernels.spec import F32, F64, I32, I64, INT, U8, inlined, kernel
from millstream.kernels.table import bytes_at, words_at


@kernel
def pack_bits(source: U8, count: INT, out: U8):
    """Bytes that are 1 become set bits, eight a byte, lowest first. Returns the count of set bits."""
    ones = 0
    whole = count >> 3
    for block in range(whole):
        bits = 0
        for lane in range(8):
            one = 1 if source[block * 8 + lane] == 1 else 0
            bits |= one << lane
            ones += one
        out[block] = bits
    if whole * 8 < count:
        bits = 0
        for i in range(whole * 8, count):
            one = 1 if source[i] == 1 else 0
            bits |= one << (i & 7)
            ones += one
        out[whole] = bits
    return ones


@kernel
def unpack_bits(source: U8, first: INT, count: INT, out: U8):
    """Bits from bit `first` on become bytes of 0 or 1."""
    head = min(-first & 7, count)
    whole = (count - head) >> 3
    for i in range(head):
        out[i] = (source[(first + i) >> 3] >> ((first + i) & 7)) & 1
    for block in range(whole):
        bits = source[((first + head) >> 3) + block]
        for lane in range(8):
            out[head + 8 * block + lane] = (bits >> lane) & 1
    for i in range(head + 8 * whole, count):
        out[i] = (source[(first + i) >> 3] >> ((first + i) & 7)) & 1
    return count


@kernel
def widen_signed(source: U8, width: INT, out: I64):
    """Little-endian signed integers of 1, 2 or 4 bytes become int64."""
    count = len(out)
    if width == 1:
        for i in range(count):
            value = int(source[i])
            out[i] = value - ((value & 0x80) << 1)
    elif width == 2:
        for i in range(count):
            value = int(source[2 * i]) | int(source[2 * i + 1]) << 8
            out[i] = value - ((value & 0x8000) << 1)
    else:
        for i in range(count):
            at = 4 * i
            value = int(source[at]) | int(source[at + 1]) << 8 | int(source[at + 2]) << 16 | int(source[at + 3]) << 24
            out[i] = value - ((value & 0x80000000) << 1)
    return count


@kernel
def widen_unsigned(source: U8, width: INT, out: I64):
    """Little-endian unsigned integers of 1, 2 or 4 bytes become int64."""
    count = len(out)
    if width == 1:
        for i in range(count):
            out[i] = source[i]
    elif width == 2:
        for i in range(count):
            out[i] = int(source[2 * i]) | int(source[2 * i + 1]) << 8
    else:
        for i in range(count):
            at = 4 * i
            out[i] = int(source[at]) | int(source[at + 1]) << 8 | int(source[at + 2]) << 16 | int(source[at + 3]) << 24
    return count


@kernel
def narrow_int64(source: I64, width: INT, out: U8):
    """The low 1, 2 or 4 bytes of each int64, little-endian. The caller knows that every value fits."""
    count = len(source)
    if width == 1:
        for i in range(count):
            out[i] = source[i] & 0xFF
    elif width == 2:
        for i in range(count):
            out[2 * i] = source[i] & 0xFF
            out[2 * i + 1] = (source[i] >> 8) & 0xFF
    else:
        for i in range(count):
            at = 4 * i
            out[at] = source[i] & 0xFF
            out[at + 1] = (source[i] >> 8) & 0xFF
            out[at + 2] = (source[i] >> 16) & 0xFF
            out[at + 3] = (source[i] >> 24) & 0xFF
    return count


@kernel
def widen_float32(source: F32, out: F64):
    for i in range(len(out)):
        out[i] = source[i]
    return len(out)


@kernel
def narrow_float64(source: F64, out: F32):
    for i in range(len(source)):
        out[i] = source[i]
    return len(source)


@kernel
def filter_indices(mask: U8, valid: U8, out: I64):
    """Positions whose mask byte and validity byte are both 1, in order. Returns how many."""
    count = 0
    for i in range(len(mask)):
        out[count] = i
        count += 1 if (mask[i] == 1) & (valid[i] == 1) else 0
    return count


@kernel
def take_int64(source: I64, indices: I64, out: I64):
    """out[i] = source[indices[i]]; an index below 0 gives 0."""
    for i in range(len(indices)):
        index = indices[i]
        out[i] = source[index] if index >= 0 else 0
    return len(indices)


@kernel
def take_uint8(source: U8, indices: I64, out: U8):
    """out[i] = source[indices[i]]; an index below 0 gives 0."""
    for i in range(len(indices)):
        index = indices[i]
        out[i] = source[index] if index >= 0 else 0
    return len(indices)


# A row of the table of `take_columns`: bytes of an item, items, where they are, where they go; address 0 stands for no items.
_WIDTH, _ITEMS, _SOURCE, _TARGET = 0, 1, 2, 3
_TAKEN = 4


@kernel
def take_columns(table: I64, indices: I64):
    """Of each column the items at these positions, one after another; a position below 0 gives 0. Items have 1, 8 or 16 bytes."""
    count = len(indices)
    for row in range(0, len(table), _TAKEN):
        items = table[row + _ITEMS]
        if table[row + _WIDTH] == 1:
            source = bytes_at(table[row + _SOURCE], items)
            target = bytes_at(table[row + _TARGET], count)
            for i in range(count):
                target[i] = source[indices[i]] if indices[i] >= 0 else 0
        elif table[row + _WIDTH] == 8:
            words = words_at(table[row + _SOURCE], items)
            out = words_at(table[row + _TARGET], count)
            for i in range(count):
                out[i] = words[indices[i]] if indices[i] >= 0 else 0
        else:
            words = words_at(table[row + _SOURCE], 2 * items)
            out = words_at(table[row + _TARGET], 2 * count)
            for i in range(count):
                out[2 * i] = words[2 * indices[i]] if indices[i] >= 0 else 0
                out[2 * i + 1] = words[2 * indices[i] + 1] if indices[i] >= 0 else 0
    return len(table)


# A row of the table of `settle_columns`: bytes of an item, items, where validity and items begin, how many are not valid.
_VALID_AT, _ITEMS_AT, _NULLS = 2, 3, 4
_SETTLED = 5


@kernel
def settle_columns(table: I64, out: U8):
    """Count each column's rows that are not valid, and make their items 0, whatever was there. Items have 0, 1, 8 or 16 bytes."""
    for row in range(0, len(table), _SETTLED):
        width = table[row + _WIDTH]
        valid_at = table[row + _VALID_AT]
        at = table[row + _ITEMS_AT]
        nulls = 0
        for i in range(table[row + _ITEMS]):
            nulls += 1 if out[valid_at + i] != 1 else 0
        table[row + _NULLS] = nulls
        if nulls > 0 and width > 0:
            for i in range(table[row + _ITEMS]):
                if out[valid_at + i] != 1:
                    if width == 1:
                        out[at + i] = 0
                    else:
                        store_word(out, at + width * i, 0)
                        if width == 16:
                            store_word(out, at + 16 * i + 8, 0)
    return len(table)


@kernel
def fill_int128(low: INT, high: INT, out: I64):
    """Rows of two words."""
    for i in range(len(out) >> 1):
        out[2 * i] = low
        out[2 * i + 1] = high
    return len(out)


@kernel
def fill_int64(value: INT, out: I64):
    for i in range(len(out)):
        out[i] = value
    return len(out)


@kernel
def fill_uint8(value: INT, out: U8):
    for i in range(len(out)):
        out[i] = value
    return len(out)


@kernel
def view_strings(offsets: I32, base: INT, out: I64):
    """Arrow offsets become views that count from `base`; `offsets` holds one more entry than `out`."""
    for i in range(len(out)):
        start = int(offsets[i])
        out[i] = (start - base) | (int(offsets[i + 1]) - start) << 32
    return len(out)


@kernel
def view_fixed(width: INT, out: I64):
    """Views of values of one width that lie one after another."""
    for i in range(len(out)):
        out[i] = i * width | width << 32
    return len(out)


@kernel
def measure_strings(views: I64, valid: U8, out: I32):
    """Arrow string offsets of views, nulls as empty. Returns the bytes in all, or -1 beyond 2 GiB - 1."""
    total = 0
    for i in range(len(views)):
        out[i] = total
        if valid[i] == 1:
            total += views[i] >> 32
            if total > 0x7FFFFFFF:
                return -1
    out[len(views)] = total
    return total


@inlined
def copy_bytes(source, start, length, target, at):
    """Copy `length` bytes; where both arrays allow it, 32 at a time and past the end."""
    if start + length + 32 <= len(source) and at + length + 32 <= len(target):
        done = 0
        while done < length:
            copy_block(source, start + done, target, at + done)
            done += 32
    else:
        for i in range(length):
            target[at + i] = source[start + i]


@kernel
def gather_strings(data: U8, views: I64, offsets: I32, out: U8):
    """The bytes of each view, one after another, where `measure_strings` put them."""
    for i in range(len(views)):
        at = int(offsets[i])
        copy_bytes(data, views[i] & 0xFFFFFFFF, int(offsets[i + 1]) - at, out, at)
    return len(views)


@kernel
def separate_strings(data: U8, views: I64, valid: U8, out: U8, out_views: I64):
    """The strings one after another, each with a zero byte behind it; nulls are empty. Returns the bytes used."""
    at = 0
    for i in range(len(views)):
        length = views[i] >> 32 if valid[i] == 1 else 0
        copy_bytes(data, views[i] & 0xFFFFFFFF, length, out, at)
        out_views[i] = at | length << 32
        at += length
        out[at] = 0
        at += 1
    return at


@kernel
def count_invalid(valid: U8):
    """How many validity bytes are not 1."""
    count = 0
    for i in range(len(valid)):
        count += 1 if valid[i] != 1 else 0
    return count
