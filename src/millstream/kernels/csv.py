"""CSV records to typed columns: the ends of a record's cells by masks, then each cell that a column wants.

A record is copied to a place of its own, as in `json`, a delimiter behind it, which ends its last cell. So every cell ends with a byte
that no number has, and nothing is read beyond a record but what a vector load takes along.
"""

from numba import int64

from millstream.kernels.csv_cells import NOT_CLOSED, NOTHING_ESCAPED, TOO_FEW, TOO_MANY, open_cell, read_cell
from millstream.kernels.csv_scan import (
    CELL,
    DELIMITER,
    ESCAPE,
    LATIN,
    LENGTHS,
    NUMBERS,
    PAD,
    QUOTE,
    TRUNCATE,
    below,
    scan_block,
)
from millstream.kernels.json import (
    HEAP,
    MISSING,
    MORE_HEAP,
    REFUSED,
    REJECT,
    REJECTS,
    ROWS,
    WANTED,
    copy_record,
    count_nulled,
    refuse_column,
    settle_refused,
)
from millstream.kernels.json_keys import SPARE
from millstream.kernels.json_text import BAD_UTF8
from millstream.kernels.json_values import COLUMN, VALID, default_row
from millstream.kernels.simd import above_mask, store_byte, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, inlined, kernel, outlined
from millstream.kernels.utf8 import invalid_utf8

BAD_CSV = 14


@outlined
def settle_absent_cells(row, cell, cells, absent, columns, out):
    """Defaults for columns that the header lacks, and for those of cells from `cell` on: (0 or a code, the column that has none)."""
    for i in range(len(absent)):
        if not default_row(row, absent[i] * COLUMN, columns, out):
            return int64(MISSING), absent[i]
    i = cell
    while i < len(cells):
        if cells[i] < 0:  # so many from here on are not wanted
            i -= cells[i]
            continue
        if not default_row(row, cells[i] * COLUMN, columns, out):
            return int64(MISSING), cells[i]
        i += 1
    return int64(0), int64(-1)


@inlined
def read_record(text, size, record, row, strings, heap, cells, tokens, dialect, columns, words, state, out):
    """The record text[:size] into one row: (0 or a code, position of the fault, what is wrong, how many cells it has, heap)."""
    width = len(cells)
    spare = state[SPARE]
    quote = dialect[QUOTE]
    escapes = dialect[ESCAPE] >= 0
    latin = -dialect[LATIN]
    lengths = dialect[LENGTHS]
    numbers = dialect[NUMBERS]
    phase = int64(CELL)
    escape = int64(0)
    high = int64(0)
    special = int64(0)
    cell = int64(0)
    extra = int64(0)
    p = int64(0)
    base = int64(0)
    while base <= size:
        block = min(int64(64), size + 1 - base)
        ends, _, quotes, phase, escape = scan_block(text, base, block, phase, escape, dialect)
        high |= above_mask(text, base, 127) & below(block)
        special |= quotes
        while ends != 0:
            end = base + trailing_zeros(ends)
            ends &= ends - 1
            first = p
            length = end - p
            quoted = int64(0)
            if special != 0 and (escapes or int64(text[p]) == quote):
                first, length, quoted, wrong = open_cell(text, p, end, spare, dialect)
                if wrong != 0:
                    return int64(BAD_CSV), p, wrong, cell, heap
            if cell < width and cells[cell] >= 0:
                target = cells[cell]
                heap, code = read_cell(
                    text,
                    first,
                    length,
                    quoted,
                    target,
                    row,
                    columns,
                    out,
                    strings,
                    heap,
                    spare,
                    lengths,
                    numbers,
                    tokens,
                    dialect,
                    high & latin,
                    words,
                )
                if code != 0:
                    store_byte(out, columns[target * COLUMN + VALID] + row, 0)
                    refuse_column(target, code, p, record, columns)
                    state[REFUSED] = 1
            cell += 1
            p = end + 1
            if cell == width:
                extra = p
        base += 64
    if p != size + 1:
        wrong = int64(NOT_CLOSED) if int64(text[p]) == dialect[QUOTE] else int64(NOTHING_ESCAPED)
        return int64(BAD_CSV), p, wrong, cell, heap
    if high != 0 and latin == 0:
        fault = invalid_utf8(text, int64(0), size)
        if fault >= 0:
            return int64(BAD_UTF8), fault, int64(0), cell, heap
    if cell < width and dialect[PAD] == 0:
        return int64(BAD_CSV), size, int64(TOO_FEW), cell, heap
    if cell > width and dialect[TRUNCATE] == 0:
        return int64(BAD_CSV), extra, int64(TOO_MANY), cell, heap
    return int64(0), int64(0), int64(0), cell, heap


@kernel
def decode_csv(
    given: U8, starts: I64, ends: I64, begin: INT, stop: INT, text: U8, strings: U8, cells: I64, absent: I64, tokens: I64,
    dialect: I64, columns: I64, words: I64, state: I64, source: I64, rejects: I64, out: U8,
):  # fmt: skip
    """Records given[starts[i]:ends[i]] from `begin` to before `stop` on to rows of `columns`, whose values and validity lie in `out`.

    cells: the column of each cell, or minus how many from there on nobody wants; absent: columns that no cell is for;
    tokens: see `is_null`; dialect: see `csv_scan`. text: room for the longest record and 64 bytes four times, that much is state[SPARE].
    The rest, and what is returned, as in `decode_json`; a reject BAD_CSV has in place of a column what is wrong, negative and one less.
    """
    for r in range(begin, stop):
        size = ends[r] - starts[r]
        if state[HEAP] + 2 * size + 64 > len(strings):
            state[WANTED] = MORE_HEAP
            return r
        copy_record(given, starts[r], size, text)
        text[size] = dialect[DELIMITER]
        row = state[ROWS]
        state[REFUSED] = 0
        code, p, wrong, cell, heap = read_record(
            text, size, r, row, strings, state[HEAP], cells, tokens, dialect, columns, words, state, out
        )
        column = -1 - wrong
        if code == 0 and state[REFUSED] == 1:
            code, column, p = settle_refused(r, columns, state)
        if code == 0 and (len(absent) > 0 or cell < len(cells)):
            code, column = settle_absent_cells(row, cell, cells, absent, columns, out)
            p = int64(0)
        if code == 0:
            source[row] = r
            state[ROWS] = row + 1
            state[HEAP] = heap
            if state[REFUSED] == 1:
                count_nulled(r, columns, state)
            continue
        for c in range(len(columns) // COLUMN):
            store_byte(out, columns[c * COLUMN + VALID] + row, 0)
        at = state[REJECTS] * REJECT
        rejects[at] = r
        rejects[at + 1] = code
        rejects[at + 2] = column
        rejects[at + 3] = p
        state[REJECTS] += 1
    return int64(stop)
