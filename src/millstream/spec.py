"""Pipelines as plain data, and as YAML or JSON files.

`millstream.documents` reads the text of files. Relative paths in a file are relative to the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.classes import dataclass, replace
from millstream.errors import MillstreamError, PlanError, SpecError, UsageError
from millstream.expr import Expr, Lit, as_expr
from millstream.schema import REST, Column, Field, Schema
from millstream.steps import Drop, DropNulls, Enrich, Filter, Join, Rename, Select, Step, WithColumns, functions_of
from millstream.values import to_text

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
VERSION = 1
MOST_BYTES = 1 << 20
_MOST = 1 << 50

_KEYS = ("version", "name", "input", "schema", "functions", "steps", "output")
INPUT = {
    "format": ("auto", "json", "ndjson", "concatenated", "csv"),
    "compression": ("auto", "none", "gzip", "zlib", "zstd", "bzip2", "lz4"),
}
LIMITS = ("max_record_bytes", "max_bytes", "max_ratio")
"""Input settings that are whole numbers; docs/reference/json.md tells their defaults."""
_COLUMN_KEYS = ("type", "path", "aliases", "default", "nullable", "on_error", "coerce")


@dataclass(frozen=True)
class File:
    """A pipeline file: its path and its text, so that what is found later can be told with line and column."""

    path: str
    text: str

    def place(self, error: Exception) -> str:
        """The path, and where what is wrong stands, for the beginning of a message."""
        at = getattr(error, "at", ())
        if not at:
            return f"{self.path}: "
        from millstream.documents import place_of

        return f"{self.path}: {place_of(self.text, at)}"


@dataclass(frozen=True)
class Parts:
    """What a specification says."""

    name: str
    input: dict[str, Any]
    schema: Schema
    steps: tuple[Step, ...]
    output: dict[str, Any]
    file: File | None = None


def checked_name(name: Any) -> str:
    """A pipeline's name: it becomes part of keys and folder names."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise PlanError(f"a pipeline's name is up to 64 letters, digits, - and _, not {shown(name)}")
    return name


def checked_input(given: Mapping[str, Any]) -> dict[str, Any]:
    """The input settings with their defaults."""
    if not isinstance(given, Mapping):
        raise PlanError(f"input is a mapping, not {_kind(given)}; write input: {{format: ndjson}}")
    for key, value in given.items():
        if key in LIMITS:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST:
                raise PlanError(f"input: {key} is {value!r}; write a whole number from 1 to {_MOST:,}")
            continue
        if key not in INPUT:
            from millstream.decode.dialect import SETTINGS

            if key not in SETTINGS:
                raise PlanError(f"input: there is no key {shown(key)}; there are {', '.join((*INPUT, *LIMITS, *SETTINGS))}")
            if given.get("format") != "csv":
                raise PlanError(f"input: {key} is for CSV; write format: csv, or leave it out")
            continue
        if value not in INPUT[key]:
            raise PlanError(f"input: {key} is {shown(value)}; write one of {', '.join(INPUT[key])}")
    if given.get("format") == "csv":
        from millstream.decode.dialect import Dialect

        Dialect.of(given)
    return {"format": "auto", "compression": "auto", **{key: _plain(value) for key, value in given.items()}}


def _plain(value: Any) -> Any:
    """A tuple as files write it."""
    return list(value) if isinstance(value, tuple) else value


def checked_output(given: Mapping[str, Any]) -> dict[str, Any]:
    """The output settings with their defaults; the plan checks the values against the columns."""
    if not isinstance(given, Mapping):
        raise PlanError(f"output is a mapping, not {_kind(given)}; write output: {{format: parquet, partition_by: [month]}}")
    partitions = given.get("partition_by") or []
    listed = [partitions] if isinstance(partitions, str) else list(partitions) if isinstance(partitions, tuple) else partitions
    return {"format": "parquet", "compression": "zstd", **given, "partition_by": listed}


# --- writing -----------------------------------------------------------------------------------------------------------


def written(
    name: str, source: Mapping[str, Any], schema: Schema, steps: Iterable[Step], output: Mapping[str, Any], urls: bool = True
) -> dict[str, Any]:
    """A pipeline as plain data that `read` takes back; without `urls`, what it says apart from where files are."""
    steps = tuple(steps)
    return {
        "version": VERSION,
        "name": name,
        "input": dict(source),
        "schema": {one.name: _column(one) for one in schema.values()},
        **_functions(steps, urls),
        "steps": [{step.name: _step(step, urls)} for step in steps],
        "output": dict(output),
    }


def _functions(steps: tuple[Step, ...], urls: bool) -> dict[str, Any]:
    """Users' functions: the files that they are in; without `urls`, what they are."""
    called = functions_of(steps)
    if not called:
        return {}
    if not urls:
        return {"functions": sorted(f"{one.name} {one.digest}" for one in called)}
    from millstream.userfunc.files import files_of

    files = files_of(called)
    return {"functions": files[0] if len(files) == 1 else files}


def _column(one: Field) -> Any:
    said: dict[str, Any] = {}
    if one.rest:
        said["path"] = REST
    elif one.paths[0] != (one.name,):
        said["path"] = _path(one.paths[0])
    if len(one.paths) > 1:
        said["aliases"] = [_path(path) for path in one.paths[1:]]
    if one.default is not None:
        said["default"] = to_text(one.default)
    if not one.nullable:
        said["nullable"] = False
    if one.on_error != "reject":
        said["on_error"] = one.on_error
    if one.coerce:
        said["coerce"] = list(one.coerce)
    return {"type": one.type.name, **said} if said else one.type.name


def _path(keys: tuple[str, ...]) -> Any:
    return ".".join(keys) if keys != (REST,) and not any("." in key for key in keys) else list(keys)


def _step(step: Step, urls: bool) -> Any:
    match step:
        case WithColumns() | Select():
            columns = step.columns
            if isinstance(step, Select) and all(
                expr.output_name == name and not isinstance(expr, Lit) for name, expr in columns
            ):
                return [str(expr) for _, expr in columns]
            return {name: str(expr) for name, expr in columns}
        case Filter():
            texts = [str(one) for one in step.predicates]
            return texts[0] if len(texts) == 1 else texts
        case DropNulls() | Drop():
            return list(step.columns)
        case Rename():
            return dict(step.names)
        case Join():
            from millstream.lookups.described import join_text

            return join_text(step, _column, urls)
        case Enrich():
            from millstream.lookups.described import enrich_text

            return enrich_text(step, urls)
    from millstream import step_forms

    return step_forms.written(step)


# --- reading -----------------------------------------------------------------------------------------------------------


def read(source: Mapping[str, Any] | str | os.PathLike[str]) -> Parts:
    """The parts of a pipeline, from plain data or a file. Raises SpecError naming the file, the step and the place."""
    # What reads files is imported here: a pipeline in Python starts without it.
    from pathlib import Path

    from millstream.documents import loads

    if not isinstance(source, str | os.PathLike):
        return _parts(source, Path())
    path = Path(source)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise SpecError(f"{path} is larger than {MOST_BYTES >> 20} MiB, too large for a pipeline file")
        text = data.decode()
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not UTF-8 text") from None
    whole = File(str(path), text)
    try:
        return replace(_parts(loads(text, is_json=path.suffix.lower() == ".json"), path.parent), file=whole)
    except MillstreamError as error:
        raise SpecError(f"{whole.place(error)}{error}").within(of=error) from None


def _parts(said: Any, folder: Path) -> Parts:
    _check_mapping(said, "a pipeline", _KEYS)
    if said.get("version") != VERSION:
        raise SpecError(f"version is {shown(said.get('version'))}; write version: {VERSION}").within("version")
    if "schema" not in said:
        raise SpecError("there is no schema; write schema: {price: float64, …}")
    own = _under("functions", lambda files: _own_functions(files, folder), said.get("functions"))
    return Parts(
        _under("name", checked_name, said.get("name", "pipeline")),
        _under("input", checked_input, _given(said, "input", {})),
        _under("schema", _schema, said["schema"]),
        _under("steps", lambda steps: _steps(steps, folder, own), _given(said, "steps", [])),
        _under("output", checked_output, _given(said, "output", {})),
    )


def _steps(said: Any, folder: Path, own: Mapping[str, Callable[..., Expr]]) -> tuple[Step, ...]:
    """The steps, whose expressions may call a user's own functions."""
    if not own:
        return tuple(_read_steps(said, folder))
    from millstream.grammar import with_functions

    with with_functions(own):
        return tuple(_read_steps(said, folder))


def _own_functions(said: Any, folder: Path) -> dict[str, Callable[..., Expr]]:
    """A user's own functions, of the Python files that a pipeline names. Their code is run, as that of a pipeline in Python is."""
    if said is None:
        return {}
    from millstream.grammar import OWN_NAMES
    from millstream.userfunc.files import functions_of

    return {name: one.of for name, one in functions_of(said, folder, OWN_NAMES).items()}


def _under(key: str, read: Callable[[Any], T], said: Any) -> T:
    """What is read under a key, which an error is told to be under."""
    try:
        return read(said)
    except UsageError as error:
        raise error.within(key, *error.at) from None


def _given(said: Mapping[str, Any], key: str, default: Any) -> Any:
    return default if said.get(key) is None else said[key]


def _check_mapping(said: Any, what: str, keys: Iterable[str]) -> None:
    if not isinstance(said, Mapping):
        raise SpecError(f"{what} is a mapping with {', '.join(keys)}, not {_kind(said)}")
    for key in said:
        if key not in keys:
            raise SpecError(f"{what} has no key {shown(key)}; there are {', '.join(keys)}").within(str(key))


def _kind(said: Any) -> str:
    return {"str": "text", "list": "a list", "NoneType": "nothing", "dict": "a mapping"}.get(
        type(said).__name__, type(said).__name__
    )


def _schema(said: Any) -> Schema:
    columns = _columns(said)
    try:
        return Schema(columns)
    except PlanError as error:
        raise error.within(*_alone(columns)) from None


def _alone(columns: Mapping[str, str | Column]) -> tuple[str, ...]:
    """The first column that would be an error without the others."""
    for name, one in columns.items():
        try:
            Schema({name: one})
        except PlanError:
            return (name,)
    return ()


def _columns(said: Any) -> dict[str, str | Column]:
    if not isinstance(said, Mapping):
        raise SpecError(f"schema is a mapping of names to types, not {_kind(said)}")
    made: dict[str, str | Column] = {}
    for name, one in said.items():
        if isinstance(one, str):
            made[name] = one
            continue
        _under(name, partial(_check_mapping, what=f"schema: column {name!r}", keys=_COLUMN_KEYS), one)
        if "type" not in one:
            raise SpecError(f"schema: column {name!r} has no type; write type: string").within(name)
        options = dict(one)
        for key in ("path", "aliases"):
            if isinstance(options.get(key), list):
                options[key] = tuple(tuple(item) if isinstance(item, list) else item for item in options[key])
        if isinstance(options.get("coerce"), list):
            options["coerce"] = tuple(options["coerce"])
        if isinstance(options.get("aliases"), str):
            options["aliases"] = (options["aliases"],)
        made[name] = Column(**options)
    return made


def _read_steps(said: Any, folder: Path) -> Iterable[Step]:
    if not isinstance(said, list):
        raise SpecError(f"steps is a list, not {_kind(said)}; write - filter: price > 10")
    for number, one in enumerate(said, 1):
        if not isinstance(one, Mapping) or len(one) != 1:
            wrong = SpecError(f"step {number} is one key with its value, such as filter: price > 10")
            raise wrong.within(number - 1)
        ((kind, value),) = one.items()
        try:
            yield _READERS[kind](value, folder) if kind in _READERS else _read_other(kind, value)
        except _NoStep as error:
            raise SpecError(f"step {number}: {error}").within(number - 1) from None
        except MillstreamError as error:
            raise SpecError(f"step {number} ({kind}): {error}").within(number - 1, str(kind), of=error) from None


class _NoStep(SpecError):
    """There is no step of this name."""


def _read_other(kind: Any, value: Any) -> Step:
    """A step that `millstream.step_forms` reads; it is imported for a pipeline that has one."""
    from millstream import step_forms

    if kind not in step_forms.FORMS:
        raise _NoStep(f"there is no step {shown(kind)}; there are {', '.join((*_READERS, *step_forms.FORMS))}")
    return step_forms.read(kind, value)


def _expression(said: Any) -> Expr:
    if isinstance(said, str):
        return _parsed(said)
    if isinstance(said, bool | int | float):
        return as_expr(said)
    raise SpecError(f"an expression is text, not {_kind(said)}")


def _parsed(text: str) -> Expr:
    from millstream.grammar import parse

    return parse(text)


def _texts(said: Any) -> list[str]:
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise SpecError(f"write a name or a list of names, not {_kind(said)}")
    return listed


def _read_with_columns(said: Any, folder: Path) -> Step:
    if not isinstance(said, Mapping) or not said:
        raise SpecError(f"write names and expressions, {{discount: price * 0.1}}, not {_kind(said)}")
    return WithColumns(tuple((str(name), _under(str(name), _expression, one)) for name, one in said.items()))


def _read_filter(said: Any, folder: Path) -> Step:
    listed = said if isinstance(said, list) else [said]
    if not listed:
        raise SpecError("write a predicate: price > 10")
    return Filter(tuple(_expression(one) for one in listed))


def _read_drop_nulls(said: Any, folder: Path) -> Step:
    return DropNulls(tuple(_texts(said if said is not None else [])))


def _read_drop(said: Any, folder: Path) -> Step:
    return Drop(tuple(_texts(said)))


def _read_select(said: Any, folder: Path) -> Step:
    if isinstance(said, Mapping):
        return Select(tuple((str(name), _under(str(name), _expression, one)) for name, one in said.items()))
    columns = []
    for text in _texts(said):
        expr = _parsed(text)
        if expr.output_name is None:
            raise SpecError(f"`{text}` has no name; write it as a mapping, {{name: {text}}}")
        columns.append((expr.output_name, expr))
    return Select(tuple(columns))


def _read_rename(said: Any, folder: Path) -> Step:
    if not isinstance(said, Mapping) or not all(isinstance(one, str) for pair in said.items() for one in pair):
        raise SpecError(f"write old and new names, {{old: new}}, not {_kind(said)}")
    return Rename(tuple(said.items()))


def _read_join(said: Any, folder: Path) -> Step:
    from millstream.lookups.described import JOIN_KEYS, read_join

    _check_mapping(said, "join", JOIN_KEYS)
    return read_join(said, _columns, folder)


_READERS: dict[str, Callable[[Any, Path], Step]] = {
    "with_columns": _read_with_columns,
    "filter": _read_filter,
    "drop_nulls": _read_drop_nulls,
    "select": _read_select,
    "drop": _read_drop,
    "rename": _read_rename,
    "join": _read_join,
}
