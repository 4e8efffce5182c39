"""Vector intrinsics: what a kernel cannot say in plain Python.

Each compiles to a few instructions on every target. In a checked build each tests its range first and raises IndexError.
Masks and words are int64: Numba turns uint64 mixed with int64 into float64.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millstream.kernels.spec import CHECKED

LANES = 64
_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)
_BLOCK = ir.VectorType(_BYTE, LANES)


def _refuse_outside(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, size: int) -> None:
    """In a checked build: raise unless 0 <= offset and offset + size <= bytes of the array."""
    if not CHECKED:
        return
    view = context.make_array(array_type)(context, builder, array)
    count = builder.mul(builder.extract_value(view.shape, 0), ir.Constant(_WORD, array_type.dtype.bitwidth // 8))
    end = builder.add(offset, ir.Constant(_WORD, size))
    bad = builder.or_(builder.icmp_signed("<", offset, ir.Constant(_WORD, 0)), builder.icmp_signed(">", end, count))
    with builder.if_then(bad, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, (f"{size} bytes out of range",))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, to: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [offset])
    return builder.bitcast(pointer, to.as_pointer())


def _load(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, of: Any, size: int) -> Any:
    _refuse_outside(context, builder, array_type, array, offset, size)
    return builder.load(_pointer(context, builder, array_type, array, offset, of), align=1, typ=of)


def _splat(builder: Any, byte: Any, vector: Any = _BLOCK) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(empty, byte, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, empty, zeros)


def _byte_mask(predicate: str) -> Any:
    def typing(typingctx: Any, array: Any, offset: Any, byte: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            loaded = _load(context, builder, signature.args[0], args[0], args[1], _BLOCK, LANES)
            wanted = _splat(builder, builder.trunc(args[2], _BYTE))
            return builder.bitcast(builder.icmp_unsigned(predicate, loaded, wanted), _WORD)

        return types.int64(array, types.int64, types.int64), codegen

    return typing


@intrinsic
def equal_mask(typingctx: Any, array: Any, offset: Any, byte: Any) -> Any:
    """Bit i: array[offset + i] == byte, for 64 bytes."""
    return _byte_mask("==")(typingctx, array, offset, byte)


@intrinsic
def below_mask(typingctx: Any, array: Any, offset: Any, byte: Any) -> Any:
    """Bit i: array[offset + i] < byte, for 64 bytes."""
    return _byte_mask("<")(typingctx, array, offset, byte)


@intrinsic
def above_mask(typingctx: Any, array: Any, offset: Any, byte: Any) -> Any:
    """Bit i: array[offset + i] > byte, for 64 bytes."""
    return _byte_mask(">")(typingctx, array, offset, byte)


@intrinsic
def unusual_mask(typingctx: Any, array: Any, offset: Any) -> Any:
    """Bit i: array[offset + i] is a backslash, a control character or beyond ASCII, for 64 bytes. Two compares for all three."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = _load(context, builder, signature.args[0], args[0], args[1], _BLOCK, LANES)
        outside = builder.icmp_signed("<", loaded, ir.Constant(_BLOCK, [32] * LANES))
        backslash = builder.icmp_unsigned("==", loaded, ir.Constant(_BLOCK, [92] * LANES))
        return builder.bitcast(builder.or_(outside, backslash), _WORD)

    return types.int64(array, types.int64), codegen


@intrinsic
def trailing_zeros(typingctx: Any, word: Any) -> Any:
    """The position of the lowest set bit; 64 for 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), codegen


@intrinsic
def leading_zeros(typingctx: Any, word: Any) -> Any:
    """The count of zero bits above the highest set bit; 64 for 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), codegen


@intrinsic
def count_ones(typingctx: Any, word: Any) -> Any:
    """The count of set bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@intrinsic
def shift_right(typingctx: Any, word: Any, bits: Any) -> Any:
    """A logical shift of an int64, 0 <= bits < 64 (Numba's >> on int64 copies the sign)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.lshr(args[0], args[1])

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def multiply_high(typingctx: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of the 128-bit product of two uint64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _WORD)

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def load_word(typingctx: Any, array: Any, offset: Any) -> Any:
    """Eight bytes at any byte offset as a little-endian int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, signature.args[0], args[0], args[1], _WORD, 8)

    return types.int64(array, types.int64), codegen


def _store(of: Any, size: int, scalar: Any) -> Any:
    def typing(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _refuse_outside(context, builder, signature.args[0], args[0], args[1], size)
            value = args[2]
            if isinstance(value.type, ir.IntType) and value.type.width > size * 8:
                value = builder.trunc(value, of)
            builder.store(value, _pointer(context, builder, signature.args[0], args[0], args[1], of), align=1)
            return context.get_dummy_value()

        return types.void(array, types.int64, scalar), codegen

    return typing


@intrinsic
def store_word(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write an int64 as eight little-endian bytes at any byte offset."""
    return _store(_WORD, 8, types.int64)(typingctx, array, offset, value)


@intrinsic
def store_double(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a float64 at any byte offset."""
    return _store(ir.DoubleType(), 8, types.float64)(typingctx, array, offset, value)


@intrinsic
def store_byte(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write the low byte of an int64 at a byte offset."""
    return _store(_BYTE, 1, types.int64)(typingctx, array, offset, value)


@intrinsic
def copy_block(typingctx: Any, source: Any, source_offset: Any, target: Any, target_offset: Any) -> Any:
    """Copy 32 bytes from one array to another; both must hold them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = ir.VectorType(_BYTE, 32)
        loaded = _load(context, builder, signature.args[0], args[0], args[1], half, 32)
        _refuse_outside(context, builder, signature.args[2], args[2], args[3], 32)
        builder.store(loaded, _pointer(context, builder, signature.args[2], args[2], args[3], half), align=1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


@intrinsic
def double_of_bits(typingctx: Any, bits: Any) -> Any:
    """The float64 with these 64 bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def bits_of_double(typingctx: Any, value: Any) -> Any:
    """The 64 bits of a float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _WORD)

    return types.int64(types.float64), codegen
