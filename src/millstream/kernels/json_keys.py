"""JSON keys: a table of entries that says what a key of an object is read for.

A record's objects that hold wanted columns are nodes, the record itself node 0. An entry is one key of one node. After a key, the
entry that followed it last time is tried first: records of one source mostly have one shape, then a key costs two or three
compares. Keys that no column wants become entries too, to a bound: that makes skipping them as cheap, and counts them.
"""

from numba import int64

from millstream.kernels.simd import load_word, shift_right
from millstream.kernels.spec import helper, inlined

# An entry's words. Target: a column; -1 none; -2 - n: the object that is node n.
KEY, KEY_NODE, KEY_LENGTH, KEY_HEAD, KEY_TAIL, KEY_TARGET, KEY_NEXT, KEY_COUNT, KEY_AT = 8, 0, 1, 2, 3, 4, 5, 6, 7

# Where the call's state has the entries and the bytes of their names, and the keys that found no room.
KEYS, KEY_BYTES, OTHER_KEYS = 4, 5, 6

PROBES = 32
LONGEST_KEY = 256


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
    keys[e + KEY_NEXT] = 0
    keys[e + KEY_COUNT] = 0
    keys[e + KEY_AT] = start
    slots[slot] = entry
    state[KEYS] = entry + 1
    state[KEY_BYTES] = start + length
    return entry


@inlined
def follow(text, at, length, node, entry, keys, names, slots, state):
    """The entry of the key text[at:at+length], which comes after the key of `entry`: (entry, or the old one; target)."""
    head = load_word(text, at) & key_mask(length)
    guess = keys[entry * KEY + KEY_NEXT]
    if not is_entry(text, at, length, head, node, keys, names, guess):
        guess = find_entry(text, at, length, head, node, keys, names, slots, state)
        if guess < 0:
            state[OTHER_KEYS] += 1
            return entry, int64(-1)
        keys[entry * KEY + KEY_NEXT] = guess
    keys[guess * KEY + KEY_COUNT] += 1
    return guess, keys[guess * KEY + KEY_TARGET]
