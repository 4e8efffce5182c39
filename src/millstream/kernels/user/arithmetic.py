"""What arithmetic means in a user's function: what it means in Python, or an error where 64 bits or a float do not hold the result.

Numba's own integers wrap around, `int(nan)` is whatever the CPU makes of it, `math.log(0)` is -inf and `round(2.675, 2)` is 2.68. Here
each of them raises what Python raises, or gives what Python gives. `Checked` writes a function's operators as calls of what is below,
and `NAMES` are the built-in functions that are others; the module math is in `millstream.kernels.user.mathematics`.

Only the child that compiles imports this.
"""

import ast
import math
import operator
from typing import Any

from llvmlite import ir
from numba import njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic, overload

JIT: dict[str, Any] = {"_nrt": False, "error_model": "python", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""How every part of a user's function is compiled."""

TOO_LARGE = 9223372036854775808.0
_LONGEST = 22
"""Digits of the greatest power of ten that is a float64 without rounding."""


# --- integers ------------------------------------------------------------------------------------------------------------


def is_whole(*kinds: Any) -> bool:
    return all(isinstance(types.unliteral(kind), types.Integer | types.Boolean) for kind in kinds)


def _wide(*kinds: Any) -> Any:
    """The type in which integers meet: uint64 where one of them is."""
    return types.uint64 if types.uint64 in map(types.unliteral, kinds) else types.int64


def _checked(name: str) -> Any:
    """An operation on two integers as (result, does it not fit?): in 128 bits where their signs differ, else by LLVM's own."""

    @intrinsic
    def operation(typingctx, left, right):
        kinds, result = [types.unliteral(one) for one in (left, right)], _wide(left, right)
        is_mixed = result is types.uint64 and any(kind is not types.uint64 for kind in kinds)

        def codegen(context, builder, signature, args):
            width = ir.IntType(128 if is_mixed else 64)
            sides = []
            for value, kind in zip(args, kinds, strict=True):
                unsigned = isinstance(kind, types.Boolean) or not kind.signed
                bits = value.type.width
                sides.append(value if bits == width.width else (builder.zext if unsigned else builder.sext)(value, width))
            if is_mixed:
                whole = {"add": builder.add, "sub": builder.sub, "mul": builder.mul}[name](*sides)
                made = builder.trunc(whole, ir.IntType(64))
                over = builder.icmp_unsigned("!=", builder.zext(made, width), whole)
            else:
                called = f"llvm.{'u' if result is types.uint64 else 's'}{name}.with.overflow"
                pair = ir.LiteralStructType([width, ir.IntType(1)])
                function = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(pair, [width, width]), f"{called}.i64"
                )
                both = builder.call(function, sides)
                made, over = builder.extract_value(both, 0), builder.extract_value(both, 1)
            return context.make_tuple(builder, signature.return_type, [made, over])

        return types.Tuple([result, types.boolean])(left, right), codegen

    return operation


_add, _sub, _mul = (_checked(name) for name in ("add", "sub", "mul"))


def _checked_operator(name: str, intrinsic: Any) -> Any:
    plain = getattr(operator, name)

    def stub(a, b):
        return plain(a, b)

    @overload(stub)
    def choose(a, b):
        if not is_whole(a, b):
            return lambda a, b: plain(a, b)

        def whole(a, b):
            value, over = intrinsic(a, b)
            if over:
                raise OverflowError("the result does not fit 64 bits")
            return value

        return whole

    stub.__name__ = name
    return stub


add, sub, mul = (_checked_operator(*pair) for pair in (("add", _add), ("sub", _sub), ("mul", _mul)))


def neg(a):
    return -a


@overload(neg)
def _neg(a):
    if is_whole(a):
        return lambda a: sub(0, a)
    return lambda a: -a


def absolute(a):
    return abs(a)


@overload(absolute)
def _absolute(a):
    if isinstance(types.unliteral(a), types.Integer) and types.unliteral(a).signed:
        return lambda a: sub(0, a) if a < 0 else a
    if isinstance(types.unliteral(a), types.Boolean):
        return lambda a: int(a)
    return lambda a: abs(a)


def _is_mixed(*kinds: Any) -> bool:
    """Is one of them a uint64, and another a signed integer? Numba would make floats of them."""
    return (
        is_whole(*kinds) and _wide(*kinds) is types.uint64 and any(types.unliteral(kind) is not types.uint64 for kind in kinds)
    )


def floordiv(a, b):
    return a // b


@overload(floordiv)
def _floordiv(a, b):
    if _is_mixed(a, b):

        def unsigned(a, b):
            if a < 0 or b < 0:
                raise OverflowError("the result does not fit uint64")
            return uint64(a) // uint64(b)

        return unsigned
    if not is_whole(a, b) or _wide(a, b) is types.uint64:
        return lambda a, b: a // b

    def whole(a, b):
        if b == -1:  # what the CPU divides then may be one too large
            return sub(0, a)
        return a // b

    return whole


def mod(a, b):
    return a % b


@overload(mod)
def _mod(a, b):
    if not _is_mixed(a, b):
        return lambda a, b: a % b

    def unsigned(a, b):
        if a < 0 or b < 0:
            raise OverflowError("the result does not fit uint64")
        return uint64(a) % uint64(b)

    return unsigned


def both(a, b):
    return divmod(a, b)


@overload(both)
def _both(a, b):
    return lambda a, b: (floordiv(a, b), mod(a, b))


def lshift(a, b):
    return a << b


@overload(lshift)
def _lshift(a, b):
    def whole(a, b):
        if b < 0:
            raise ValueError("negative shift count")
        if b > 63:
            if a == 0:
                return mul(a, 1)
            raise OverflowError("the result does not fit 64 bits")
        if b == 63:
            return mul(mul(a, 1 << 62), 2)
        return mul(a, 1 << b)

    return whole


def rshift(a, b):
    return a >> b


@overload(rshift)
def _rshift(a, b):
    def whole(a, b):
        if b < 0:
            raise ValueError("negative shift count")
        return a >> min(b, 63)

    return whole


# --- powers --------------------------------------------------------------------------------------------------------------


def power(a, b):
    return a**b


@overload(power, prefer_literal=True)
def _power(a, b):
    exponent = b.literal_value if isinstance(b, types.Literal) else None
    if is_whole(a, b):
        if exponent is not None and exponent < 0:
            return lambda a, b: float_power(float(a), float(b))
        return lambda a, b: _whole_power(mul(a, 1), b)
    if exponent == 2:
        return lambda a, b: _square(float(a))
    return lambda a, b: float_power(float(a), float(b))


@njit(**JIT)
def _square(a):
    """pow(a, 2), rounded once, which libm's is not always."""
    result = a * a
    if math.isinf(result) and math.isfinite(a):
        raise OverflowError("the result is too large")
    return result


@njit(**JIT)
def _whole_power(a, b):
    if b < 0:
        raise ValueError("a negative power of a whole number is a fraction: write float(…) around the number")
    result = mul(a, 0) + 1
    while True:
        if b & 1:
            result = mul(result, a)
        b >>= 1
        if b == 0:
            return result
        a = mul(a, a)


@njit(**JIT)
def float_power(a, b):
    result = math.pow(a, b)
    if math.isnan(result) and not (math.isnan(a) or math.isnan(b)):
        raise ValueError("a fractional power of a negative number is complex")
    if math.isinf(result) and math.isfinite(a) and math.isfinite(b):
        raise OverflowError("the result is too large, or a negative power of 0")
    return result


# --- from floats to integers, and to fewer digits -----------------------------------------------------------------------


def whole(a):
    return int(a)


@overload(whole)
def _whole(a):
    if isinstance(types.unliteral(a), types.Float):

        def from_float(a):
            if not (-TOO_LARGE <= a < TOO_LARGE):
                raise OverflowError("no 64-bit integer is that")
            return int(a)

        return from_float
    return lambda a: int(a)


@intrinsic
def _fused(typingctx, a, b, c):
    """a * b + c with one rounding."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@njit(**JIT)
def _rounded(a, power):
    """The float nearest to the decimal that is nearest to `a`, of those with so many digits that `power` is a one with as many zeros."""
    product = a * power
    if not abs(product) < 9007199254740992.0:  # no digits are left to round; or NaN
        return a
    rest = _fused(a, power, -product)  # exactly what the product lacks
    below = math.floor(product)
    over = product - below
    if over == 0.0 and rest <= -0.5:
        below, over = below - 1, 1.0
    half = over - 0.5
    up = half > -rest or (half == -rest and below % 2 != 0)
    return math.copysign((below + 1 if up else below) / power, a)


def rounded(a, digits=None):
    return round(a, digits)


@overload(rounded, prefer_literal=True)
def _round(a, digits=None):
    is_none = digits is None or isinstance(digits, types.NoneType | types.Omitted)
    if is_whole(a) and is_none:
        return lambda a, digits=None: int(a)
    if is_none:
        return lambda a, digits=None: whole(float(round(a)) if abs(a) < 4503599627370496.0 else a)
    if not isinstance(digits, types.IntegerLiteral) or not 0 <= digits.literal_value <= _LONGEST:
        raise types.errors.TypingError(f"round takes its digits as a plain number from 0 to {_LONGEST}")
    if is_whole(a):
        return lambda a, digits=None: int(a)
    power = 10.0**digits.literal_value
    return lambda a, digits=None: _rounded(a, power)


NAMES: dict[str, Any] = {"int": whole, "round": rounded, "abs": absolute, "pow": power, "divmod": both}
"""Built-in functions that are others here."""
SHOWN = {"add": "+", "sub": "-", "mul": "*", "power": "**", "floordiv": "//", "lshift": "<<", "rshift": ">>", "truediv": "/", "mod": "%",
         "neg": "-", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}  # fmt: skip
"""Operators as users write them, by the names of functions here and of Numba's."""


_OPERATORS: dict[type[ast.operator], tuple[str, Any]] = {
    ast.Add: ("_millstream_add", add),
    ast.Sub: ("_millstream_sub", sub),
    ast.Mult: ("_millstream_mul", mul),
    ast.Pow: ("_millstream_power", power),
    ast.FloorDiv: ("_millstream_floordiv", floordiv),
    ast.Mod: ("_millstream_mod", mod),
    ast.LShift: ("_millstream_lshift", lshift),
    ast.RShift: ("_millstream_rshift", rshift),
}
_NEG = ("_millstream_neg", neg)
OPERATORS: dict[str, Any] = dict([*_OPERATORS.values(), _NEG])
"""The names by which `Checked` calls operators."""


for _called, _one in NAMES.items():
    _one.__name__ = _called  # as errors tell of it


class Checked(ast.NodeTransformer):
    """Operators of integers as calls of what is above."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Nobody sees the message, which may hold text that is no constant."""
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.copy_location(ast.Raise(kind, None), node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return ast.copy_location(ast.Assert(self.visit(node.test), None), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return self._called(node.op, node.left, node.right, node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) not in _OPERATORS or not isinstance(node.target, ast.Name):
            return node
        before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        return ast.copy_location(ast.Assign([node.target], self._called(node.op, before, node.value, node)), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.USub) or isinstance(node.operand, ast.Constant):
            return node
        return ast.copy_location(ast.Call(ast.copy_location(ast.Name(_NEG[0], ast.Load()), node), [node.operand], []), node)

    def _called(self, op: ast.operator, left: ast.expr, right: ast.expr, node: ast.AST) -> ast.expr:
        if type(op) not in _OPERATORS:
            return ast.copy_location(ast.BinOp(left, op, right), node)
        name = ast.copy_location(ast.Name(_OPERATORS[type(op)][0], ast.Load()), node)
        return ast.copy_location(ast.Call(name, [left, right], []), node)
