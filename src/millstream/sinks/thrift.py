"""Thrift's compact protocol, as far as Parquet's metadata needs it. A value is its type and its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Value: TypeAlias = tuple[int, bytes]

TRUE: Value = (1, b"")
FALSE: Value = (2, b"")


_ONE = [bytes((number,)) for number in range(128)]


def varint(number: int) -> bytes:
    """An unsigned integer, seven bits a byte, the lowest first."""
    if number < 0x80:
        return _ONE[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    """A signed integer, the sign in the lowest bit."""
    if 0 <= number < 0x2000:  # nearly all
        number <<= 1
        return _ONE[number] if number < 0x80 else bytes((number & 0x7F | 0x80, number >> 7))
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def i8(number: int) -> Value:
    return 3, bytes((number & 0xFF,))


def i32(number: int) -> Value:
    return 5, zigzag(number)


def i64(number: int) -> Value:
    return 6, zigzag(number)


def binary(data: bytes) -> Value:
    return 8, varint(len(data)) + data


def text(value: str) -> Value:
    return binary(value.encode("utf-8", "surrogatepass"))


def sequence(kind: int, items: Sequence[Value]) -> Value:
    """A list of values of one type."""
    return joined(kind, len(items), b"".join([data for _, data in items]))


def joined(kind: int, count: int, data: bytes) -> Value:
    """A list of so many values of one type, by their bytes one behind the other."""
    head = bytes((count << 4 | kind,)) if count < 15 else bytes((0xF0 | kind,)) + varint(count)
    return 9, head + data


def struct(fields: Iterable[tuple[int, Value | None]]) -> Value:
    """Fields by their numbers, in ascending order; None is left out."""
    pieces = []
    last = 0
    for number, value in fields:
        if value is None:
            continue
        kind, data = value
        step = number - last
        pieces.append(bytes((step << 4 | kind,)) if step < 16 else bytes((kind,)) + zigzag(number))
        pieces.append(data)
        last = number
    pieces.append(b"\0")
    return 12, b"".join(pieces)


EMPTY = struct(())
I32, BINARY, STRUCT = 5, 8, 12
