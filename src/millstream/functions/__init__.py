"""The catalogue of functions: what expressions are made of, and where their documentation comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from millstream.functions.function import Example, Form, Function, Policy

_MODULES = {
    "": ("arithmetic", "numbers", "compare", "logic", "choice", "casts", "instants"),
    "str": ("text", "pieces", "patterns", "codes", "parsing"),
    "dt": ("time", "spans", "formats", "zones"),
    "list": ("lists",),
    "struct": ("structs",),
}
"""Where the functions of each namespace are."""


class Catalogue(Mapping[str, Function]):
    """Every function by its name. The modules of a namespace are imported when one of its functions is asked for: a start pays for that."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Function]] = {}

    def space(self, name: str) -> dict[str, Function]:
        """The functions of a namespace, by their full names; of none, for a name that is none."""
        if name not in self._known:
            modules = [import_module(f"millstream.functions.{one}") for one in _MODULES.get(name, ())]
            self._known[name] = {one.name: one for module in modules for one in module.FUNCTIONS}
        return self._known[name]

    def __getitem__(self, name: str) -> Function:
        return self.space(name.rpartition(".")[0])[name]

    def __iter__(self) -> Iterator[str]:
        return (name for space in _MODULES for name in self.space(space))

    def __len__(self) -> int:
        return sum(1 for _ in self)


CATALOGUE = Catalogue()

__all__ = ["CATALOGUE", "Catalogue", "Example", "Form", "Function", "Policy"]
