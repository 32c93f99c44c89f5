"""Elements and items as bytes (PS3.5 Section 7): written in the encoding of their object."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dicomlake.dicom.walk import UNDEFINED

ITEM, ITEM_END, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_ZERO = frozenset(b"OB OD OF OL OV OW SQ SV UI UN UV".split())
_LETTERS = frozenset(range(ord("A"), ord("Z") + 1))
_short = struct.Struct("<4s2sH").pack
_long = struct.Struct("<4s2s2xI").pack
_implicit = struct.Struct("<4sI").pack
_short_be = struct.Struct(">4s2sH").pack
_long_be = struct.Struct(">4s2s2xI").pack
_implicit_be = struct.Struct(">4sI").pack


class Writer:
    """Writes elements; `order` is "<" or ">"."""

    def __init__(self, order: str = "<", *, implicit: bool = False) -> None:
        self.order, self.implicit = order, implicit
        self._swaps = order == ">"

    def element(self, tag: bytes, vr: bytes, value: bytes) -> bytes:
        """An element; `tag` in little endian, `value` as it is in the object."""
        if len(value) & 1:
            value = bytes(value) + (b"\0" if vr in _ZERO else b" ")
        return self.head(tag, vr, len(value)) + value

    def head(self, tag: bytes, vr: bytes, length: int) -> bytes:
        """What stands before a value of so many bytes."""
        if self._swaps:
            tag = bytes((tag[1], tag[0], tag[3], tag[2]))
        if self.implicit:
            return (_implicit_be if self._swaps else _implicit)(tag, length)
        if vr in _SHORT and length <= 0xFFFF:
            return (_short_be if self._swaps else _short)(tag, vr, length)
        if vr in _SHORT or not (vr[0] in _LETTERS and vr[1] in _LETTERS):
            vr = b"UN"
        return (_long_be if self._swaps else _long)(tag, vr, length)

    def items(self, items: Iterable[bytes]) -> bytes:
        """The value of a sequence of items."""
        pack = _implicit_be if self._swaps else _implicit
        tag = b"\xff\xfe\xe0\x00" if self._swaps else ITEM
        made = []
        for item in items:
            made += [pack(tag, len(item)), item]
        return b"".join(made)

    def encapsulated(self, tag: bytes, vr: bytes, value: bytes) -> list[bytes]:
        """Compressed pixel data with their items, and the delimiter behind them."""
        parts = [self.head(tag, vr, UNDEFINED), value]
        if bytes(value[-8:]) != END + b"\0\0\0\0":
            parts.append(END + b"\0\0\0\0")
        return parts


def swapped(value: bytes, vr: str) -> bytes:
    """A little endian value in big endian, by the size of the numbers of its VR.

    >>> swapped(b"\\x01\\x00\\x02\\x00", "OW")
    b'\\x00\\x01\\x00\\x02'
    """
    size = _SIZES.get(vr, 1)
    if size == 1 or len(value) % size:
        return value
    made = bytearray(len(value))
    for byte in range(size):
        made[byte::size] = value[size - 1 - byte :: size]
    return bytes(made)


_SIZES = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
