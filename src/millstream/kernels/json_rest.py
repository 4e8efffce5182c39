"""What no column reads of a record, as one JSON object: its fields' text as it stands, inside the objects that they were in."""

from numba import int64

from millstream.kernels.json_nested import (
    NODE_NAME,
    NODE_NAME_LENGTH,
    NODE_PARENT,
    NODE_SPANS,
    NODE_SPANS_END,
    NODE_WORDS,
    is_inside,
)
from millstream.kernels.json_values import COLUMN, NULLABLE, SEEN, VALID, VALUES
from millstream.kernels.simd import store_byte, store_word
from millstream.kernels.spec import inlined, outlined

# Where the call's state has the column that takes it, or -1, and how many spans the record has so far.
REST_COLUMN, SPANS = 8, 9
# A field that no column reads: the node it is in, or -1 where that came again, and where its key and its value end.
SPAN_WORDS, SPAN_NODE, SPAN_START, SPAN_END = 3, 0, 1, 2


@inlined
def add_span(node, start, end, spans, state):
    """Note a field; False where there is no room."""
    at = state[SPANS] * SPAN_WORDS
    if at + SPAN_WORDS > len(spans):
        return False
    spans[at + SPAN_NODE] = node
    spans[at + SPAN_START] = start
    spans[at + SPAN_END] = end
    state[SPANS] += 1
    return True


@outlined
def forget_spans(node, nodes, spans):
    """An object came twice: only what is in the last counts."""
    for i in range(nodes[node * NODE_WORDS + NODE_SPANS], nodes[node * NODE_WORDS + NODE_SPANS_END]):
        spans[i * SPAN_WORDS + SPAN_NODE] = -1


@inlined
def put_bytes(source, start, length, target, at):
    for i in range(length):
        target[at + i] = source[start + i]
    return at + length


@outlined
def write_rest(record, row, text, strings, heap, names, nodes, columns, spans, state, out):
    """The record's fields that nobody reads, as an object in strings[heap:], into their column. Returns the heap behind it.

    They stand in the order of the text, so that an object that was left is not entered again.
    """
    at = state[REST_COLUMN] * COLUMN
    columns[at + SEEN] = record + 1
    put = heap
    node = int64(0)
    strings[put] = 123
    put += 1
    comma = False
    empty = True
    for i in range(state[SPANS]):
        span = i * SPAN_WORDS
        wanted = spans[span + SPAN_NODE]
        if wanted < 0:
            continue
        empty = False
        while not is_inside(wanted, node, nodes):
            strings[put] = 125
            put += 1
            node = nodes[node * NODE_WORDS + NODE_PARENT]
            comma = True
        while node != wanted:
            child = wanted
            while nodes[child * NODE_WORDS + NODE_PARENT] != node:
                child = nodes[child * NODE_WORDS + NODE_PARENT]
            if comma:
                strings[put] = 44
                put += 1
            name = child * NODE_WORDS
            put = put_bytes(names, nodes[name + NODE_NAME], nodes[name + NODE_NAME_LENGTH], strings, put)
            node = child
            comma = False
        if comma:
            strings[put] = 44
            put += 1
        put = put_bytes(text, spans[span + SPAN_START], spans[span + SPAN_END] - spans[span + SPAN_START], strings, put)
        comma = True
    while node != 0:
        strings[put] = 125
        put += 1
        node = nodes[node * NODE_WORDS + NODE_PARENT]
    strings[put] = 125
    put += 1
    if empty and columns[at + NULLABLE] == 1:
        store_byte(out, columns[at + VALID] + row, 0)
        return heap
    store_byte(out, columns[at + VALID] + row, 1)
    store_word(out, columns[at + VALUES] + 8 * row, heap | ((put - heap) << 32))
    return put
