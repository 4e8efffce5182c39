"""`millstream plan`: what a pipeline does, step by step, as it is planned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from millstream import spec
from millstream.classes import dataclass
from millstream.columns import nulls
from millstream.decode.payloads import Payloads
from millstream.engine import Batch, advance, forget_literals
from millstream.errors import RunError
from millstream.functions.function import forget_spare
from millstream.lineage import Lineage
from millstream.lookups.matching import rehearsal
from millstream.native.bind import kernels
from millstream.native.memory import from_numbers
from millstream.nullness import after
from millstream.outcome import Account
from millstream.pipeline import Pipeline
from millstream.plan import Assign, Keep, Plan, Probe, Step
from millstream.planned import Check, Gather, Spread
from millstream.schema import BOOL, Type
from millstream.steps import functions_of
from millstream.userfunc.declared import told

_ROWS = 2
"""The rows of nulls that steps are tried on, to see which kernels they call."""


@dataclass(frozen=True)
class Explained:
    """A plan, told. `to_dict` is its JSON."""

    pipeline: str
    fingerprint: str
    columns: list[dict[str, Any]]
    decode: list[str]
    steps: list[dict[str, Any]]
    output: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The plan as one JSON object."""
        return {
            "version": 1,
            "pipeline": self.pipeline,
            "fingerprint": self.fingerprint,
            "columns": self.columns,
            "decode_kernels": self.decode,
            "steps": self.steps,
            "output": self.output,
        }

    def render(self, everything: bool = False) -> str:
        """The plan to read; with `everything`, kernels, nulls and what was moved, too."""
        return "\n".join(self._lines(everything))

    def _lines(self, everything: bool) -> Iterator[str]:
        decoded = [one for one in self.columns if one["decoded"]]
        yield f"pipeline {self.pipeline}, fingerprint {self.fingerprint}"
        yield f"decodes {len(decoded)} of {len(self.columns)} columns"
        yield from _table(decoded, everything)
        skipped = [one["name"] for one in self.columns if not one["decoded"]]
        if skipped:
            how = "checked to be JSON and skipped" if "decode_json" in self.decode else "not read"
            yield f"  {how}: {', '.join(skipped)}"
        if everything:
            yield f"  kernels: {', '.join(self.decode)}"
        for one in self.steps:
            yield f"{one['step']}: {one['written']}"
            yield from _table(one["makes"], everything)
            if everything:
                yield from _notes(one)
        yield f"writes {len(self.output)} columns"
        yield from _table(self.output, everything)


def _notes(one: Mapping[str, Any]) -> Iterator[str]:
    if one["before"]:
        yield f"  moved before {' and '.join(one['before'])}: nothing is rejected there, and it tests what is there before"
    if one["also"]:
        yield f"  rows are chosen once for it and {', '.join(one['also'])}"
    if one["no_longer_null"]:
        yield f"  no longer null: {', '.join(one['no_longer_null'])}"
    for own in one["functions"]:
        yield f"  {own['name']}: {own['signature']}, {own['runs']}"
    yield f"  kernels: {', '.join(one['kernels']) or 'none'}"


def _table(columns: list[dict[str, Any]], everything: bool) -> Iterator[str]:
    if columns:
        width = max(len(one["name"]) for one in columns)
        kinds = max(len(one["type"]) for one in columns)
        for one in columns:
            null = ("may be null" if one["nullable"] else "never null") if everything else ""
            yield f"  {one['name']:<{width}}  {one['type']:<{kinds}}  {null}".rstrip()


def explain(pipeline: Pipeline) -> Explained:
    """What a pipeline's plan is. Raises PlanError where it has none."""
    plan = pipeline.plan()
    said = spec.written(pipeline.name, pipeline.input, pipeline.schema, pipeline.steps, pipeline.output, urls=False)["steps"]
    kinds = {one.name: one.holds for one in plan.decoded}
    nullable = frozenset(one.name for one in plan.decoded if one.nullable)
    steps = []
    for place, step in enumerate(plan.steps):
        made, now = _made(step, kinds), after(step, nullable)
        number = _number(step.where)
        behind = [one.where for one in plan.steps[place + 1 :] if _number(one.where) < number]
        steps.append(
            {
                "step": step.where,
                "written": _flow(next(iter(said[number - 1].values()))),
                "makes": [{"name": name, "type": str(kind), "nullable": name in now} for name, kind in made.items()],
                "no_longer_null": sorted(nullable - now - made.keys()) if not isinstance(step, Gather) else [],
                "before": behind,
                "also": list(step.also) if isinstance(step, Keep) else [],
                "functions": [told(one) for one in functions_of(pipeline.steps[number - 1 : number])],
                "kernels": _called(step, kinds),
            }
        )
        kinds = {name: kind for name, kind in (made if isinstance(step, Gather) else kinds | made).items() if name in step.live}
        nullable = now & kinds.keys()
    decoded = {one.name for one in plan.decoded}
    return Explained(
        pipeline.name,
        pipeline.fingerprint,
        [
            {"name": one.name, "type": str(one.type), "nullable": one.nullable, "decoded": one.name in decoded}
            for one in plan.fields
        ],
        _decoding(plan),
        steps,
        [{"name": name, "type": str(kind), "nullable": name in nullable} for name, kind in plan.output],
    )


def _number(where: str) -> int:
    found = re.match(r"step (\d+) ", where)
    assert found is not None
    return int(found[1])


def _made(step: Step, kinds: Mapping[str, Type]) -> dict[str, Type]:
    """The columns that a step makes, or makes anew."""
    match step:
        case Assign():
            return {name: one.type for name, one in step.columns}
        case Probe():
            return {new: step.lookup.fields[name] for new, name in step.added}
        case Check() if step.action == "flag":
            return {step.called: BOOL}
        case Spread():
            return {step.column: kinds[step.column].children[0][1]}
        case Gather():
            return dict(step.types)
    return {}


def _flow(said: Any) -> str:
    """A step's value as YAML has it in one line."""
    if isinstance(said, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in said.items()) + "}"
    if isinstance(said, list):
        return "[" + ", ".join(map(_flow, said)) + "]"
    return str(said).lower() if isinstance(said, bool) else str(said)


def _called(step: Step, kinds: Mapping[str, Type]) -> list[str]:
    batch = Batch({name: nulls(kind, _ROWS) for name, kind in kinds.items()}, _ROWS, Lineage(from_numbers("q", range(_ROWS))))
    forget_literals()  # or those of an earlier step would not be told
    forget_spare()
    with _watched() as called, rehearsal(), suppress(RunError):  # which a rule of action "fail" raises
        advance(step, batch, Account(_ROWS, 0))
    return called


def _decoding(plan: Plan) -> list[str]:
    with _watched() as called:
        plan.decoder.decode(Payloads.of_lines(b"{}\n"))
    return called


@contextmanager
def _watched() -> Iterator[list[str]]:
    """The kernels that are called meanwhile, each once, in order."""
    called: dict[str, None] = {}
    originals = {name: getattr(kernels, name) for name in kernels.load().manifest["kernels"]}

    def watched(name: str) -> Any:
        def call(*arguments: Any) -> int:
            called[name] = None
            return int(originals[name](*arguments))

        return call

    names: list[str] = []
    kernels.__dict__.update({name: watched(name) for name in originals})
    try:
        yield names
    finally:
        kernels.__dict__.update(originals)
        names += called
