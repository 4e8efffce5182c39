"""JSON keys: a table of entries that says what a key of an object is read for.

A record's objects that hold wanted columns are nodes, the record itself node 0; so are columns that are lists, maps and structs.
An entry is one key of one node. Entry n of the first entries stands for node n before its first key, the one behind them for a key
that has no entry. Records of one source mostly have one shape. So each entry knows two ways to the next: the bytes that followed its
value, from the comma to the colon and the space behind it, and the entry they led to. Where the same 32 bytes come again, a key
costs one compare. Keys that no column wants become entries too, to a bound: that makes skipping them as cheap, and counts them.
"""

from numba import int64

from millstream.kernels.hash import hash_bytes
from millstream.kernels.json_text import read_string, skip_colon
from millstream.kernels.simd import differing_bytes, load_word
from millstream.kernels.spec import helper, inlined, outlined

# An entry's words. Target: a column; -1 none; -2 - n: the object that is node n. Known: 1 where the schema has the key. Then two ways.
KEY = 24
KEY_NODE, KEY_LENGTH, KEY_HEAD, KEY_TAIL, KEY_TARGET, KEY_AT, KEY_KNOWN, KEY_WAYS = 0, 1, 2, 3, 4, 5, 6, 8
# A way's words: the entry it leads to, how long it is, which of its 32 bytes count, and these.
WAY, WAY_TO, WAY_LENGTH, WAY_MASK, WAY_TEXT, WAY_BYTES = 8, 0, 1, 2, 4, 32
NO_WAY = 1 << 32
"""A mask that no bytes meet."""

# Where the call's state has the entries and the bytes of their names, and the keys that found no room.
KEYS, KEY_BYTES, OTHER_KEYS = 4, 5, 6
# Where it has the entry that stands for a key without one, from which no way leads: what comes next is no first key. And up to where
# unknown keys were counted, of a record that is read again.
NOWHERE, COUNTED = 14, 15
SPARE = 13
"""Where it has what part of the text is free for an unescaped string."""

PROBES = 32
LONGEST_KEY = 256


@inlined
def key_mask(length):
    return (int64(1) << (8 * length)) - 1 if length < 8 else int64(-1)


@inlined
def key_tail(text, at, length):
    return load_word(text, at + length - 8) if length > 8 else int64(0)


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
def find_entry(text, at, length, node, keys, names, slots, state):
    """The entry of a key, made if it is new and there is room; -1 where there is none."""
    head = load_word(text, at) & key_mask(length)
    mask = len(slots) - 1
    slot = hash_bytes(text, at, length, node) & mask
    for _ in range(PROBES):
        entry = int64(slots[slot])
        if entry < 0:
            break
        if is_entry(text, at, length, head, node, keys, names, entry):
            return entry
        slot = (slot + 1) & mask
    if slots[slot] >= 0 or length > LONGEST_KEY:
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
    keys[e + KEY_AT] = start
    keys[e + KEY_KNOWN] = 0
    keys[e + KEY_WAYS + WAY_MASK] = NO_WAY
    keys[e + KEY_WAYS + WAY + WAY_MASK] = NO_WAY
    slots[slot] = entry
    state[KEYS] = entry + 1
    state[KEY_BYTES] = start + length
    return entry


@inlined
def is_way(text, p, keys, way):
    """Does this way's text stand at text[p]?"""
    differing = differing_bytes(text, p, keys, (way + WAY_TEXT) * 8) | NO_WAY
    return (differing & keys[way + WAY_MASK]) == 0


@inlined
def find_way(text, p, entry, keys):
    """The way from an entry whose text stands at text[p], as its place in `keys`, or -1."""
    way = entry * KEY + KEY_WAYS
    if is_way(text, p, keys, way):
        return way
    way += WAY
    return way if is_way(text, p, keys, way) else int64(-1)


@outlined
def find_key(text, p, quote, node, entry, keys, names, slots, state):
    """The key whose quote is text[quote], behind a value or brace that ends at p: (position of its value, entry or -1, 0 or a code).

    What stands between is noted as a way from `entry`. With a code, the position is that of the fault.
    """
    at, length, after, code = read_string(text, quote, state[SPARE])
    if code != 0:
        return at, entry, code
    after, code = skip_colon(text, after)
    if code != 0:
        return after, entry, code
    found = find_entry(text, at, length, node, keys, names, slots, state)
    if found < 0:
        state[OTHER_KEYS] += 1 if after >= state[COUNTED] else 0
        return after, found, 0
    size = after - p
    if size <= WAY_BYTES and at == quote + 1 and entry != state[NOWHERE]:
        way = entry * KEY + KEY_WAYS
        for i in range(WAY):
            keys[way + WAY + i] = keys[way + i]
        keys[way + WAY_TO] = found
        keys[way + WAY_LENGTH] = size
        keys[way + WAY_MASK] = (int64(1) << size) - 1
        for i in range(WAY_BYTES // 8):
            keys[way + WAY_TEXT + i] = load_word(text, p + 8 * i)
    return after, found, 0
