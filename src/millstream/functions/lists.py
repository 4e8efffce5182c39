"""The .list methods. A list is a view into rows of a column of its own, so that items are taken, never copied one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from millstream.columns import Vector, filled_bytes, ones, rows_of, take
from millstream.errors import PlanError
from millstream.functions.constants import fits
from millstream.functions.function import Call, Columns, Example, Function, Operand, Policy, Signature, written_with
from millstream.functions.signatures import described, wide
from millstream.functions.written import text_bytes, written
from millstream.hashing import Table
from millstream.native.bind import kernels
from millstream.native.memory import EMPTY, Memory, constant_bytes
from millstream.schema import BOOL, STRING, TYPES, Code, Type

_OUT_OF_RANGE = int(Code.OUT_OF_RANGE)


def _list_of(method: str, operand: Operand) -> Type:
    """The type of a list's items. Raises PlanError for a column that is no list."""
    if operand.type.family != "list":
        advice = "take a field of it first: .struct.field('…')" if operand.type.family == "struct" else "use it as it is"
        raise PlanError(f"{method} needs a list column, found {described(operand)}; {advice}")
    return operand.type.children[0][1]


def _signed(method: str, result: Type | None = None) -> Callable[[Sequence[Operand], Mapping[str, Any]], Signature]:
    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        item = _list_of(method, operands[0])
        return Signature((operands[0].type,), result or item)

    return signature


def _len(call: Call) -> Memory:
    out = call.numbers()
    kernels.view_lengths(call.arguments[0].values, out)
    return out


def _get(call: Call) -> Vector:
    """Nulls are those of the list and of the item; a place that a list has not is null or an error."""
    (source,) = call.arguments
    rows, valid = call.numbers(), source.validity()
    lacking = kernels.pick_items(source.values, valid, call.options["index"], rows)
    found = take(source.children[0], rows, gaps=True)
    call.valid = source.valid
    call.also(found.valid)
    if lacking and not call.options["null_on_oob"]:
        status, absent = call.bytes(), call.bytes()
        kernels.find_missing(rows, 1, absent)  # 0 where there is no item
        kernels.replace_uint8(0, _OUT_OF_RANGE, absent, status)
        lists = Vector(BOOL, call.length, valid, ones(call.length))
        call.also(_where(lists, status))
    return Vector(found.type, call.length, found.values, call.valid, found.data, found.children)


def _where(test: Vector, status: Memory) -> Memory:
    """The status of rows where the test is true, 1 elsewhere."""
    out = filled_bytes(1, test.length)
    kernels.choose_uint8(test.values, status, ones(test.length), out)
    return out


def _contains_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    item = wide(_list_of(".list.contains", operands[0]))
    if item.is_nested:
        raise PlanError(
            f".list.contains needs a list of plain values, found {operands[0].type}; take the items one by one with .list.get"
        )
    wanted = operands[1]
    if not wanted.literal or wanted.value is None:
        raise PlanError(f".list.contains needs a literal item, found {described(wanted)}; write .list.contains('a')")
    if not fits(wanted, item):
        raise PlanError(f"{described(wanted)} is never in a {operands[0].type}; write a value of its items' type")
    return Signature((operands[0].type, item), BOOL)


def _contains(call: Call) -> Memory:
    source, wanted = call.arguments
    (items,) = source.children
    out = call.bytes()
    found = Table(rows_of(wanted, 0, min(1, call.length))).probe(
        Vector(wanted.type, items.length, items.values, items.valid, items.data)
    )
    kernels.find_in_lists(source.values, found, out)
    return out


def _join_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    item = _list_of(".list.join", operands[0])
    if item is not STRING:
        raise PlanError(f".list.join needs a list<string> column, found {operands[0].type}; read it as one in the schema")
    return Signature((operands[0].type,), STRING)


def _join(call: Call) -> Vector:
    (source,) = call.arguments
    (items,) = source.children
    valid, views, between = call.bytes(), call.numbers(), constant_bytes(call.options["separator"].encode())
    kernels.copy_uint8(call.valid or ones(call.length), valid)
    skip, data = int(call.options["ignore_nulls"]), items.data or EMPTY
    guess = text_bytes(items) + between.count * items.length
    text = written(
        guess,
        lambda out: kernels.join_lists(source.values, data, items.values, items.validity(), between, skip, valid, out, views),
    )
    call.valid = valid
    return Vector(STRING, call.length, views, None, text)


_L: Columns = {"l": ("list<int64>", [[1, 2], [], None, [3, None]])}
_T: Columns = {"l": ("list<string>", [["a", "b"], [None, "c"], None])}

FUNCTIONS = (
    Function(
        "list.len",
        "list -> uint32",
        "How many items the list has.",
        _signed(".list.len", TYPES["uint32"]),
        _len,
        (Example("l.list.len()", _L, [2, 0, None, 2]), Example("l.list.len()", _T, [2, 2, None])),
        ("view_lengths",),
    ),
    Function(
        "list.get",
        "list -> any",
        "The item with this index, -1 the last. A list without it rejects the record (OUT_OF_RANGE), or is null with null_on_oob=True.",
        _signed(".list.get"),
        _get,
        (
            Example("l.list.get(0, null_on_oob=True)", _L, [1, None, None, 3]),
            Example("l.list.get(-1)", _T, ["b", "c", None]),
        ),
        ("pick_items", "take_columns"),
        "index: int, *, null_on_oob: bool = False",
        Policy.INSPECT,
    ),
    written_with(
        "list.first",
        "list -> any",
        "The first item; null of an empty list.",
        lambda value: value.list.get(0, null_on_oob=True),
        (Example("l.list.first()", _L, [1, None, None, 3]), Example("l.list.first()", _T, ["a", None, None])),
        ("pick_items", "take_columns"),
        policy=Policy.INSPECT,
    ),
    written_with(
        "list.last",
        "list -> any",
        "The last item; null of an empty list.",
        lambda value: value.list.get(-1, null_on_oob=True),
        (Example("l.list.last()", _L, [2, None, None, None]), Example("l.list.last()", _T, ["b", "c", None])),
        ("pick_items", "take_columns"),
        policy=Policy.INSPECT,
    ),
    Function(
        "list.contains",
        "list -> bool",
        "Is this literal among the items?",
        _contains_signature,
        _contains,
        (
            Example("l.list.contains(3)", _L, [False, False, None, True]),
            Example('l.list.contains("b")', _T, [True, False, None]),
        ),
        ("hash_rows", "build_rows", "probe_rows", "probe_int64", "find_in_lists"),
        "item: Value",
    ),
    Function(
        "list.join",
        "list -> string",
        "The texts of the list, a separator between them. Nulls among them are left out; with ignore_nulls=False the result is null.",
        _join_signature,
        _join,
        (
            Example('l.list.join("-")', _T, ["a-b", "c", None]),
            Example('l.list.join(", ", ignore_nulls=False)', _T, ["a, b", None, None]),
        ),
        ("join_lists",),
        "separator: str, *, ignore_nulls: bool = True",
    ),
)
