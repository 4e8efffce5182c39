"""MD5 (RFC 1321) of eight messages at a time: each step waits for the one before it, so one message alone leaves the CPU idle."""

import math
from typing import Any

from llvmlite import ir
from numba import int64, types, uint32
from numba.extending import intrinsic

from millstream.kernels.simd import pointer, refuse_outside
from millstream.kernels.spec import I64, U8, U32, kernel

LANES = 8
BLOCK = 64
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_WORD = ir.IntType(64)
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_FACTORS = ((1, 0), (5, 1), (3, 5), (7, 0))  # which word of the block a step takes, by round
_SINES = [int(abs(math.sin(i + 1)) * 2**32) & 0xFFFFFFFF for i in range(64)]


def _each(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * LANES)


def _mixed(builder: Any, round_: int, b: Any, c: Any, d: Any) -> Any:
    if round_ == 0:
        return builder.xor(d, builder.and_(b, builder.xor(c, d)))
    if round_ == 1:
        return builder.xor(c, builder.and_(d, builder.xor(b, c)))
    if round_ == 2:
        return builder.xor(b, builder.xor(c, d))
    return builder.xor(c, builder.or_(b, builder.not_(d)))


@intrinsic
def take_blocks(typingctx: Any, array: Any, places: Any, active: Any, state: Any) -> Any:
    """One block of 64 bytes of each lane, at array[places[lane]], into `state`: words A to D, each of 8 lanes.

    Bit i of `active`: does lane i count?
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, places_type, _, state_type = signature.args
        array, places, active, state = args
        zero = ir.Constant(_WORD, 0)
        refuse_outside(context, builder, places_type, places, zero, 8 * LANES)
        refuse_outside(context, builder, state_type, state, zero, 16 * LANES)
        starts = []
        for lane in range(LANES):
            at = builder.load(pointer(context, builder, places_type, places, ir.Constant(_WORD, 8 * lane), _WORD), typ=_WORD)
            refuse_outside(context, builder, array_type, array, at, BLOCK)
            starts.append(at)
        words = []
        for k in range(16):
            word = ir.Constant(_WORDS, ir.Undefined)
            for lane, start in enumerate(starts):
                at = builder.add(start, ir.Constant(_WORD, 4 * k))
                place = pointer(context, builder, array_type, array, at, ir.IntType(32))
                one = builder.load(place, align=1, typ=ir.IntType(32))
                word = builder.insert_element(word, one, ir.Constant(ir.IntType(32), lane))
            words.append(word)
        cells = [pointer(context, builder, state_type, state, ir.Constant(_WORD, 4 * LANES * i), _WORDS) for i in range(4)]
        before = [builder.load(cell, align=4, typ=_WORDS) for cell in cells]
        a, b, c, d = before
        for step in range(64):
            round_ = step // 16
            factor, offset = _FACTORS[round_]
            total = builder.add(_mixed(builder, round_, b, c, d), builder.add(a, _each(_SINES[step])))
            total = builder.add(total, words[(factor * step + offset) % 16])
            by = _SHIFTS[round_][step % 4]
            turned = builder.or_(builder.shl(total, _each(by)), builder.lshr(total, _each(32 - by)))
            a, b, c, d = d, builder.add(b, turned), b, c
        chosen = builder.bitcast(builder.trunc(active, ir.IntType(LANES)), ir.VectorType(ir.IntType(1), LANES))
        for cell, old, new in zip(cells, before, (a, b, c, d), strict=True):
            builder.store(builder.select(chosen, builder.add(old, new), old), cell, align=4)
        return context.get_dummy_value()

    return types.void(array, places, types.int64, state), codegen


@kernel
def digest_md5(text: U8, starts: I64, ends: I64, tails: U8, state: U32, places: I64, out: U8):
    """The MD5 of each span of `text` to out[16 * i:]. Scratch: `tails` 1,024 bytes, `state` 32 words, `places` 8."""
    for group in range(0, len(starts), LANES):
        lanes = min(int64(LANES), len(starts) - group)
        most = int64(0)
        for lane in range(LANES):
            state[lane] = uint32(0x67452301)
            state[LANES + lane] = uint32(0xEFCDAB89)
            state[2 * LANES + lane] = uint32(0x98BADCFE)
            state[3 * LANES + lane] = uint32(0x10325476)
            if lane < lanes:
                most = max(most, (ends[group + lane] - starts[group + lane]) // BLOCK)
        for block in range(most):
            active = int64(0)
            fine = int64(0)
            for lane in range(lanes):
                start = starts[group + lane]
                places[lane] = -1
                if block < (ends[group + lane] - start) // BLOCK:
                    active |= int64(1) << lane
                    fine = start + block * BLOCK
                    places[lane] = fine
            for lane in range(LANES):  # what a lane without a block reads is not used
                if (active >> lane) & 1 == 0:
                    places[lane] = fine
            take_blocks(text, places, active, state)
        for i in range(2 * BLOCK * LANES):
            tails[i] = 0
        long = int64(0)
        for lane in range(lanes):
            size = ends[group + lane] - starts[group + lane]
            rest = size % BLOCK
            at = 2 * BLOCK * lane
            for k in range(rest):
                tails[at + k] = text[ends[group + lane] - rest + k]
            tails[at + rest] = 0x80
            last = at + BLOCK - 8
            if rest >= BLOCK - 8:
                long |= int64(1) << lane
                last += BLOCK
            for k in range(8):
                tails[last + k] = ((size * 8) >> (8 * k)) & 0xFF
        for lane in range(LANES):
            places[lane] = 2 * BLOCK * lane
        take_blocks(tails, places, int64(0xFF), state)
        for lane in range(LANES):
            places[lane] = 2 * BLOCK * lane + BLOCK
        take_blocks(tails, places, long, state)
        for lane in range(lanes):
            for word in range(4):
                value = int64(state[word * LANES + lane])
                for k in range(4):
                    out[16 * (group + lane) + 4 * word + k] = (value >> (8 * k)) & 0xFF
    return int64(len(starts))
