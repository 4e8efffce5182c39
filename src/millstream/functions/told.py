"""What `millstream functions` tells: the catalogue in words."""

from __future__ import annotations

from typing import Any

from millstream.errors import UsageError
from millstream.functions import CATALOGUE, Form, Function


def written_as(one: Function) -> str:
    """How a function is written: `.str.slice(offset: int, length: int | None = None)`."""
    if one.form is Form.OPERATOR:
        return one.examples[0].text
    return f"{'.' if one.form is Form.METHOD else ''}{one.name}({one.parameters})"


def as_object(one: Function) -> dict[str, Any]:
    """A function for JSON."""
    return {
        "name": one.name,
        "form": one.form.value,
        "written": written_as(one),
        "takes": one.takes,
        "nulls": one.policy.value,
        "doc": one.doc,
        "examples": [
            {"expression": example.text, "columns": {name: kind for name, (kind, _) in example.columns.items()}}
            for example in one.examples
        ],
        "by": list(one.by),
    }


def chosen(name: str | None) -> list[Function]:
    """All functions; those of a namespace ("str"); or one ("str.slice", "slice"). Raises UsageError where there is none."""
    if name is None:
        return list(CATALOGUE.values())
    wanted = name.strip(".")
    found = [one for key, one in CATALOGUE.items() if wanted in (key, key.rpartition(".")[0], key.rpartition(".")[2])]
    if not found:
        import difflib

        near = difflib.get_close_matches(wanted, [*CATALOGUE, *(key.rpartition(".")[2] for key in CATALOGUE)], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; `millstream functions` lists all"
        raise UsageError(f"there is no function {name!r}{hint}")
    return found


def tell(name: str | None) -> str:
    """One function in full, or several in a line each."""
    found = chosen(name)
    if len(found) > 1:
        wide = max(len(one.name) for one in found)
        return "\n".join(f"{one.name:<{wide}}  {one.doc}" for one in found)
    (one,) = found
    lines = [
        written_as(one),
        f"  {one.doc}",
        f"  types:    {one.takes.replace('|', ' | ')}",
        f"  nulls:    {one.policy.value}",
        f"  made by:  {', '.join(one.by) or 'no kernel of its own'}",
    ]
    for example in one.examples:
        for column, (kind, values) in example.columns.items():
            lines.append(f"  {column} ({kind}): {_values(values)}")
        lines.append(f"  {example.text}  gives  {_values(example.result)}")
    return "\n".join(lines)


def _values(values: Any) -> str:
    return ", ".join("null" if one is None else repr(one) for one in values)
