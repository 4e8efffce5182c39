"""The steps of lookups as they are written: checked when they are, read from pipeline files, told as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from millstream.errors import PlanError, SpecError
from millstream.lookups.matching import checked_policy
from millstream.schema import Field, Schema, Type, parse_type
from millstream.steps import HOWS, Enrich, Join
from millstream.tables import Lookup, lookup, seconds_of, seconds_to_text
from millstream.types import without_json
from millstream.values import to_text

JOIN_KEYS = (
    "lookup", "key", "range", "ip_range", "cidr", "closed", "keep", "on", "how", "on_missing", "refresh", "schema",
)  # fmt: skip
_FAILURES = ("fail", "null", "reject")


def joined(one: Any, on: tuple[str, ...], how: Any, on_missing: Any) -> Join:
    """A join that makes sense without a schema. Raises PlanError."""
    if not isinstance(one, Lookup):
        raise PlanError("join takes a lookup: join(lookup('countries.csv', key='code'), on='country')")
    if len(on) != len(one.asks):
        wanted = "one column" if len(one.asks) == 1 else f"{len(one.asks)} columns"
        raise PlanError(f"join: on is {wanted}, for {', '.join(one.asks)}; not {len(on)}")
    if how not in HOWS:
        raise PlanError(f"join: how is {shown(how)}; write 'semi', 'left', 'inner' or 'anti'")
    policy = checked_policy(on_missing, "join")
    if how != "left" and policy != "null":
        raise PlanError(f"join: on_missing is for how='left'; {how} has no rows without a match to tell of")
    return Join(one, on, how, policy)


def enriched(
    function: Any,
    key: tuple[str, ...],
    columns: Any,
    *,
    on_missing: Any,
    on_failure: Any,
    timeout: Any,
    retries: Any,
    failures: Any,
    pause: Any,
) -> Enrich:
    """A call-out that makes sense without a schema. Raises PlanError."""
    if not callable(function):
        raise PlanError(f"enrich takes a function of a list of keys, not {type(function).__name__}")
    if not key or len(set(key)) < len(key):
        raise PlanError("enrich: key is the name of a column, or of several, each once")
    if not isinstance(columns, Mapping) or not columns or not all(isinstance(name, str) and name for name in columns):
        raise PlanError("enrich: columns are names and types: columns={'segment': 'string', 'score': 'float64'}")
    if on_failure not in _FAILURES:
        raise PlanError(f"enrich: on_failure is {shown(on_failure)}; write one of {', '.join(_FAILURES)}")
    for name, count, least in (("retries", retries, 0), ("failures", failures, 1)):
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= 100:
            raise PlanError(f"enrich: {name} is {shown(count)}; write a whole number from {least} to 100")
    return Enrich(
        function,
        key,
        tuple((name, _type(name, kind)) for name, kind in columns.items()),
        checked_policy(on_missing, "enrich"),
        on_failure,
        seconds_of(timeout, "enrich: timeout"),
        retries,
        failures,
        seconds_of(pause, "enrich: pause"),
    )


def _type(name: str, given: Any) -> Type:
    try:
        return without_json(given if isinstance(given, Type) else parse_type(str(given)))
    except PlanError as error:
        raise PlanError(f"enrich: column {name!r}: {error}") from None


# --- plain data --------------------------------------------------------------------------------------------------------


def join_text(step: Join, column: Callable[[Field], Any], urls: bool) -> dict[str, Any]:
    """A join as plain data. Without `urls`, what it does, apart from where the table is and when it is looked at again."""
    one = step.lookup
    said: dict[str, Any] = {}
    if urls:
        if not one.scheme:
            raise SpecError("a join with a table in memory has no text form; write the table to a .csv or .parquet file")
        said["lookup"] = one.source
    if one.key:
        said["key"] = _bare(one.key)
    if one.range is not None:
        said[one.range.form] = _bare(one.range.columns)
        if one.range.closed != ("left" if one.range.form == "range" else "both"):
            said["closed"] = one.range.closed
    if one.keep != "none":
        said["keep"] = one.keep
    said |= {"on": _bare(step.on), "how": step.how}
    if step.on_missing != "null":
        said["on_missing"] = _policy_text(step.on_missing)
    if one.schema is not None:
        said["schema"] = {field.name: column(field) for field in one.schema.values()}
    if urls and one.refresh is not None:
        said["refresh"] = seconds_to_text(one.refresh)
    return said


def read_join(said: Mapping[str, Any], columns: Callable[[Any], Any], folder: Path) -> Join:
    """A join from plain data, whose paths are relative to a folder. Raises SpecError or PlanError."""
    if not isinstance(said.get("lookup"), str):
        raise SpecError("join needs lookup, as text: {lookup: countries.csv, key: code, on: country}")
    if said.get("on") is None:
        raise SpecError("join needs on: {lookup: countries.csv, key: code, on: country}")
    if not any(said.get(name) for name in ("key", "range", "ip_range", "cidr")):
        raise SpecError("join needs key, range, ip_range or cidr: {lookup: countries.csv, key: code, on: country}")
    on = said["on"] if isinstance(said["on"], list) else [said["on"]]
    if not all(isinstance(name, str) for name in on):
        raise SpecError("join: on is a column's name, or a list of them")
    how = said.get("how", "left")
    if how not in HOWS:
        raise SpecError(f"how is {shown(how)}; write left, inner, semi or anti")
    source = said["lookup"]
    given: dict[str, Any] = {name: said.get(name) for name in ("key", "range", "ip_range", "cidr", "closed", "refresh")}
    one = lookup(
        source if "://" in source else str(folder / source),
        **given,
        keep=said.get("keep", "none"),
        schema=None if said.get("schema") is None else Schema(columns(said["schema"])),
    )
    return joined(one, tuple(on), how, said.get("on_missing", "null"))


def enrich_text(step: Enrich, urls: bool) -> dict[str, Any]:
    """What a call-out adds, for a pipeline's fingerprint. Raises SpecError for a text form: a function has none."""
    if urls:
        raise SpecError("enrich calls a Python function and has no text form; keep the pipeline in a Python file")
    function = step.function
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return {
        "function": f"{getattr(function, '__module__', None) or type(function).__module__}.{name}",
        "key": _bare(step.key),
        "columns": {name: kind.name for name, kind in step.columns},
        "on_missing": _policy_text(step.on_missing),
        "on_failure": step.on_failure,
    }


def _bare(names: Sequence[str]) -> Any:
    return names[0] if len(names) == 1 else list(names)


def _policy_text(policy: Any) -> Any:
    return policy if isinstance(policy, str) else {name: to_text(value) for name, value in policy}
