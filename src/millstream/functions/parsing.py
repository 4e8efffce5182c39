"""The .str methods that read dates and times by a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.constants import TICKS
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.layouts import EPOCH, OFFSET, check_complete, flat, steps_of
from millstream.functions.signatures import one_of
from millstream.native.bind import kernels
from millstream.native.memory import Memory, from_numbers
from millstream.schema import TYPES
from millstream.types import in_zone


def _date_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    steps = steps_of(".str.to_date", options["format"])
    check_complete(".str.to_date", options["format"], steps)
    return one_of(("string",), ".str.to_date", TYPES["date32"])(operands, options)


def _datetime_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    method, unit = ".str.to_datetime", options["time_unit"]
    steps = steps_of(method, options["format"])
    check_complete(method, options["format"], steps)
    if unit not in TICKS:
        raise PlanError(f"{method}: time_unit is {unit!r}; write 's', 'ms', 'us' or 'ns'")
    signs = {what for what, _ in steps}
    if signs >= {EPOCH, OFFSET}:
        raise PlanError(f"{method}: {options['format']!r} has %s, which is in UTC, and %z; leave one out")
    result = in_zone(unit, "UTC") if OFFSET in signs else TYPES[f"timestamp[{unit}]"]
    return one_of(("string",), method, result)(operands, options)


def _parse(call: Call) -> Memory:
    (source,) = call.arguments
    steps = flat(steps_of("", call.options["format"]))
    out, ticks = call.numbers(), 0 if call.type.family == "date" else TICKS[call.type.unit]
    call.fault(
        kernels.parse_layout, source.data, source.values, from_numbers("q", steps), ticks, int(call.options["strict"]), out=out
    )
    return out


_S: Columns = {"s": ("string", ["31.01.2024", "1.2.2024", None])}
_T: Columns = {"s": ("string", ["31/Jan/2024:13:05:09 +0100", "x", None])}

FUNCTIONS = (
    Function(
        "str.to_date",
        "string -> date32",
        "The date that the text is by a layout, '%d.%m.%Y'. Other text rejects the record (BAD_TIME), or is null with strict=False.",
        _date_signature,
        _parse,
        (
            Example('s.str.to_date("%d.%m.%Y")', _S, ["2024-01-31", "2024-02-01", None]),
            Example('s.str.to_date("%F", strict=False)', _S, [None, None, None]),
        ),
        ("parse_layout",),
        'format: str = "%Y-%m-%d", *, strict: bool = True',
    ),
    Function(
        "str.to_datetime",
        "string -> timestamp[us]",
        "The time that the text is by a layout, in UTC where that has %z. Other text rejects the record (BAD_TIME), or is null with "
        "strict=False.",
        _datetime_signature,
        _parse,
        (
            Example('s.str.to_datetime("%d/%b/%Y:%T %z", strict=False)', _T, ["2024-01-31T12:05:09", None, None]),
            Example('s.str.to_datetime("%d.%m.%Y", time_unit="ms")', _S, ["2024-01-31T00:00:00", "2024-02-01T00:00:00", None]),
        ),
        ("parse_layout",),
        'format: str, *, time_unit: str = "us", strict: bool = True',
    ),
)
