"""What a function of the catalogue is, and the one place where nulls and errors are dealt with.

A row of a column is valid, null, or in error (a `Code`). Every policy lets an error through, and an error wins over a null:

- `PROPAGATE`: the result is null where any argument is null. `compute` sees only the merged validity.
- `KLEENE`: for & and |, where false (true) decides whatever the other side's null would have been.
- `INSPECT`: the function looks at nulls itself, and makes the validity of its result.

An error made inside a step (an overflow, a cast that fails) travels on to whatever is computed from it. What of it reaches a
new column or a predicate at the end of the step rejects the record. `when` passes on only errors of the branch it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

from millstream.classes import dataclass
from millstream.columns import Vector, filled_bytes, room_for_validity
from millstream.functions.parameters import Parameter, parameters
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, allocate
from millstream.schema import Type


class Policy(Enum):
    """How a function meets nulls; see the module."""

    PROPAGATE = "null where an argument is null"
    KLEENE = "three-valued logic"
    INSPECT = "looks at nulls itself"


class Operand(NamedTuple):
    """An argument as a signature sees it: its type and, for a literal, its value. A literal takes its neighbour's type."""

    type: Type
    literal: bool = False
    value: Any = None


class Signature(NamedTuple):
    """The types that arguments are brought to, and the type of the result."""

    arguments: tuple[Type, ...]
    result: Type


class Call:
    """One evaluation over `length` rows: arguments of the signature's types, and the validity of the result so far."""

    __slots__ = (
        "arguments",
        "length",
        "options",
        "type",
        "valid",
    )

    def __init__(
        self,
        arguments: Sequence[Vector],
        options: Mapping[str, Any],
        type: Type,  # noqa: A002
        length: int,
        valid: Memory | None = None,
    ) -> None:
        self.arguments = arguments
        self.options = options
        self.type = type
        self.length = length
        self.valid = valid

    def numbers(self) -> Memory:
        """Fresh room for one 8-byte item a row."""
        return allocate(self.length, 8)

    def bytes(self) -> Memory:
        """Fresh room for one byte a row."""
        return allocate(self.length, 1)

    def fault(self, kernel: Callable[..., int], *arguments: Any, out: Memory | None = None) -> None:
        """Call a kernel that may turn rows null or into errors: it gets the arguments, the validity bytes, and `out`.

        It answers how many rows it turned, 0 if and only if it left all bytes as they were: bytes of 1 then serve the next call.
        """
        last = () if out is None else (out,)
        if self.valid is not None:
            valid = self.bytes()
            kernels.copy_uint8(self.valid, valid)
            if kernel(*arguments, valid, *last):
                self.valid = valid
            return
        spare = _take_spare(self.length)
        valid = Memory(spare.owner, spare.address, self.length, 1)
        if kernel(*arguments, valid, *last):
            self.valid = valid
        elif spare.count <= _LONGEST_SPARE and len(_spare) < _MOST_SPARE:
            _spare.append(spare)

    def also(self, valid: Memory | None) -> None:
        """The result is valid only where this is, too."""
        if valid is None or self.valid is None:
            self.valid = self.valid if valid is None else valid
            return
        both = room_for_validity(self.length, self.valid, valid)
        kernels.merge_validity(self.valid, valid, both)
        self.valid = both


_LONGEST_SPARE, _MOST_SPARE = 1 << 20, 4
_spare: list[Memory] = []
"""Bytes of 1 that nobody has just now: what a thread takes out is its own until it is back."""


def forget_spare() -> None:
    """Have the next call make its bytes of 1 anew."""
    _spare.clear()


def _take_spare(count: int) -> Memory:
    """So many bytes of 1, or more."""
    try:
        found = _spare.pop()
    except IndexError:
        found = EMPTY
    return found if found.count >= count else filled_bytes(1, max(count, 1 << 13))


Columns = Mapping[str, tuple[str, Sequence[Any]]]
"""Columns of an example: name to (type, values)."""


class Example(NamedTuple):
    """An expression as text, the columns it reads as name: (type, values), and the values it gives. Tests run each."""

    text: str
    columns: Columns
    result: Sequence[Any]


class Form(Enum):
    """How a function is written."""

    OPERATOR = "operator"
    METHOD = "method"
    FUNCTION = "function"


_PROPAGATE = Policy.PROPAGATE  # to ask an enumeration takes ten times as long


def _rewritten(*_: Any) -> Any:
    raise AssertionError("a function that is written with others is never computed itself")


@dataclass(frozen=True)
class Function:
    """One function: what users call it, what it takes and gives, how it meets nulls, and how it is computed.

    name: as in the method chain, "str.contains"; operators have names too ("add").
    takes: the families of types it takes and what it gives, for readers: "date|timestamp -> int8".
    signature: takes the operands and the options; raises PlanError where they do not fit.
    compute: takes a Call; gives the values, or a whole Vector for strings and under INSPECT and KLEENE.
    by: the kernels it stands on, or functions of pyarrow.compute, which is imported only when one of them is used.
    parameters: what it takes beside its first argument, or all that a function takes (`millstream.functions.parameters`).
    rewrite: for what is written with other functions: makes that of the arguments and options, and nothing else is asked.
    """

    name: str
    takes: str
    doc: str
    signature: Callable[[Sequence[Operand], Mapping[str, Any]], Signature]
    compute: Callable[[Call], Memory | Vector]
    examples: Sequence[Example]
    by: Sequence[str]
    parameters: str = ""
    policy: Policy = Policy.PROPAGATE
    form: Form = Form.METHOD
    rewrite: Callable[..., Any] | None = None

    @cached_property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters, taken apart."""
        return parameters(self.parameters)

    def settled(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options with the defaults of those that are left out."""
        return {one.name: one.default for one in self.arguments if not one.is_value} | dict(options)

    def evaluate(self, arguments: Sequence[Vector], options: Mapping[str, Any], result: Type, length: int) -> Vector:
        """The result over columns that the signature asked for, nulls and errors included."""
        if self.policy is not _PROPAGATE:
            made = self.compute(Call(arguments, options, result, length))
            assert isinstance(made, Vector)
            return made
        call = Call(
            arguments,
            options,
            result,
            length,
            arguments[0].valid if len(arguments) == 1 else merged_validity(arguments, length),
        )
        made = self.compute(call)
        if isinstance(made, Vector):
            return Vector(result, length, made.values, call.valid, made.data, made.children)
        return Vector(result, length, made, call.valid)


def merged_validity(vectors: Sequence[Vector], length: int) -> Memory | None:
    """The validity of what needs every one of these columns; None where all rows are valid."""
    merged: Memory | None = None
    for vector in vectors:
        if vector.valid is None:
            continue
        if merged is None:
            merged = vector.valid
        else:
            both = room_for_validity(length, merged, vector.valid)
            kernels.merge_validity(merged, vector.valid, both)
            merged = both
    return merged


def kleene(kernel_name: str, plain_name: str) -> Callable[[Call], Vector]:
    """The KLEENE policy over one of two kernels: one with validity, one for columns without a null."""

    def compute(call: Call) -> Vector:
        left, right = call.arguments
        out = call.bytes()
        if left.valid is None and right.valid is None:
            getattr(kernels, plain_name)(left.values, right.values, out)
            return Vector(call.type, call.length, out)
        valid = room_for_validity(call.length, left.valid, right.valid)
        getattr(kernels, kernel_name)(left.values, left.validity(), right.values, right.validity(), out, valid)
        return Vector(call.type, call.length, out, valid)

    return compute


def written_with(
    name: str,
    takes: str,
    doc: str,
    rewrite: Callable[..., Any],
    examples: Sequence[Example],
    by: Sequence[str],
    *,
    parameters: str = "",
    policy: Policy = Policy.PROPAGATE,
    form: Form = Form.METHOD,
) -> Function:
    """A function that is written with others."""
    return Function(name, takes, doc, _rewritten, _rewritten, examples, by, parameters, policy, form, rewrite)
