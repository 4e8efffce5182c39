"""Tags say what an object holds: its pipeline, its source range, a digest of its rows. Objects with the same tags are the same."""

from __future__ import annotations

from collections.abc import Mapping

_NAMED = {"fingerprint": "pipeline", "source": "source range", "digest": "rows", "token": "attempt"}


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """How an object with the tags `found` is another one than that with `wanted`, in words; None if it is the same."""
    if not any(name in found for name in wanted):
        return "it was not written by millstream"
    if "claim" in found and "claim" not in wanted:
        return "another invocation took this one for dead and claimed the name"
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if not differing:
        return None
    return "; ".join(f"its {_NAMED.get(name, name)} is {found.get(name)}, this one is {wanted[name]}" for name in differing)
