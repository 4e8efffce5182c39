"""Regular expressions of RE2's as tables of bytes, for kernels/text.py: whether a text has a match, in one step a byte.

What most expressions are made of: text, `.`, classes, `\\d \\w \\s`, groups, `|`, counts, and `^ $` where a text begins and ends. Anything
else, and what would take too many states, has no table here, and goes to RE2, with which the tables agree. An expression with a table is
one that RE2 takes, so nobody has to ask it.

A nondeterministic automaton is made after K. Thompson ("Regular Expression Search Algorithm"), and of its sets of states a deterministic
one. Texts are valid UTF-8, which all characters beyond ASCII are read as.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

MATCHED, LOST = 0, 1
"""States without a way back: there is a match; there will be none."""
_MOST_STATES = 256
"""A state is a byte."""
_MOST_NODES = 1000
_MOST_DEPTH = 50
_MOST_WORK = 100_000
"""Nodes looked at, so that making a table takes less than a tenth of a second."""
_ALWAYS, _AT_BEGIN, _AT_END = range(3)

_DIGITS = frozenset(range(48, 58))
_WORD = _DIGITS | frozenset(range(65, 91)) | frozenset(range(97, 123)) | {95}
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": frozenset(b"\t\n\f\r ")}
_CONTROLS = {"t": 9, "n": 10, "f": 12, "r": 13}
_ASCII = frozenset(range(128))
_COUNT = re.compile(r"\{(0|[1-9]\d*)(?:(,)((?:0|[1-9]\d*)?))?\}", re.ASCII)
"""With a zero before it RE2 takes it for text."""
_BEYOND = (
    ((0xC2, 0xDF), (0x80, 0xBF)),
    ((0xE0, 0xEF), (0x80, 0xBF), (0x80, 0xBF)),
    ((0xF0, 0xF4), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)),
)
"""All characters beyond ASCII in UTF-8, as ranges of bytes."""


class Automaton(NamedTuple):
    """table: for each state 256 next ones. ends: 1 for each state in which a text that ends is a match. start: the first state."""

    table: bytes
    ends: bytes
    start: int


class _UnknownError(Exception):
    """There is no table for this expression."""


class _Set(NamedTuple):
    """One character: of ASCII; of those beyond, all or some."""

    plain: frozenset[int]
    beyond: bool = False
    others: frozenset[str] = frozenset()


class _Mark(NamedTuple):
    """`^` or `$`."""

    condition: int


class _Row(NamedTuple):
    parts: tuple[_Tree, ...]


class _Choice(NamedTuple):
    parts: tuple[_Tree, ...]


class _Repeat(NamedTuple):
    """most: None for any number."""

    part: _Tree
    least: int
    most: int | None


_Tree: TypeAlias = "_Set | _Mark | _Row | _Choice | _Repeat"


@lru_cache(maxsize=64)
def automaton(pattern: str) -> Automaton | None:
    """The table of an expression, or None where it has none here."""
    try:
        return _deterministic(_Nodes(_Reader(pattern).read()))
    except _UnknownError:
        return None


class _Reader:
    """Reads an expression into a tree."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at, self._depth = pattern, 0, 0

    def read(self) -> _Tree:
        made = self._choice()
        if self._at < len(self._pattern):  # a parenthesis too many
            raise _UnknownError
        return made

    def _choice(self) -> _Tree:
        parts = [self._row()]
        while self._take("|"):
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _row(self) -> _Tree:
        parts: list[_Tree] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._repeated(self._one()))
        return _Row(tuple(parts))

    def _repeated(self, part: _Tree) -> _Tree:
        count = self._count()
        if count is None:
            return part
        self._take("?")  # fewest first: whether there is a match is the same
        if isinstance(part, _Mark) or self._count() is not None:
            raise _UnknownError
        least, most = count
        if max(least, most or 0) > _MOST_NODES or (most is not None and most < least):
            raise _UnknownError
        return _Repeat(part, least, most)

    def _count(self) -> tuple[int, int | None] | None:
        for sign, count in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return count
        found = _COUNT.match(self._pattern, self._at)
        if found is None:
            return None
        if len(found[0]) > len("{1000,1000}"):
            raise _UnknownError
        self._at = found.end()
        least = int(found[1])
        return least, (least if found[2] is None else int(found[3]) if found[3] else None)

    def _one(self) -> _Tree:
        one = self._next()
        if one == "(":
            if self._take("?") and not self._take(":"):
                raise _UnknownError  # flags, names
            self._depth += 1
            if self._depth > _MOST_DEPTH:
                raise _UnknownError
            made = self._choice()
            if not self._take(")"):
                raise _UnknownError
            self._depth -= 1
            return made
        if one == "[":
            return self._class()
        if one == "\\":
            return self._escape()
        if one == ".":
            return _Set(_ASCII - {10}, True)
        if one in "^$":
            return _Mark(_AT_BEGIN if one == "^" else _AT_END)
        if one in "*+?" or (one == "{" and _COUNT.match(self._pattern, self._at - 1)):
            raise _UnknownError
        return _literal(one)

    def _escape(self) -> _Set:
        one = self._next()
        if one.lower() in _CLASSES:
            plain = _CLASSES[one.lower()]
            return _Set(plain) if one.islower() else _Set(_ASCII - plain, True)
        if one in _CONTROLS:
            return _literal(chr(_CONTROLS[one]))
        if not " " <= one <= "~" or one.isalnum() or one == "_":
            raise _UnknownError
        return _literal(one)

    def _class(self) -> _Set:
        negated, first = self._take("^"), True
        made = _Set(frozenset())
        while first or not self._take("]"):
            first = False
            low = self._of_class()
            if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
                self._at += 1
                made = _joined(made, _range(low, self._of_class()))
            else:
                made = _joined(made, low)
        if not negated:
            return made
        if made.others:
            raise _UnknownError
        return _Set(_ASCII - made.plain, not made.beyond)

    def _of_class(self) -> _Set:
        one = self._next()
        if one == "[" and self._pattern.startswith(":", self._at):
            raise _UnknownError
        return self._escape() if one == "\\" else _literal(one)

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise _UnknownError
        self._at += 1
        return self._pattern[self._at - 1]

    def _take(self, sign: str) -> bool:
        found = self._pattern.startswith(sign, self._at)
        self._at += len(sign) if found else 0
        return found


def _literal(one: str) -> _Set:
    return _Set(frozenset([ord(one)])) if one.isascii() else _Set(frozenset(), False, frozenset([one]))


def _joined(one: _Set, other: _Set) -> _Set:
    return _Set(one.plain | other.plain, one.beyond or other.beyond, one.others | other.others)


def _range(low: _Set, high: _Set) -> _Set:
    """The characters from one to another, which are of ASCII."""
    if len(low.plain) != 1 or len(high.plain) != 1 or low.beyond or high.beyond or low.others or high.others:
        raise _UnknownError
    (first,), (last,) = low.plain, high.plain
    if last < first:
        raise _UnknownError
    return _Set(frozenset(range(first, last + 1)))


class _Nodes:
    """A nondeterministic automaton: node 0 is its start. steps: ranges of bytes to other nodes. free: ways that take no byte."""

    def __init__(self, tree: _Tree) -> None:
        self.steps: list[list[tuple[int, int, int]]] = []
        self.free: list[list[tuple[int, int]]] = []
        self.final = self._append(tree, self._node())

    def _node(self) -> int:
        if len(self.steps) >= _MOST_NODES:
            raise _UnknownError
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def _append(self, tree: _Tree, start: int) -> int:
        """Put a tree behind a node. Returns the node behind it."""
        if isinstance(tree, _Row):
            for part in tree.parts:
                start = self._append(part, start)
            return start
        if isinstance(tree, _Repeat):
            return self._repeat(tree, start)
        end = self._node()
        if isinstance(tree, _Choice):
            for part in tree.parts:
                begin = self._node()
                self.free[start].append((_ALWAYS, begin))
                self.free[self._append(part, begin)].append((_ALWAYS, end))
        elif isinstance(tree, _Mark):
            self.free[start].append((tree.condition, end))
        else:
            for ranges in _bytes_of(tree):
                at = start
                for place, (low, high) in enumerate(ranges):
                    to = end if place == len(ranges) - 1 else self._node()
                    self.steps[at].append((low, high, to))
                    at = to
        return end

    def _repeat(self, tree: _Repeat, start: int) -> int:
        for _ in range(tree.least):
            start = self._copy(tree.part, start)
        if tree.most is None:
            loop = self._node()
            self.free[start].append((_ALWAYS, loop))
            self.free[self._append(tree.part, loop)].append((_ALWAYS, loop))
            return loop
        end = self._node()
        for _ in range(tree.most - tree.least):
            self.free[start].append((_ALWAYS, end))
            start = self._copy(tree.part, start)
        self.free[start].append((_ALWAYS, end))
        return end

    def _copy(self, part: _Tree, start: int) -> int:
        begin = self._node()  # copies of nothing count, too
        self.free[start].append((_ALWAYS, begin))
        return self._append(part, begin)

    def reach(self, nodes: Iterable[int], *conditions: int) -> frozenset[int]:
        """These nodes, and where one gets from them without a byte."""
        found, waiting = set(nodes), list(nodes)
        while waiting:
            for condition, to in self.free[waiting.pop()]:
                if to not in found and (condition == _ALWAYS or condition in conditions):
                    found.add(to)
                    waiting.append(to)
        return frozenset(found)


def _bytes_of(one: _Set) -> Iterator[tuple[tuple[int, int], ...]]:
    """The characters of a set in UTF-8, as rows of ranges of bytes."""
    wanted = sorted(one.plain)
    for place, first in enumerate(wanted):
        if place == 0 or wanted[place - 1] != first - 1:
            last = first
            while last + 1 in one.plain:
                last += 1
            yield ((first, last),)
    if one.beyond:
        yield from _BEYOND
    else:
        for other in sorted(one.others):
            yield tuple((byte, byte) for byte in other.encode())


def _deterministic(nodes: _Nodes) -> Automaton:
    """Sets of nodes as states. A match may begin anywhere, so the start is in each set."""
    edges = sorted({edge for steps in nodes.steps for low, high, _ in steps for edge in (low, high + 1)} | {0, 256})
    anywhere = nodes.reach([0])
    states: dict[frozenset[int], int] = {}
    rows, ends, waiting = {MATCHED: bytes([MATCHED]) * 256, LOST: bytes([LOST]) * 256}, {MATCHED: 1, LOST: 0}, []

    def number(found: frozenset[int], *conditions: int) -> int:
        if nodes.final in found:
            return MATCHED
        ended = nodes.final in nodes.reach(found, _AT_END, *conditions)
        kept = frozenset(node for node in found if nodes.steps[node])
        if not kept and not ended:
            return LOST
        # A text that is empty may match where one of the same set that goes on does not.
        state = states.setdefault(kept | {-1} if ended else kept, len(states) + 2)
        if state >= _MOST_STATES:
            raise _UnknownError
        if state not in ends:
            ends[state] = int(ended)
            waiting.append((state, kept))
        return state

    start, work = number(nodes.reach([0], _AT_BEGIN), _AT_BEGIN), 0
    while waiting:
        state, held = waiting.pop()
        row = bytearray()
        work += len(edges) * (len(held) + len(anywhere))
        if work > _MOST_WORK:
            raise _UnknownError
        for low, following in pairwise(edges):
            to = {target for node in held for first, last, target in nodes.steps[node] if first <= low <= last}
            row += bytes([number(nodes.reach(to) | anywhere)]) * (following - low)
        rows[state] = bytes(row)
    return Automaton(b"".join(rows[one] for one in range(len(rows))), bytes(ends[one] for one in range(len(ends))), start)
