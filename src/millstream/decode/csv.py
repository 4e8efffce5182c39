"""CSV records to columns: what `kernels/csv.py` is called with, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from millstream.classes import dataclass, replace
from millstream.columns import close
from millstream.decode.batch import OTHER, UNKNOWN_KEYS, BatchColumns, Decoded
from millstream.decode.csv_framing import split_texts
from millstream.decode.dialect import SETTINGS, Dialect
from millstream.decode.json_layout import ColumnPlace, column_words
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject, reject, to_batch
from millstream.errors import PlanError, RunError
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, Memory, allocate, from_numbers
from millstream.schema import Code, Column, Field, Schema

# Places in the state of kernels/csv.py, which are those of kernels/json.py.
_STATE = 17
_ROWS, _REJECTS, _HEAP, _FIELDS, _SPARE = 0, 1, 2, 11, 13
_REJECT = 4
_WORDS = 1100
_NEEDLESS = ("numbers", "text")
"""Coercions that say what CSV does anyway."""

_WRONG = {
    -2: "the row has fewer cells than there are columns",
    -3: "the row has more cells than there are columns",
    -4: "a quote opens here that nothing closes",
    -5: "there is text behind the quote that closes this cell",
    -6: "nothing follows the escape character at the end of the row",
}
_NO_HEADER = "the header is no CSV record of the input's encoding, so its rows cannot be read"
_NO_COLUMN = "the header has none of the schema's columns; is the delimiter another one?"
_KEPT_HEADERS = 64


@dataclass(frozen=True)
class _Cells:
    """What the cells under one header are.

    columns: of each cell the index of its field, or below 0 where no field wants it: so many cells from there on.
    absent: fields that no cell is for. unknown: headers that no field reads. wrong: why no row can be read, or None.
    """

    columns: Memory
    absent: tuple[int, ...]
    unknown: tuple[str, ...]
    wrong: str | None = None


def check_fields(fields: Sequence[Field], dialect: Dialect) -> None:
    """Raise PlanError for a column that CSV cannot hold."""
    for one in fields:
        if one.rest:
            raise PlanError(f"column {one.name!r}: path '*' is for JSON; name the columns of a CSV file")
        if one.type.is_nested:
            raise PlanError(
                f"column {one.name!r}: {one.type} cannot be read from a cell of CSV; read its text as type json, or as string"
            )
    if isinstance(dialect.header, tuple):
        known = {_header_of(path) for one in fields for path in one.paths}
        if known.isdisjoint(dialect.header):
            raise PlanError(f"input: header has none of the schema's columns: {', '.join(one.name for one in fields)}")


def _header_of(path: tuple[str, ...]) -> str:
    """The name in a header that a path stands for: a point in it is one."""
    return ".".join(path)


class CsvDecoder:
    """Decodes payloads, each one CSV record, to the columns of `fields`. Threads may share it.

    schema: all fields, in the order of cells without a header; those that are not among `fields` are skipped, but known.
    """

    def __init__(self, fields: Sequence[Field], schema: Sequence[Field], dialect: Dialect) -> None:
        self.fields, self.schema, self.dialect = tuple(fields), tuple(schema), dialect
        bare = [replace(one, coerce=tuple(name for name in one.coerce if name not in _NEEDLESS)) for one in self.fields]
        self.places = [ColumnPlace(one.type, i, 0, 0) for i, one in enumerate(bare)]
        self.column_words = [word for i, one in enumerate(bare) for word in column_words(self.places[i], i, one)]
        self._of_headers: dict[bytes | None, _Cells] = {}

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode a batch; every payload becomes a row or a reject, in order."""
        return _Batch(self, payloads).decoded()

    def cells(self, header: bytes | None) -> _Cells:
        """What the cells of a record under this header are."""
        found = self._of_headers.get(header)
        if found is None:
            if len(self._of_headers) >= _KEPT_HEADERS:
                self._of_headers.clear()
            found = self._of_headers[header] = self._cells(header)
        return found

    def _cells(self, header: bytes | None) -> _Cells:
        given = self.dialect.header
        names: Sequence[str] | None
        if given is True and header is not None:
            names = self.dialect.names(header)
            if names is None:
                return _Cells(from_numbers("q", []), (), (), _NO_HEADER)
        elif isinstance(given, tuple):
            names = given
        else:
            index = {one.name: i for i, one in enumerate(self.fields)}
            return _Cells(_told([index.get(one.name, -1) for one in self.schema]), (), ())
        wanted = {_header_of(path): i for i, one in enumerate(self.fields) for path in one.paths}
        known = {_header_of(path) for one in self.schema for path in one.paths}
        columns = [wanted.get(name, -1) for name in names]
        last = {column: at for at, column in enumerate(columns)}
        columns = [column if last[column] == at else -1 for at, column in enumerate(columns)]
        absent = tuple(i for i in range(len(self.fields)) if i not in last)
        unknown = tuple(name for name in names if name not in known)
        wrong = _NO_COLUMN if known.isdisjoint(names) else None
        return _Cells(_told(columns), absent, unknown, wrong)


def _told(columns: Sequence[int]) -> Memory:
    """`_Cells.columns`: a row that is short of cells is not to take as long as its header is wide."""
    told, step = list(columns), 0
    for at in reversed(range(len(told))):
        step = 0 if told[at] >= 0 else step - 1
        told[at] = step or told[at]
    return from_numbers("q", told)


class _Batch(BatchColumns):
    """One batch on its way through the kernel."""

    def __init__(self, decoder: CsvDecoder, payloads: Payloads) -> None:
        self.decoder, self.payloads = decoder, payloads
        count = payloads.count
        longest = kernels.longest_span(payloads.starts, payloads.ends)
        spare = longest + PADDING
        super().__init__(decoder.fields, decoder.places, decoder.column_words, [count], payloads.size + 2 * longest + PADDING)
        state = [0] * _STATE
        state[_HEAP], state[_FIELDS], state[_SPARE] = self.heap, len(decoder.fields), spare
        self.state = from_numbers("q", state)
        self.text, self.scratch = allocate(4 * spare, 1), allocate(_WORDS, 8)
        self.source, self.rejects = allocate(count, 8), allocate(count * _REJECT, 8)
        self.wrong: list[Reject] = []
        self.unknown: dict[str, int] = {}
        self.missing: dict[str, int] = {}

    def decoded(self) -> Decoded:
        """The batch's columns, rejects and counts."""
        runs = self.payloads.headers or ((0, None),)
        stops = [first for first, _ in runs[1:]] + [self.payloads.count]
        for (begin, header), stop in zip(runs, stops, strict=True):
            if begin < stop:
                self._run(self.decoder.cells(header), begin, stop)
        rows = self.state.word(_ROWS)
        self.settle([rows])
        rejects = self._rejected(self.rejects.part(0, self.state.word(_REJECTS) * _REJECT, 8).tolist())
        return Decoded(
            {one.name: self.vector(i, one.holds, [rows]) for i, one in enumerate(self.decoder.fields)},
            rows,
            self.source.part(0, rows, 8),
            sorted(rejects + self.wrong) if self.wrong else rejects,
            self.nulls_on_error(),
            self.unknown,
            self.missing,
        )

    def _run(self, cells: _Cells, begin: int, stop: int) -> None:
        """Decode the records under one header."""
        for name in cells.unknown:
            named = name if name in self.unknown or len(self.unknown) < UNKNOWN_KEYS else OTHER
            self.unknown[named] = self.unknown.get(named, 0) + stop - begin
        if cells.wrong is not None:
            self.wrong += [Reject(i, Code.BAD_CSV, None, -1, cells.wrong) for i in range(begin, stop)]
            return
        for column in cells.absent:
            name = self.decoder.fields[column].name
            self.missing[name] = self.missing.get(name, 0) + stop - begin
        payloads, dialect = self.payloads, self.decoder.dialect
        absent = from_numbers("q", cells.absent)
        while begin < stop:
            begin = kernels.decode_csv(
                payloads.text, payloads.starts, payloads.ends, begin, stop, self.text, self.strings, cells.columns, absent,
                dialect.tokens, dialect.words, self.columns, self.scratch, self.state, self.source, self.rejects, self.out,
            )  # fmt: skip
            if begin < stop:
                self.grow_strings()

    def _rejected(self, words: list[int]) -> list[Reject]:
        found = []
        for at in range(0, len(words), _REJECT):
            position, code, column, offset = words[at : at + _REJECT]
            if column in _WRONG:
                found.append(Reject(position, Code(code), None, offset, _WRONG[column]))
            else:
                name = self.decoder.fields[column].name if column >= 0 else None
                found.append(reject(position, Code(code), name, offset))
        return found


def decode_csv(
    data: bytes | list[bytes], schema: Schema | pa.Schema | dict[str, str | Column], **options: Any
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """CSV to a RecordBatch of the schema, and the records that are no row of it, with code, column and byte offset.

    data: one text, or several, each with its own header unless `header` says otherwise. options: delimiter, quote, escape, header, comment,
    null_values, ragged, encoding, as an input's in docs/reference/csv.md. Raises PlanError for a bad schema or option, RunError for over
    2 GiB of text.
    """
    checked = Schema(schema)
    for name in options:
        if name not in SETTINGS:
            raise PlanError(f"decode_csv has no option {name!r}; there are {', '.join(SETTINGS)}")
    dialect = Dialect.of(options)
    fields = tuple(checked.values())
    check_fields(fields, dialect)
    payloads, _ = split_texts(Payloads.of_records([data] if isinstance(data, bytes) else data), dialect)
    if payloads.size >= 1 << 31:
        raise RunError("a batch holds more than 2 GiB of text; make it smaller")
    decoded = CsvDecoder(fields, fields, dialect).decode(payloads)
    columns = [close(decoded.columns[name]) for name in checked]
    return pa.record_batch(columns, checked.arrow), to_batch(decoded.rejects, payloads.payload)
