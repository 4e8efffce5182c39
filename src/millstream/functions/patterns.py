"""The .str methods that search and replace, a text itself or a regular expression.

Regular expressions are RE2's, over whole columns: none takes longer than the text is long, whatever the expression or the text. Whether a
text matches is asked of tables of our own for most of them (`automaton`), and pyarrow.compute is then not imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from millstream.columns import Vector
from millstream.errors import PlanError
from millstream.functions.arrow import by_arrow, check_pattern, extracted
from millstream.functions.automaton import automaton
from millstream.functions.function import Call, Columns, Example, Function, Operand, Signature
from millstream.functions.pieces import Signer
from millstream.functions.required import required
from millstream.functions.signatures import one_of
from millstream.functions.written import text_bytes, written
from millstream.native.bind import kernels
from millstream.native.memory import Memory, constant_bytes
from millstream.schema import BOOL, TYPES, Type

_INT = TYPES["uint32"]
_AROUND = frozenset(("^", "$", "\\b", "\\B", "\\A", "\\z"))
_MOST_GROUPS = 9
"""A replacement names them by one digit."""
_REFERENCE = re.compile(r"\$(\$|\{(\w*)\}|(\w+))|\\", re.ASCII)


def _searching(method: str, result: Type | None = None, *, empty: bool = True) -> Signer:
    """The signature of a method with a pattern, which is checked."""
    base = one_of(("string",), method, result)

    def signature(operands: Sequence[Operand], options: Mapping[str, Any]) -> Signature:
        signature = base(operands, options)
        pattern, literal = options["pattern"], options.get("literal", False)
        if not empty and not pattern:
            raise PlanError(f"{method}: pattern is empty, and an empty text is everywhere; write what to look for")
        if not literal:
            if automaton(pattern) is None:
                check_pattern(method, pattern)
            if options.get("n") == 1:
                check_pattern(method, _first_alone(pattern, options["value"])[0])
            elif "value" in options:
                _in_re2(method, pattern, options["value"])
            if options.get("n", 1) > 1 and _looks_around(pattern):
                raise PlanError(
                    f"{method}: n is {options['n']}, and {pattern!r} asks what stands around a match (^, $, \\b, \\B, \\A or \\z), which "
                    "is known for the first match and for all; write n=1, or replace_all"
                )
            if "group_index" in options:
                _groups(method, pattern, options["group_index"])
        return signature

    return signature


def _in_re2(method: str, pattern: str, value: str, most: int = _MOST_GROUPS) -> str:
    """A replacement with Polars' references, `$1` and `${1}`, as RE2 has them. Raises PlanError for other names, and missing groups."""
    count = _count_groups(pattern)

    def said(match: re.Match[str]) -> str:
        if match[0] == "\\":
            return "\\\\"
        if match[1] == "$":
            return "$"
        name = match[2] if match[3] is None else match[3]
        if not name.isdigit() or int(name) > min(count, most):
            raise PlanError(
                f"{method}: {match[0]} in {value!r} names no group of {pattern!r}, which has {count}; write $1 to ${most}, ${{1}} before "
                "a letter or digit, and $$ for a $"
            )
        return f"\\{name}"

    return _REFERENCE.sub(said, value)


def _first_alone(pattern: str, value: str) -> tuple[str, str]:
    """An expression and its replacement by which the first match alone is replaced, where all that match are.

    Arrow's own way to do so many and no more takes a match out of its text and searches again in it alone: what stands around it is lost.
    The first two groups are what is before the match, and the match. Raises PlanError for groups that have no number then.
    """
    changed = re.sub(
        r"\\([0-9\\])",
        lambda match: match[0] if match[1] == "\\" else f"\\{int(match[1]) + 2}",
        _in_re2(".str.replace", pattern, value, _MOST_GROUPS - 2),
    )
    ending = r"\E" if pattern.rfind(r"\Q") > pattern.rfind(r"\E") else ""
    return rf"\A((?s:.*?))((?:{pattern}{ending}))", rf"\1{changed}"


def _looks_around(pattern: str) -> bool:
    """Does an expression ask what stands before or behind a place: ^, $, \\b, \\B, \\A, \\z?"""
    return any(sign in _AROUND for _, sign in _signs(pattern))


def _marks(pattern: str) -> list[int]:
    """Where the groups of a regular expression begin that have a number."""
    return [
        at
        for at, sign in _signs(pattern)
        if sign == "(" and (not pattern.startswith("(?", at) or pattern.startswith(("(?P<", "(?<"), at))
    ]


def _signs(pattern: str) -> Iterator[tuple[int, str]]:
    """The signs of a regular expression that stand neither in a class nor between \\Q and \\E, and where; with a \\ it has two letters."""
    at, inside = 0, False
    while at < len(pattern):
        one = pattern[at]
        if pattern.startswith("\\Q", at):
            stop = pattern.find("\\E", at)
            at = len(pattern) if stop < 0 else stop
        elif one == "\\":
            if not inside:
                yield at, pattern[at : at + 2]
            at += 1
        elif inside:
            if pattern.startswith("[:", at):
                at = max(pattern.find(":]", at) + 1, at)
            inside = one != "]"
        elif one == "[":
            inside = True
            at += pattern.startswith("^", at + 1)
            at += pattern.startswith("]", at + 1)
        else:
            yield at, one
        at += 1


def _count_groups(pattern: str) -> int:
    return len(_marks(pattern))


def _groups(method: str, pattern: str, index: int) -> str:
    """The pattern with its group of this number, 0 the whole, named `g` and no other named. Raises PlanError where there is none."""
    marks = _marks(pattern)
    if not 0 <= index <= len(marks):
        raise PlanError(
            f"{method}: group_index is {index}, but {pattern!r} has {len(marks)} groups; write 0 for all that matches"
        )
    made, last = "", 0
    for number, at in enumerate(marks, 1):
        name = re.compile(r"\((\?P?<\w*>)?").match(pattern, at)
        assert name is not None
        made += pattern[last:at] + ("(?P<g>" if number == index else "(?:")
        last = name.end()
    made += pattern[last:]
    return made if index else f"(?P<g>{made})"


def _contains(call: Call) -> Memory:
    (source,) = call.arguments
    if call.options["literal"]:
        out = call.bytes()
        kernels.contains_string(source.data, source.values, constant_bytes(call.options["pattern"].encode()), out)
        return out
    return _matched(call, source, call.options["pattern"])


def _matched(call: Call, source: Vector, pattern: str) -> Memory:
    """Where a regular expression matches. RE2 gets those alone that have no table, and of rows those that hold what each match holds."""
    needed, made = required(pattern), automaton(pattern)
    if made is None and not needed.text:
        return by_arrow(call, "match_substring_regex", source, pattern=pattern).values
    needle, out = constant_bytes(needed.text.encode()), call.bytes()
    if needed.is_all:
        kernels.contains_string(source.data, source.values, needle, out)
        return out
    if made is not None:
        table, ends = constant_bytes(made.table), constant_bytes(made.ends)
        kernels.match_bytes(source.data, source.values, needle, int(needed.begins), table, ends, made.start, out)
        return out
    rows, views = call.numbers(), call.numbers()
    valid = call.valid or source.validity()
    count = kernels.find_rows(source.data, source.values, valid, needle, int(needed.begins), rows, views)
    kernels.fill_uint8(0, out)
    if count:
        left = Vector(source.type, count, views.part(0, count, 8), None, source.data)
        matches = by_arrow(Call((left,), {}, BOOL, count), "match_substring_regex", left, pattern=pattern)
        kernels.put_uint8(matches.values, rows.part(0, count, 8), out)
    return out


def _count(call: Call) -> Memory:
    (source,) = call.arguments
    if call.options["literal"]:
        out = call.numbers()
        kernels.count_string(source.data, source.values, constant_bytes(call.options["pattern"].encode()), out)
        return out
    # Arrow's own counting begins anew behind each match, as if a text began there: a byte more for each match counts them.
    pattern = call.options["pattern"]
    marked = by_arrow(call, "replace_substring_regex", source, pattern=pattern, replacement=r"\0x")
    out = call.numbers()
    kernels.count_longer(source.values, marked.values, call.valid or source.validity(), out)
    return out


def _find(call: Call) -> Memory:
    (source,) = call.arguments
    if call.options["literal"]:
        out = call.numbers()
        call.fault(kernels.find_string, source.data, source.values, constant_bytes(call.options["pattern"].encode()), out=out)
        return out
    found = by_arrow(call, "find_substring_regex", source, pattern=call.options["pattern"]).values
    call.fault(kernels.refuse_outside, found, 0, (1 << 62), 0)
    return found


def _replace(call: Call, most: int) -> Vector:
    (source,) = call.arguments
    pattern, value = call.options["pattern"], call.options["value"]
    if not call.options["literal"]:
        if most == 1:
            pattern, value = _first_alone(pattern, value)
            most = -1
        else:
            value = _in_re2(".str.replace", pattern, value)
        more = {} if most < 0 else {"max_replacements": most}
        return by_arrow(call, "replace_substring_regex", source, pattern=pattern, replacement=value, **more)
    needle, other = constant_bytes(pattern.encode()), constant_bytes(value.encode())
    valid, views, size = call.valid or source.validity(), call.numbers(), text_bytes(source)
    guess = size if other.count <= needle.count else size + size // 4
    data = written(
        guess, lambda out: kernels.replace_string(source.data, source.values, valid, needle, other, most, out, views)
    )
    return Vector(call.type, call.length, views, None, data)


def _replace_first(call: Call) -> Vector:
    return _replace(call, call.options["n"])


def _replace_all(call: Call) -> Vector:
    return _replace(call, -1)


def _extract(call: Call) -> Vector:
    found = extracted(call, call.arguments[0], _groups(".str.extract", call.options["pattern"], call.options["group_index"]))
    call.also(found.valid)
    return found


_S: Columns = {"s": ("string", ["a-1, b-22", "é", None])}
_PATTERN = "pattern: str, *, literal: bool = False"

FUNCTIONS = (
    Function(
        "str.contains",
        "string -> bool",
        "Does the regular expression match somewhere in the text? With literal=True: is this text in it?",
        _searching(".str.contains", BOOL),
        _contains,
        (
            Example('s.str.contains("[0-9]{2}$")', _S, [True, False, None]),
            Example('s.str.contains("a-[0-9]\\\\b")', _S, [True, False, None]),
            Example('s.str.contains("-1", literal=True)', _S, [True, False, None]),
        ),
        ("contains_string", "match_bytes", "find_rows", "pyarrow.compute.match_substring_regex"),
        _PATTERN,
    ),
    Function(
        "str.count_matches",
        "string -> uint32",
        "How often the regular expression, or with literal=True the text, is found; what is found does not overlap.",
        _searching(".str.count_matches", _INT, empty=False),
        _count,
        (
            Example('s.str.count_matches("[0-9]+")', _S, [2, 0, None]),
            Example('s.str.count_matches("2", literal=True)', _S, [2, 0, None]),
        ),
        ("count_string", "count_longer", "pyarrow.compute.replace_substring_regex"),
        _PATTERN,
    ),
    Function(
        "str.find",
        "string -> uint32",
        "The byte where the regular expression, or with literal=True the text, is found first; else null.",
        _searching(".str.find", _INT),
        _find,
        (
            Example('s.str.find("[0-9]+")', _S, [2, None, None]),
            Example('s.str.find(",", literal=True)', _S, [3, None, None]),
        ),
        ("find_string", "pyarrow.compute.find_substring_regex"),
        _PATTERN,
    ),
    Function(
        "str.replace",
        "string -> same",
        "The text with the first n matches replaced; $1 in the replacement is the first group. literal=True: no expression, no groups.",
        _searching(".str.replace", empty=False),
        _replace_first,
        (
            Example('s.str.replace("([a-z])-([0-9]+)", "$2$1")', _S, ["1a, b-22", "é", None]),
            Example('s.str.replace("-", "+", literal=True)', _S, ["a+1, b-22", "é", None]),
        ),
        ("replace_string", "pyarrow.compute.replace_substring_regex"),
        "pattern: str, value: str, *, literal: bool = False, n: int = 1",
    ),
    Function(
        "str.replace_all",
        "string -> same",
        "The text with every match replaced, as in replace.",
        _searching(".str.replace_all", empty=False),
        _replace_all,
        (
            Example('s.str.replace_all("[0-9]", "#")', _S, ["a-#, b-##", "é", None]),
            Example('s.str.replace_all("-", "", literal=True)', _S, ["a1, b22", "é", None]),
        ),
        ("replace_string", "pyarrow.compute.replace_substring_regex"),
        "pattern: str, value: str, *, literal: bool = False",
    ),
    Function(
        "str.extract",
        "string -> same",
        "What a group of the regular expression matched first, group 0 the whole; null where it does not match.",
        _searching(".str.extract"),
        _extract,
        (
            Example('s.str.extract("([a-z])-([0-9]+)", 2)', _S, ["1", None, None]),
            Example('s.str.extract("[0-9]{2}", 0)', _S, ["22", None, None]),
        ),
        ("pyarrow.compute.extract_regex", "pyarrow.compute.extract_regex_span"),
        "pattern: str, group_index: int = 1",
    ),
)
