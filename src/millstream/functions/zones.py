"""The .dt methods for time zones. A timestamp of another zone is the same instant: its parts, windows and text are those of clocks there.

Such a type lives between two functions: a column that leaves the pipeline is in UTC, or has no zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.errors import PlanError
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.signatures import column_of
from millstream.functions.walls import EARLIEST, LATEST, table_of, to_wall, to_zone
from millstream.native.memory import Memory
from millstream.schema import TYPES, Code
from millstream.types import in_zone

_TWICE = {"raise": int(Code.BAD_TIME), "earliest": EARLIEST, "latest": LATEST, "null": 0}
_NEVER = {"raise": int(Code.BAD_TIME), "null": 0}


def _known(zone: str) -> str:
    """A zone that there is. Raises PlanError."""
    if zone != "UTC":
        table_of(zone)
    return zone


def _convert_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    kind = column_of(("timestamp",), ".dt.convert_time_zone", operands[0])
    if not kind.zone:
        raise PlanError(
            f".dt.convert_time_zone needs a timestamp with a zone, found {kind}; say which zone it is in first: "
            ".dt.replace_time_zone('UTC')"
        )
    return Signature((kind,), in_zone(kind.unit, _known(options["time_zone"])))


def _convert(call: Call) -> Memory:
    return call.arguments[0].values


def _replace_signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
    kind, zone = column_of(("timestamp",), ".dt.replace_time_zone", operands[0]), options["time_zone"]
    for option, known in (("ambiguous", _TWICE), ("non_existent", _NEVER)):
        if options[option] not in known:
            raise PlanError(
                f".dt.replace_time_zone: {option} is {options[option]!r}; write one of {', '.join(map(repr, known))}"
            )
    return Signature((kind,), TYPES[f"timestamp[{kind.unit}]"] if zone is None else in_zone(kind.unit, _known(zone)))


def _replace(call: Call) -> Memory:
    wall = to_wall(call, call.arguments[0])
    return to_zone(call, call.type, wall, _TWICE[call.options["ambiguous"]], _NEVER[call.options["non_existent"]])


_T: Columns = {"t": ("timestamp[us, UTC]", ["2024-07-01T22:30:00", "2024-01-01T22:30:00", None])}
_W: Columns = {"w": ("timestamp[us]", ["2024-07-01T00:30:00", "2024-10-27T02:30:00", None])}

FUNCTIONS = (
    Function(
        "dt.convert_time_zone",
        "timestamp -> timestamp",
        "The same instant as clocks of another zone show it: 'Europe/Berlin'.",
        _convert_signature,
        _convert,
        (
            Example('t.dt.convert_time_zone("Europe/Berlin").dt.hour()', _T, [0, 23, None]),
            Example(
                't.dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)',
                _T,
                ["2024-07-01T18:30:00", "2024-01-01T17:30:00", None],
            ),
        ),
        (),
        "time_zone: str",
    ),
    Function(
        "dt.replace_time_zone",
        "timestamp -> timestamp",
        "The instant at which clocks of a zone show this time, or with None the time without its zone. A time that there is not rejects "
        "the record, and so does one that there is twice (BAD_TIME), unless ambiguous and non_existent say otherwise.",
        _replace_signature,
        _replace,
        (
            Example(
                'w.dt.replace_time_zone("Europe/Berlin", ambiguous="earliest").dt.convert_time_zone("UTC")',
                _W,
                ["2024-06-30T22:30:00", "2024-10-27T00:30:00", None],
            ),
            Example("t.dt.replace_time_zone(None)", _T, ["2024-07-01T22:30:00", "2024-01-01T22:30:00", None]),
        ),
        ("utc_of_local",),
        'time_zone: str | None, *, ambiguous: str = "raise", non_existent: str = "raise"',
    ),
)
