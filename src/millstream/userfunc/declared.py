"""`@udf`: a Python function that expressions call.

@udf("float64(float64, int64)")
def tax(price, qty):
    return price * qty * RATE

pipeline.with_columns(tax=tax(col("price"), col("qty")))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.errors import PlanError, UsageError
from millstream.expr import Expr, UserCall, as_expr
from millstream.userfunc.signature import EXAMPLE, Signature, read

if TYPE_CHECKING:
    from millstream.functions.function import Function


class UserFunction:
    """A function of a user's, which makes expressions where it is called with one.

    Called without an expression among its arguments it is the plain Python function, so that it can be tested, and called by others.
    """

    def __init__(self, function: Callable[..., Any], signature: Signature, batch: bool) -> None:
        self.__wrapped__ = function
        self.__name__ = self.name = str(getattr(function, "__name__", type(function).__name__))
        self.__qualname__ = getattr(function, "__qualname__", self.name)
        self.__doc__ = function.__doc__
        self.__module__ = getattr(function, "__module__", "")
        self.signature = signature
        self.batch = batch

    def __repr__(self) -> str:
        return f"<udf {self.name}: {self.signature}{', batch' if self.batch else ''}>"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not any(isinstance(one, Expr) for one in (*arguments, *named.values())):
            return self.__wrapped__(*arguments, **named)
        if named:
            raise UsageError(f"{self.name} takes its columns in order, without names: {self.name}({self._example()})")
        return self.of(*arguments)

    def of(self, *arguments: Any) -> Expr:
        """The expression that calls it."""
        if len(arguments) != len(self.signature.parameters):
            raise UsageError(
                f"{self.name} takes {len(self.signature.parameters)} arguments, {self.signature}, not {len(arguments)}"
            )
        return UserCall(self, tuple(as_expr(one) for one in arguments))

    def _example(self) -> str:
        return ", ".join(f"col({f'column{number}'!r})" for number in range(1, len(self.signature.parameters) + 1))

    @property
    def file(self) -> Path:
        """The file that it is written in."""
        code = getattr(self.__wrapped__, "__code__", None)
        return Path(code.co_filename if code is not None else "?").absolute()

    @cached_property
    def code(self) -> dict[str, Any]:
        """What the compiler is to see. Raises PlanError."""
        from millstream.userfunc.source import code_of

        said: dict[str, Any] = {"code": code_of(self.__wrapped__, self.name, len(self.signature.parameters))}  # type: ignore[arg-type]
        result = self.signature.result
        low, high = result.type.range if result.type.family not in ("float", "bool") else (0, 0)
        return said | {
            "name": self.name,
            "signature": str(self.signature),
            "parameters": [[one.type.physical, one.null] for one in self.signature.parameters],
            "result": {
                "type": str(result.type), "physical": result.type.physical, "bits": result.type.bits, "null": result.null,
                "low": low, "high": high,
            },
        }  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """What it is, in 64 hex digits: other code, other digits. Raises PlanError."""
        from millstream.userfunc.source import digest_of, text_of

        if not self.batch:
            return digest_of(self.code["code"], str(self.signature))
        found = text_of(self.__wrapped__) if hasattr(self.__wrapped__, "__code__") else None  # type: ignore[arg-type]
        text = found[0] if found else f"{self.__module__}.{self.__qualname__}"
        return digest_of({"text": text, "names": {}}, str(self.signature))

    @cached_property
    def bound(self) -> Function:
        """What the engine calls. A compiled function is loaded, and compiled first if need be."""
        if self.batch:
            from millstream.userfunc.batch import bound
        else:
            from millstream.userfunc.scalar import bound
        return bound(self)


def udf(signature: str, *, batch: bool = False) -> Callable[[Callable[..., Any]], UserFunction]:
    """Make a Python function one of expressions: @udf("float64(float64, int64)").

    The signature is a type, and in ( ) the types of the arguments, as a schema names them. Numba compiles the function; it is called
    with single values, and not at all where an argument is null, unless a ? behind a type says that it takes or gives None. What it
    raises rejects the record (UDF_FAILED).

    batch: it is not compiled, but called with pyarrow Arrays of a whole batch, and returns one. Then all types may be used.
    """
    if callable(signature):
        raise UsageError(f"udf takes a signature: write {EXAMPLE} above the function")
    if not isinstance(batch, bool):
        raise UsageError(f"udf: batch is {batch!r}; write True or False")
    try:
        parsed = read(signature, batch)
    except PlanError as error:
        raise UsageError(str(error)) from None

    def declare(function: Callable[..., Any]) -> UserFunction:
        if isinstance(function, UserFunction) or not callable(function):
            raise UsageError(f"udf stands above a function, not above {type(function).__name__}")
        return UserFunction(function, parsed, batch)

    return declare


def told(one: UserFunction) -> dict[str, str]:
    """A function, for `millstream plan --explain`: its name, its signature, and what runs."""
    if one.batch:
        return {"name": one.name, "signature": str(one.signature), "runs": "Python, once a batch"}
    from millstream.userfunc.scalar import loaded

    found = loaded(one)
    return {"name": one.name, "signature": str(one.signature), "runs": f"compiled for {found.cpu}, from {found.folder}"}


def prepare(functions: Sequence[UserFunction]) -> None:
    """Compile those that are not yet, all in one go; what fails is told where each is planned."""
    from millstream.userfunc.scalar import wanted

    asked = []
    for one in functions:
        if not one.batch:
            try:
                asked.append(wanted(one))
            except PlanError:
                continue
    if asked:
        from millstream.native.user_load import functions as compiled

        compiled.prepare(asked)
