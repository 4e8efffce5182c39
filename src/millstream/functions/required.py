"""The text that a regular expression of RE2 cannot do without, for a quick search before the slow one.

Read conservatively: what is not understood needs nothing. The expression was checked before.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_CLASSES = frozenset("dDwWsSbBAztnrfv")
"""Escapes by a letter that take nothing behind the letter."""
_COUNT = re.compile(r"\{\d+(,\d*)?\}")


class Required(NamedTuple):
    """text: what is in every match, or nothing. begins: does every match begin with it? is_all: is it all that is looked for?"""

    text: str = ""
    begins: bool = False
    is_all: bool = False


_NOTHING = Required()
_WORTH = 3
"""Characters of a beginning that is preferred to a longer text elsewhere: behind it RE2 is left a shorter text to search."""


@lru_cache(maxsize=64)
def required(pattern: str) -> Required:
    """What each match of a regular expression holds."""
    if re.search(r"\(\?(?!:)|\\Q", pattern):  # flags, which may ignore case; named groups; text quoted as it is
        return _NOTHING
    runs, run, at = [""], "", 0
    plain = True  # nothing but plain text so far
    while at < len(pattern):
        one, after = pattern[at], at + 1
        if one == "|":
            return _NOTHING
        if one == "\\":
            after = at + 2
            escaped = pattern[at + 1 : after]
            if escaped.isascii() and not escaped.isalnum() and escaped:
                run, at = run + escaped, after
                continue
            if escaped not in _CLASSES:
                return _NOTHING
        elif one == "[":
            after = _behind_class(pattern, at)
        elif one == "(":
            after = _behind_group(pattern, at)
        elif one in "*?{":
            run = run[:-1]  # it may be there no time
            count = _COUNT.match(pattern, at)
            after = count.end() if count else after
        elif one not in ".^$+)":
            run, at = run + one, after
            continue
        plain = False
        runs.append(run)
        if len(runs) == 2:
            runs[0] = run  # what the expression begins with
        run, at = "", after
    if plain:
        return Required(run, True, True) if run else _NOTHING
    first, longest = runs[0], max([*runs, run], key=len)
    return Required(first, True) if len(first) >= min(_WORTH, len(longest)) else Required(longest)


def _behind_class(pattern: str, at: int) -> int:
    """The position behind the class that begins at `at`."""
    at += 1
    at += pattern.startswith("^", at)
    at += pattern.startswith("]", at)
    while at < len(pattern) and pattern[at] != "]":
        if pattern.startswith("[:", at):
            at = max(pattern.find(":]", at) + 1, at)
        elif pattern[at] == "\\":
            at += 1
        at += 1
    return at + 1


def _behind_group(pattern: str, at: int) -> int:
    """The position behind the group that begins at `at`."""
    depth = 0
    while at < len(pattern):
        one = pattern[at]
        if one == "[":
            at = _behind_class(pattern, at)
            continue
        at += 2 if one == "\\" else 1
        depth += (one == "(") - (one == ")")
        if depth == 0:
            break
    return at
