"""Finding the elements of a JSON array whose text comes in pieces. What the elements hold is not looked at."""

from millstream.kernels.simd import equal_mask, trailing_zeros
from millstream.kernels.spec import I64, INT, U8, inlined, kernel

# What `frame_array` carries from piece to piece, by place in `state`.
PHASE = 0  # 0 before the array, 1 in it, 2 past its end, 3 not an array, 4 closed by a brace
DEPTH = 1  # 1 between elements, 2 and up within one
STRING = 2  # -1 within a string, else 0
ESCAPE = 3  # 1 if the next byte follows a backslash within a string
START = 4  # where the element at hand starts, -1 if none has
LAST = 5  # past its last byte so far
COMMA = 6  # 1 once a comma was seen: an element must follow
AT = 7  # where the scan stopped


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


@kernel
def frame_array(data: U8, first: INT, end: INT, state: I64, starts: I64, ends: I64):
    """Elements that end within bytes `first` to `end`, as where they start and end in `data`, blanks trimmed.

    `data` holds 64 more bytes past `end`. Returns the count of elements; stops at `end`, past the array, or when `starts` is
    full. An element left out, as in `[1,,2]`, has no bytes. Within an element 64 bytes are looked at at a time, else one.
    """
    phase = state[PHASE]
    depth = state[DEPTH]
    string = state[STRING]
    escape = state[ESCAPE]
    start = state[START]
    last = state[LAST]
    comma = state[COMMA]
    at = first
    count = 0
    while at < end and phase < 2 and count < len(starts):
        if depth >= 2:
            size = min(64, end - at)
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
            quotes = equal_mask(data, at, 34) & live & ~escaped
            inside = within_strings(quotes, string)
            outside = live & ~inside
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
                string = -((inside >> (size - 1)) & 1)
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
    state[COMMA] = comma
    state[AT] = at
    return count
