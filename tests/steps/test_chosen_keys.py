"""Values that were chosen so that, by the hash without its seed, all look for one slot: each a search through all before it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from millstream import seed
from millstream.columns import Vector, open_array
from millstream.grouping import group_bits
from millstream.hashing import number_keys

COUNT = 12_000
_WORD = (1 << 64) - 1


def _unshifted(word: int, by: int) -> int:
    found = word
    for _ in range(64 // by + 1):
        found = word ^ (found >> by)
    return found & _WORD


def _chosen(number: int) -> int:
    """The word that `kernels.hash.mix` makes `number << 40` of."""
    word = _unshifted(number << 40, 31) * pow(-7723592293110705685 & _WORD, -1, 1 << 64) & _WORD
    word = _unshifted(word, 27) * pow(-4658895280553007687 & _WORD, -1, 1 << 64) & _WORD
    word = _unshifted(word, 30)
    return word - (1 << 64) if word >> 63 else word


def _seconds(work: Callable[[Vector], object], column: Vector) -> float:
    taken = []
    for _ in range(3):
        started = time.process_time()
        work(column)
        taken.append(time.process_time() - started)
    return min(taken)


WORKS = {"groups": group_bits, "keys": lambda column: number_keys([column])}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_chosen_words_take_no_longer_than_others(work: Callable[[Vector], object], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = open_array(pa.array([_chosen(number) for number in range(COUNT)], pa.int64()))
    usual = open_array(pa.array(range(COUNT), pa.int64()))
    with_seed = _seconds(work, chosen)
    assert with_seed < 0.02 + 10 * _seconds(work, usual)
    monkeypatch.setattr(seed, "SEED", 0)
    assert _seconds(work, chosen) > 4 * with_seed  # they were chosen well


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_chosen_texts_take_no_longer_than_others(work: Callable[[Vector], object]) -> None:
    """Texts whose differences a hash of one multiplication for eight bytes forgets again, whatever it starts from."""

    def text(number: int) -> bytes:
        made = b""
        for place in range(14):
            block = bytearray(b"%06d\0\0" % place + b"\0" * 8)
            if number >> place & 1:
                block[7] ^= 0x80
                block[8 + 7] ^= 0x80
                block[8 + 3] ^= 0x80
            made += bytes(block)
        return made

    chosen = open_array(pa.array([text(number) for number in range(COUNT)], pa.binary()))
    usual = open_array(pa.array([b"%0224d" % number for number in range(COUNT)], pa.binary()))
    assert _seconds(work, chosen) < 0.02 + 10 * _seconds(work, usual)
