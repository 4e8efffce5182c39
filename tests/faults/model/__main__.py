"""python -m tests.faults.model [--full] [--omissions]: search all configurations; with each rule left out, too."""

from __future__ import annotations

import sys

from tests.faults.model.explore import Found, explore
from tests.faults.model.state import Rules
from tests.faults.model.table import FULL, OMISSIONS, QUICK, SAFETY


def shown(name: str, found: Found) -> str:
    return f"{name:30} {found.states:>10,} states {found.transitions:>11,} steps, {found.depth:>2} deep {found.seconds:>7.1f} s"


def search(full: bool) -> bool:
    """Whether all is well."""
    results = {}
    for name, bounds in (FULL if full else QUICK).items():
        results[name] = found = explore(bounds)
        print(shown(name, found), "" if not found.broken else f"\n  {found.broken}", flush=True)
        for said in found.trace:
            print("   ", said)
    print(f"{sum(one.states for one in results.values()):,} states, {sum(one.seconds for one in results.values()):.1f} s")
    return not any(one.broken for one in results.values())


def omit() -> bool:
    """Whether each omission is found where it should be, and no other anywhere."""
    well = True
    for name, omission in OMISSIONS.items():
        for where, bounds in QUICK.items() if not omission.where else [(omission.where, QUICK[omission.where])]:
            found = explore(bounds, Rules(**omission.rules), omission.breaks in SAFETY)
            well &= found.broken[:2] == omission.breaks
            if found.broken or omission.where:
                print(f"{name}: {where}: {found.broken or 'NOT FOUND'} (after {found.states:,} states)", flush=True)
                for said in found.trace:
                    print("   ", said)
        if not omission.where:
            print(f"{name}: breaks nothing", flush=True)
    return well


if __name__ == "__main__":
    well = search("--full" in sys.argv)
    if "--omissions" in sys.argv:
        well &= omit()
    sys.exit(not well)
