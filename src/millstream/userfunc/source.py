"""What the compiler is to see of a function: its text, and the constants and helpers that it uses, as plain data.

A digest of that says whether a compiled object is of this very function. Nothing here needs a compiler: a Lambda function takes the
digest at its start. Only text is read, from where Python keeps it, so that it is the same on every version of Python.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from millstream.errors import PlanError

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR, _VARARGS, _VARKEYWORDS = 0x20, 0x80, 0x200, 0x04, 0x08
"""Flags of code objects."""
_TUPLE = "write it as a tuple, or as single constants"
_CONTAINERS = {"list": _TUPLE, "dict": _TUPLE, "set": _TUPLE, "ndarray": _TUPLE, "str": "text needs a batch function"}


def digest_of(code: dict[str, Any], signature: str) -> str:
    """64 hex digits of what is compiled: the text, the names in it, the signature. Files and lines are no part of it."""
    import hashlib
    import json

    return hashlib.sha256(json.dumps([1, signature, _told(code)], sort_keys=True).encode()).hexdigest()


def _told(code: dict[str, Any]) -> Any:
    names = {
        name: [kind, _told(said) if kind == "function" else said] for name, (kind, said) in code["names"].items()
    }  # fmt: skip
    return {"text": code["text"], "names": names}


def code_of(function: FunctionType, called: str, takes: int) -> dict[str, Any]:
    """The text of a function of some arguments, and what its names stand for. Raises PlanError that says what to write instead."""
    _check_form(function, called, takes)
    return _code(function, called, (function,))


@lru_cache(4)
def _parsed(text: str) -> ast.Module:
    """A file's syntax tree, kept for the other functions in it."""
    return ast.parse(text)


def text_of(function: FunctionType) -> tuple[str, int] | None:
    """A function's text from its `def` on, without indentation, and its line; None where Python has not kept it."""
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    first = code.co_firstlineno
    whole, start = lines, 1
    try:
        tree = _parsed("".join(lines))
    except (SyntaxError, ValueError):  # no file of Python's: the function stands in a page or a notebook
        import inspect

        whole, start = inspect.getblock(lines[first - 1 :]), first
        try:
            tree = ast.parse(textwrap.dedent("".join(whole)))
        except (SyntaxError, ValueError):
            return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name and node.end_lineno is not None:
            at = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if at + start - 1 == first:
                text = textwrap.dedent("".join(whole[node.lineno - 1 : node.end_lineno]))
                return "\n".join(line.rstrip() for line in text.splitlines()) + "\n", node.lineno + start - 1
    return None


def _check_form(function: Any, called: str, takes: int | None) -> None:
    if not isinstance(function, FunctionType):
        raise PlanError(f"{called} is a {type(function).__name__}; only functions written with def can be compiled")
    code = function.__code__
    if code.co_name == "<lambda>":
        raise PlanError(f"{called} is a lambda, which has no text of its own; write it with def")
    if code.co_flags & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR):
        raise PlanError(f"{called} is a generator or async; write a function that returns one value")
    if code.co_flags & (_VARARGS | _VARKEYWORDS) or code.co_kwonlyargcount:
        raise PlanError(f"{called} takes *args, **kwargs or arguments by name alone; name each argument, one a column")
    if function.__defaults__:
        raise PlanError(
            f"{called} has default values, which a compiled function has not; give each argument: {called}(col('a'), 0.2)"
        )
    if takes is not None and code.co_argcount != takes:
        raise PlanError(f"{called} takes {code.co_argcount} arguments, and its signature {takes}; write a type for each")


def _code(function: FunctionType, called: str, within: tuple[FunctionType, ...]) -> dict[str, Any]:
    found = text_of(function)
    if found is None:
        raise PlanError(
            f"the text of {called} is not at hand ({function.__code__.co_filename}): write it into a .py file, which must be there when "
            "it runs, unchanged since it was imported"
        )
    text, line = found
    tree = ast.parse(text)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    loaded = {
        node.id
        for one in definition.body
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    names = {}
    for name in sorted(loaded & _outer_names(function.__code__)):
        known, value = _looked_up(function, name)
        if known:
            names[name] = _said(name, value, called, within)
        elif hasattr(builtins, name):
            _check_builtin(name, getattr(builtins, name), called)
        elif not any(name in code.co_varnames + code.co_cellvars for code in _codes(function.__code__)):
            raise PlanError(f"{called} uses {name}, which is not there when it is planned; define it above the pipeline")
    return {"name": called, "file": Path(function.__code__.co_filename).name, "line": line, "text": text, "names": names}


_BUILTINS = frozenset(
    ("abs", "bool", "divmod", "enumerate", "float", "int", "len", "max", "min", "pow", "range", "round", "zip")
)
"""The built-in functions that a compiled function may use."""


def _check_builtin(name: str, value: Any, called: str) -> None:
    if name not in _BUILTINS and not (isinstance(value, type) and issubclass(value, BaseException)):
        raise PlanError(
            f"{called} uses {name}, which a compiled function cannot; there are {', '.join(sorted(_BUILTINS))}, and those of math"
        )


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _outer_names(code: CodeType) -> set[str]:
    """Names that may stand for something outside; attributes are among them."""
    return set(code.co_freevars).union(*(one.co_names for one in _codes(code)))


def _looked_up(function: FunctionType, name: str) -> tuple[bool, Any]:
    if name in function.__code__.co_freevars:
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        try:
            return True, cell.cell_contents
        except ValueError:
            return False, None
    return name in function.__globals__, function.__globals__.get(name)


def _said(name: str, value: Any, called: str, within: tuple[FunctionType, ...]) -> list[Any]:
    """What a name stands for, as plain data: [kind, what]."""
    constant = _constant(value)
    if constant is not None:
        return constant
    if isinstance(value, ModuleType):
        if value.__name__ == "math":
            return ["module", "math"]
        advice = (
            "math has what it needs for single values"
            if value.__name__ == "numpy"
            else f"take constants and functions written in Python by their names: from {value.__name__} import …"
        )
        raise PlanError(f"{called} uses the module {value.__name__}, which a compiled function cannot; {advice}")
    if isinstance(value, BuiltinFunctionType) and value.__module__ == "math":
        return ["member", ["math", value.__name__]]
    if isinstance(value, BuiltinFunctionType | type):
        there = str(value.__name__)
        if isinstance(value, type) and issubclass(value, Exception):
            return ["member", ["builtins", "Exception"]]  # whatever is raised, the record is rejected
        if getattr(builtins, there, None) is value:
            _check_builtin(there, value, called)
            return ["member", ["builtins", there]]
    # One that is decorated, by udf or by numba's njit, is a helper like any other.
    plain = getattr(value, "py_func", None) or (
        None if isinstance(value, FunctionType) else getattr(value, "__wrapped__", value)
    )
    function = value if plain is None else plain
    if isinstance(function, FunctionType):
        if function in within:
            raise PlanError(
                f"{called} calls itself by way of {name}; write a loop, since a compiled function's calls have no limit"
            )
        _check_form(function, name, None)
        return ["function", _code(function, name, (*within, function))]
    kind = type(value).__name__
    advice = _CONTAINERS.get(kind, "take what it needs from there before, as a constant")
    raise PlanError(
        f"{called} uses {name}, of type {kind}; it may use numbers, truth values, tuples of them, math and functions: {advice}"
    )


def _constant(value: Any) -> list[Any] | None:
    """A constant as plain data; None where it is none."""
    if value is None:
        return ["none", ""]
    if isinstance(value, bool):
        return ["bool", bool(value)]
    if isinstance(value, int):
        return ["int", str(int(value))] if -(1 << 63) <= value < 1 << 64 else None
    if isinstance(value, float):
        return ["float", float(value).hex()]
    if isinstance(value, tuple):
        items = [_constant(one) for one in value]
        return None if None in items else ["tuple", items]
    return None


def line_of(error: BaseException, path: Path) -> str:
    """Where in a file an error came from, as `, line 3`; nothing where it came from elsewhere."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
