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
_HALF = ir.VectorType(_BYTE, 32)


def refuse_outside(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, size: int) -> None:
    """In a checked build: raise unless 0 <= offset and offset + size <= bytes of the array."""
    if not CHECKED:
        return
    view = context.make_array(array_type)(context, builder, array)
    count = builder.mul(builder.extract_value(view.shape, 0), ir.Constant(_WORD, array_type.dtype.bitwidth // 8))
    end = builder.add(offset, ir.Constant(_WORD, size))
    bad = builder.or_(builder.icmp_signed("<", offset, ir.Constant(_WORD, 0)), builder.icmp_signed(">", end, count))
    with builder.if_then(bad, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, (f"{size} bytes out of range",))


def pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, to: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [offset])
    return builder.bitcast(pointer, to.as_pointer())


def _load(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, of: Any, size: int) -> Any:
    refuse_outside(context, builder, array_type, array, offset, size)
    return builder.load(pointer(context, builder, array_type, array, offset, of), align=1, typ=of)


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
def string_events(typingctx: Any, array: Any, offset: Any) -> Any:
    """Of 32 bytes: bit i where array[offset + i] is a quote; bit 32 + i where it is a backslash, below 32 or beyond ASCII."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = _load(context, builder, signature.args[0], args[0], args[1], _HALF, 32)
        quote = builder.icmp_unsigned("==", loaded, ir.Constant(_HALF, [34] * 32))
        outside = builder.icmp_signed("<", loaded, ir.Constant(_HALF, [32] * 32))
        unusual = builder.or_(outside, builder.icmp_unsigned("==", loaded, ir.Constant(_HALF, [92] * 32)))
        low, high = (builder.zext(builder.bitcast(mask, ir.IntType(32)), _WORD) for mask in (quote, unusual))
        return builder.or_(low, builder.shl(high, ir.Constant(_WORD, 32)))

    return types.int64(array, types.int64), codegen


@intrinsic
def other_mask(typingctx: Any, array: Any, offset: Any) -> Any:
    """Bit i: array[offset + i] is no decimal digit, for 32 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = _load(context, builder, signature.args[0], args[0], args[1], _HALF, 32)
        above = builder.sub(loaded, ir.Constant(_HALF, [48] * 32))
        mask = builder.bitcast(builder.icmp_unsigned(">", above, ir.Constant(_HALF, [9] * 32)), ir.IntType(32))
        return builder.zext(mask, _WORD)

    return types.int64(array, types.int64), codegen


@intrinsic
def differing_bytes(typingctx: Any, left: Any, left_offset: Any, right: Any, right_offset: Any) -> Any:
    """Bit i: of 32 bytes, left[left_offset + i] and right[right_offset + i] differ (byte offsets into both arrays)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = _load(context, builder, signature.args[0], args[0], args[1], _HALF, 32)
        other = _load(context, builder, signature.args[2], args[2], args[3], _HALF, 32)
        return builder.zext(builder.bitcast(builder.icmp_unsigned("!=", one, other), ir.IntType(32)), _WORD)

    return types.int64(left, types.int64, right, types.int64), codegen


@intrinsic
def decode_sextets(typingctx: Any, source: Any, source_offset: Any, target: Any, target_offset: Any) -> Any:
    """32 characters of base64 to 24 bytes; 32 are written. Returns a bit for each character that is in neither alphabet.

    In one array the target may be the source, or lie before it.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def each(value: int) -> Any:
            return ir.Constant(_HALF, [value & 0xFF] * 32)

        text = _load(context, builder, signature.args[0], args[0], args[1], _HALF, 32)
        value, known = each(0), ir.Constant(ir.VectorType(ir.IntType(1), 32), [0] * 32)
        for first, count, base in ((65, 26, 0), (97, 26, 26), (48, 10, 52)):
            place = builder.sub(text, each(first))
            inside = builder.icmp_unsigned("<", place, each(count))
            value = builder.select(inside, builder.add(place, each(base)), value)
            known = builder.or_(known, inside)
        for characters, base in ((b"+-", 62), (b"/_", 63)):
            one, other = (builder.icmp_unsigned("==", text, each(character)) for character in characters)
            inside = builder.or_(one, other)
            value = builder.select(inside, each(base), value)
            known = builder.or_(known, inside)
        wide = ir.VectorType(ir.IntType(32), 8)
        fours = builder.bitcast(value, wide)
        bits = ir.Constant(wide, [0] * 8)
        for byte in range(4):
            sextet = builder.lshr(fours, ir.Constant(wide, [8 * byte] * 8))
            sextet = builder.and_(sextet, ir.Constant(wide, [0x3F] * 8))
            bits = builder.or_(bits, builder.shl(sextet, ir.Constant(wide, [18 - 6 * byte] * 8)))
        order = [4 * (i // 3) + 2 - i % 3 for i in range(24)] + [0] * 8
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 32), order)
        packed = builder.shuffle_vector(builder.bitcast(bits, _HALF), each(0), lanes)
        refuse_outside(context, builder, signature.args[2], args[2], args[3], 32)
        builder.store(packed, pointer(context, builder, signature.args[2], args[2], args[3], _HALF), align=1)
        return builder.zext(builder.bitcast(builder.not_(known), ir.IntType(32)), _WORD)

    return types.int64(source, types.int64, target, types.int64), codegen


@intrinsic
def digits_value(typingctx: Any, array: Any, end: Any, count: Any, behind: Any) -> Any:
    """The value of `count` decimal digits before array[end], which have a point before the last `behind` (32: no point).

    count: 0 to 31; of more than 24 digits it is the last 24, modulo 2**64. 33 bytes before array[end] can be read.
    """

    def at_least(builder: Any, left: Any) -> Any:
        """Lanes from 32 - left on."""
        first = builder.sub(ir.Constant(_BYTE, 32), builder.trunc(left, _BYTE))
        return builder.icmp_unsigned(">=", ir.Constant(_HALF, list(range(32))), _splat(builder, first, _HALF))

    def added_up(builder: Any, digits: Any, width: int) -> Any:
        """Numbers of `width` bits to half as many of twice the width; of a pair the first weighs more."""
        lanes = 128 // width
        wide = ir.VectorType(ir.IntType(2 * width), lanes)
        pairs = builder.bitcast(digits, wide)
        upper = builder.and_(pairs, ir.Constant(wide, [(1 << width) - 1] * lanes))
        lower = builder.lshr(pairs, ir.Constant(wide, [width] * lanes))
        return builder.add(builder.mul(upper, ir.Constant(wide, [10 ** (width // 8)] * lanes)), lower)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, (array, end, count, behind) = signature.args[0], args
        after = _load(context, builder, array_type, array, builder.sub(end, ir.Constant(_WORD, 32)), _HALF, 32)
        before = _load(context, builder, array_type, array, builder.sub(end, ir.Constant(_WORD, 33)), _HALF, 32)
        text = builder.select(at_least(builder, behind), after, before)
        digits = builder.sub(text, ir.Constant(_HALF, [48] * 32))
        digits = builder.select(at_least(builder, count), digits, ir.Constant(_HALF, [0] * 32))
        eights = added_up(builder, added_up(builder, added_up(builder, digits, 8), 16), 32)
        high, middle, low = (builder.extract_element(eights, ir.Constant(ir.IntType(32), i)) for i in (1, 2, 3))
        value = builder.add(low, builder.mul(middle, ir.Constant(_WORD, 10**8)))
        return builder.add(value, builder.mul(high, ir.Constant(_WORD, 10**16)))

    return types.uint64(array, types.int64, types.int64, types.int64), codegen


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
            refuse_outside(context, builder, signature.args[0], args[0], args[1], size)
            value = args[2]
            if isinstance(value.type, ir.IntType) and value.type.width > size * 8:
                value = builder.trunc(value, of)
            builder.store(value, pointer(context, builder, signature.args[0], args[0], args[1], of), align=1)
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
        loaded = _load(context, builder, signature.args[0], args[0], args[1], _HALF, 32)
        refuse_outside(context, builder, signature.args[2], args[2], args[3], 32)
        builder.store(loaded, pointer(context, builder, signature.args[2], args[2], args[3], _HALF), align=1)
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


@intrinsic
def bits_of_single(typingctx: Any, value: Any) -> Any:
    """The 32 bits of the nearest float32 of a float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(builder.fptrunc(args[0], ir.FloatType()), ir.IntType(32))
        return builder.zext(bits, _WORD)

    return types.int64(types.float64), codegen
