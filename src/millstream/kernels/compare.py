"""Comparison: equal and less for each physical kind; the other four follow by swapping sides and by `flip`.

`flip` is 0 or 1 and turns the answer round: a <= b is less(b, a) flipped. That holds for floats too, because NaN is equal
to itself and greater than all else here, as in Polars.

Numbers are compared a block of rows at a time. A side with fewer items than there are rows is one block that holds the same item
throughout (`columns.REPEATED` of them): it stands for a column of that, and is not read from memory again and again.
"""

from typing import Any

from llvmlite import ir
from numba import types, uint64
from numba.extending import intrinsic

from millstream.kernels.simd import load_word, pointer, refuse_outside
from millstream.kernels.spec import F64, I64, INT, U8, U64, helper, inlined, kernel

LANES = 32
_BYTES = ir.VectorType(ir.IntType(8), LANES)


def _compared(item: Any, test: Any) -> Any:
    """An intrinsic over a block of rows: out[at + k] = test(left[left_at + k], right[right_at + k]) ^ flip."""
    # LLVM's own vector loop compares four rows at a time, and packs the answers of so few at a loss.
    items = ir.VectorType(item, LANES)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def side(number: int) -> Any:
            array_type, array = signature.args[number], args[number]
            offset = builder.mul(args[number + 1], ir.Constant(ir.IntType(64), 8))
            refuse_outside(context, builder, array_type, array, offset, 8 * LANES)
            return builder.load(pointer(context, builder, array_type, array, offset, items), align=8, typ=items)

        answers = builder.zext(test(builder, side(0), side(2)), _BYTES)
        turns = builder.insert_element(
            ir.Constant(_BYTES, None), builder.trunc(args[4], _BYTES.element), ir.Constant(ir.IntType(32), 0)
        )
        first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        answers = builder.xor(answers, builder.shuffle_vector(turns, turns, first))
        refuse_outside(context, builder, signature.args[5], args[5], args[6], LANES)
        builder.store(answers, pointer(context, builder, signature.args[5], args[5], args[6], _BYTES), align=1)
        return context.get_dummy_value()

    @intrinsic
    def compared(typingctx: Any, left: Any, left_at: Any, right: Any, right_at: Any, flip: Any, out: Any, at: Any) -> Any:
        number = types.int64
        return types.void(left, number, right, number, number, out, number), codegen

    return compared


def _less_float(builder: Any, a: Any, b: Any) -> Any:
    """Where either is NaN: is that the right one alone?"""
    return builder.and_(builder.fcmp_unordered("<", a, b), builder.fcmp_ordered("ord", a, a))


def _equal_float(builder: Any, a: Any, b: Any) -> Any:
    both = builder.and_(builder.fcmp_unordered("uno", a, a), builder.fcmp_unordered("uno", b, b))
    return builder.or_(builder.fcmp_ordered("==", a, b), both)


equal_words = _compared(ir.IntType(64), lambda builder, a, b: builder.icmp_signed("==", a, b))
less_signed = _compared(ir.IntType(64), lambda builder, a, b: builder.icmp_signed("<", a, b))
less_unsigned = _compared(ir.IntType(64), lambda builder, a, b: builder.icmp_unsigned("<", a, b))
less_doubles = _compared(ir.DoubleType(), _less_float)
equal_doubles = _compared(ir.DoubleType(), _equal_float)


@inlined
def place(items, count, at):
    """Where the item of row `at` is, of a side that has one a row, or one block of the same."""
    return at if len(items) >= count else at & (LANES - 1)


@kernel
def equal_int64(left: I64, right: I64, flip: INT, out: U8):
    count = len(out)
    whole = count & -LANES
    for at in range(0, whole, LANES):
        equal_words(left, place(left, count, at), right, place(right, count, at), flip, out, at)
    for at in range(whole, count):
        a, b = left[place(left, count, at)], right[place(right, count, at)]
        out[at] = (1 if a == b else 0) ^ flip
    return count


@kernel
def less_int64(left: I64, right: I64, flip: INT, out: U8):
    count = len(out)
    whole = count & -LANES
    for at in range(0, whole, LANES):
        less_signed(left, place(left, count, at), right, place(right, count, at), flip, out, at)
    for at in range(whole, count):
        a, b = left[place(left, count, at)], right[place(right, count, at)]
        out[at] = (1 if a < b else 0) ^ flip
    return count


@kernel
def less_uint64(left: U64, right: U64, flip: INT, out: U8):
    count = len(out)
    whole = count & -LANES
    for at in range(0, whole, LANES):
        less_unsigned(left, place(left, count, at), right, place(right, count, at), flip, out, at)
    for at in range(whole, count):
        a, b = left[place(left, count, at)], right[place(right, count, at)]
        out[at] = (1 if a < b else 0) ^ flip
    return count


@kernel
def equal_float64(left: F64, right: F64, flip: INT, out: U8):
    count = len(out)
    whole = count & -LANES
    for at in range(0, whole, LANES):
        equal_doubles(left, place(left, count, at), right, place(right, count, at), flip, out, at)
    for at in range(whole, count):
        a, b = left[place(left, count, at)], right[place(right, count, at)]
        out[at] = (1 if (a == b) | ((a != a) & (b != b)) else 0) ^ flip
    return count


@kernel
def less_float64(left: F64, right: F64, flip: INT, out: U8):
    count = len(out)
    whole = count & -LANES
    for at in range(0, whole, LANES):
        less_doubles(left, place(left, count, at), right, place(right, count, at), flip, out, at)
    for at in range(whole, count):
        a, b = left[place(left, count, at)], right[place(right, count, at)]
        out[at] = (1 if (a < b) | ((a == a) & (b != b)) else 0) ^ flip
    return count


@kernel
def equal_uint8(left: U8, right: U8, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] == right[i] else 0) ^ flip
    return len(out)


@kernel
def less_uint8(left: U8, right: U8, flip: INT, out: U8):
    for i in range(len(out)):
        out[i] = (1 if left[i] < right[i] else 0) ^ flip
    return len(out)


@kernel
def equal_decimal(left: I64, right: I64, flip: INT, out: U8):
    """Two words a row, the low one first."""
    for i in range(len(out)):
        same = (left[2 * i] == right[2 * i]) & (left[2 * i + 1] == right[2 * i + 1])
        out[i] = (1 if same else 0) ^ flip
    return len(out)


@kernel
def less_decimal(left: I64, right: I64, flip: INT, out: U8):
    """Two words a row, the low one first, without a sign."""
    for i in range(len(out)):
        a, b = left[2 * i + 1], right[2 * i + 1]
        below = uint64(left[2 * i]) < uint64(right[2 * i])
        out[i] = (1 if (a < b) | ((a == b) & below) else 0) ^ flip
    return len(out)


@kernel
def compare_scaled(coarse: I64, fine: I64, factor: INT, out: I64):
    """-1, 0 or 1: how `coarse` of `factor` ticks each compares with `fine` ticks, without overflow."""
    for i in range(len(out)):
        whole = fine[i] // factor
        rest = fine[i] % factor
        if coarse[i] == whole:
            out[i] = -1 if rest > 0 else 0
        else:
            out[i] = -1 if coarse[i] < whole else 1
    return len(out)


@kernel
def compare_mixed(signed: I64, unsigned: I64, out: I64):
    """-1, 0 or 1: how an int64 compares with a uint64, whose bits are given."""
    for i in range(len(out)):
        a, b = signed[i], unsigned[i]
        if a < 0 or b < 0:
            out[i] = -1
        else:
            out[i] = (1 if a > b else 0) - (1 if a < b else 0)
    return len(out)


@helper
def same_bytes(left, left_at, right, right_at, length):
    """1 where two runs of bytes are the same. Reads nothing outside them."""
    i = 0
    while i + 8 <= length:
        if load_word(left, left_at + i) != load_word(right, right_at + i):
            return 0
        i += 8
    while i < length:
        if left[left_at + i] != right[right_at + i]:
            return 0
        i += 1
    return 1


@helper
def less_bytes(left, left_at, left_length, right, right_at, right_length):
    """1 where the left run of bytes sorts before the right one."""
    shared = min(left_length, right_length)
    i = 0
    while i + 8 <= shared and load_word(left, left_at + i) == load_word(right, right_at + i):
        i += 8
    while i < shared:
        a, b = left[left_at + i], right[right_at + i]
        if a != b:
            return 1 if a < b else 0
        i += 1
    return 1 if left_length < right_length else 0


@kernel
def equal_string(left_data: U8, left: I64, right_data: U8, right: I64, flip: INT, out: U8):
    count = len(out)
    for i in range(count):
        a, b = left[place(left, count, i)], right[place(right, count, i)]
        length = a >> 32
        same = 0
        if length == b >> 32:
            same = same_bytes(left_data, a & 0xFFFFFFFF, right_data, b & 0xFFFFFFFF, length)
        out[i] = same ^ flip
    return len(out)


@kernel
def less_string(left_data: U8, left: I64, right_data: U8, right: I64, flip: INT, out: U8):
    count = len(out)
    for i in range(count):
        a, b = left[place(left, count, i)], right[place(right, count, i)]
        out[i] = less_bytes(left_data, a & 0xFFFFFFFF, a >> 32, right_data, b & 0xFFFFFFFF, b >> 32) ^ flip
    return len(out)
