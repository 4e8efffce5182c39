"""CSV as text: which of its bytes end a cell or a record. What stands in the cells is not looked at.

A quote opens only where a cell begins; anywhere else in a cell without quotes it is text. Within quotes two quotes stand for one. An
escape character takes its meaning from the next byte, in quotes and out of them. 64 bytes are looked at at a time, by masks that hold
if every quote that opens stands where one may. If one does not, or a byte is escaped, the 64 bytes are walked one by one.
"""

from numba import int64

from millstream.kernels.frame import within_strings
from millstream.kernels.simd import equal_mask, shift_right
from millstream.kernels.spec import inlined, outlined

# What a dialect is to kernels, by place in an array; a character that it does not have is -1.
# LENGTHS: bit n is set where a null token has n bytes (63: or more); NUMBERS: of the tokens that begin as numbers and times do.
DELIMITER, QUOTE, ESCAPE, COMMENT, LATIN, PAD, TRUNCATE, LENGTHS, NUMBERS = 0, 1, 2, 3, 4, 5, 6, 7, 8

# Where a scan stands: at the start of a record, or of a cell; in a cell without quotes; in quotes; behind a quote that may close.
RECORD, CELL, TEXT, QUOTED, CLOSED, IN_COMMENT = 0, 1, 2, 3, 4, 5


@inlined
def below(size):
    """The lowest bits, so many."""
    return int64(-1) if size == 64 else (int64(1) << size) - 1


@outlined
def walk_block(data, at, size, phase, escape, dialect):
    """`scan_block`, byte by byte."""
    delimiters = int64(0)
    lines = int64(0)
    special = int64(0)
    for i in range(size):
        byte = int64(data[at + i])
        if escape == 1:
            escape = int64(0)
            phase = QUOTED if phase == QUOTED else TEXT
        elif byte == dialect[ESCAPE]:
            special |= int64(1) << i
            escape = int64(1)
            phase = QUOTED if phase == QUOTED else TEXT
        elif phase == QUOTED:
            if byte == dialect[QUOTE]:
                special |= int64(1) << i
                phase = CLOSED
        elif byte == dialect[DELIMITER]:
            delimiters |= int64(1) << i
            phase = CELL
        elif byte == 10:
            lines |= int64(1) << i
            phase = RECORD
        elif byte == dialect[QUOTE] and phase != TEXT:
            special |= int64(1) << i
            phase = QUOTED
        else:
            phase = TEXT
    return delimiters, lines, special, int64(phase), escape


@inlined
def scan_block(data, at, size, phase, escape, dialect):
    """Of `size` bytes at `at`, up to 64: (delimiters, ends of lines, quotes and escapes, phase and escape behind them).

    Bit i of the first mask is set where data[at + i] ends a cell, of the second where it ends a record; the third is 0 where there is none.
    64 bytes can be read.
    """
    live = below(size)
    delimiters = equal_mask(data, at, dialect[DELIMITER]) & live
    lines = equal_mask(data, at, 10) & live
    quotes = equal_mask(data, at, dialect[QUOTE]) & live if dialect[QUOTE] >= 0 else int64(0)
    slashes = equal_mask(data, at, dialect[ESCAPE]) & live if dialect[ESCAPE] >= 0 else int64(0)
    if (slashes | escape) != 0:
        return walk_block(data, at, size, phase, escape, dialect)
    inside = int64(0)
    if quotes != 0 or phase == QUOTED:
        inside = within_strings(quotes, int64(-1) if phase == QUOTED else int64(0))
        heads = ((delimiters | lines | quotes) << 1) | (1 if phase != TEXT and phase != QUOTED else 0)
        if (quotes & inside & ~heads) != 0:
            return walk_block(data, at, size, phase, escape, dialect)
        delimiters &= ~inside
        lines &= ~inside
    last = size - 1
    phase = int64(TEXT)
    if (shift_right(inside, last) & 1) != 0:
        phase = int64(QUOTED)
    elif (shift_right(delimiters, last) & 1) != 0:
        phase = int64(CELL)
    elif (shift_right(lines, last) & 1) != 0:
        phase = int64(RECORD)
    elif (shift_right(quotes, last) & 1) != 0:
        phase = int64(CLOSED)
    return delimiters, lines, quotes, phase, int64(0)
