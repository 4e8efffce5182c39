"""Classes of fields, as the standard library's dataclasses are, without their price at start.

`dataclasses` writes and compiles source for each class: over half a millisecond for one that is frozen, and this package has some
seventy. Here all classes share the same few functions; one more takes some ten microseconds. To make an object takes longer, about a
microsecond: classes of which a batch makes many have an `__init__` of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from typing import Protocol as Protocol
else:

    class Protocol:
        """What type checkers know as typing.Protocol. Nobody asks a protocol at run time, and typing's takes a millisecond each."""


T = TypeVar("T")
_ABSENT: Any = object()


class _Field:
    def __init__(self, default: Any, default_factory: Callable[[], Any] | None, compare: bool, repr: bool) -> None:  # noqa: A002
        self.default, self.default_factory, self.compare, self.repr = default, default_factory, compare, repr


def field(
    *,
    default: Any = _ABSENT,
    default_factory: Callable[[], Any] | None = None,
    compare: bool = True,
    repr: bool = True,  # noqa: A002 (as dataclasses call it)
) -> Any:
    """A field whose default is made anew for each object, or that does not count when objects are compared or shown."""
    return _Field(default, default_factory, compare, repr)


@overload
def dataclass(cls: type[T], /) -> type[T]: ...
@overload
def dataclass(*, frozen: bool = False, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def dataclass(cls: Any = None, /, *, frozen: bool = False, eq: bool = True) -> Any:
    """Give a class what its annotated fields ask for: __init__, __repr__, __eq__; frozen, a hash, and fields that stay as they are.

    As `dataclasses.dataclass`, also in what a method named __post_init__ is for.
    """
    return _made(cls, frozen, eq) if cls is not None else lambda cls: _made(cls, frozen, eq)


def _made(cls: type[Any], frozen: bool, eq: bool) -> type[Any]:
    fields: dict[str, _Field] = dict(getattr(cls, "__fields__", {}))
    for name, annotation in cls.__annotations__.items():
        if str(annotation).partition("[")[0].endswith("ClassVar"):
            continue
        given = cls.__dict__.get(name, _ABSENT)
        fields[name] = given if isinstance(given, _Field) else _Field(given, None, True, True)
        if isinstance(given, _Field):
            if given.default is _ABSENT:
                delattr(cls, name)
            else:
                setattr(cls, name, given.default)
    made: dict[str, Any] = {"__init__": _init(cls, fields), "__repr__": _repr}
    if eq:
        compared = [name for name, one in fields.items() if one.compare]
        values = attrgetter(*compared) if compared else lambda _: ()

        def __eq__(self: Any, other: object) -> Any:
            if other is self:
                return True
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        made["__eq__"] = __eq__
        made["__hash__"] = (lambda self: hash(values(self))) if frozen else None
    if frozen:
        made["__setattr__"], made["__delattr__"] = _refuse_set, _refuse_delete
    for name, value in ({"__match_args__": tuple(fields)} | made).items():
        if name not in cls.__dict__ or (
            name == "__hash__" and cls.__dict__[name] is None
        ):  # an __eq__ of one's own takes the hash away
            setattr(cls, name, value)
    cls.__fields__ = fields
    return cls


def _init(cls: type[Any], fields: dict[str, _Field]) -> Callable[..., None]:
    names = tuple(fields)
    count = len(names)
    named_after = [frozenset(names[given:]) for given in range(count + 1)]
    defaults = {name: one.default for name, one in fields.items() if one.default is not _ABSENT}
    factories = {name: one.default_factory for name, one in fields.items() if one.default_factory is not None}
    after = getattr(cls, "__post_init__", None)

    def __init__(self: Any, /, *args: Any, **named: Any) -> None:
        state, given = self.__dict__, len(args)
        if given > count or not named_after[given].issuperset(named):
            raise TypeError(refused(given, named))
        whole = given + len(named) == count
        if not whole:
            state.update(defaults)
        if given:
            state.update(zip(names, args))  # noqa: B905 (names may be more)
        if named:
            state.update(named)
        if not whole and len(state) != count:
            for name, make in factories.items():
                if name not in state:
                    state[name] = make()
            if len(state) != count:
                name = next(one for one in names if one not in state)
                raise TypeError(f"{cls.__name__} misses the argument {name!r}")
        if after is not None:
            after(self)

    def refused(given: int, named: dict[str, Any]) -> str:
        """Why arguments do not fit."""
        if given > count:
            return f"{cls.__name__} takes {count} arguments, {given} were given"
        name = next(one for one in named if one not in named_after[given])
        return f"{cls.__name__} got the argument {name!r} {'twice' if name in fields else 'which it does not know'}"

    return __init__


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, one in self.__fields__.items() if one.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_set(self: Any, name: str, value: Any) -> None:
    raise AttributeError(f"cannot assign to field {name!r}: {self.__class__.__name__} is frozen")


def _refuse_delete(self: Any, name: str) -> None:
    raise AttributeError(f"cannot delete field {name!r}: {self.__class__.__name__} is frozen")


def replace(one: T, /, **changes: Any) -> T:
    """A copy of an object with other values in some fields."""
    names: Any = getattr(one, "__fields__", None) or one.__slots__  # type: ignore[attr-defined]
    return one.__class__(**{name: getattr(one, name) for name in names} | changes)
