"""Memory, and the kernels that move rows in it, beside plain Python."""

import itertools
import sys
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.native import memory
from millstream.native.bind import kernels
from millstream.native.memory import PADDING, _Pool, allocate, from_buffer, from_bytes, from_numbers

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLAGS = st.lists(st.integers(0, 3), max_size=300)


def test_a_part_stays_inside():
    whole = from_bytes(b"0123456789")
    assert whole.part(2, 3, 1).tobytes() == b"234"
    assert whole.part(2, 2, 4).tobytes() == b"23456789"
    assert whole.part(10, 0, 1).tobytes() == b""
    for offset, count, itemsize in ((-1, 1, 1), (0, -1, 1), (8, 3, 1), (3, 1, 8)):
        with pytest.raises(ValueError, match="lie outside 10 bytes"):
            whole.part(offset, count, itemsize)


def test_an_arrow_buffer_is_seen_in_place():
    buffer = pa.py_buffer(b"abcdefgh")
    seen = from_buffer(buffer, 1, 2)
    assert (seen.address, seen.count, seen.tobytes()) == (buffer.address + 2, 6, b"cdefgh")
    assert from_buffer(buffer, 4).count == 2
    for arguments in ((1, 9), (8, 0, 2), (1, -1), (4, 2, 2)):
        with pytest.raises(ValueError, match="lie outside a buffer of 8 bytes"):
            from_buffer(buffer, *arguments)


def test_the_owner_outlives_its_views():
    buffer = from_numbers("q", range(1000)).part(8, 3, 8).buffer()
    allocate(1 << 20, 1)
    assert buffer.to_pybytes() == b"".join(i.to_bytes(8, "little") for i in (1, 2, 3))


def test_padding_can_be_read():
    memory = from_bytes(b"abc")
    assert memory.buffer().size == 3
    assert pa.foreign_buffer(memory.address, 3 + PADDING, memory).to_pybytes() == b"abc" + bytes(PADDING)


@given(st.lists(INT64))
def test_numbers_come_back(numbers):
    assert from_numbers("q", numbers).tolist() == numbers


@given(FLAGS)
def test_pack_bits_as_python_does(flags):
    out = allocate((len(flags) + 7) // 8, 1)
    ones = kernels.pack_bits(from_bytes(bytes(flags)), len(flags), out)
    assert ones == flags.count(1)
    bits = int.from_bytes(out.tobytes(), "little")
    assert [bits >> i & 1 for i in range(len(flags))] == [int(flag == 1) for flag in flags]
    back = allocate(len(flags), 1)
    kernels.unpack_bits(out, 0, len(flags), back)
    assert list(back.tobytes()) == [int(flag == 1) for flag in flags]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=300))
def test_filter_indices_as_python_does(pairs):
    mask, valid = (bytes(column) for column in zip(*pairs, strict=True)) if pairs else (b"", b"")
    out = allocate(len(pairs) + 1, 8)
    count = kernels.filter_indices(from_bytes(mask), from_bytes(valid), out)
    assert out.tolist()[:count] == [i for i, pair in enumerate(pairs) if pair == (1, 1)]


@given(st.lists(INT64, min_size=1), st.data())
def test_take_int64_as_python_does(numbers, data):
    indices = data.draw(st.lists(st.integers(-2, len(numbers) - 1)))
    out = allocate(len(indices), 8)
    kernels.take_int64(from_numbers("q", numbers), from_numbers("q", indices), out)
    assert out.tolist() == [numbers[i] if i >= 0 else 0 for i in indices]


@given(st.lists(st.one_of(st.none(), st.text(max_size=70)), max_size=60))
def test_strings_are_gathered_as_arrow_has_them(texts):
    data = "".join(text or "" for text in texts).encode()
    views, at = [], 0
    for text in texts:
        size = len((text or "").encode())
        views.append(at | size << 32)
        at += size
    views.reverse()
    valid = from_bytes(bytes(text is not None for text in reversed(texts)))
    offsets = allocate(len(texts) + 1, 4)
    size = kernels.measure_strings(from_numbers("q", views), valid, offsets)
    assert size == len(data)
    out = allocate(size, 1)
    kernels.gather_strings(from_bytes(data), from_numbers("q", views), offsets, out)
    array = pa.Array.from_buffers(pa.string(), len(texts), [None, offsets.buffer(), out.buffer()])
    assert array.to_pylist() == [text or "" for text in reversed(texts)]


@pytest.mark.parametrize(("width", "code"), [(1, "b"), (2, "h"), (4, "i")])
@given(data=st.data())
def test_widths_come_back(width, code, data):
    limit = 1 << (8 * width - 1)
    numbers = data.draw(st.lists(st.integers(-limit, limit - 1)))
    wide, narrow = allocate(len(numbers), 8), allocate(len(numbers) * width, 1)
    kernels.widen_signed(from_numbers(code, numbers).part(0, len(numbers) * width, 1), width, wide)
    assert wide.tolist() == numbers
    kernels.narrow_int64(wide, width, narrow)
    assert narrow.part(0, len(numbers), width).tolist(code) == numbers
    kernels.widen_unsigned(narrow, width, wide)
    assert wide.tolist() == [number % (2 * limit) for number in numbers]


@pytest.mark.once
@pytest.mark.long
def test_more_bytes_than_a_c_int_counts_are_copied_whole():
    size = (1 << 31) + 5
    memory = allocate(size, 1)  # no page of it is touched before it is read
    assert len(memory.tobytes()) == size


def test_a_word_is_read_where_there_is_one():
    memory = from_numbers("q", [5, -6])
    assert [memory.word(0), memory.word(1)] == [5, -6]
    for outside in (-1, 2):
        with pytest.raises(IndexError):
            memory.word(outside)


def rounded(size):
    """What the pool makes of a size: the next eighth of its power of two."""
    step = 1 << (size.bit_length() - 4)
    return -(-size // step) * step


@given(st.lists(st.tuples(st.booleans(), st.integers(1 << 16, 1 << 18), st.integers(0, 50)), max_size=80))
def test_the_pool_lends_no_block_twice_and_keeps_no_more_than_it_may(steps):
    pool, lent = _Pool(1 << 19, 8), {}
    for take, size, which in steps:
        if take or not lent:
            buffer = pool.take(size)
            assert rounded(size) <= buffer.size <= 2 * rounded(size)
            assert buffer.address not in lent
            lent[buffer.address] = buffer
        else:
            pool.give(lent.pop(list(lent)[which % len(lent)]))
        kept = [(size, block) for size, blocks in pool._free.items() for _, block in blocks]
        assert pool._bytes == sum(size for size, _ in kept) <= 1 << 19
        assert all(block.size == size and block.address not in lent for size, block in kept)


def test_a_block_that_could_not_be_taken_goes_without_a_word(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    monkeypatch.setattr(memory, "_POOL", None)  # as if the attempt were interrupted
    with pytest.raises(AttributeError):
        allocate(1 << 20, 1)
    assert told == []


def test_a_block_serves_what_is_up_to_half_smaller():
    pool = _Pool(1 << 30, 100)
    large = pool.take(1 << 20)
    address = large.address
    pool.give(large)
    del large
    assert pool.take((1 << 19) - (1 << 17)).address != address
    assert pool.take(1 << 19).address == address


def test_batches_of_changing_sizes_keep_what_the_latest_needed():
    """Of every size that there ever was a block would stay, though the next batch takes others."""
    pool, random = _Pool(1 << 30, 200), Random("sizes")
    kept, needed = [], []
    for number in range(4000):
        usual = 1 << (16 + number // 1000)  # they get larger with the hour
        batch = [pool.take(int(usual * random.uniform(1, 4))) for _ in range(random.randrange(4, 9))]
        needed.append(sum(block.size for block in batch))
        while batch:
            pool.give(batch.pop())
        kept.append(pool._bytes)
    assert max(kept[-500:]) < 2.5 * max(needed[-500:])
    assert min(size for size, blocks in pool._free.items() if blocks) > 1 << 18


def test_the_collector_may_give_while_the_pool_takes():
    pool = _Pool(1 << 20, 8)
    first = pool.take(1 << 17)
    with pool._lock:  # as inside take
        pool.give(first)
    assert pool._bytes == 0
    address = first.address
    del first
    assert pool.take(1 << 17).address == address


def test_no_memory_has_fewer_items_than_none():
    for count in (-1, -9, -1000, -(1 << 40)):
        with pytest.raises(ValueError, match="no memory"):
            allocate(count, 64)


def test_small_memory_lies_apart_and_goes_back_when_all_of_it_is_gone():
    memory._slabs.clear()  # of those that others have a part of
    lent = [allocate(count, 8) for count in (0, 1, 7, 5000, 1, 8000, 0, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 3)]
    places = sorted((one.address, one.address + 8 * one.count + PADDING) for one in lent)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    assert all(one.address % 64 == 0 for one in lent)
    for one in lent:
        one.view()[:] = b"x" * (8 * one.count)
    slab = lent[3].owner.buffer.address
    before = memory._POOL._bytes + sum(buffer.size for buffer in memory._POOL._back)
    memory._slabs.clear()
    del lent, one
    kept = {buffer.address for blocks in memory._POOL._free.values() for _, buffer in blocks}
    assert slab in kept | {buffer.address for buffer in memory._POOL._back}
    assert memory._POOL._bytes + sum(buffer.size for buffer in memory._POOL._back) > before
