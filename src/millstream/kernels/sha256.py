"""SHA-256 (FIPS 180-4), one message after another, as hexadecimal digits."""

import numpy as np
from numba import int64, uint32

from millstream.kernels.spec import I64, U8, U32, helper, inlined, kernel

BLOCK = 64


def _fractions(root, count):
    """The first 32 bits of the fractions of the roots of the first primes."""
    primes = [n for n in range(2, 312) if all(n % k for k in range(2, n))][:count]
    words = []
    for prime in primes:
        low, high = 0, prime << 64
        while high - low > 1:  # the root of prime * 2**(32 * root), whole
            middle = (low + high) // 2
            low, high = (middle, high) if middle**root <= prime << 32 * root else (low, middle)
        words.append(low & 0xFFFFFFFF)
    return np.array(words, np.uint32)


FIRST = _fractions(2, 8)
ROUNDS = _fractions(3, 64)
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


@inlined
def turned(word, by):
    return (word >> uint32(by)) | (word << uint32(32 - by))


@helper
def take_block(block, at, words, state):
    """One block of 64 bytes, at block[at], into `state`: 8 words. Scratch: `words`, 64 of them."""
    for i in range(16):
        p = at + 4 * i
        words[i] = uint32(int64(block[p]) << 24 | int64(block[p + 1]) << 16 | int64(block[p + 2]) << 8 | int64(block[p + 3]))
    for i in range(16, 64):
        old = words[i - 15]
        late = words[i - 2]
        small = turned(old, 7) ^ turned(old, 18) ^ (old >> uint32(3))
        large = turned(late, 17) ^ turned(late, 19) ^ (late >> uint32(10))
        words[i] = uint32(words[i - 16] + small + words[i - 7] + large)
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for i in range(64):
        large = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
        first = uint32(h + large + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i])
        small = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
        second = uint32(small + ((a & b) ^ (a & c) ^ (b & c)))
        h = g
        g = f
        f = e
        e = uint32(d + first)
        d = c
        c = b
        b = a
        a = uint32(first + second)
    state[0] = uint32(state[0] + a)
    state[1] = uint32(state[1] + b)
    state[2] = uint32(state[2] + c)
    state[3] = uint32(state[3] + d)
    state[4] = uint32(state[4] + e)
    state[5] = uint32(state[5] + f)
    state[6] = uint32(state[6] + g)
    state[7] = uint32(state[7] + h)


@kernel
def digest_sha256(data: U8, views: I64, tail: U8, words: U32, state: U32, out: U8):
    """The SHA-256 of each string to out[64 * i:] as digits. Scratch: `tail` 128 bytes, `words` 64, `state` 8."""
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        size = views[i] >> 32
        for k in range(8):
            state[k] = FIRST[k]
        whole = size // BLOCK
        for block in range(whole):
            take_block(data, start + block * BLOCK, words, state)
        rest = size - whole * BLOCK
        for k in range(2 * BLOCK):
            tail[k] = data[start + whole * BLOCK + k] if k < rest else 0
        tail[rest] = 0x80
        last = BLOCK if rest < BLOCK - 8 else 2 * BLOCK
        for k in range(8):
            tail[last - 1 - k] = ((size * 8) >> (8 * k)) & 0xFF
        take_block(tail, 0, words, state)
        if last == 2 * BLOCK:
            take_block(tail, BLOCK, words, state)
        for k in range(8):
            word = int64(state[k])
            for digit in range(8):
                out[64 * i + 8 * k + digit] = DIGITS[(word >> (28 - 4 * digit)) & 15]
    return len(views)
