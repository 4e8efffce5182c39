"""Functions of one number, element by element; powers of integers."""

from math import nan

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millstream.kernels.arithmetic import LOWEST, OUT_OF_RANGE, floor_double, product_overflows
from millstream.kernels.simd import bits_of_double
from millstream.kernels.spec import F64, FLOAT, I64, INT, U8, kernel


def _one_instruction(name):
    """A function of a float64 that is one instruction on every CPU we compile for."""

    @intrinsic
    def call(typingctx, value):
        def codegen(context, builder, signature, args):
            return builder.call(builder.module.declare_intrinsic(name, [ir.DoubleType()]), args)

        return types.float64(types.float64), codegen

    return call


ceil_double = _one_instruction("llvm.ceil")
cut_double = _one_instruction("llvm.trunc")
nearest_double = _one_instruction("llvm.roundeven")
root_double = _one_instruction("llvm.sqrt")
size_double = _one_instruction("llvm.fabs")

_WITHOUT_SIGN, _INFINITE_BITS = 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000

# What `map_float64` makes of a number.
FLOOR, CEIL, ROOT, SIZE, SIGN = 0, 1, 2, 3, 4


@kernel
def map_float64(source: F64, what: INT, out: F64):
    """The floor, the ceiling, the square root, the size or the sign of each number."""
    if what == FLOOR:
        for i in range(len(out)):
            out[i] = floor_double(source[i])
    elif what == CEIL:
        for i in range(len(out)):
            out[i] = ceil_double(source[i])
    elif what == ROOT:
        for i in range(len(out)):
            root = root_double(source[i])  # LLVM knows of roots, and would leave out a comparison of one with itself
            out[i] = nan if bits_of_double(root) & _WITHOUT_SIGN > _INFINITE_BITS else root
    elif what == SIZE:
        for i in range(len(out)):
            out[i] = size_double(source[i])
    else:
        for i in range(len(out)):
            value = source[i]
            out[i] = 1.0 if value > 0 else (-1.0 if value < 0 else value)
    return len(out)


@kernel
def round_float64(source: F64, factor: FLOAT, away: INT, out: F64):
    """The nearest multiple of 1 / factor, halves to even, or away from 0; infinities and NaN stay, and what is too large for the factor."""
    for i in range(len(out)):
        scaled = source[i] * factor
        if away == 1:
            cut = cut_double(scaled)
            rest = scaled - cut
            whole = cut + 1.0 if rest >= 0.5 else (cut - 1.0 if rest <= -0.5 else cut)
        else:
            whole = nearest_double(scaled)
        made = whole / factor
        out[i] = made if size_double(scaled) <= 1.7976931348623157e308 else source[i]
    return len(out)


# What `test_float64` asks.
NAN, NOT_NAN, FINITE, INFINITE = 0, 1, 2, 3


@kernel
def test_float64(source: F64, what: INT, out: U8):
    """1 where a number is NaN, is not, is finite, or is infinite."""
    for i in range(len(out)):
        value = source[i]
        nan = 1 if value != value else 0
        finite = 1 if size_double(value) <= 1.7976931348623157e308 else 0
        out[i] = nan if what == NAN else (1 - nan if what == NOT_NAN else (finite if what == FINITE else 1 - nan - finite))
    return len(out)


@kernel
def size_int64(source: I64, valid: U8, out: I64):
    """The number without its sign. The least one has none: OUT_OF_RANGE."""
    faults = 0
    for i in range(len(out)):
        out[i] = -source[i] if source[i] < 0 else source[i]
        fault = (source[i] == LOWEST) & (valid[i] == 1)
        valid[i] = OUT_OF_RANGE if fault else valid[i]
        faults += fault
    return faults


@kernel
def power_int64(base: I64, exponent: I64, valid: U8, out: I64):
    """base ** exponent. OUT_OF_RANGE beyond an int64, and for an exponent below 0."""
    faults = 0
    for i in range(len(out)):
        result = 1
        power = base[i]
        left = exponent[i]
        beyond = 1 if left < 0 else 0
        too_far = 0  # the power by now; it matters where it is still multiplied by
        while left > 0 and beyond == 0:
            if left & 1 == 1:
                beyond |= too_far | product_overflows(result, power)
                result *= power
            too_far |= product_overflows(power, power)
            power *= power
            left >>= 1
        out[i] = result
        if beyond != 0 and valid[i] == 1:
            valid[i] = OUT_OF_RANGE
            faults += 1
    return faults


@kernel
def sign_int64(source: I64, unsigned: INT, out: I64):
    """1, 0 or -1; `unsigned`: the bits are uint64's, which are never below 0."""
    for i in range(len(out)):
        value = source[i]
        out[i] = 0 if value == 0 else (1 if (value > 0) | (unsigned == 1) else -1)
    return len(out)


@kernel
def clip_int64(source: I64, low: I64, high: I64, out: I64):
    """The number, or the bound that it is beyond; the lower one wins over one that is below it."""
    for i in range(len(out)):
        value, least, most = source[i], low[i], high[i]
        out[i] = least if value < least else (most if value > most else value)
    return len(out)


@kernel
def clip_float64(source: F64, low: F64, high: F64, out: F64):
    """As `clip_int64`; NaN stays."""
    for i in range(len(out)):
        value, least, most = source[i], low[i], high[i]
        out[i] = least if value < least else (most if value > most else value)
    return len(out)
