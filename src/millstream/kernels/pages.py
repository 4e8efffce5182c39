"""Bodies of Parquet pages and what their statistics tell, of all columns of a file in one call.

A row whose validity byte is not 1 has no value; a column without validity bytes (address 0) has one in every row.
Sources: the Parquet format, Encodings.md and README.md.
"""

from numba import int64

from millstream.kernels.memory import copy_bytes
from millstream.kernels.simd import bits_of_double, bits_of_single, load_word, store_byte, store_word, trailing_zeros
from millstream.kernels.spec import I64, U8, helper, inlined, kernel
from millstream.kernels.table import bytes_at, doubles_at, words_at

# A row of both tables begins with these: how values are stored, and where they are.
FORM, VALUES, COUNT, VALID, DATA, DATA_BYTES, WIDTH = 0, 1, 2, 3, 4, 5, 6
FLAGS, WORDS, DOUBLES, SINGLES, STRINGS, DECIMALS, NUMBERS = 0, 1, 2, 3, 4, 5, 6

# The rest of a row of `survey_columns`.
UNSIGNED, BYTES, BOUNDED, LEAST, GREATEST = 7, 8, 9, 10, 11
SURVEY = 12

# The rest of a row of `encode_pages`. Levels: none, those of a flat column's validity, or those given.
ABOVE, LEVELS, REPEATED, MOST_REPEATED, DEFINED, MOST_DEFINED, ENTRIES, START, SIZE = 7, 8, 9, 10, 11, 12, 13, 14, 15
KIND = 16
PAGE = 17
NO_LEVELS, OF_VALIDITY, GIVEN = 0, 1, 2
DATA_PAGE, DICTIONARY_PAGE = 0, 2
PLAIN, RLE_DICTIONARY = 0, 8


@inlined
def is_there(valid, i):
    """Has row i a value?"""
    return len(valid) == 0 or valid[i] == 1


@helper
def measure_plain(views, valid):
    """The bytes of strings in plain form: four for the length, then the string."""
    total = int64(0)
    for i in range(len(views)):
        if is_there(valid, i):
            total += 4 + (views[i] >> 32)
    return total


@helper
def encode_flags(values, valid, out, at):
    """Booleans as bits, the lowest first. Returns the place behind them."""
    bits = int64(0)
    filled = int64(0)
    for i in range(len(values)):
        if is_there(valid, i):
            bits |= int64(values[i]) << filled
            filled += 1
            if filled == 8:
                store_byte(out, at, bits)
                at += 1
                bits = int64(0)
                filled = int64(0)
    if filled > 0:
        store_byte(out, at, bits)
        at += 1
    return at


@helper
def encode_words(values, valid, width, out, at):
    """The low `width` bytes (4 or 8) of each value. Up to 8 bytes more are written."""
    for i in range(len(values)):
        store_word(out, at, values[i])
        at += width if is_there(valid, i) else 0
    return at


@helper
def encode_singles(values, valid, out, at):
    """The nearest float32 of each value. Up to 4 bytes more are written."""
    for i in range(len(values)):
        if is_there(valid, i):
            store_word(out, at, bits_of_single(values[i]))
            at += 4
    return at


@helper
def encode_strings(data, views, valid, out, at):
    """Each string's length in four bytes, then the string."""
    for i in range(len(views)):
        if is_there(valid, i):
            size = views[i] >> 32
            store_word(out, at, size)
            copy_bytes(data, views[i] & 0xFFFFFFFF, size, out, at + 4)
            at += 4 + size
    return at


@helper
def encode_decimals(words, count, valid, width, out, at):
    """The low `width` bytes of each decimal, the highest first."""
    for i in range(count):
        if is_there(valid, i):
            for k in range(width):
                byte = width - 1 - k
                store_byte(out, at + k, (words[2 * i + (byte >> 3)] >> (8 * (byte & 7))) & 0xFF)
            at += width
    return at


@helper
def pack_numbers(numbers, valid, above, width, out, at):
    """Numbers of `width` bits (1 to 32), the lowest bits first, in groups of eight; those greater than `above` are one less."""
    word = int64(0)
    filled = int64(0)
    count = int64(0)
    start = at
    for i in range(len(numbers)):
        if is_there(valid, i):
            number = numbers[i] - (1 if numbers[i] > above else 0)
            word |= number << filled
            filled += width
            count += 1
            if filled >= 32:
                store_word(out, at, word & 0xFFFFFFFF)
                at += 4
                word >>= 32
                filled -= 32
    end = start + ((count + 7) >> 3) * width
    store_word(out, at, word)
    at += 8
    while at < end:
        store_word(out, at, 0)
        at += 8
    return end


@helper
def write_varint(number, out, at):
    """An unsigned integer, seven bits a byte, the lowest first."""
    while number > 0x7F:
        store_byte(out, at, (number & 0x7F) | 0x80)
        number >>= 7
        at += 1
    store_byte(out, at, number)
    return at + 1


@helper
def write_levels(numbers, most, out, at):
    """Levels up to `most` as one run of bits, its length before it in four bytes."""
    width = int64(0)
    while (most >> width) > 0:
        width += 1
    start = at + 4
    end = write_varint((((len(numbers) + 7) >> 3) << 1) | 1, out, start)
    end = pack_numbers(numbers, bytes_at(0, 0), int64(1) << 62, width, out, end)
    put_size(out, at, end - start)
    return end


@inlined
def put_size(out, at, size):
    """Four bytes, those behind them as they are."""
    for k in range(4):
        store_byte(out, at + k, (size >> (8 * k)) & 0xFF)


@helper
def write_validity(valid, count, out, at):
    """Definition levels of a flat column: 1 where a value is, else 0."""
    nulls = int64(0)
    for i in range(len(valid)):
        nulls += 0 if valid[i] == 1 else 1
    start = at + 4
    if nulls == 0:
        end = write_varint(count << 1, out, start)
        store_byte(out, end, 1)
        end += 1
    else:
        end = write_varint((((count + 7) >> 3) << 1) | 1, out, start)
        bits = int64(0)
        for i in range(count):
            bits |= (1 if valid[i] == 1 else 0) << (i & 7)
            if (i & 7) == 7:
                store_byte(out, end, bits)
                end += 1
                bits = int64(0)
        if (count & 7) > 0:
            store_byte(out, end, bits)
            end += 1
    put_size(out, at, end - start)
    return end


@helper
def write_values(table, row, out, at):
    """The values of a page. Returns the place behind them."""
    form = table[row + FORM]
    count = table[row + COUNT]
    valid = bytes_at(table[row + VALID], count if table[row + VALID] != 0 else 0)
    width = table[row + WIDTH]
    if form == FLAGS:
        return encode_flags(bytes_at(table[row + VALUES], count), valid, out, at)
    if form == SINGLES:
        return encode_singles(doubles_at(table[row + VALUES], count), valid, out, at)
    if form == DECIMALS:
        return encode_decimals(words_at(table[row + VALUES], 2 * count), count, valid, width, out, at)
    words = words_at(table[row + VALUES], count)
    if form == STRINGS:
        return encode_strings(bytes_at(table[row + DATA], table[row + DATA_BYTES]), words, valid, out, at)
    if form == NUMBERS:
        live = count
        for i in range(len(valid)):
            live -= 0 if valid[i] == 1 else 1
        store_byte(out, at, width)
        at = write_varint((((live + 7) >> 3) << 1) | 1, out, at + 1)
        return pack_numbers(words, valid, table[row + ABOVE], width, out, at)
    return encode_words(words, valid, width, out, at)


@kernel
def encode_pages(table: I64, out: U8):
    """The bodies of pages one after another: levels, values. Each row gets its START and SIZE. Returns the bytes in all.

    `out` holds 32 bytes more than all levels and values, of which rows without a value take as many as others.
    """
    at = int64(0)
    for row in range(0, len(table), PAGE):
        table[row + START] = at
        if table[row + LEVELS] == OF_VALIDITY:
            count = table[row + COUNT]
            at = write_validity(bytes_at(table[row + VALID], count if table[row + VALID] != 0 else 0), count, out, at)
        elif table[row + LEVELS] == GIVEN:
            entries = table[row + ENTRIES]
            if table[row + MOST_REPEATED] > 0:
                at = write_levels(words_at(table[row + REPEATED], entries), table[row + MOST_REPEATED], out, at)
            if table[row + MOST_DEFINED] > 0:
                at = write_levels(words_at(table[row + DEFINED], entries), table[row + MOST_DEFINED], out, at)
        at = write_values(table, row, out, at)
        table[row + SIZE] = at - table[row + START]
    return at


@helper
def less_bytes(data, left, right):
    """Is the string of one view less than that of another, byte by byte?"""
    p = left & 0xFFFFFFFF
    q = right & 0xFFFFFFFF
    size = min(left >> 32, right >> 32)
    k = int64(0)
    while k + 8 <= size:
        one = load_word(data, p + k)
        other = load_word(data, q + k)
        if one != other:
            shift = trailing_zeros(one ^ other) & 56
            return ((one >> shift) & 0xFF) < ((other >> shift) & 0xFF)
        k += 8
    while k < size:
        if data[p + k] != data[q + k]:
            return data[p + k] < data[q + k]
        k += 1
    return (left >> 32) < (right >> 32)


@helper
def bound_strings(data, views, valid, table, row):
    """Views of the least and the greatest string, by their bytes. Returns how many strings there are."""
    count = int64(0)
    least = int64(0)
    greatest = int64(0)
    for i in range(len(views)):
        if is_there(valid, i):
            view = views[i]
            if count == 0:
                least = view
                greatest = view
            elif less_bytes(data, view, least):
                least = view
            elif less_bytes(data, greatest, view):
                greatest = view
            count += 1
    table[row + LEAST] = least
    table[row + GREATEST] = greatest
    return count


@helper
def bound_words(values, valid, flip, table, row):
    """The least and the greatest value; `flip`: the sign bit, where it is none."""
    count = int64(0)
    least = int64(0)
    greatest = int64(0)
    for i in range(len(values)):
        if is_there(valid, i):
            value = values[i] ^ flip
            least = value if count == 0 else min(least, value)
            greatest = value if count == 0 else max(greatest, value)
            count += 1
    table[row + LEAST] = least ^ flip
    table[row + GREATEST] = greatest ^ flip
    return count


@helper
def bound_doubles(values, valid, table, row):
    """The stored bits of the least and the greatest value but NaN. Returns how many these are; zeros are told as -0.0 to 0.0."""
    count = int64(0)
    least = 0.0
    greatest = 0.0
    for i in range(len(values)):
        value = values[i]
        if is_there(valid, i) and value == value:
            least = value if count == 0 or value < least else least
            greatest = value if count == 0 or value > greatest else greatest
            count += 1
    least = -0.0 if least == 0.0 else least
    greatest = 0.0 if greatest == 0.0 else greatest
    single = table[row + FORM] == SINGLES
    table[row + LEAST] = bits_of_single(least) if single else bits_of_double(least)
    table[row + GREATEST] = bits_of_single(greatest) if single else bits_of_double(greatest)
    return count


@kernel
def survey_columns(table: I64):
    """Of each column the BYTES of its values in plain form, rows without a value too where they have a width, and its bounds.

    BOUNDED is how many values the bounds are of, 0 where there are none or the type has no order that is of use. Bounds are words,
    the bits of a float64 or a float32, or views. Returns the bytes in all.
    """
    total = int64(0)
    for row in range(0, len(table), SURVEY):
        form = table[row + FORM]
        count = table[row + COUNT]
        valid = bytes_at(table[row + VALID], count if table[row + VALID] != 0 else 0)
        size = count * table[row + WIDTH]
        bounded = int64(0)
        if form == STRINGS:
            views = words_at(table[row + VALUES], count)
            size = measure_plain(views, valid)
            bounded = bound_strings(bytes_at(table[row + DATA], table[row + DATA_BYTES]), views, valid, table, row)
        elif form == WORDS:
            flip = (int64(1) << 63) if table[row + UNSIGNED] == 1 else int64(0)
            bounded = bound_words(words_at(table[row + VALUES], count), valid, flip, table, row)
        elif form == DOUBLES or form == SINGLES:
            bounded = bound_doubles(doubles_at(table[row + VALUES], count), valid, table, row)
        table[row + BYTES] = size
        table[row + BOUNDED] = bounded
        total += size
    return total
