"""The loop around a user's function, in LLVM IR: which rows it is called for, and what is written where it gives no value."""

from collections.abc import Mapping
from typing import Any, NamedTuple

UDF_FAILED, OUT_OF_RANGE = 21, 11
"""Of `millstream.schema.Code`."""


class Value(NamedTuple):
    """What a compiled function gives: LLVM's type where it leaves it, how many bits, signed, a float, or a truth value."""

    llvm: str
    bits: int
    signed: bool
    family: str


def loop(symbol: str, parameters: list[list[Any]], result: Mapping[str, Any], value: Value, mangled: str) -> str:
    """LLVM IR of `int64 symbol(count, dense, valid, out, values, validity, …)`: how many rows have no value afterwards.

    dense: every row is valid, and `valid` is written; else it is read, too, and rows that are not 1 stay as they are.
    """
    llvm = {"int64": "i64", "uint64": "i64", "float64": "double", "bool": "i8"}
    takes = "".join(f", ptr %a{i}, ptr %v{i}" for i in range(len(parameters)))
    loads, passed = [], ["ptr %ret", "ptr %exc"]
    for i, (kind, null) in enumerate(parameters):
        loads.append(f"%p{i} = getelementptr {llvm[kind]}, ptr %a{i}, i64 %i")
        loads.append(f"%x{i} = load {llvm[kind]}, ptr %p{i}")
        passed.append(f"{llvm[kind]} %x{i}")
        if null:
            loads += [f"%q{i} = getelementptr i8, ptr %v{i}, i64 %i", f"%w{i} = load i8, ptr %q{i}"]
            loads += [f"%b{i} = icmp eq i8 %w{i}, 1", f"%f{i} = zext i1 %b{i} to i8"]
            passed.append(f"i8 %f{i}")
    stored = llvm[result["physical"]]
    rows = "\n  ".join(loads)
    return f"""
define internal i8 @{symbol}_row(i64 %i, ptr %out{takes}) alwaysinline {{
  %ret = alloca {value.llvm}
  %exc = alloca ptr
  store {value.llvm} {"0.0" if value.family == "float" else "0"}, ptr %ret
  {rows}
  %status = call i32 @{mangled}({", ".join(passed)})
  %value = load {value.llvm}, ptr %ret
  {_brought(value, result)}
  %to = getelementptr {stored}, ptr %out, i64 %i
  store {stored} %stored, ptr %to
  %ok = icmp eq i32 %status, 0
  %none = icmp eq i32 %status, -2
  %good = select i1 %fits, i8 1, i8 {OUT_OF_RANGE}
  %bad = select i1 %none, i8 0, i8 {UDF_FAILED}
  %code = select i1 %ok, i8 %good, i8 %bad
  ret i8 %code
}}

define i64 @{symbol}(i64 %count, i64 %dense, ptr noalias %valid, ptr noalias %out{takes}) {{
entry:
  %empty = icmp sle i64 %count, 0
  br i1 %empty, label %nothing, label %some
nothing:
  ret i64 0
some:
  %all = icmp ne i64 %dense, 0
  br i1 %all, label %each, label %look
each:
  %i = phi i64 [ 0, %some ], [ %i1, %each ]
  %n = phi i64 [ 0, %some ], [ %n1, %each ]
  %code = call i8 @{symbol}_row(i64 %i, ptr %out{takes})
  %at = getelementptr i8, ptr %valid, i64 %i
  store i8 %code, ptr %at
  %off = icmp ne i8 %code, 1
  %one = zext i1 %off to i64
  %n1 = add i64 %n, %one
  %i1 = add nuw nsw i64 %i, 1
  %end = icmp eq i64 %i1, %count
  br i1 %end, label %done, label %each
done:
  ret i64 %n1
look:
  %j = phi i64 [ 0, %some ], [ %j1, %next ]
  %m = phi i64 [ 0, %some ], [ %m1, %next ]
  %vat = getelementptr i8, ptr %valid, i64 %j
  %before = load i8, ptr %vat
  %is = icmp eq i8 %before, 1
  br i1 %is, label %call, label %skip
call:
  %made = call i8 @{symbol}_row(i64 %j, ptr %out{takes})
  store i8 %made, ptr %vat
  br label %next
skip:
  %zero = getelementptr {stored}, ptr %out, i64 %j
  store {stored} {"0.0" if stored == "double" else "0"}, ptr %zero
  br label %next
next:
  %now = phi i8 [ %made, %call ], [ %before, %skip ]
  %gone = icmp ne i8 %now, 1
  %more = zext i1 %gone to i64
  %m1 = add i64 %m, %more
  %j1 = add nuw nsw i64 %j, 1
  %last = icmp eq i64 %j1, %count
  br i1 %last, label %finished, label %look
finished:
  ret i64 %m1
}}
"""


def _brought(value: Value, result: Mapping[str, Any]) -> str:
    """LLVM IR that makes %stored, what the column holds, of %value, and %fits: is it in the declared type's range?"""
    always = "%fits = icmp eq i1 true, true"
    if result["physical"] == "bool":
        return f"%stored = add i8 %value, 0\n  {always}"
    if result["physical"] == "float64":
        if value.family != "float":
            lines = [f"%wide = {'sitofp' if value.signed else 'uitofp'} {value.llvm} %value to double"]
        else:
            lines = [f"%wide = {'fpext float %value to double' if value.bits == 32 else 'fadd double %value, -0.0'}"]
        # NaN is one, as of all kernels: what x86-64 makes of infinity less infinity has another sign than arm64's.
        lines += ["%number = fcmp ord double %wide, %wide", "%one = select i1 %number, double %wide, double 0x7FF8000000000000"]
        if result["bits"] == 32:
            lines += ["%narrow = fptrunc double %one to float", "%stored = fpext float %narrow to double"]
        else:
            lines.append("%stored = select i1 true, double %one, double %one")
        return "\n  ".join([*lines, always])
    extend = f"{'sext' if value.signed else 'zext'} {value.llvm} %value to i64" if value.bits < 64 else "add i64 %value, 0"
    low, high = result["low"], result["high"]
    lines = [f"%stored = {extend}"]
    if value.signed:
        top = min(high, (1 << 63) - 1)
        lines += [
            f"%above = icmp sge i64 %stored, {low}",
            f"%below = icmp sle i64 %stored, {top}",
            "%fits = and i1 %above, %below",
        ]
    else:
        lines.append(f"%fits = icmp ule i64 %stored, {high}")
    return "\n  ".join(lines)
