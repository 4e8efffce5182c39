"""JSON objects to typed columns, one record at a time: find its quotes, then walk its text once.

Stage 1 (`json_text.find_quotes`) goes over a record 64 bytes at a time and notes where its unescaped quotes are. Stage 2 walks the
text; a string's end is the next quote noted, so strings are never read byte by byte. All of RFC 8259 is checked, in skipped
values too. A record is read between its bounds alone: while it is parsed, the byte after it is a NUL, which ends every
number, literal and white space. So no record can change its neighbours.
"""

from numba import int64

from millstream.kernels.json_columns import (
    BAD_TYPE,
    COLUMN,
    FIXUP,
    NODE_PARENT,
    NODE_SEEN,
    NODE_WORDS,
    NULLED,
    ON_ERROR_NULL,
    SEEN,
    VALID,
    drop_fixup,
    first_below,
    forget_node,
    read_text,
    read_value,
    settle_absent,
)
from millstream.kernels.json_keys import follow
from millstream.kernels.json_text import (
    BAD_JSON,
    BAD_UTF8,
    find_quotes,
    invalid_utf8,
    is_null,
    skip_space,
    skip_value,
)
from millstream.kernels.simd import store_byte
from millstream.kernels.spec import I32, I64, INT, U8, U32, inlined, kernel

NOT_OBJECT = 3

# The call's state, read and written; `json_keys` has the rest of it.
ROWS, REJECTS, HEAP, FIXUPS, CHECK_ABSENT = 0, 1, 2, 3, 7
REJECT = 4


@inlined
def check_whole(text, index, start, end, stack):
    """What is known of a record before its keys are: (first byte, any backslash, 0 or a code); with a code, the fault's position."""
    p = skip_space(text, start)
    hits, slashes, high, control = find_quotes(text, start, end, index)
    index[hits] = 0xFFFFFFFF
    index[hits + 1] = 0xFFFFFFFF
    if high:
        fault = invalid_utf8(text, start, end)
        if fault >= 0:
            return fault, slashes, BAD_UTF8
    if control >= 0:
        return control, slashes, BAD_JSON
    if (hits & 1) != 0:
        return int64(index[hits - 1]), slashes, BAD_JSON
    if text[p] != 123:
        p, _, code = skip_value(text, index, p, int64(0), 0, stack, slashes)
        if code != 0:
            return p, slashes, code
        p = skip_space(text, p)
        return (start, slashes, NOT_OBJECT) if p == end else (p, slashes, BAD_JSON)
    return p, slashes, 0


@inlined
def read_object(
    text, index, p, end, slashes, record, row, keys, names, slots, nodes, columns, stack, state, fixups, out
):  # fmt: skip
    """The object at text[p] into one row: (0 or a code, position of the fault, column or -1, heap, fixups)."""
    heap = state[HEAP]
    begun = state[FIXUPS]
    fixed = begun
    k = int64(0)
    node = int64(0)
    depth = int64(0)
    entry = int64(0)
    after_open = True
    p = skip_space(text, p + 1)
    while True:
        if text[p] == 34:
            # A key and its colon.
            if int64(index[k]) != p:
                return BAD_JSON, p, int64(-1), heap, fixed
            close = int64(index[k + 1])
            k += 2
            at, length, code = read_text(text, p, close, slashes, heap)
            if code != 0:
                return code, at, int64(-1), heap, fixed
            entry, target = follow(text, at, length, node, entry, keys, names, slots, state)
            p = close + 1
            if text[p] != 58:
                p = skip_space(text, p)
                if text[p] != 58:
                    return BAD_JSON, p, int64(-1), heap, fixed
            p += 1
            if text[p] <= 32:
                p = skip_space(text, p)
            if target >= 0:
                # A column's value.
                at = target * COLUMN
                if columns[at + SEEN] == record + 1:
                    drop_fixup(target, fixups, begun, fixed)
                columns[at + SEEN] = record + 1
                value_at = p
                value_k = k
                p, k, heap, fixed, code = read_value(
                    text, index, p, k, slashes, target, columns, out, row, heap, fixups, begun, fixed, depth + 1, stack
                )
                if code != 0:
                    # Is it another value, or no JSON at all?
                    p, k, fault = skip_value(text, index, value_at, value_k, depth + 1, stack, slashes)
                    if fault != 0:
                        return fault, p, int64(-1), heap, fixed
                    if columns[at + ON_ERROR_NULL] == 0:
                        return code, value_at, target, heap, fixed
                    store_byte(out, columns[at + VALID] + row, 0)
                    columns[at + NULLED] += 1
            elif target == -1 and text[p] == 34 and not slashes and int64(index[k]) == p:
                p = int64(index[k + 1]) + 1
                k += 2
            elif target == -1:
                p, k, code = skip_value(text, index, p, k, depth + 1, stack, slashes)
                if code != 0:
                    return code, p, int64(-1), heap, fixed
            else:
                # An object with columns inside.
                child = -2 - target
                if nodes[child * NODE_WORDS + NODE_SEEN] == record + 1:
                    forget_node(child, row, nodes, columns, out, fixups, begun, fixed)
                nodes[child * NODE_WORDS + NODE_SEEN] = record + 1
                if text[p] == 123:
                    depth += 1
                    node = child
                    p = skip_space(text, p + 1)
                    after_open = True
                    continue
                if not is_null(text, p):
                    value_at = p
                    p, k, code = skip_value(text, index, p, k, depth + 1, stack, slashes)
                    if code != 0:
                        return code, p, int64(-1), heap, fixed
                    return BAD_TYPE, value_at, first_below(child, nodes, columns), heap, fixed
                p += 4
            if text[p] == 44:
                p += 1
                if text[p] <= 32:
                    p = skip_space(text, p)
                after_open = False
                continue
            p = skip_space(text, p)
        elif text[p] != 125 or not after_open:
            return BAD_JSON, p, int64(-1), heap, fixed
        # The ends of objects, or a comma behind white space.
        after_open = False
        while text[p] == 125:
            p = skip_space(text, p + 1)
            if depth == 0:
                return 0 if p == end else BAD_JSON, p, int64(-1), heap, fixed
            depth -= 1
            node = nodes[node * NODE_WORDS + NODE_PARENT]
        if text[p] != 44:
            return BAD_JSON, p, int64(-1), heap, fixed
        p = skip_space(text, p + 1)


@kernel
def decode_json(
    text: U8, starts: I64, ends: I64, begin: INT, keys: I64, names: U8, slots: I32, nodes: I64, columns: I64,
    index: U32, stack: I64, state: I64, source: I64, rejects: I64, fixups: I64, out: U8,
):  # fmt: skip
    """Records text[starts[i]:ends[i]] from `begin` on to rows of `columns`, whose values and validity lie in `out`.

    text: padded by 64 bytes; text[ends[i]] is a NUL while record i is read, and then what it was. Escaped strings
    are decoded to text[state[HEAP]:]. index: as many items as the longest record has bytes, and 128. stack: MAX_DEPTH + 1.
    source: the record of each row; rejects: (record, code, column or -1, offset) each; fixups: (row or -1, column, start,
    end) of each float that only an exact routine can settle. Returns the first record not done: the call stops when the heap or
    the fixups are full, and can go on from there.
    """
    count = len(columns) // COLUMN
    for r in range(begin, len(starts)):
        start = starts[r]
        end = ends[r]
        if state[HEAP] + (end - start) + 64 > len(text) or (state[FIXUPS] + count) * FIXUP > len(fixups):
            return r
        sentinel = text[end]
        text[end] = 0
        row = state[ROWS]
        heap = state[HEAP]
        fixed = state[FIXUPS]
        column = int64(-1)
        p, slashes, code = check_whole(text, index, start, end, stack)
        if code == 0:
            code, p, column, heap, fixed = read_object(
                text, index, p, end, slashes, r, row, keys, names, slots, nodes, columns, stack, state, fixups, out
            )
        if code == 0 and state[CHECK_ABSENT] == 1:
            code, column = settle_absent(row, r, columns, out)
            p = start
        text[end] = sentinel
        if code == 0:
            source[row] = r
            state[ROWS] = row + 1
            state[HEAP] = heap
            state[FIXUPS] = fixed
        else:
            for c in range(count):
                store_byte(out, columns[c * COLUMN + VALID] + row, 0)
            at = state[REJECTS] * REJECT
            rejects[at] = r
            rejects[at + 1] = code
            rejects[at + 2] = column
            rejects[at + 3] = p - start
            state[REJECTS] += 1
    return len(starts)
