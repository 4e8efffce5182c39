"""Arrays by address, for kernels over many columns: a table of int64 words tells of each column where its memory is.

A call of a kernel costs as much as some hundred rows, and Python between two calls more. Where the table is right the arrays
are: Python makes both from the same columns, and in checked runs every access is held against the count that the table gives.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def _array_at(item: Any, size: int) -> Any:
    kind = types.Array(item, 1, "C")

    def typing(typingctx: Any, address: Any, count: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            array = context.make_array(kind)(context, builder)
            data = builder.inttoptr(args[0], array.data.type)
            width = ir.Constant(word, size)
            populate_array(array, data=data, shape=[args[1]], strides=[width], itemsize=width, meminfo=None)
            return array._getvalue()

        return kind(types.int64, types.int64), codegen

    return typing


@intrinsic
def words_at(typingctx: Any, address: Any, count: Any) -> Any:
    """`count` int64 items."""
    return _array_at(types.int64, 8)(typingctx, address, count)


@intrinsic
def doubles_at(typingctx: Any, address: Any, count: Any) -> Any:
    """`count` float64 items."""
    return _array_at(types.float64, 8)(typingctx, address, count)


@intrinsic
def bytes_at(typingctx: Any, address: Any, count: Any) -> Any:
    """`count` bytes."""
    return _array_at(types.uint8, 1)(typingctx, address, count)
