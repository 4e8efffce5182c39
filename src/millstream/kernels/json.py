"""JSON objects to typed columns: each record's text is walked once, from its first byte to its last.

All of RFC 8259 is checked, in skipped values too. A record is copied to a place of its own, which stays in the cache, and read
there. Behind it stands a NUL, which ends every number, literal, string and white space. So no record can change its neighbours.
"""

from numba import int64

from millstream.kernels.json_keys import (
    COUNTED,
    KEY,
    KEY_KNOWN,
    KEY_NODE,
    KEY_TARGET,
    NOWHERE,
    SPARE,
    WAY_LENGTH,
    WAY_TO,
    find_key,
    find_way,
)  # fmt: skip
from millstream.kernels.json_nested import (
    GROW,
    LEVEL_BEGUN,
    LEVEL_MARK,
    LEVEL_ROOM,
    LEVEL_ROWS,
    LEVEL_WORDS,
    NODE_ENTRY,
    NODE_PARENT,
    NODE_SEEN,
    NODE_SPANS,
    NODE_SPANS_END,
    NODE_WORDS,
    forget_node,
    is_inside,
    read_nested,
    undo_levels,
)  # fmt: skip
from millstream.kernels.json_rest import REST_COLUMN, SPANS, add_span, forget_spans, write_rest
from millstream.kernels.json_text import BAD_JSON, MAX_DEPTH, TOO_DEEP, is_null, skip_any, skip_space, skip_value
from millstream.kernels.json_values import (
    BAD_TYPE,
    CHILD,
    COLUMN,
    KIND,
    LEVEL,
    NESTED,
    NODE,
    NULLED,
    ON_ERROR_NULL,
    REFUSED_AT,
    REFUSED_CODE,
    SEEN,
    VALID,
    default_row,
    read_value,
)  # fmt: skip
from millstream.kernels.simd import copy_block, store_byte
from millstream.kernels.spec import I32, I64, INT, U8, inlined, kernel, outlined

NOT_OBJECT, MISSING = 3, 7

# The call's state, read and written; `json_keys`, `json_nested` and `json_rest` have the rest of it.
ROWS, REJECTS, HEAP, WANTED, CHECK_ABSENT, FIELDS, REFUSED, KNOWN = 0, 1, 2, 3, 7, 11, 12, 16
# What the call stopped for: a level's number, or one of these.
MORE_HEAP, MORE_SPANS = -1, 0
REJECT = 4
AHEAD = 65536
"""Elements that each level has room for before a record is begun, if it is not too short to have as many."""


@outlined
def settle_absent(row, record, columns, state, out):
    """Defaults for absent keys: (0 or a code, the column that may be neither absent nor null)."""
    for c in range(state[FIELDS]):
        at = c * COLUMN
        if columns[at + SEEN] == record + 1 or columns[at + SEEN] == -record - 1:
            continue
        if not default_row(row, at, columns, out):
            return MISSING, c
    return 0, int64(-1)


@inlined
def refuse_column(column, code, at, record, columns):
    c = column * COLUMN
    columns[c + SEEN] = -record - 1
    columns[c + REFUSED_CODE] = code
    columns[c + REFUSED_AT] = at


@outlined
def refuse_value(text, p, record, row, target, code, depth, nodes, columns, levels, words, state, out):
    """A value did not fit its column, which is null then: (position after it or of a fault of the JSON, 0 or that fault's code).

    What becomes of the record is seen at its end, for the key may come again.
    """
    at = target * COLUMN
    if columns[at + KIND] == NESTED:
        undo_levels(LEVEL_BEGUN, levels, columns, out)
        forget_node(columns[at + CHILD], row, nodes, columns, out)
    store_byte(out, columns[at + VALID] + row, 0)
    refuse_column(target, code, p, record, columns)
    state[REFUSED] = 1
    return skip_value(text, p, depth, words)


@outlined
def refuse_node(text, p, record, row, node, depth, keys, nodes, columns, words, state, out):
    """Instead of an object that paths lead through came another value: no column in it has one. Returns as `refuse_value`."""
    forget_node(node, row, nodes, columns, out)
    for e in range(state[NOWHERE] + 1, state[KNOWN]):
        column = keys[e * KEY + KEY_TARGET]
        if column >= 0 and column < state[FIELDS] and is_inside(keys[e * KEY + KEY_NODE], node, nodes):
            if columns[column * COLUMN + SEEN] != record + 1:  # at another of its paths
                refuse_column(column, BAD_TYPE, p, record, columns)
                columns[column * COLUMN + NODE] = keys[e * KEY + KEY_NODE]
    state[REFUSED] = 1
    return skip_value(text, p, depth, words)


@outlined
def settle_refused(record, columns, state):
    """Values that did not fit, and no other followed: (0 or the code, column and position of the one that rejects the record)."""
    code = int64(0)
    column = int64(-1)
    place = int64(0)
    for c in range(state[FIELDS]):
        at = c * COLUMN
        refused = columns[at + SEEN] == -record - 1 and columns[at + ON_ERROR_NULL] == 0
        if refused and (code == 0 or columns[at + REFUSED_AT] < place):
            code = columns[at + REFUSED_CODE]
            column = int64(c)
            place = columns[at + REFUSED_AT]
    return code, column, place


@outlined
def count_nulled(record, columns, state):
    """The record is a row: count its values that are null because they did not fit."""
    for c in range(state[FIELDS]):
        if columns[c * COLUMN + SEEN] == -record - 1:
            columns[c * COLUMN + NULLED] += 1


@inlined
def read_object(
    text, p, end, record, row, strings, heap, keys, names, slots, counts, nodes, columns, levels, spans, words, state, out
):  # fmt: skip
    """The object whose first byte is behind text[p - 1] into one row: (0 or a code, position of the fault, column or -1, heap)."""
    spare = state[SPARE]
    node = int64(0)
    depth = int64(1)
    entry = int64(0)
    fresh = True
    while True:
        # A key, or the end of an object.
        begun = p
        way = find_way(text, p, entry, keys)
        if way >= 0:
            p += keys[way + WAY_LENGTH]
            if text[p] <= 32:
                p = skip_space(text, p)
            entry = keys[way + WAY_TO]
            found = entry
            target = keys[entry * KEY + KEY_TARGET]
            if target == -1 and p >= state[COUNTED]:
                counts[entry] += 1
        else:
            if text[p] <= 32:
                p = skip_space(text, p)
            if text[p] == 125:
                p += 1
                depth -= 1
                if depth == 0:
                    p = skip_space(text, p)
                    return 0 if p == end else BAD_JSON, p, int64(-1), heap
                nodes[node * NODE_WORDS + NODE_SPANS_END] = state[SPANS]
                entry = nodes[node * NODE_WORDS + NODE_ENTRY]
                node = nodes[node * NODE_WORDS + NODE_PARENT]
                fresh = False
                continue
            if not fresh:
                if text[p] != 44:
                    return BAD_JSON, p, int64(-1), heap
                p = skip_space(text, p + 1)
            if text[p] != 34:
                return BAD_JSON, p, int64(-1), heap
            at, found, code = find_key(text, begun, p, node, entry, keys, names, slots, state)
            if code != 0:
                return code, at, int64(-1), heap
            p = at
            target = int64(-1)
            entry = state[NOWHERE]
            if found >= 0:
                entry = found
                target = keys[entry * KEY + KEY_TARGET]
                if target == -1 and p >= state[COUNTED]:
                    counts[entry] += 1
        fresh = False
        if target >= 0:
            # A column's value.
            at = target * COLUMN
            columns[at + SEEN] = record + 1
            columns[at + NODE] = node  # an alias may be in another one
            if columns[at + KIND] == NESTED:
                nodes[columns[at + CHILD] * NODE_WORDS + NODE_PARENT] = node
                after, past, code, level = read_nested(
                    text,
                    p,
                    target,
                    row,
                    strings,
                    heap,
                    depth,
                    keys,
                    names,
                    slots,
                    counts,
                    nodes,
                    columns,
                    levels,
                    state,
                    words,
                    out,
                )
                if code == GROW:
                    return GROW, after, level, heap
            else:
                after, past, code = read_value(text, p, target, row, columns, out, strings, heap, spare, depth, words)
            if code == 0:
                p = after
                heap = past
            else:
                p, code = refuse_value(text, p, record, row, target, code, depth, nodes, columns, levels, words, state, out)
                if code != 0:
                    return code, p, int64(-1), heap
        elif target == -1:
            # Nobody wants it.
            p, code = skip_any(text, p, depth, words)
            if code != 0:
                return code, p, int64(-1), heap
            if state[REST_COLUMN] >= 0 and (found < 0 or keys[found * KEY + KEY_KNOWN] == 0):
                while text[begun] != 34:
                    begun += 1
                if not add_span(node, begun, p, spans, state):
                    return GROW, p, int64(MORE_SPANS), heap
        else:
            # An object with columns inside.
            child = -2 - target
            if nodes[child * NODE_WORDS + NODE_SEEN] == record + 1:
                forget_node(child, row, nodes, columns, out)
                forget_spans(child, nodes, spans)
            nodes[child * NODE_WORDS + NODE_SEEN] = record + 1
            nodes[child * NODE_WORDS + NODE_SPANS] = state[SPANS]
            nodes[child * NODE_WORDS + NODE_SPANS_END] = state[SPANS]
            if text[p] == 123:
                if depth == MAX_DEPTH:
                    return TOO_DEEP, p, int64(-1), heap
                depth += 1
                node = child
                entry = child
                fresh = True
                p += 1
            elif is_null(text, p):
                p += 4
            else:
                p, code = refuse_node(text, p, record, row, child, depth, keys, nodes, columns, words, state, out)
                if code != 0:
                    return code, p, int64(-1), heap


@inlined
def copy_record(source, start, size, text):
    """A record to the start of the text, a NUL behind it. Nothing behind the record is read but what the source holds."""
    done = int64(0)
    if start + size + 32 <= len(source):
        while done < size:
            copy_block(source, start + done, text, done)
            done += 32
    else:
        while done < size:
            text[done] = source[start + done]
            done += 1
    text[size] = 0


@kernel
def decode_json(
    given: U8, starts: I64, ends: I64, begin: INT, text: U8, strings: U8, keys: I64, names: U8, slots: I32, counts: I64,
    nodes: I64, columns: I64, levels: I64, spans: I64, words: I64, state: I64, source: I64, rejects: I64, out: U8,
):  # fmt: skip
    """Records given[starts[i]:ends[i]] from `begin` on to rows of `columns`, whose values and validity lie in `out`.

    text: room for the longest record twice, each time with 64 bytes more; a record is read there, and unescaped at text[state[SPARE]:].
    strings: from state[HEAP] on those of the columns. words: scratch for MAX_DEPTH + 1 words, and see `merge_keys`. source: the
    record of each row; rejects: (record, code, column or -1, offset) each. Returns the first record not done: the call stops when
    there is no room for what state[WANTED] says, and can go on from there.
    """
    for r in range(begin, len(starts)):
        end = ends[r] - starts[r]
        if state[HEAP] + 2 * end + 64 > len(strings):
            state[WANTED] = MORE_HEAP
            return r
        for level in range(1, len(levels) // LEVEL_WORDS):
            at = level * LEVEL_WORDS
            levels[at + LEVEL_MARK] = levels[at + LEVEL_ROWS]
            if levels[at + LEVEL_ROWS] + min(end >> 1, AHEAD) > levels[at + LEVEL_ROOM]:
                state[WANTED] = level
                return r
        copy_record(given, starts[r], end, text)
        row = state[ROWS]
        heap = state[HEAP]
        column = int64(-1)
        state[SPANS] = 0
        state[REFUSED] = 0
        p = skip_space(text, int64(0))
        if text[p] == 123:
            code, p, column, heap = read_object(
                text,
                p + 1,
                end,
                r,
                row,
                strings,
                heap,
                keys,
                names,
                slots,
                counts,
                nodes,
                columns,
                levels,
                spans,
                words,
                state,
                out,
            )
        else:
            p, code = skip_value(text, p, int64(0), words)
            if code == 0:
                p = skip_space(text, p)
                code = NOT_OBJECT if p == end else BAD_JSON
                p = int64(0) if p == end else p
        if code == 0 and state[REFUSED] == 1:
            code, column, p = settle_refused(r, columns, state)
        if code == 0 and state[REST_COLUMN] >= 0:
            heap = write_rest(r, row, text, strings, heap, names, nodes, columns, spans, state, out)
        if code == 0 and state[CHECK_ABSENT] == 1:
            code, column = settle_absent(row, r, columns, state, out)
            p = int64(0)
        if code == 0:
            source[row] = r
            state[ROWS] = row + 1
            state[HEAP] = heap
            state[COUNTED] = 0
            if state[REFUSED] == 1:
                count_nulled(r, columns, state)
            continue
        undo_levels(LEVEL_MARK, levels, columns, out)
        for c in range(len(columns) // COLUMN):
            if columns[c * COLUMN + LEVEL] == 0:
                store_byte(out, columns[c * COLUMN + VALID] + row, 0)
        if code == GROW:
            state[WANTED] = column
            state[COUNTED] = p
            return r
        state[COUNTED] = 0
        at = state[REJECTS] * REJECT
        rejects[at] = r
        rejects[at + 1] = code
        rejects[at + 2] = column
        rejects[at + 3] = p
        state[REJECTS] += 1
    return len(starts)
