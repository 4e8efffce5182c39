"""The module math as users' functions find it: with Python's errors where Numba's gives NaN or an infinity."""

import math
from types import ModuleType
from typing import Any

from numba import njit, types
from numba.extending import intrinsic, overload

from millstream.kernels.user.arithmetic import JIT, TOO_LARGE, absolute, float_power, is_whole


def _of_one(name: str) -> Any:
    """A function of one number, with Python's errors: NaN of what is none is a ValueError, infinity of what is finite an OverflowError."""
    real = getattr(math, name)

    @njit(**JIT)
    def function(x):
        x = float(x)
        result = real(x)
        if math.isnan(result) and not math.isnan(x):
            raise ValueError("math domain error")
        if math.isinf(result) and math.isfinite(x):
            raise OverflowError("math range error")
        return result

    return function


def _of_whole(name: str) -> Any:
    """floor, ceil and trunc: whole numbers."""
    real = getattr(math, name)

    def stub(x):
        return real(x)

    @overload(stub)
    def choose(x):
        if is_whole(x):
            return lambda x: int(x)

        def of_float(x):
            if not (-TOO_LARGE <= x < TOO_LARGE):
                raise OverflowError("no 64-bit integer is that")
            return int(real(x))

        return of_float

    return stub


@intrinsic
def _remainder(typingctx: Any, x: Any, y: Any) -> Any:
    """C's fmod."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.frem(*args)

    return types.float64(types.float64, types.float64), codegen


@njit(**JIT)
def _fmod(x, y):
    x, y = float(x), float(y)
    result = _remainder(x, y)
    if math.isnan(result) and not (math.isnan(x) or math.isnan(y)):
        raise ValueError("math domain error")
    return result


def _power_of_floats(x, y):
    return math.pow(x, y)


@overload(_power_of_floats)
def _pow(x, y):
    return lambda x, y: float_power(float(x), float(y))


_log_of_one = _of_one("log")


def _log(x, base=None):
    return math.log(x, base)


@overload(_log)
def _log_of(x, base=None):
    if base is None or isinstance(base, types.NoneType | types.Omitted):
        return lambda x, base=None: _log_of_one(x)
    return lambda x, base=None: _log_of_one(x) / _log_of_one(base)


def _gcd(a, b):
    return math.gcd(a, b)


@overload(_gcd)
def _gcd_of(a, b):
    return lambda a, b: absolute(math.gcd(a, b))  # of the least int64 and 0 it is one more than the greatest


_ONES = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "erfc", "exp", "expm1", "gamma",
    "lgamma", "log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip
_AS_THEY_ARE = (
    "atan2",
    "copysign",
    "degrees",
    "fabs",
    "hypot",
    "radians",
    "isfinite",
    "isinf",
    "isnan",
    "pi",
    "e",
    "tau",
    "inf",
    "nan",
)

MATH: dict[str, Any] = {
    **{name: _of_one(name) for name in _ONES},
    **{name: _of_whole(name) for name in ("floor", "ceil", "trunc")},
    **{name: getattr(math, name) for name in _AS_THEY_ARE},
    "fmod": _fmod,
    "gcd": _gcd,
    "pow": _power_of_floats,
    "log": _log,
}
"""What there is of the module math."""


def math_module() -> ModuleType:
    """The module that a function finds as math."""
    module = ModuleType("math")
    vars(module).update(MATH)
    return module
