"""Lists: which rows of the column inside belong to a row, and their order when it is laid out again.

A list's view is its first row in the low 32 bits and its count of rows in the high 32. Views may lie in any order, overlap and
leave gaps; those of rows that are not valid are 0.
"""

from millstream.kernels.spec import I32, I64, INT, U8, kernel


@kernel
def first_of_run(views: I64, valid: U8):
    """Where the first list begins if each begins where the one before ends (empty and invalid ones aside); else -1."""
    first = -1
    end = -1
    for i in range(len(views)):
        length = views[i] >> 32
        if valid[i] == 1 and length > 0:
            start = views[i] & 0xFFFFFFFF
            if first < 0:
                first = start
            elif start != end:
                return -1
            end = start + length
    return max(first, 0)


@kernel
def explode_views(views: I64, valid: U8, keep_empty: INT, keep_nulls: INT, parents: I64, items: I64):
    """A row for every item of every list: the list's row, and the row that the item has in the column inside.

    An empty list and a null one give a row with item -1 where they are kept, else none. Returns the count of rows, of which
    only so many are written as `parents` holds.
    """
    count = 0
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        length = views[i] >> 32 if valid[i] == 1 else 0
        if length == 0 and (keep_empty if valid[i] == 1 else keep_nulls) == 1:
            start = -1
            length = 1
        if count + length <= len(parents):
            for p in range(length):
                parents[count + p] = i
                items[count + p] = start + p
        count += length
    return count


@kernel
def spread_views(views: I64, offsets: I32, out: I64):
    """The row of every item, list after list; `offsets` are those of `measure_strings`, `out` has its count of items."""
    for i in range(len(views)):
        start = views[i] & 0xFFFFFFFF
        begun = int(offsets[i])
        for p in range(begun, int(offsets[i + 1])):
            out[p] = start + p - begun
    return len(out)


@kernel
def pick_items(views: I64, valid: U8, index: INT, out: I64):
    """The row of the item with this index in each list, -1 the last; -1 where there is none. Returns how many valid lists lack it."""
    lacking = 0
    for i in range(len(views)):
        out[i] = -1
        if valid[i] == 1:
            count = views[i] >> 32
            place = index if index >= 0 else count + index
            if 0 <= place < count:
                out[i] = (views[i] & 0xFFFFFFFF) + place
            else:
                lacking += 1
    return lacking


@kernel
def find_in_lists(views: I64, found: I64, out: U8):
    """1 where one of a list's items is found: has a number of 0 or more in `found`."""
    for i in range(len(views)):
        first = views[i] & 0xFFFFFFFF
        any_found = 0
        for p in range(first, first + (views[i] >> 32)):
            any_found |= 1 if found[p] >= 0 else 0
        out[i] = any_found
    return len(views)
