"""What the columns of some data could be: a sample's keys, their types, how often they are null or absent, what conflicts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import orjson

from millstream.classes import dataclass, field
from millstream.decode.chunks import read_chunks
from millstream.decode.compression import FileSource
from millstream.errors import SourceError
from millstream.local.infer_csv import Sample, is_csv
from millstream.local.source import InputFile, find_files
from millstream.types import STRING, TYPES, Type, list_of, struct_of

SAMPLE = 10_000
"""Records looked at unless told."""
_DEEPEST = 4
"""Objects and lists nested deeper than this are taken as raw JSON."""
_MOST_FIELDS = 100
"""Objects in lists with more keys than this are taken as raw JSON: their keys are data."""
_TIME = re.compile(r"\d{4}-?\d\d-?\d\d[Tt ]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?(?P<zone>[Zz]|[+-]\d\d(:?\d\d)?)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)  # digits alone are too often something else


@dataclass
class Key:
    """What was seen under one path: how many values of each kind, how many records had the key.

    items: what was seen in lists; fields: what was seen in objects that are inside lists.
    """

    path: tuple[str, ...]
    kinds: Counter[str] = field(default_factory=Counter)
    least: int = 0
    greatest: int = 0
    items: Key | None = None
    fields: dict[str, Key] = field(default_factory=dict)

    def see(self, value: Any, depth: int = 0) -> None:
        """Count a value; `depth` lists and objects in lists are around it."""
        kind = _kind(value)
        self.kinds[kind] += 1
        if kind == "integer":
            self.least, self.greatest = min(self.least, value), max(self.greatest, value)
        elif kind == "list" and depth < _DEEPEST:
            self.items = self.items or Key(self.path)
            for one in value:
                self.items.see(one, depth + 1)
        elif kind == "object" and 0 < depth < _DEEPEST:
            for name, one in value.items():
                self.fields.setdefault(name, Key(self.path)).see(one, depth + 1)

    @property
    def present(self) -> int:
        return self.kinds.total()

    @property
    def column(self) -> dict[str, Any]:
        """The column that takes every value seen: its type, and what it must be allowed beside."""
        kinds = {kind for kind in self.kinds if kind != "null"}
        if kinds <= {"integer"}:
            wide = self.greatest > (1 << 63) - 1
            return {"type": "uint64" if wide and self.least >= 0 else "float64" if wide else "int64" if kinds else "string"}
        if kinds <= {"integer", "float"}:
            return {"type": "float64"}
        if kinds == {"list"}:
            return {"type": str(self.element or "json")}
        if len(kinds) == 1:
            (kind,) = kinds
            return {"type": _TYPES[kind]}
        if kinds <= {"date", "zoned time", "time", "string"}:
            return {"type": "string"}
        if kinds <= {"integer", "float", "bool", "date", "zoned time", "time", "string"}:
            return {"type": "string", "coerce": ["text"]}
        return {"type": "json"}

    @property
    def element(self) -> Type | None:
        """The one type that takes every value seen, inside a list; None where only raw JSON does."""
        kinds = self.kinds.keys() - {"null"}
        if kinds == {"list"}:
            inner = self.items.element if self.items else None
            return list_of(inner) if inner else None
        if kinds == {"object"} and 0 < len(self.fields) <= _MOST_FIELDS:
            fields = [(name, one.element if one.kinds.keys() - {"null"} else STRING) for name, one in self.fields.items()]
            settled = [(name, kind) for name, kind in fields if kind]
            return struct_of(settled) if len(settled) == len(fields) else None
        column = self.column if kinds else {}
        return TYPES[column["type"]] if column.keys() == {"type"} and column["type"] != "json" else None

    @property
    def conflict(self) -> str:
        """The kinds seen, commonest first, where one type does not take them all by itself; else empty."""
        kinds = [kind for kind, _ in self.kinds.most_common() if kind != "null"]
        if len(kinds) < 2 or set(kinds) == {"integer", "float"}:
            return ""
        return ", ".join(f"{kind} {_share(self.kinds[kind], self.present)}" for kind in kinds)


_TYPES = {
    "bool": "bool",
    "float": "float64",
    "string": "string",
    "date": "date32",
    "time": "timestamp[us]",
    "zoned time": "timestamp[us, UTC]",
    "object": "json",
}


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "integer"
        case float():
            return "float"
        case list():
            return "list"
        case dict():
            return "object"
    with suppress(ValueError):
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
            return "date"
        if time := _TIME.fullmatch(value):
            datetime.fromisoformat(value)
            return "zoned time" if time["zone"] else "time"
    return "string"


@dataclass
class Inferred:
    """A sample's keys in the order they came, and how many records it had and how many were none. input: settings it needs."""

    records: int
    bad: int
    keys: list[Key]
    input: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, dict[str, Any]]:
        """Columns by name, as a pipeline's schema has them; nested keys are joined by `_`."""
        made: dict[str, dict[str, Any]] = {}
        for key in self.keys:
            name = "_".join(key.path)
            while name in made:
                name += "_"
            path = ".".join(key.path) if not any("." in part for part in key.path) else list(key.path)
            column = key.column
            if self.input:
                column.pop("coerce", None)  # a cell of CSV is text
            made[name] = column | ({"path": path} if key.path != (name,) else {})
        return made

    def to_dict(self) -> dict[str, Any]:
        """For `--json`: the schema, and of each column the share of records where it is null or absent, and conflicts."""
        columns = self.columns()
        seen = zip(columns, self.keys, strict=True)
        return {
            "version": 1,
            "records": self.records,
            "bad_records": self.bad,
            **({"input": self.input} if self.input else {}),
            "schema": columns,
            "columns": {
                name: {
                    "null": key.kinds["null"] / self.records,
                    "absent": (self.records - key.present) / self.records,
                    "conflict": key.conflict or None,
                }
                for name, key in seen
            },
        }

    def render(self) -> str:
        """A pipeline file's schema, with what was seen as comments."""
        none = "rows of the header" if self.input else "JSON objects"
        lines = [
            f"# from {self.records:,} records" + (f", and {self.bad:,} that are no {none}" if self.bad else ""),
            "version: 1",
        ]
        if self.input:
            lines.append(f"input: {_flow(self.input)}")
        lines.append("schema:")
        for (name, column), key in zip(self.columns().items(), self.keys, strict=True):
            said = [f"null {_share(key.kinds['null'], self.records)}"] if key.kinds["null"] else []
            if key.present < self.records:
                said.append(f"absent {_share(self.records - key.present, self.records)}")
            if key.conflict:
                said.append(f"conflict: {key.conflict}")
            value = _flow(column["type"]) if len(column) == 1 else _flow(column)
            lines.append(f"  {_flow(name)}: {value}" + (f"  # {'; '.join(said)}" if said else ""))
        return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "< 0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, width=1 << 30, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def infer(inputs: Sequence[str | os.PathLike[str]], records: int = SAMPLE) -> Inferred:
    """Look at the first records of files, folders or patterns, as many of each file as of the others.

    Raises UsageError where there are no files, SourceError where one cannot be read or has no
    record that is a JSON object or a row of CSV. Files are CSV where all names end so.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    csv = bool(inputs) and is_csv(inputs)
    files = find_files(inputs, "csv" if csv else "auto")
    sample = Sample(files) if csv else None
    each = max(1, records // len(files))
    keys: dict[tuple[str, ...], Key] = {}
    count = bad = 0
    for file in files:
        for record in sample.records(file, each) if sample else _objects(file, each):
            if record is None:
                bad += 1
                continue
            count += 1
            for path, value in _values(record, ()):
                keys.setdefault(path, Key(path)).see(value)
    if not count:
        what = "row under its header" if sample else "JSON object"
        raise SourceError(f"no {what} among the first {bad:,} records of {', '.join(str(file.path) for file in files[:3])}")
    return Inferred(count, bad, _settled(keys), sample.settings if sample else {})


def _objects(file: InputFile, count: int) -> Iterator[dict[str, Any] | None]:
    """The first records of a JSON file; None for one that is no object."""
    for payload in _first(read_chunks(FileSource(file.path)), count):
        try:
            record = orjson.loads(payload)
        except orjson.JSONDecodeError:
            record = None
        yield record if isinstance(record, dict) else None


def _first(chunks: Iterable[Any], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        for position in range(chunk.payloads.count):
            if not count:
                return
            count -= 1
            yield chunk.payloads.payload(position)


def _values(record: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its path; an object, then what is in it."""
    for key, value in record.items():
        path = (*above, key)
        yield path, value
        if isinstance(value, dict) and len(path) < _DEEPEST:
            yield from _values(value, path)


def _settled(keys: dict[tuple[str, ...], Key]) -> list[Key]:
    """The keys that are columns: of an object what is in it, unless it is another value in some records; then itself, as raw JSON."""
    parents = {path[:-1] for path in keys}
    whole = {path for path in parents & keys.keys() if keys[path].kinds.keys() - {"null", "object"}}

    def inside(path: tuple[str, ...]) -> bool:
        return any(path[:length] in whole for length in range(1, len(path)))

    return [key for path, key in keys.items() if not inside(path) and (path in whole or path not in parents)]
