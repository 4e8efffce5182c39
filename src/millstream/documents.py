"""YAML and JSON text as plain data.

YAML is read with a safe loader that refuses duplicate keys, aliases and tags, limits the depth, and knows only YAML 1.2's truth
values: `on:` and `no` are text.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from millstream.errors import SpecError

MOST_DEPTH = 20


def loads(text: str, is_json: bool = False) -> Any:
    """YAML or JSON text as plain data. Raises SpecError with line and column."""
    try:
        if is_json:
            _check_depth(text)
            return json.loads(text, object_pairs_hook=_unique)
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(f"{place}{error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"{error}\n".splitlines()[0]
        raise SpecError(f"cannot be read: {reason}") from None


def place_of(text: str, at: Sequence[str | int]) -> str:
    """Where a value stands in a text that `loads` read, for the beginning of a message: "line 7, column 5: ".

    at: the keys and list places that lead to it; where they lead nowhere, as far as they go.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        loader.dispose()
    except yaml.YAMLError:  # JSON that is no YAML
        return ""
    if node is None:
        return ""
    mark = node.start_mark
    for key in at:
        if isinstance(node, yaml.MappingNode):
            found = [(name, value) for name, value in node.value if name.value == str(key)]
            if not found:
                break
            mark, node = found[0][0].start_mark, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            mark = node.start_mark
        else:
            break
    return f"line {mark.line + 1}, column {mark.column + 1}: "


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} stands twice")
        made[key] = value
    return made


_OPENED = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def _check_depth(text: str) -> None:
    """Raise ValueError where JSON is nested more deeply than YAML may be."""
    depth = 0
    for found in _OPENED.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MOST_DEPTH:
            line = text.count("\n", 0, found.start()) + 1
            column = found.start() - text.rfind("\n", 0, found.start())
            raise ValueError(f"line {line}, column {column}: nested more than {MOST_DEPTH} levels deep")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without what a pipeline file does not need."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed here; write the value again", problem_mark=mark)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.tag is not None:
            raise yaml.MarkedYAMLError(problem=f"tags ({event.tag}) are not allowed here", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MOST_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"nested more than {MOST_DEPTH} levels deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool) or key in seen:
                problem = f"the key {key!r} stands twice" if isinstance(key, str) else "a key is a plain name here"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _whole(loader: Any, node: Any) -> int:
    return int(loader.construct_scalar(node))


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put other bytes into a file that is there, all at once or not at all. A link stays one. Raises OSError."""
    import tempfile

    place = Path(os.path.realpath(path))
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".millstream-", delete=False) as file:
            temporary = file.name
            file.write(data)
        os.chmod(temporary, stat.S_IMODE(place.stat().st_mode))
        os.replace(temporary, place)
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
