"""Finding the records of JSON text that comes in pieces. What the records hold is not looked at, only where they end."""

from millstream.kernels.simd import equal_mask, shift_right, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, helper, inlined, kernel

# What both framers carry from piece to piece, by place in `state`.
PHASE = 0  # see each
DEPTH = 1  # 1 between elements of an array, or within the outermost braces of an object; 2 and up further in
STRING = 2  # -1 within a string, else 0
ESCAPE = 3  # 1 if the next byte follows a backslash within a string
START = 4  # where the record at hand starts, -1 if none has
LAST = 5  # array: past the element's last byte so far; objects: the last byte so far that is not blank
MARK = 6  # array: 1 once a comma was seen, an element must follow; objects: 1 at the start of a line
AT = 7  # where the scan stopped

BETWEEN, WITHIN, LOST = 0, 1, 2


@inlined
def within_strings(quotes, string):
    """Bits from each opening quote up to before its closing one; `string` is -1 if the block starts within a string."""
    quotes ^= quotes << 1
    quotes ^= quotes << 2
    quotes ^= quotes << 4
    quotes ^= quotes << 8
    quotes ^= quotes << 16
    quotes ^= quotes << 32
    return quotes ^ string


@inlined
def find_strings(data, at, size, string, escape):
    """Of `size` bytes at `at`, up to 64: (bits of bytes in strings, STRING past them, ESCAPE past them)."""
    live = -1 if size == 64 else (1 << size) - 1
    slashes = equal_mask(data, at, 92) & live
    escaped = escape
    slashes &= ~escaped
    escape = 0
    while slashes != 0:
        place = trailing_zeros(slashes)
        if place == size - 1:
            escape = 1
        else:
            escaped |= 1 << (place + 1)
        slashes &= ~(3 << place)
    inside = within_strings(equal_mask(data, at, 34) & live & ~escaped, string)
    return inside, -((inside >> (size - 1)) & 1), escape


@kernel
def frame_array(data: U8, first: INT, end: INT, state: I64, starts: I64, ends: I64):
    """Elements that end within bytes `first` to `end`, as where they start and end in `data`, blanks trimmed.

    PHASE: 0 before the array, 1 in it, 2 past its end, 3 not an array, 4 closed by a brace. `data` holds 64 more bytes past
    `end`. Returns the count of elements; stops at `end`, past the array, or when `starts` is full. An element left out, as in
    `[1,,2]`, has no bytes. Within an element 64 bytes are looked at at a time, else one.
    """
    phase = state[PHASE]
    depth = state[DEPTH]
    string = state[STRING]
    escape = state[ESCAPE]
    start = state[START]
    last = state[LAST]
    comma = state[MARK]
    at = first
    count = 0
    while at < end and phase < 2 and count < len(starts):
        if depth >= 2:
            size = min(64, end - at)
            inside, string, escape = find_strings(data, at, size, string, escape)
            outside = ~inside if size == 64 else ~inside & ((1 << size) - 1)
            opening = (equal_mask(data, at, 91) | equal_mask(data, at, 123)) & outside
            brackets = opening | ((equal_mask(data, at, 93) | equal_mask(data, at, 125)) & outside)
            closed = -1
            while brackets != 0:
                place = trailing_zeros(brackets)
                brackets &= brackets - 1
                if (opening >> place) & 1 == 1:
                    depth += 1
                else:
                    depth -= 1
                    if depth == 1:
                        closed = place
                        break
            if closed >= 0:
                at += closed + 1
                last = at
                string = 0
                escape = 0
            else:
                at += size
            continue
        byte = int(data[at])
        at += 1
        if string != 0:
            last = at
            if escape == 1:
                escape = 0
            elif byte == 92:
                escape = 1
            elif byte == 34:
                string = 0
        elif byte == 32 or byte == 10 or byte == 13 or byte == 9:
            continue
        elif phase == 0:
            phase = 1 if byte == 91 else 3
            depth = 1
        elif byte == 44 or (byte == 93 and (start >= 0 or comma == 1)):
            starts[count] = start if start >= 0 else at - 1
            ends[count] = last if start >= 0 else at - 1
            count += 1
            start = -1
            comma = 1
            if byte == 93:
                phase = 2
        elif byte == 93:
            phase = 2
        elif byte == 125:
            phase = 4
        else:
            if start < 0:
                start = at - 1
            last = at
            if byte == 34:
                string = -1
            elif byte == 91 or byte == 123:
                depth = 2
    state[PHASE] = phase
    state[DEPTH] = depth
    state[STRING] = string
    state[ESCAPE] = escape
    state[START] = start
    state[LAST] = last
    state[MARK] = comma
    state[AT] = at
    return count


@helper
def end_of_text(data, first, end):
    """Past the last byte of data[first:end] that is not blank; `first` if there is none."""
    while end > first and (data[end - 1] == 32 or data[end - 1] == 10 or data[end - 1] == 13 or data[end - 1] == 9):
        end -= 1
    return end


@kernel
def frame_objects(data: U8, first: INT, end: INT, state: I64, starts: I64, ends: I64):
    """Objects one after another that end within bytes `first` to `end`, as where they start and end in `data`.

    PHASE: BETWEEN objects; WITHIN one; LOST: within text that is no object, or an object that is broken, up to the next line
    that starts with a brace. Such text is one record too. An object is broken where a string holds a newline, or where a
    line starts with a brace that nothing announced: it follows no colon, comma or bracket. `data` holds 64 more bytes past `end`.
    Returns the count of records; stops at `end`, or when `starts` is full.
    """
    phase = state[PHASE]
    depth = state[DEPTH]
    string = state[STRING]
    escape = state[ESCAPE]
    start = state[START]
    head = state[MARK]
    at = first
    count = 0
    while at < end and count < len(starts):
        if phase == BETWEEN:
            byte = int(data[at])
            if byte == 32 or byte == 10 or byte == 13 or byte == 9:
                at += 1
                continue
            start = at
            at += 1
            head = 0
            depth = 1
            string = 0
            escape = 0
            phase = WITHIN if byte == 123 else LOST
            continue
        size = min(64, end - at)
        live = -1 if size == 64 else (1 << size) - 1
        lines = equal_mask(data, at, 10) & live
        braces = equal_mask(data, at, 123) & live
        heads = braces & ((lines << 1) | head)
        if phase == LOST:
            if heads != 0:
                at += trailing_zeros(heads)
                starts[count] = start
                ends[count] = end_of_text(data, start, at)
                count += 1
                start = -1
                phase = BETWEEN
            else:
                head = shift_right(lines, size - 1) & 1
                at += size
            continue
        inside, after, escape = find_strings(data, at, size, string, escape)
        outside = live & ~inside
        opening = (equal_mask(data, at, 91) | braces) & outside
        torn = lines & inside
        events = opening | torn | ((equal_mask(data, at, 93) | equal_mask(data, at, 125)) & outside)
        place = int(size)
        while events != 0:
            hit = trailing_zeros(events)
            events &= events - 1
            if (torn >> hit) & 1 == 1:
                phase = LOST
                place = hit
                head = 0
                break
            if (opening >> hit) & 1 == 1:
                if (heads >> hit) & 1 == 1:
                    before = end_of_text(data, first, at + hit)
                    byte = int(data[before - 1]) if before > first else state[LAST]
                    if byte != 58 and byte != 44 and byte != 91:
                        phase = LOST
                        place = hit
                        head = 1
                        break
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    starts[count] = start
                    ends[count] = at + hit + 1
                    count += 1
                    start = -1
                    phase = BETWEEN
                    place = hit + 1
                    break
        at += place
        if phase == WITHIN:
            string = after
            head = shift_right(lines, size - 1) & 1
    before = end_of_text(data, first, at)
    if before > first:
        state[LAST] = int(data[before - 1])
    state[PHASE] = phase
    state[DEPTH] = depth
    state[STRING] = string
    state[ESCAPE] = escape
    state[START] = start
    state[MARK] = head
    state[AT] = at
    return count
