"""Hashes of words and bytes, for tables and digests."""

from numba import int64

from millstream.kernels.simd import load_word, shift_right
from millstream.kernels.spec import helper, inlined


@inlined
def mix(word):
    """A bijection of int64 whose every output bit depends on every input bit (the finaliser of SplitMix64)."""
    word = (word ^ shift_right(word, 30)) * -4658895280553007687
    word = (word ^ shift_right(word, 27)) * -7723592293110705685
    return word ^ shift_right(word, 31)


@helper
def hash_bytes(data, start, length, seed):
    """A hash of some bytes, eight at a time. With a secret seed nobody can make texts whose hashes are the same."""
    word = mix(int64(length) + 1 + seed)
    i = 0
    while i + 8 <= length:
        word = mix(word ^ load_word(data, start + i))
        i += 8
    tail = int64(0)
    shift = 0
    while i < length:
        tail |= int64(data[start + i]) << shift
        shift += 8
        i += 1
    return mix(word ^ tail)


@helper
def quick_hash(data, start, length):
    """As `hash_bytes`, for digests, which no table is looked up by: one multiplication for eight bytes."""
    word = int64(length)
    i = 0
    while i + 8 <= length:
        word = (word ^ load_word(data, start + i)) * -7046029254386353131
        word ^= shift_right(word, 32)
        i += 8
    tail = int64(0)
    shift = 0
    while i < length:
        tail |= int64(data[start + i]) << shift
        shift += 8
        i += 1
    return mix(word ^ tail)
