"""DICOM bytes made by hand, one element at a time, right or wrong on purpose."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import orjson

from dicomlake.dicom.walk import BIG_ENDIAN, EXPLICIT, IMPLICIT, Root, walk
from dicomlake.readers.header import Header, HeaderReader

DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
LONG = "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def explicit(tag: int, vr: str, value: bytes = b"", *, order="<", length=None) -> bytes:
    """An element with its VR; `length` may lie."""
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in LONG:
        return head + b"\0\0" + struct.pack(order + "I", length) + value
    return head + struct.pack(order + "H", length) + value


def implicit(tag: int, value: bytes = b"", *, order="<", length=None) -> bytes:
    """An element without a VR, or an item."""
    length = len(value) if length is None else length
    return struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, length) + value


def item(*elements: bytes, undefined=False, order="<") -> bytes:
    body = b"".join(elements)
    if undefined:
        end = implicit(ITEM_END, order=order)
        return implicit(ITEM, body, length=UNDEFINED, order=order) + end
    return implicit(ITEM, body, order=order)


def sequence(tag: int, *items: bytes, undefined=False, order="<", vr="SQ") -> bytes:
    """A sequence with a VR; `vr=""` makes it an implicit one."""
    body = b"".join(items)
    length = UNDEFINED if undefined else None
    end = implicit(END, order=order) if undefined else b""
    if not vr:
        return implicit(tag, body, length=length, order=order) + end
    return explicit(tag, vr, body, length=length, order=order) + end


def fragments(tag: int, *parts: bytes, vr="OB") -> bytes:
    """Encapsulated pixel data (PS3.5 A.4); the first part is the offset table."""
    body = b"".join(implicit(ITEM, part) for part in parts)
    return explicit(tag, vr, body, length=UNDEFINED) + implicit(END)


def file(*elements: bytes, syntax: str = EXPLICIT, preamble=True, meta=True) -> bytes:
    """A Part 10 file with the least file meta information that there can be."""
    body = b"".join(elements)
    if syntax == DEFLATED:
        body = deflate(body)
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = explicit(0x00020010, "UI", uid) if meta else b""
    return (bytes(128) + b"DICM" if preamble else b"") + head + body


def deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


class Counted:
    """A `fetch` of some bytes that notes what was asked of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        return self.data[offset : offset + length]

    @property
    def read(self) -> int:
        """Bytes handed out."""
        size = len(self.data)
        return sum(max(min(length, size - offset), 0) for offset, length in self.asked)


class Sparse(Counted):
    """A large object of which only some bytes are real; the others are zero."""

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        super().__init__(b"")
        self.size, self.parts = size, parts

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        found = bytearray(max(min(length, self.size - offset), 0))
        for at, part in self.parts.items():
            begin, end = max(at, offset), min(at + len(part), offset + len(found))
            if begin < end:
                found[begin - offset : end - offset] = part[begin - at : end - at]
        return bytes(found)

    @property
    def read(self) -> int:
        return sum(max(min(length, self.size - offset), 0) for offset, length in self.asked)


def walked(data: bytes) -> Root:
    return walk(lambda offset, length: data[offset : offset + length], len(data))


def read(*elements: bytes, **how: Any) -> Header:
    """The header of a file of these elements, by a reader that knows nothing yet."""
    return HeaderReader().read_bytes(file(*elements, **how))


def said(*elements: bytes, **how: Any) -> dict[str, Any]:
    """The JSON of a data set of these elements, without file meta information."""
    found = orjson.loads(read(*elements, **how).json)
    return {tag: value for tag, value in found.items() if not tag.startswith("0002")}


def problems(*elements: bytes, **how: Any) -> list[str]:
    return [problem for _, _, problem in read(*elements, **how).problems]


__all__ = [
    "BIG_ENDIAN",
    "DEFLATED",
    "END",
    "EXPLICIT",
    "IMPLICIT",
    "ITEM",
    "ITEM_END",
    "JPEG",
    "UNDEFINED",
    "Counted",
    "Sparse",
    "deflate",
    "explicit",
    "file",
    "fragments",
    "implicit",
    "item",
    "problems",
    "read",
    "said",
    "sequence",
    "walked",
]
