"""What a kernel is: a plain function over typed arrays and scalars, registered under its name.

Parameters are annotated with the names below; a kernel returns one int64, a count or a status. Kernels and their helpers are
written as plain loops with plain subscripts. On registration every subscript `a[i]` is rewritten, so that indexing means
what it means in C and can be checked:

- native: the index is taken as unsigned; Numba's wrap-around for negative indices (a compare and a select each) is gone;
- checked: an index below 0 or past the end raises IndexError. Numba's own bounds checking lets `a[-1]` through.

Importing a family needs numba: it happens when the object is built, never when a pipeline runs.
"""

import ast
import inspect
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

U8 = "uint8[]"
I32 = "int32[]"
U32 = "uint32[]"
I64 = "int64[]"
U64 = "uint64[]"
F32 = "float32[]"
F64 = "float64[]"
INT = "int64"
FLOAT = "float64"

ITEMSIZE = {U8: 1, I32: 4, U32: 4, I64: 8, U64: 8, F32: 4, F64: 8}

CHECKED = os.environ.get("MILLSTREAM_KERNELS_CHECKED") == "1"
"""Set for a whole build process: are range tests compiled in?"""


@dataclass(frozen=True)
class Kernel:
    """One registered kernel: its name, its parameters as (name, type) pairs, its rewritten function."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    function: Callable[..., Any]


KERNELS: dict[str, Kernel] = {}

OUTLINED: list[Any] = []
"""Numba's dispatchers of the helpers that are never inlined; the build marks what they compiled to."""


@intrinsic
def _as_unsigned(typingctx: Any, index: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = signature.args[0]
        if source.bitwidth == 64:
            return args[0]
        extend = builder.sext if source.signed else builder.zext
        return extend(args[0], ir.IntType(64))

    return types.uint64(index), codegen


@njit(forceinline=True)
def _unchecked_index(index, array):  # type: ignore[no-untyped-def]
    return _as_unsigned(index)


@njit
def _checked_index(index, array):  # type: ignore[no-untyped-def]
    if index < 0 or index >= len(array):
        raise IndexError("index out of range")
    return uint64(index)


class _Subscripts(ast.NodeTransformer):
    """`a[i]` becomes `a[_index(i, a)]`."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.value, ast.Name) or isinstance(node.slice, ast.Slice | ast.Tuple):
            raise TypeError(f"line {node.lineno}: a kernel subscripts a named array with one index")
        array = ast.Name(node.value.id, ast.Load())
        node.slice = ast.Call(ast.Name("_index", ast.Load()), [node.slice, array], [])
        return node


def _rewritten(function: Callable[..., Any]) -> Callable[..., Any]:
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    tree = ast.fix_missing_locations(_Subscripts().visit(tree))
    ast.increment_lineno(tree, first - 1)
    filename = inspect.getsourcefile(function) or "<kernel>"
    namespace = function.__globals__
    namespace["_index"] = _checked_index if CHECKED else _unchecked_index
    local: dict[str, Any] = {}
    exec(compile(tree, filename, "exec"), namespace, local)
    rewritten: Callable[..., Any] = local[definition.name]
    return rewritten


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function as a kernel. Its annotations are its signature; outputs come last; it returns int64."""
    parameters = tuple((name, str(function.__annotations__[name])) for name in inspect.signature(function).parameters)
    rewritten = _rewritten(function)
    KERNELS[function.__name__] = Kernel(function.__name__, parameters, rewritten)
    return rewritten


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that kernels call. LLVM decides whether it is inlined."""
    # `forceinline` is told: left open, an inlined caller's flag would come down to all that it calls.
    return njit(_nrt=False, error_model="numpy", forceinline=False)(_rewritten(function))  # type: ignore[no-any-return]


def outlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A helper that is never inlined: for rare work that must not take registers of a hot loop."""
    made = helper(function)
    OUTLINED.append(made)
    return made


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A helper that is always inlined: for the few lines a hot loop repeats."""
    return njit(_nrt=False, error_model="numpy", forceinline=True)(_rewritten(function))  # type: ignore[no-any-return]
