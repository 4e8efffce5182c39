"""Division by a number that is the same in every row: a multiplication and a shift.

After T. Granlund and P. L. Montgomery, "Division by invariant integers using multiplication": of dividends below 2**63 the reciprocal
rounded up needs 64 bits, whatever the divisor.
"""

from numba import int64, uint64

from millstream.kernels.simd import leading_zeros, multiply_high
from millstream.kernels.spec import helper, inlined


@helper
def reciprocal(divisor):
    """(factor, shift) for `floor_by` of a divisor above 0."""
    if divisor == 1:
        return uint64(0), int64(0)
    shift = 63 - leading_zeros(divisor - 1)  # 2**shift < divisor <= 2**(shift + 1)
    # 2**(64 + shift) divided by the divisor, bit by bit; the quotient has 64 bits.
    rest, quotient, by = uint64(1), uint64(0), uint64(divisor)
    for _ in range(64 + shift):
        rest = rest << uint64(1)
        quotient = quotient << uint64(1)
        if rest >= by:
            rest -= by
            quotient |= uint64(1)
    return quotient + uint64(1), int64(shift)


@inlined
def floor_by(value, divisor, factor, shift):
    """value // divisor, rounded towards minus infinity, by what `reciprocal` gave for the divisor."""
    sign = value >> 63
    quotient = int64(multiply_high(uint64(value ^ sign), factor) >> uint64(shift)) ^ sign
    return value if divisor == 1 else quotient
