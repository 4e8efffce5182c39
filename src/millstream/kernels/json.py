"""JSON objects to typed columns, one record at a time: find its quotes, then walk its text once.

Stage 1 goes over a record 64 bytes at a time and notes where its unescaped quotes are, and whether it holds backslashes, bytes
beyond ASCII, or control characters in strings. Stage 2 walks the text; a string's end is the next quote noted, so strings are never
read byte by byte. All of RFC 8259 is checked, in skipped values too. A record is read between its bounds alone: while it is parsed, the byte
after it is a NUL, which ends every number, literal and white space. So no record can change its neighbours.

Keys are looked up in a table of entries. After a key, the entry that followed it last time is tried first: records of one source
mostly have one shape, then a key costs two or three compares. Keys that no column wants become entries as well (to a bound); that makes
skipping them as cheap, and counts them.
"""

from numba import int64, uint64

from millstream.kernels.calendar import read_date, read_timestamp
from millstream.kernels.number import FITS, NOT_INTEGRAL, exact_integer, scan_number, to_float
from millstream.kernels.simd import (
    above_mask,
    below_mask,
    count_ones,
    equal_mask,
    load_word,
    shift_right,
    store_byte,
    store_double,
    store_word,
    trailing_zeros,
    unusual_mask,
)
from millstream.kernels.spec import I32, I64, INT, U8, U32, helper, inlined, kernel

BAD_JSON, NOT_OBJECT, BAD_UTF8, TOO_DEEP, MISSING, NOT_NULL = 2, 3, 4, 5, 7, 8
BAD_TYPE, BAD_NUMBER, OUT_OF_RANGE, BAD_TIME = 9, 10, 11, 12

MAX_DEPTH = 1024

# A key entry's words. Target: a column; -1 none; -2 - n: the object that is node n.
KEY, KEY_NODE, KEY_LENGTH, KEY_HEAD, KEY_TAIL, KEY_TARGET, KEY_NEXT, KEY_COUNT, KEY_AT = 8, 0, 1, 2, 3, 4, 5, 6, 7
# A column's words.
COLUMN, KIND, NULLABLE, ON_ERROR_NULL, VALUES, VALID, LEAST, GREATEST, TICKS, ZONED, NODE, SEEN, NULLED, DEFAULT, DEFAULT_BITS = (
    14, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
)  # fmt: skip
# A node's words.
NODE_WORDS, NODE_PARENT, NODE_SEEN = 2, 0, 1
# The call's state, read and written.
ROWS, REJECTS, HEAP, FIXUPS, KEYS, KEY_BYTES, OTHER_KEYS, CHECK_ABSENT = 0, 1, 2, 3, 4, 5, 6, 7
REJECT, FIXUP = 4, 4

BOOL, INTEGER, UINT64, FLOAT64, FLOAT32, STRING, TIMESTAMP, DATE = 0, 1, 2, 3, 4, 5, 6, 7

_NULL = 0x6C6C756E
_TRUE = 0x65757274
_ALSE = 0x65736C61
_PROBES = 32
_LONGEST_KEY = 256


@inlined
def find_quotes(text, start, end, index):
    """Stage 1 over text[start:end]: (quotes, any backslash, any byte beyond ASCII, position of a control character in a string or -1)."""
    count = int64(0)
    carry = int64(0)
    slashes = int64(0)
    high = int64(0)
    control = int64(-1)
    base = start
    while base < end:
        keep = int64(-1)
        if end - base < 64:
            keep = (int64(1) << (end - base)) - 1
        quote = equal_mask(text, base, 34) & keep
        unusual = unusual_mask(text, base) & keep
        if (unusual | carry) != 0:
            backslash = equal_mask(text, base, 92) & keep
            high |= above_mask(text, base, 127) & keep
            low = below_mask(text, base, 32) & keep
            if (backslash | carry) != 0:
                slashes |= backslash
                odd = int64(-6148914691236517206)
                possible = backslash & ~carry
                even = ((possible << 1) | odd) - possible
                codes = even ^ odd
                escaped = codes ^ (backslash | carry)
                carry = shift_right(codes & backslash, 63)
                quote &= ~escaped
            if low != 0:
                inside = quote
                for shift in (1, 2, 4, 8, 16, 32):
                    inside ^= inside << shift
                inside ^= -(count & 1)
                if (low & inside) != 0 and control < 0:
                    control = base + trailing_zeros(low & inside)
        found = count_ones(quote)
        for i in range(8):
            index[count + i] = base + trailing_zeros(quote)
            quote &= quote - 1
        if found > 8:
            for i in range(8, 16):
                index[count + i] = base + trailing_zeros(quote)
                quote &= quote - 1
            for i in range(16, found):
                index[count + i] = base + trailing_zeros(quote)
                quote &= quote - 1
        count += found
        base += 64
    return count, slashes != 0, high != 0, control


@helper
def invalid_utf8(text, p, end):
    """The position of the first byte that is not UTF-8 in text[p:end], or -1. text[end] is a NUL."""
    while p < end:
        high = above_mask(text, p, 127)
        if end - p < 64:
            high &= (int64(1) << (end - p)) - 1
        if high == 0:
            p += 64
            continue
        p += trailing_zeros(high)
        while text[p] >= 0x80:
            lead = int64(text[p])
            second = int64(text[p + 1])
            if lead < 0xC2 or lead > 0xF4:
                return p
            least = int64(0x80)
            greatest = int64(0xBF)
            if lead == 0xE0:
                least = int64(0xA0)
            elif lead == 0xED:
                greatest = int64(0x9F)
            elif lead == 0xF0:
                least = int64(0x90)
            elif lead == 0xF4:
                greatest = int64(0x8F)
            if second < least or second > greatest:
                return p
            if lead < 0xE0:
                p += 2
                continue
            if (text[p + 2] & 0xC0) != 0x80:
                return p
            if lead < 0xF0:
                p += 3
                continue
            if (text[p + 3] & 0xC0) != 0x80:
                return p
            p += 4
    return int64(-1)


@inlined
def skip_space(text, p):
    while text[p] == 32 or text[p] == 10 or text[p] == 13 or text[p] == 9:
        p += 1
    return p


@helper
def find_backslash(text, p, end):
    """The position of the first backslash in text[p:end], or -1."""
    while p < end:
        found = equal_mask(text, p, 92)
        if end - p < 64:
            found &= (int64(1) << (end - p)) - 1
        if found != 0:
            return p + trailing_zeros(found)
        p += 64
    return int64(-1)


@inlined
def hex_value(byte):
    value = int64(byte)
    if value >= 48 and value <= 57:
        return value - 48
    value |= 32
    if value >= 97 and value <= 102:
        return value - 87
    return int64(-65536)


@inlined
def hex_four(text, p):
    """Four hex digits, or a negative number."""
    return (
        hex_value(text[p]) * 4096 + hex_value(text[p + 1]) * 256 + hex_value(text[p + 2]) * 16 + hex_value(text[p + 3])
    )


@helper
def unescape(text, p, end, at, write):
    """Decode text[p:end], which holds escapes, to text[at:]: (position after it, 0) or (position of the fault, code).

    The result is never longer than the source. With `write` False escapes are only checked.
    """
    while p < end:
        byte = int64(text[p])
        if byte != 92:
            if write:
                text[at] = byte
            at += 1
            p += 1
            continue
        kind = int64(text[p + 1])
        p += 2
        code = int64(-1)
        if kind == 34 or kind == 92 or kind == 47:
            code = kind
        elif kind == 110:
            code = int64(10)
        elif kind == 116:
            code = int64(9)
        elif kind == 114:
            code = int64(13)
        elif kind == 98:
            code = int64(8)
        elif kind == 102:
            code = int64(12)
        elif kind == 117:
            code = hex_four(text, p) if end - p >= 4 else int64(-1)
            p += 4
            if code >= 0xD800 and code <= 0xDFFF:
                low = int64(-1)
                if code <= 0xDBFF and end - p >= 6 and text[p] == 92 and text[p + 1] == 117:
                    low = hex_four(text, p + 2)
                if low < 0xDC00 or low > 0xDFFF:
                    return p - 6, BAD_UTF8
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                p += 6
        if code < 0:
            return p - 2, BAD_JSON
        if code < 0x80:
            if write:
                text[at] = code
            at += 1
        elif code < 0x800:
            if write:
                text[at] = 0xC0 | (code >> 6)
                text[at + 1] = 0x80 | (code & 0x3F)
            at += 2
        elif code < 0x10000:
            if write:
                text[at] = 0xE0 | (code >> 12)
                text[at + 1] = 0x80 | ((code >> 6) & 0x3F)
                text[at + 2] = 0x80 | (code & 0x3F)
            at += 3
        else:
            if write:
                text[at] = 0xF0 | (code >> 18)
                text[at + 1] = 0x80 | ((code >> 12) & 0x3F)
                text[at + 2] = 0x80 | ((code >> 6) & 0x3F)
                text[at + 3] = 0x80 | (code & 0x3F)
            at += 4
    return at, 0


@inlined
def check_string(text, index, p, k, slashes):
    """A string at text[p] whose value nobody wants: (position after it, code)."""
    if text[p] != 34 or int64(index[k]) != p:
        return p, BAD_JSON
    close = int64(index[k + 1])
    if slashes and find_backslash(text, p + 1, close) >= 0:
        fault, code = unescape(text, p + 1, close, 0, False)
        if code != 0:
            return fault, code
    return close + 1, 0


@helper
def skip_value(text, index, p, k, depth, stack, slashes):
    """Check any JSON value at text[p], white space behind us: (position after it or of the fault, k, 0 or a code)."""
    floor = depth
    while True:
        byte = text[p]
        opened = False
        if byte == 34:
            p, code = check_string(text, index, p, k, slashes)
            if code != 0:
                return p, k, code
            k += 2
        elif byte == 123 or byte == 91:
            if depth >= MAX_DEPTH:
                return p, k, TOO_DEEP
            first = skip_space(text, p + 1)
            if text[first] == byte + 2:
                p = first + 1
            else:
                stack[depth] = byte
                depth += 1
                p = first
                opened = True
        elif byte == 45 or (byte >= 48 and byte <= 57):
            end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
            if end < 0:
                return p, k, BAD_JSON
            p = end
        elif (load_word(text, p) & 0xFFFFFFFF) == _NULL or (load_word(text, p) & 0xFFFFFFFF) == _TRUE:
            p += 4
        elif byte == 102 and (load_word(text, p + 1) & 0xFFFFFFFF) == _ALSE:
            p += 5
        else:
            return p, k, BAD_JSON
        while not opened:
            if depth == floor:
                return p, k, 0
            p = skip_space(text, p)
            byte = text[p]
            if byte == 44:
                p = skip_space(text, p + 1)
                opened = True
            elif int64(byte) == stack[depth - 1] + 2:
                p += 1
                depth -= 1
            else:
                return p, k, BAD_JSON
        if stack[depth - 1] == 123:
            p, code = check_string(text, index, p, k, slashes)
            if code != 0:
                return p, k, code
            k += 2
            p = skip_space(text, p)
            if text[p] != 58:
                return p, k, BAD_JSON
            p = skip_space(text, p + 1)


@inlined
def key_mask(length):
    return (int64(1) << (8 * length)) - 1 if length < 8 else int64(-1)


@inlined
def key_tail(text, at, length):
    return load_word(text, at + length - 8) if length > 8 else int64(0)


@inlined
def key_slot(node, length, head, tail, mask):
    mixed = (head ^ (tail * -7046029254386353131) ^ (node * 0x9E3779B1 + length)) * -4417276706812531889
    return shift_right(mixed, 32) & mask


@helper
def same_middle(text, at, length, names, start):
    for i in range(8, length - 8):
        if text[at + i] != names[start + i]:
            return False
    return True


@inlined
def is_entry(text, at, length, head, node, keys, names, entry):
    """Is the key text[at:at+length] of this node the one of this entry?"""
    e = entry * KEY
    return (
        keys[e + KEY_HEAD] == head
        and keys[e + KEY_LENGTH] == length
        and keys[e + KEY_NODE] == node
        and (length <= 8 or keys[e + KEY_TAIL] == key_tail(text, at, length))
        and (length <= 16 or same_middle(text, at, length, names, keys[e + KEY_AT]))
    )


@helper
def find_entry(text, at, length, head, node, keys, names, slots, state):
    """The entry of a key, made if it is new and there is room; -1 where there is none."""
    mask = len(slots) - 1
    slot = key_slot(node, length, head, key_tail(text, at, length), mask)
    for _ in range(_PROBES):
        entry = int64(slots[slot])
        if entry < 0:
            break
        if is_entry(text, at, length, head, node, keys, names, entry):
            return entry
        slot = (slot + 1) & mask
    if slots[slot] >= 0 or length > _LONGEST_KEY:
        return int64(-1)
    entry = state[KEYS]
    start = state[KEY_BYTES]
    if (entry + 1) * KEY > len(keys) or start + length + 8 > len(names):
        return int64(-1)
    for i in range(length):
        names[start + i] = text[at + i]
    e = entry * KEY
    keys[e + KEY_NODE] = node
    keys[e + KEY_LENGTH] = length
    keys[e + KEY_HEAD] = head
    keys[e + KEY_TAIL] = key_tail(text, at, length)
    keys[e + KEY_TARGET] = -1
    keys[e + KEY_NEXT] = 0
    keys[e + KEY_COUNT] = 0
    keys[e + KEY_AT] = start
    slots[slot] = entry
    state[KEYS] = entry + 1
    state[KEY_BYTES] = start + length
    return entry


@helper
def add_fixup(row, column, start, end, fixups, begun, count):
    """Note a float to settle; at most one a column and record, for a key that comes again replaces it."""
    slot = begun
    while slot < count and fixups[slot * FIXUP + 1] != column:
        slot += 1
    fixups[slot * FIXUP] = row
    fixups[slot * FIXUP + 1] = column
    fixups[slot * FIXUP + 2] = start
    fixups[slot * FIXUP + 3] = end
    return max(count, slot + 1)


@helper
def drop_fixup(column, fixups, begun, count):
    """A key came again: what its first value needed is void."""
    for slot in range(begun, count):
        if fixups[slot * FIXUP + 1] == column:
            fixups[slot * FIXUP] = -1


@helper
def forget_node(node, row, nodes, columns, out, fixups, begun, count):
    """An object that came twice in one record: its first coming no longer counts."""
    for c in range(len(columns) // COLUMN):
        above = columns[c * COLUMN + NODE]
        while above > node:
            above = nodes[above * NODE_WORDS + NODE_PARENT]
        if above == node:
            columns[c * COLUMN + SEEN] = 0
            drop_fixup(c, fixups, begun, count)
            store_byte(out, columns[c * COLUMN + VALID] + row, 0)


@helper
def first_below(node, nodes, columns):
    """A column whose value is inside this node, to name in a reject."""
    for c in range(len(columns) // COLUMN):
        above = columns[c * COLUMN + NODE]
        while above > node:
            above = nodes[above * NODE_WORDS + NODE_PARENT]
        if above == node:
            return c
    return int64(-1)


@helper
def settle_absent(row, record, columns, out):
    """Defaults for absent keys; (code, column) where a column may be neither absent nor null."""
    for c in range(len(columns) // COLUMN):
        at = c * COLUMN
        if columns[at + SEEN] == record + 1:
            continue
        if columns[at + DEFAULT] == 1:
            store_byte(out, columns[at + VALID] + row, 1)
            if columns[at + KIND] == BOOL:
                store_byte(out, columns[at + VALUES] + row, columns[at + DEFAULT_BITS])
            else:
                store_word(out, columns[at + VALUES] + 8 * row, columns[at + DEFAULT_BITS])
        elif columns[at + NULLABLE] == 0:
            return MISSING, c
    return 0, int64(-1)


@inlined
def read_integer(text, p, at, columns, out, row):
    """A JSON number into an integer column: (position after it, 0 or a code)."""
    end, mantissa, exponent, digits, whole, scale = scan_number(text, p)
    if end < 0:
        return p, BAD_JSON
    negative = text[p] == 45
    value = mantissa
    if exponent != 0 or digits > 19:
        status, value = exact_integer(text, p + 1 if negative else p, whole, digits, scale)
        if status != FITS:
            return p, BAD_NUMBER if status == NOT_INTEGRAL else OUT_OF_RANGE
    if negative:
        if value > uint64(0) - uint64(columns[at + LEAST]):
            return p, OUT_OF_RANGE
        store_word(out, columns[at + VALUES] + 8 * row, -int64(value))
    else:
        if value > uint64(columns[at + GREATEST]):
            return p, OUT_OF_RANGE
        store_word(out, columns[at + VALUES] + 8 * row, int64(value))
    return end, 0


@kernel
def decode_json(
    text: U8, starts: I64, ends: I64, begin: INT, keys: I64, names: U8, slots: I32, nodes: I64, columns: I64,
    index: U32, stack: I64, state: I64, source: I64, rejects: I64, fixups: I64, out: U8,
):  # fmt: skip
    """Records text[starts[i]:ends[i]] from `begin` on to rows of `columns`, whose values and validity lie in `out`.

    text: padded by 64 bytes; text[ends[i]] may be overwritten for a while, and is not inside another record. Escaped strings
    are decoded to text[state[HEAP]:]. index: as many items as the longest record has bytes, and 128. stack: MAX_DEPTH + 1.
    source: the record of each row; rejects: (record, code, column or -1, offset) each; fixups: (row or -1, column, start, end) of each
    float that only an exact routine can settle. Returns the first record not done: the call stops when the heap or the
    fixups are full, and can go on from there.
    """
    for r in range(begin, len(starts)):
        start = starts[r]
        end = ends[r]
        if state[HEAP] + (end - start) + 64 > len(text) or (state[FIXUPS] + len(columns) // COLUMN) * FIXUP > len(fixups):
            return r
        sentinel = text[end]
        text[end] = 0
        row = state[ROWS]
        heap = state[HEAP]
        fixed = state[FIXUPS]
        code = 0
        column = int64(-1)
        p = skip_space(text, start)
        hits, slashes, high, control = find_quotes(text, start, end, index)
        index[hits] = 0xFFFFFFFF
        index[hits + 1] = 0xFFFFFFFF
        k = int64(0)
        if high:
            fault = invalid_utf8(text, start, end)
            if fault >= 0:
                code = BAD_UTF8
                p = fault
        if code == 0 and control >= 0:
            code = BAD_JSON
            p = control
        if code == 0 and (hits & 1) != 0:
            code = BAD_JSON
            p = int64(index[hits - 1])
        if code == 0 and text[p] != 123:
            p, k, code = skip_value(text, index, p, k, 0, stack, slashes)
            if code == 0:
                p = skip_space(text, p)
                code = NOT_OBJECT if p == end else BAD_JSON
                p = p if code == BAD_JSON else start
        if code == 0:
            node = int64(0)
            depth = int64(0)
            entry = int64(0)
            after_open = True
            p = skip_space(text, p + 1)
            while True:
                # A key, or the end of an object that is empty.
                byte = text[p]
                finished = False
                if byte == 34:
                    if int64(index[k]) != p:
                        code = BAD_JSON
                        break
                    close = int64(index[k + 1])
                    k += 2
                    at = p + 1
                    length = close - at
                    key_start = p
                    if slashes and find_backslash(text, at, close) >= 0:
                        fault, code = unescape(text, at, close, heap, True)
                        if code != 0:
                            p = fault
                            break
                        at = heap
                        length = fault - heap
                    head = load_word(text, at) & key_mask(length)
                    guess = keys[entry * KEY + KEY_NEXT]
                    if is_entry(text, at, length, head, node, keys, names, guess):
                        entry = guess
                    else:
                        found = find_entry(text, at, length, head, node, keys, names, slots, state)
                        if found >= 0:
                            keys[entry * KEY + KEY_NEXT] = found
                            entry = found
                        else:
                            state[OTHER_KEYS] += 1
                            guess = int64(-1)
                    target = int64(-1)
                    if guess >= 0:
                        target = keys[entry * KEY + KEY_TARGET]
                        keys[entry * KEY + KEY_COUNT] += 1
                    p = close + 1
                    if text[p] != 58:
                        p = skip_space(text, p)
                        if text[p] != 58:
                            code = BAD_JSON
                            break
                    p += 1
                    if text[p] <= 32:
                        p = skip_space(text, p)
                    byte = text[p]
                    if target >= 0:
                        at = target * COLUMN
                        if columns[at + SEEN] == r + 1:
                            drop_fixup(target, fixups, state[FIXUPS], fixed)
                        columns[at + SEEN] = r + 1
                        valid_at = columns[at + VALID] + row
                        kind = columns[at + KIND]
                        value_start = p
                        value_k = k
                        if byte == 110 and (load_word(text, p) & 0xFFFFFFFF) == _NULL:
                            p += 4
                            store_byte(out, valid_at, 0)
                            if columns[at + NULLABLE] == 0:
                                code = NOT_NULL
                        elif kind == STRING:
                            if byte == 34 and int64(index[k]) == p:
                                close = int64(index[k + 1])
                                k += 2
                                first = p + 1
                                size = close - first
                                p = close + 1
                                if slashes and find_backslash(text, first, close) >= 0:
                                    fault, code = unescape(text, first, close, heap, True)
                                    if code != 0:
                                        p = fault
                                        break
                                    first = heap
                                    size = fault - heap
                                    heap = fault
                                store_word(out, columns[at + VALUES] + 8 * row, first | (size << 32))
                                store_byte(out, valid_at, 1)
                            else:
                                code = BAD_TYPE
                        elif kind == INTEGER or kind == UINT64:
                            if byte == 45 or (byte >= 48 and byte <= 57):
                                p, code = read_integer(text, p, at, columns, out, row)
                                store_byte(out, valid_at, 1)
                            else:
                                code = BAD_TYPE
                        elif kind == FLOAT64 or kind == FLOAT32:
                            if byte == 45 or (byte >= 48 and byte <= 57):
                                after, mantissa, exponent, digits, whole, scale = scan_number(text, p)
                                if after < 0:
                                    code = BAD_JSON
                                else:
                                    negative = byte == 45
                                    settled, value = to_float(
                                        text, p + 1 if negative else p, mantissa, exponent, digits, whole, scale, kind == FLOAT32
                                    )
                                    if not settled:
                                        fixed = add_fixup(row, target, p, after, fixups, state[FIXUPS], fixed)
                                    elif value > 1.7976931348623157e308:
                                        code = OUT_OF_RANGE
                                    store_double(out, columns[at + VALUES] + 8 * row, -value if negative else value)
                                    store_byte(out, valid_at, 1)
                                    if code == 0:
                                        p = after
                            else:
                                code = BAD_TYPE
                        elif kind == BOOL:
                            word = load_word(text, p) & 0xFFFFFFFF
                            if word == _TRUE:
                                p += 4
                                store_byte(out, columns[at + VALUES] + row, 1)
                                store_byte(out, valid_at, 1)
                            elif byte == 102 and (load_word(text, p + 1) & 0xFFFFFFFF) == _ALSE:
                                p += 5
                                store_byte(out, columns[at + VALUES] + row, 0)
                                store_byte(out, valid_at, 1)
                            else:
                                code = BAD_TYPE
                        else:  # a timestamp or a date
                            if byte == 34 and int64(index[k]) == p:
                                close = int64(index[k + 1])
                                k += 2
                                first = p + 1
                                size = close - first
                                if slashes and find_backslash(text, first, close) >= 0:
                                    fault, code = unescape(text, first, close, heap, True)
                                    if code != 0:
                                        p = fault
                                        break
                                    first = heap
                                    size = fault - heap
                                if kind == TIMESTAMP:
                                    code, ticks = read_timestamp(
                                        text, first, size, columns[at + TICKS], columns[at + ZONED] == 1
                                    )
                                    store_word(out, columns[at + VALUES] + 8 * row, ticks)
                                else:
                                    fine = False
                                    days = int64(0)
                                    if size == 10:
                                        fine, days = read_date(text, first)
                                    if not fine:
                                        code = BAD_TIME
                                    store_word(out, columns[at + VALUES] + 8 * row, days)
                                store_byte(out, valid_at, 1)
                                if code == 0:
                                    p = close + 1
                            else:
                                code = BAD_TYPE
                        if code != 0:
                            after, k, fault = skip_value(text, index, value_start, value_k, depth + 1, stack, slashes)
                            if fault != 0:
                                code = fault
                                p = after
                                break
                            if columns[at + ON_ERROR_NULL] == 0:
                                column = target
                                p = value_start
                                break
                            code = 0
                            p = after
                            store_byte(out, valid_at, 0)
                            columns[at + NULLED] += 1
                    elif target == -1:
                        p, k, code = skip_value(text, index, p, k, depth + 1, stack, slashes)
                        if code != 0:
                            break
                    else:
                        child = -2 - target
                        if nodes[child * NODE_WORDS + NODE_SEEN] == r + 1:
                            forget_node(child, row, nodes, columns, out, fixups, state[FIXUPS], fixed)
                        nodes[child * NODE_WORDS + NODE_SEEN] = r + 1
                        if byte == 123:
                            depth += 1
                            node = child
                            p = skip_space(text, p + 1)
                            after_open = True
                            continue
                        if byte == 110 and (load_word(text, p) & 0xFFFFFFFF) == _NULL:
                            p += 4
                        else:
                            p_after, k, code = skip_value(text, index, p, k, depth + 1, stack, slashes)
                            if code == 0:
                                code = BAD_TYPE
                                column = first_below(child, nodes, columns)
                            else:
                                p = p_after
                            break
                elif byte == 125 and after_open:
                    finished = True
                else:
                    code = BAD_JSON
                    break
                # After a value: a comma, or the ends of objects.
                after_open = False
                if not finished:
                    if text[p] == 44:
                        p += 1
                        if text[p] <= 32:
                            p = skip_space(text, p)
                        continue
                    p = skip_space(text, p)
                while text[p] == 125:
                    p = skip_space(text, p + 1)
                    if depth == 0:
                        finished = True
                        depth = int64(-1)
                        break
                    depth -= 1
                    node = nodes[node * NODE_WORDS + NODE_PARENT]
                if depth < 0:
                    if p != end:
                        code = BAD_JSON
                    break
                if text[p] != 44:
                    code = BAD_JSON
                    break
                p = skip_space(text, p + 1)
        if code == 0 and state[CHECK_ABSENT] == 1:
            code, column = settle_absent(row, r, columns, out)
            if code != 0:
                p = start
        text[end] = sentinel
        if code == 0:
            source[row] = r
            state[ROWS] = row + 1
            state[HEAP] = heap
            state[FIXUPS] = fixed
        else:
            for c in range(len(columns) // COLUMN):
                store_byte(out, columns[c * COLUMN + VALID] + row, 0)
            at = state[REJECTS] * REJECT
            rejects[at] = r
            rejects[at + 1] = code
            rejects[at + 2] = column
            rejects[at + 3] = p - start
            state[REJECTS] += 1
    return len(starts)


