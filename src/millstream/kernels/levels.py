"""Columns with others in them as flat ones, with their levels: those of the Dremel paper, as the Parquet format has them."""

from numba import int64

from millstream.kernels.spec import I64, INT, U8, kernel


@kernel
def define_entries(valid: U8, level: INT, places: I64, out: I64):
    """Entries of a column that may be null: where the row at places[i] is valid, the level is `level`, else the entry ends there.

    An entry that has ended has the place -1. Returns how many go on.
    """
    count = int64(0)
    for i in range(len(places)):
        if places[i] >= 0:
            if valid[places[i]] == 1:
                out[i] = level
                count += 1
            else:
                places[i] = -1
    return count


@kernel
def count_entries(views: I64, places: I64):
    """How many entries there are when lists are spread: one for each item, and for each list without."""
    total = int64(0)
    for i in range(len(places)):
        total += max(views[places[i]] >> 32, 1) if places[i] >= 0 else 1
    return total


@kernel
def spread_entries(
    views: I64,
    places: I64,
    repeats: I64,
    defined: I64,
    repeat: INT,
    level: INT,
    out_places: I64,
    out_repeats: I64,
    out_defined: I64,
):
    """An entry for each item of the list at places[i], of definition level `level`; an entry without items stays.

    The first item has the entry's repetition level, the others have `repeat`. Returns how many there are.
    """
    at = int64(0)
    for i in range(len(places)):
        size = views[places[i]] >> 32 if places[i] >= 0 else int64(0)
        out_repeats[at] = repeats[i]
        if size == 0:
            out_places[at] = -1
            out_defined[at] = defined[i]
            at += 1
            continue
        first = views[places[i]] & 0xFFFFFFFF
        for k in range(size):
            out_places[at] = first + k
            out_defined[at] = level
            if k > 0:
                out_repeats[at] = repeat
            at += 1
    return at


@kernel
def live_places(places: I64, out: I64):
    """The places of entries that have not ended. Returns how many."""
    count = int64(0)
    for i in range(len(places)):
        if places[i] >= 0:
            out[count] = places[i]
            count += 1
    return count
