"""Our classes of fields, held beside the standard library's dataclasses."""

import copy
import dataclasses
import pickle
from typing import Any, ClassVar

import pytest

from millstream import classes

pytestmark = pytest.mark.once


def made(of: Any, **options: bool) -> type[Any]:
    """The same class, made by either module."""

    @of.dataclass(**options)
    class Point:
        """A point."""

        kind: ClassVar[str] = "point"
        x: int
        y: int = 2
        names: list[str] = of.field(default_factory=list, compare=False)
        note: str = of.field(default="", repr=False)

        def __len__(self) -> int:
            return self.x

    return Point


OPTIONS = [{}, {"frozen": True}, {"eq": False}, {"frozen": True, "eq": False}]
CALLS = [
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, ["a"], "n"), {}),
    ((), {"x": 1}),
    ((), {"note": "n", "y": 5, "x": 1, "names": ["b"]}),
    ((3,), {"note": "x"}),
    ((), {}),
    ((), {"y": 1}),
    ((1,), {"x": 1}),
    ((1, 2, [], ""), {"x": 1}),
    ((1, 2, [], "", 5), {}),
    ((1,), {"z": 1}),
    ((1, 2, []), {"z": 1}),
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("args", "named"), CALLS)
def test_objects_are_made_as_dataclasses_make_them(options, args, named):
    theirs, ours = made(dataclasses, **options), made(classes, **options)
    try:
        wanted = theirs(*args, **named)
    except TypeError:
        with pytest.raises(TypeError, match="Point"):
            ours(*args, **named)
        return
    found = ours(*args, **named)
    assert vars(found) == vars(wanted)
    assert repr(found) == repr(wanted).replace("made.<locals>.", "made.<locals>.")
    assert len(found) == len(wanted)
    assert ours.__match_args__ == theirs.__match_args__
    assert found.names is not ours(1).names


@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_equal_and_what_has_a_hash(options):
    for of in (dataclasses, classes):
        Point = made(of, **options)
        one, same, other = Point(1, names=["a"]), Point(1), Point(1, 3)
        eq = options.get("eq", True)
        assert (one == same) is eq
        assert one != other
        assert one != (1, 2, "")
        assert Point.__eq__(one, 5) is NotImplemented
        if not eq:
            assert hash(one) != hash(same)
        elif options.get("frozen"):
            assert hash(one) == hash(same)
        else:
            with pytest.raises(TypeError):
                hash(one)


def test_what_is_frozen_stays():
    point = made(classes, frozen=True)(1)
    with pytest.raises(AttributeError, match="cannot assign to field 'x': Point is frozen"):
        point.x = 2
    with pytest.raises(AttributeError, match="cannot delete field 'x': Point is frozen"):
        del point.x
    assert point.x == 1


@pytest.mark.parametrize("options", OPTIONS)
def test_replace_changes_some_fields(options):
    point = made(classes, **options)(1, names=["a"])
    assert vars(classes.replace(point, y=9)) == {"x": 1, "y": 9, "names": ["a"], "note": ""}
    assert vars(copy.copy(point)) == vars(point)
    with pytest.raises(TypeError, match="'z' which it does not know"):
        classes.replace(point, z=9)


@classes.dataclass(frozen=True)
class Base:
    a: int
    b: int = 0


@classes.dataclass(frozen=True)
class Derived(Base):
    c: int = 1

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("negative")


def test_a_class_inherits_fields():
    assert vars(Derived(1, 2, 3)) == {"a": 1, "b": 2, "c": 3}
    assert Derived(1) != Base(1)
    with pytest.raises(ValueError, match="negative"):
        Derived(-1)
    match Derived(5):
        case Derived(a, b, c=1):
            assert (a, b) == (5, 0)
        case _:
            raise AssertionError
    assert pickle.loads(pickle.dumps(Derived(1, 2))) == Derived(1, 2)


def test_an_object_with_slots_can_be_replaced():
    class Slotted:
        __slots__ = ("a", "b")

        def __init__(self, a: int, b: int) -> None:
            self.a, self.b = a, b

    found = classes.replace(Slotted(1, 2), b=3)
    assert (found.a, found.b) == (1, 3)


def test_what_a_class_has_of_its_own_stays():
    @classes.dataclass(frozen=True)
    class Own:
        a: int

        def __init__(self, a: int) -> None:
            vars(self)["a"] = 2 * a

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert Own(2).a == 4
    assert Own(1) == 5
    assert hash(Own(1)) == 7
