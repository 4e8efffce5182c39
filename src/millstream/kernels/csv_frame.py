"""Where the records of CSV text start and end. A newline in quotes ends none."""

from numba import int64

from millstream.kernels.csv_scan import COMMENT, IN_COMMENT, QUOTED, RECORD, scan_block, walk_block
from millstream.kernels.simd import trailing_zeros
from millstream.kernels.spec import I64, INT, U8, inlined, kernel

# What is carried from text to text, by place in `state`: the phase, whether the next byte is escaped, where the record at hand starts.
PHASE, ESCAPED, START = 0, 1, 2
CLOSED, WHOLE = 1, 2


@inlined
def end_of_record(data, start, stop):
    """A carriage return before a newline belongs to it."""
    return stop - 1 if stop > start and data[stop - 1] == 13 else stop


@kernel
def frame_csv(data: U8, begins: I64, stops: I64, how: INT, dialect: I64, state: I64, starts: I64, ends: I64, counts: I64):
    """The records in each text data[begins[i]:stops[i]], as spans without their newlines; counts[i] says how many those are.

    The first text goes on where `state` says, every other begins anew. how: CLOSED where the end of a text ends its last record, WHOLE
    where a byte order mark may stand at its start, too. Lines without a byte, and comments, are no records. Nothing behind the last
    text's end is read but what `data` holds. Returns the count of records, or -1 where there is no room for them; `state` is as it was
    then.
    """
    count = 0
    phase = state[PHASE]
    escape = state[ESCAPED]
    start = int64(0)
    for r in range(len(begins)):
        at = begins[r]
        end = stops[r]
        before = count
        if r > 0:
            phase = int64(RECORD)
            escape = int64(0)
        if how == WHOLE and end - at >= 3 and data[at] == 0xEF and data[at + 1] == 0xBB and data[at + 2] == 0xBF:
            at += 3
        start = at
        while at < end:
            if phase == RECORD:
                start = at
                if int64(data[at]) == dialect[COMMENT]:
                    phase = int64(IN_COMMENT)
            if phase == IN_COMMENT:
                while at < end and data[at] != 10:
                    at += 1
                if at < end:
                    at += 1
                    phase = int64(RECORD)
                    start = at
                continue
            size = min(int64(64), end - at)
            if at + 64 <= len(data):
                _, lines, _, after, escape = scan_block(data, at, size, phase, escape, dialect)
            else:
                _, lines, _, after, escape = walk_block(data, at, size, phase, escape, dialect)
            phase = after
            base = at
            at += size
            while lines != 0:
                stop = base + trailing_zeros(lines)
                lines &= lines - 1
                last = end_of_record(data, start, stop)
                if last > start:
                    if count == len(starts):
                        return int64(-1)
                    starts[count] = start
                    ends[count] = last
                    count += 1
                start = stop + 1
                if dialect[COMMENT] >= 0 and start < end and int64(data[start]) == dialect[COMMENT]:
                    at = start
                    phase = int64(RECORD)
                    escape = int64(0)
                    break
        if how >= CLOSED and phase != RECORD and phase != IN_COMMENT:
            last = end if phase == QUOTED else end_of_record(data, start, end)
            if last > start:
                if count == len(starts):
                    return int64(-1)
                starts[count] = start
                ends[count] = last
                count += 1
        counts[r] = count - before
    state[PHASE] = phase
    state[ESCAPED] = escape
    state[START] = start
    return count
