"""The methods of expressions, taken from the catalogue of functions.

What editors and type checkers see is methods.pyi, which `python -m tests.test_reference` makes from the same catalogue.
"""

from __future__ import annotations

from typing import Any

SPACES = ("str", "dt", "list", "struct")
"""The namespaces of methods."""


class Methods:
    """The methods that an expression has itself."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return find(self, "", name)


class Namespace:
    """The methods of an expression in a namespace."""

    __slots__ = ("_of",)
    space = ""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        return find(self._of, self.space, name)

    def __dir__(self) -> list[str]:
        return method_names(self.space)


class Text(Namespace):
    """`.str`: methods for text."""

    __slots__ = ()
    space = "str"


class Time(Namespace):
    """`.dt`: methods for dates, times and durations."""

    __slots__ = ()
    space = "dt"


class Lists(Namespace):
    """`.list`: methods for lists."""

    __slots__ = ()
    space = "list"


class Struct(Namespace):
    """`.struct`: methods for structs."""

    __slots__ = ()
    space = "struct"


class Method:
    """A method of one expression: call it."""

    def __init__(self, of: Any, function: Any) -> None:
        self._of, self._function = of, function
        self.__doc__ = f"{function.name}({function.parameters})\n\n{function.doc}"

    def __call__(self, *given: Any, **named: Any) -> Any:
        from millstream.functions.parameters import assign

        values, options = assign(f".{self._function.name}", self._function.arguments, given, named)
        return self._of._apply(self._function.name, *values, **options)


def method_names(space: str) -> list[str]:
    """The methods of a namespace, or of expressions themselves where it is empty, by the catalogue."""
    from millstream.functions import CATALOGUE, Form

    return [name.rpartition(".")[2] for name, one in CATALOGUE.space(space).items() if one.form is Form.METHOD]


def find(of: Any, space: str, name: str) -> Method:
    """The method with this name. Raises AttributeError, with the nearest one that there is."""
    if name.startswith("_"):
        raise AttributeError(name)
    from millstream.functions import CATALOGUE, Form

    function = CATALOGUE.space(space).get(f"{space}.{name}" if space else name)
    if function is None or function.form is not Form.METHOD:
        raise AttributeError(no_method(space, name))
    return Method(of, function)


def no_method(space: str, name: str) -> str:
    """What to say of a method that there is not."""
    import difflib

    called = f".{space}.{name}" if space else f".{name}"
    names = method_names(space)
    near = difflib.get_close_matches(name, names, n=1)
    elsewhere = [f".{other}.{name}" for other in ("", *SPACES) if other != space and name in method_names(other)]
    hint = elsewhere[0].replace("..", ".") if elsewhere else f".{space}.{near[0]}".replace("..", ".") if near else ""
    return f"there is no method {called}" + (f"; did you mean {hint}?" if hint else f"; there are {', '.join(sorted(names))}")
