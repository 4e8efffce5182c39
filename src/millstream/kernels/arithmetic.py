"""Arithmetic and number conversions, element by element.

A kernel that can fail takes `valid` as both input and output: it writes a code (or 0, null) where a row that was 1 has no
result, and returns how many rows it did that to. Rows that are not valid hold anything and are computed all the same.

Where the right side of + - * / has fewer items than there are rows, its first stands for every row.
"""

from math import nan

from llvmlite import ir
from numba import float32, float64, int64, types, uint64
from numba.extending import intrinsic

from millstream.kernels.divide import floor_by, reciprocal
from millstream.kernels.simd import multiply_high
from millstream.kernels.spec import F64, I64, INT, U8, U64, inlined, kernel

OUT_OF_RANGE = 11
LOWEST = -9223372036854775808


@intrinsic
def floor_double(typingctx, value):
    """The greatest whole float64 that is not above; one instruction, no libm."""

    def codegen(context, builder, signature, args):
        return builder.call(builder.module.declare_intrinsic("llvm.floor", [ir.DoubleType()]), args)

    return types.float64(types.float64), codegen


@intrinsic
def product_overflows(typingctx, left, right):
    """1 where the product of two int64 is no int64."""

    def codegen(context, builder, signature, args):
        pair = builder.smul_with_overflow(args[0], args[1])
        return builder.zext(builder.extract_value(pair, 1), ir.IntType(64))

    return types.int64(types.int64, types.int64), codegen


@inlined
def with_one_nan(value):
    """The value, any NaN as the one of Python's: what x86-64 makes of 0 / 0 has the sign that arm64's has not."""
    return value if value == value else nan


@kernel
def add_int64(left: I64, right: I64, valid: U8, out: I64):
    faults = 0
    for i in range(len(out)):
        a, b = left[i], right[i]
        total = a + b
        out[i] = total
        fault = (((a ^ total) & (b ^ total)) < 0) & (valid[i] == 1)
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def subtract_int64(left: I64, right: I64, valid: U8, out: I64):
    faults = 0
    for i in range(len(out)):
        a, b = left[i], right[i]
        rest = a - b
        out[i] = rest
        fault = (((a ^ b) & (a ^ rest)) < 0) & (valid[i] == 1)
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def multiply_int64(left: I64, right: I64, valid: U8, out: I64):
    faults = 0
    for i in range(len(out)):
        a, b = left[i], right[i]
        out[i] = a * b
        fault = (product_overflows(a, b) != 0) & (valid[i] == 1)
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def floor_divide_int64(left: I64, right: I64, valid: U8, out: I64):
    """Rounded towards minus infinity; null where the divisor is 0."""
    faults = 0
    for i in range(len(out)):
        a, b = left[i], right[i]
        zero = b == 0
        beyond = (b == -1) & (a == LOWEST)
        b = 1 if zero | beyond else b
        out[i] = a // b
        if (zero | beyond) & (valid[i] == 1):
            valid[i] = 0 if zero else OUT_OF_RANGE
            faults += 1
    return faults


@kernel
def modulo_int64(left: I64, right: I64, valid: U8, out: I64):
    """The rest of a floor division: it has the divisor's sign; null where that is 0."""
    faults = 0
    for i in range(len(out)):
        a, b = left[i], right[i]
        zero = b == 0
        b = 1 if zero | (b == -1) else b
        out[i] = a % b
        if zero & (valid[i] == 1):
            valid[i] = 0
            faults += 1
    return faults


@kernel
def negate_int64(source: I64, valid: U8, out: I64):
    faults = 0
    for i in range(len(out)):
        out[i] = -source[i]
        fault = (source[i] == LOWEST) & (valid[i] == 1)
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def add_uint64(left: U64, right: U64, valid: U8, out: U64):
    faults = 0
    for i in range(len(out)):
        total = left[i] + right[i]
        fault = (total < left[i]) & (valid[i] == 1)
        out[i] = total
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def subtract_uint64(left: U64, right: U64, valid: U8, out: U64):
    faults = 0
    for i in range(len(out)):
        fault = (left[i] < right[i]) & (valid[i] == 1)
        out[i] = left[i] - right[i]
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def multiply_uint64(left: U64, right: U64, valid: U8, out: U64):
    faults = 0
    for i in range(len(out)):
        fault = (multiply_high(left[i], right[i]) != uint64(0)) & (valid[i] == 1)
        out[i] = left[i] * right[i]
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def floor_divide_uint64(left: U64, right: U64, valid: U8, out: U64):
    faults = 0
    for i in range(len(out)):
        divisor = right[i]
        zero = divisor == uint64(0)
        out[i] = left[i] // (uint64(1) if zero else divisor)
        if zero & (valid[i] == 1):
            valid[i] = 0
            faults += 1
    return faults


@kernel
def modulo_uint64(left: U64, right: U64, valid: U8, out: U64):
    faults = 0
    for i in range(len(out)):
        divisor = right[i]
        zero = divisor == uint64(0)
        out[i] = left[i] % (uint64(1) if zero else divisor)
        if zero & (valid[i] == 1):
            valid[i] = 0
            faults += 1
    return faults


@kernel
def add_float64(left: F64, right: F64, out: F64):
    if len(right) < len(out):
        other = right[0]
        for i in range(len(out)):
            out[i] = with_one_nan(left[i] + other)
        return len(out)
    for i in range(len(out)):
        out[i] = with_one_nan(left[i] + right[i])
    return len(out)


@kernel
def subtract_float64(left: F64, right: F64, out: F64):
    if len(right) < len(out):
        other = right[0]
        for i in range(len(out)):
            out[i] = with_one_nan(left[i] - other)
        return len(out)
    for i in range(len(out)):
        out[i] = with_one_nan(left[i] - right[i])
    return len(out)


@kernel
def multiply_float64(left: F64, right: F64, out: F64):
    if len(right) < len(out):
        other = right[0]
        for i in range(len(out)):
            out[i] = with_one_nan(left[i] * other)
        return len(out)
    for i in range(len(out)):
        out[i] = with_one_nan(left[i] * right[i])
    return len(out)


@kernel
def divide_float64(left: F64, right: F64, out: F64):
    if len(right) < len(out):
        other = right[0]
        for i in range(len(out)):
            out[i] = with_one_nan(left[i] / other)
        return len(out)
    for i in range(len(out)):
        out[i] = with_one_nan(left[i] / right[i])
    return len(out)


@kernel
def floor_divide_float64(left: F64, right: F64, out: F64):
    for i in range(len(out)):
        out[i] = with_one_nan(floor_double(left[i] / right[i]))
    return len(out)


@kernel
def modulo_float64(left: F64, right: F64, out: F64):
    """left - right * floor(left / right), as Polars has it: NaN for a divisor of 0 and for infinities."""
    for i in range(len(out)):
        out[i] = with_one_nan(left[i] - right[i] * floor_double(left[i] / right[i]))
    return len(out)


@kernel
def negate_float64(source: F64, out: F64):
    for i in range(len(out)):
        out[i] = -source[i]
    return len(out)


@kernel
def convert_int64_float64(source: I64, out: F64):
    for i in range(len(out)):
        out[i] = float64(source[i])
    return len(out)


@kernel
def convert_uint64_float64(source: U64, out: F64):
    for i in range(len(out)):
        out[i] = float64(source[i])
    return len(out)


@kernel
def convert_uint8_int64(source: U8, out: I64):
    for i in range(len(out)):
        out[i] = source[i]
    return len(out)


@kernel
def round_float32(source: F64, code: INT, valid: U8, out: F64):
    """The nearest float32 of each, still as float64; a finite number that it does not reach gets the code."""
    faults = 0
    for i in range(len(out)):
        value = source[i]
        single = float64(float32(value))
        out[i] = single
        if (single - single != 0.0) & (value - value == 0.0) & (valid[i] == 1):
            valid[i] = code
            faults += 1
    return faults


@kernel
def convert_int64_float32(source: I64, unsigned: INT, out: F64):
    """The nearest float32 of each integer, as float64."""
    for i in range(len(out)):
        out[i] = float64(float32(uint64(source[i]))) if unsigned == 1 else float64(float32(source[i]))
    return len(out)


@kernel
def convert_float64_int64(source: F64, code: INT, valid: U8, out: I64):
    """Cut off towards zero. NaN and what no int64 holds get `code`."""
    faults = 0
    for i in range(len(out)):
        value = source[i]
        fits = (value >= -9223372036854775808.0) & (value < 9223372036854775808.0)
        out[i] = int64(value) if fits else 0
        if (not fits) & (valid[i] == 1):
            valid[i] = code
            faults += 1
    return faults


@kernel
def convert_float64_uint64(source: F64, code: INT, valid: U8, out: U64):
    """Cut off towards zero. NaN and what no uint64 holds get `code`."""
    faults = 0
    for i in range(len(out)):
        value = source[i]
        fits = (value > -1.0) & (value < 18446744073709551616.0)
        out[i] = uint64(value) if fits & (value >= 1.0) else uint64(0)
        if (not fits) & (valid[i] == 1):
            valid[i] = code
            faults += 1
    return faults


@kernel
def refuse_outside(source: I64, low: INT, high: INT, code: INT, valid: U8):
    """Rows outside low..high get `code`."""
    faults = 0
    for i in range(len(source)):
        fault = ((source[i] < low) | (source[i] > high)) & (valid[i] == 1)
        valid[i] = code if fault else valid[i]
        faults += fault
    return faults


@kernel
def rescale_int64(source: I64, multiplier: INT, divisor: INT, code: INT, valid: U8, out: I64):
    """source * multiplier // divisor, one of which is 1. A product that is no int64 gets `code`."""
    faults = 0
    if multiplier == 1:
        factor, shift = reciprocal(divisor)
        for i in range(len(out)):
            out[i] = floor_by(source[i], divisor, factor, shift)
        return faults
    for i in range(len(out)):
        out[i] = source[i] * multiplier
        fault = (product_overflows(source[i], multiplier) != 0) & (valid[i] == 1)
        valid[i] = code if fault else valid[i]
        faults += fault
    return faults
