"""Columns that are lists, maps and structs, inside each other as their types say.

What is repeated has rows of its own: each list or map column opens a level, whose rows are the elements of all its lists, one
after another. A list is a view of them, first row | count << 32. A struct's fields have its rows. Levels other than 0, the records',
have room for so many rows; where it ends the call stops with GROW, and the record is read again when there is more.
"""

from numba import int64

from millstream.kernels.hash import hash_bytes
from millstream.kernels.json_keys import (
    COUNTED,
    KEY,
    KEY_TARGET,
    NOWHERE,
    SPARE,
    WAY_LENGTH,
    WAY_TO,
    find_key,
    find_way,
)  # fmt: skip
from millstream.kernels.json_text import BAD_JSON, is_null, read_string, skip_colon, skip_space, skip_value
from millstream.kernels.json_values import (
    BAD_TYPE,
    CHILD,
    COLUMN,
    KIND,
    LEVEL,
    NESTED,
    NODE,
    NOT_NULL,
    NULLABLE,
    SEEN,
    VALID,
    VALUES,
    WIDTH,
    read_value,
    store_string,
)  # fmt: skip
from millstream.kernels.simd import load_word, store_byte, store_word
from millstream.kernels.spec import inlined, outlined

# A node's words. Entry: the one of the key that it is the value of. Element: the column of a list's elements, a map's values.
# Row: of a struct, or of the list or map itself. Start: the first row of a list or map. Spans: of an object that a path leads through,
# where the fields in it that nobody reads begin and end. Name: the node's key as JSON, in the names.
NODE_WORDS = 12
NODE_PARENT, NODE_SEEN, NODE_KIND, NODE_COLUMN, NODE_ENTRY, NODE_ELEMENT = 0, 1, 2, 3, 4, 5
NODE_LEVEL, NODE_ROW, NODE_START, NODE_KEYS, NODE_NAME, NODE_NAME_LENGTH = 6, 7, 8, 9, 10, 11
NODE_SPANS, NODE_SPANS_END = 7, 8
PATH, STRUCT, LIST, MAP = 0, 1, 2, 3
# A level's words: rows so far, rows that there is room for, rows when the record and when the value began.
LEVEL_WORDS, LEVEL_ROWS, LEVEL_ROOM, LEVEL_MARK, LEVEL_BEGUN = 4, 0, 1, 2, 3

GROW, NO_LEVEL = 255, -1
SEED = 10
"""Where the call's state has the seed of the hashes of a map's keys."""


@inlined
def is_inside(inner, node, nodes):
    """Is a node another one, or somewhere inside it? Parents have smaller numbers than their children."""
    while inner > node:
        inner = nodes[inner * NODE_WORDS + NODE_PARENT]
    return inner == node


@outlined
def forget_node(node, row, nodes, columns, out):
    """An object that came twice in one record, or is null: what was read of it no longer counts. A list's elements nobody sees then."""
    if nodes[node * NODE_WORDS + NODE_KIND] > STRUCT:
        return
    level = nodes[node * NODE_WORDS + NODE_LEVEL]
    for c in range(len(columns) // COLUMN):
        if columns[c * COLUMN + LEVEL] == level and is_inside(columns[c * COLUMN + NODE], node, nodes):
            columns[c * COLUMN + SEEN] = 0
            store_byte(out, columns[c * COLUMN + VALID] + row, 0)


@outlined
def clear_rows(level, begin, end, columns, out):
    """Make rows of a level null, as rows are that nobody has written yet."""
    for c in range(len(columns) // COLUMN):
        if columns[c * COLUMN + LEVEL] == level:
            for row in range(begin, end):
                store_byte(out, columns[c * COLUMN + VALID] + row, 0)


@outlined
def move_row(level, source, target, columns, out):
    """Copy a row of a level to another one."""
    for c in range(len(columns) // COLUMN):
        at = c * COLUMN
        if columns[at + LEVEL] == level:
            width = columns[at + WIDTH]
            store_byte(out, columns[at + VALID] + target, out[columns[at + VALID] + source])
            for i in range(width):
                store_byte(out, columns[at + VALUES] + target * width + i, out[columns[at + VALUES] + source * width + i])


@outlined
def undo_levels(mark, levels, columns, out):
    """Take back the elements since LEVEL_MARK or LEVEL_BEGUN."""
    for level in range(1, len(levels) // LEVEL_WORDS):
        at = level * LEVEL_WORDS
        clear_rows(level, levels[at + mark], levels[at + LEVEL_ROWS], columns, out)
        levels[at + LEVEL_ROWS] = levels[at + mark]


@inlined
def same_text(text, left, right):
    """Are two views the same bytes?"""
    length = left >> 32
    if length != right >> 32:
        return False
    start = left & 0xFFFFFFFF
    other = right & 0xFFFFFFFF
    for i in range(length):
        if text[start + i] != text[other + i]:
            return False
    return True


@outlined
def merge_keys(strings, node, nodes, levels, columns, state, words, out):
    """Of keys that a map has more than once the last value is kept, in the place of the first. Returns how many rows are left.

    words: room for twice as many as the map has rows, and a power of two.
    """
    level = nodes[node * NODE_WORDS + NODE_LEVEL]
    start = nodes[node * NODE_WORDS + NODE_START]
    end = levels[level * LEVEL_WORDS + LEVEL_ROWS]
    views = columns[nodes[node * NODE_WORDS + NODE_KEYS] * COLUMN + VALUES]
    size = int64(4)
    while size < 2 * (end - start):
        size *= 2
    for i in range(size):
        words[i] = -1
    kept = start
    for row in range(start, end):
        view = load_word(out, views + 8 * row)
        slot = hash_bytes(strings, view & 0xFFFFFFFF, view >> 32, state[SEED]) & (size - 1)
        while words[slot] >= 0 and not same_text(strings, view, load_word(out, views + 8 * words[slot])):
            slot = (slot + 1) & (size - 1)
        if words[slot] >= 0:
            move_row(level, row, words[slot], columns, out)
        else:
            words[slot] = kept
            if kept != row:
                move_row(level, row, kept, columns, out)
            kept += 1
    clear_rows(level, kept, end, columns, out)
    levels[level * LEVEL_WORDS + LEVEL_ROWS] = kept
    return kept - start


@outlined
def read_nested(
    text, p, column, row, strings, heap, depth, keys, names, slots, counts, nodes, columns, levels, state, words, out
):  # fmt: skip
    """The value at text[p] into a row of a nested column: (position after it, heap, 0 or a code, a level).

    With a code, the position means nothing, as with `read_value`; with GROW, the level needs room, and the text was read to there.
    """
    for level in range(1, len(levels) // LEVEL_WORDS):
        levels[level * LEVEL_WORDS + LEVEL_BEGUN] = levels[level * LEVEL_WORDS + LEVEL_ROWS]
    spare = state[SPARE]
    root = columns[column * COLUMN + CHILD]
    node = int64(-1)
    target = column
    entry = int64(0)
    while True:
        # The value at text[p], for a row of column `target`.
        fresh = False
        at = target * COLUMN
        if target < 0:
            p, code = skip_value(text, p, depth, words)
            if code != 0:
                return p, heap, code, NO_LEVEL
        elif columns[at + KIND] != NESTED:
            p, heap, code = read_value(text, p, target, row, columns, out, strings, heap, spare, depth, words)
            if code != 0:
                return p, heap, code, NO_LEVEL
        else:
            child = columns[at + CHILD]
            c = child * NODE_WORDS
            kind = nodes[c + NODE_KIND]
            if kind == STRUCT:
                if nodes[c + NODE_SEEN] == row + 1:
                    forget_node(child, row, nodes, columns, out)
                nodes[c + NODE_SEEN] = row + 1
            if is_null(text, p):
                store_byte(out, columns[at + VALID] + row, 0)
                if columns[at + NULLABLE] == 0:
                    return p, heap, NOT_NULL, NO_LEVEL
                p += 4
            else:
                if text[p] != (91 if kind == LIST else 123):
                    return p, heap, BAD_TYPE, NO_LEVEL
                store_byte(out, columns[at + VALID] + row, 1)
                nodes[c + NODE_ROW] = row
                nodes[c + NODE_START] = levels[nodes[c + NODE_LEVEL] * LEVEL_WORDS + LEVEL_ROWS]
                node = child
                entry = child
                depth += 1
                fresh = True
                p += 1
        # What follows it: another value of the same node, or the node's end and what follows that.
        while True:
            if node < 0:
                return p, heap, 0, NO_LEVEL
            n = node * NODE_WORDS
            kind = nodes[n + NODE_KIND]
            begun = p
            if kind == STRUCT:
                way = find_way(text, p, entry, keys)
                if way >= 0:
                    p = skip_space(text, p + keys[way + WAY_LENGTH])
                    entry = keys[way + WAY_TO]
                    target = keys[entry * KEY + KEY_TARGET]
                    row = nodes[n + NODE_ROW]
                    if p >= state[COUNTED]:
                        counts[entry] += 1
                    break
            p = skip_space(text, p)
            byte = int64(text[p])
            if byte == (93 if kind == LIST else 125):
                p += 1
                depth -= 1
                if kind != STRUCT:
                    count = levels[nodes[n + NODE_LEVEL] * LEVEL_WORDS + LEVEL_ROWS] - nodes[n + NODE_START]
                    if kind == MAP and count > 1:
                        count = merge_keys(strings, node, nodes, levels, columns, state, words, out)
                    where = columns[nodes[n + NODE_COLUMN] * COLUMN + VALUES] + 8 * nodes[n + NODE_ROW]
                    store_word(out, where, nodes[n + NODE_START] | (count << 32))
                if node == root:
                    return p, heap, 0, NO_LEVEL
                entry = nodes[n + NODE_ENTRY]
                node = nodes[n + NODE_PARENT]
                fresh = False
                continue
            if not fresh:
                if byte != 44:
                    return p, heap, BAD_JSON, NO_LEVEL
                p = skip_space(text, p + 1)
            if kind == STRUCT:
                if text[p] != 34:
                    return p, heap, BAD_JSON, NO_LEVEL
                p, found, code = find_key(text, begun, p, node, entry, keys, names, slots, state)
                if code != 0:
                    return p, heap, code, NO_LEVEL
                target = int64(-1)
                row = nodes[n + NODE_ROW]
                entry = state[NOWHERE]
                if found >= 0:
                    entry = found
                    target = keys[entry * KEY + KEY_TARGET]
                    if p >= state[COUNTED]:
                        counts[entry] += 1
                break
            level = nodes[n + NODE_LEVEL] * LEVEL_WORDS
            row = levels[level + LEVEL_ROWS]
            if row >= levels[level + LEVEL_ROOM]:
                return p, heap, GROW, nodes[n + NODE_LEVEL]
            levels[level + LEVEL_ROWS] = row + 1
            target = nodes[n + NODE_ELEMENT]
            if kind == MAP:
                if text[p] != 34:
                    return p, heap, BAD_JSON, NO_LEVEL
                first, size, p, code = read_string(text, p, spare)
                if code != 0:
                    return p, heap, code, NO_LEVEL
                key = nodes[n + NODE_KEYS] * COLUMN
                heap = store_string(text, first, size, columns[key + VALUES] + 8 * row, strings, heap, out)
                store_byte(out, columns[key + VALID] + row, 1)
                p, code = skip_colon(text, p)
                if code != 0:
                    return p, heap, code, NO_LEVEL
            break
