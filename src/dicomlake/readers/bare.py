"""A header as an object of its own: all that DICOM JSON says as bytes (PS3.10), bulk data left out.

What changes objects can so change headers of objects that lie elsewhere. Text is UTF-8. In the
place of bulk data stands a mark, by which it is found again afterwards; that of pixels and
documents, which other rules are for, is left out and put back.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dicomlake.dicom.walk import Bulk, Element, Sequence
from dicomlake.errors import DataError
from dicomlake.readers.header import _tree

EXPLICIT = "1.2.840.10008.1.2.1"
APART = ("7FE00008", "7FE00009", "7FE00010", "00420011")
"""Pixel data and documents: nothing stands in their place."""
_MARK = re.compile("dlBK([0-9]{4})")
_SHORT = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # fmt: skip
_PADDED_BY_NULL = frozenset((b"UI", b"OB", b"UN"))
_CHARSET, _SYNTAX = b"\x08\x00\x05\x00", b"\x02\x00\x10\x00"
_DEEPEST = 60


class Bare:
    """The header of an object (DICOM JSON, PS3.18 F) as bytes, and what it left out."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self.syntax = header.get("00020010")
        self.apart = {tag: _apart(header[tag]) for tag in APART if tag in header}
        self.left: list[dict[str, Any]] = []
        root = _tree({tag: e for tag, e in header.items() if tag not in APART})
        meta = [e for e in root.elements if e[0][:2] == b"\x02\x00" and e[0] != _SYNTAX]
        rest = [e for e in root.elements if e[0][:2] > b"\x02\x00" or e[0][1]]
        meta.append((_SYNTAX, b"UI", EXPLICIT.encode()))
        rest.append((_CHARSET, b"CS", b"ISO_IR 192"))
        begin = self._written(e for e in meta if e[0][2:] != b"\x00\x00")
        size = struct.pack("<I", len(begin))
        self.data = b"".join(
            (bytes(128), b"DICM", b"\x02\x00\x00\x00UL\x04\x00", size, begin, self._written(rest))
        )

    def _written(self, elements: Iterable[Element], depth: int = 0) -> bytes:
        if depth > _DEEPEST:
            raise DataError("sequences are nested too deeply")
        said = {element[0]: element for element in elements}  # of one tag the last one
        if depth and _CHARSET in said:
            said[_CHARSET] = (_CHARSET, b"CS", b"ISO_IR 192")
        parts = []
        for tag in sorted(said, key=lambda tag: (tag[1], tag[0], tag[3], tag[2])):
            parts.append(self._element(*said[tag], depth))
        return b"".join(parts)

    def _element(self, tag: bytes, vr: bytes, value: bytes | Sequence | Bulk, depth: int) -> bytes:
        if isinstance(value, Sequence):
            items = b"".join(
                b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item
                for item in (self._written(item, depth + 1) for item in value.items)
            )
            return tag + b"SQ\0\0" + struct.pack("<I", len(items)) + items
        if isinstance(value, Bulk):
            value = self._mark(vr, value)
        if len(value) % 2:
            value += b"\0" if vr in _PADDED_BY_NULL else b" "
        if vr in _SHORT and len(value) <= 0xFFFE:
            return tag + vr + struct.pack("<H", len(value)) + value
        long = b"UN" if vr in _SHORT or vr == b"??" else vr
        return tag + long + b"\0\0" + struct.pack("<I", len(value)) + value

    def _mark(self, vr: bytes, bulk: Bulk) -> bytes:
        self.left.append({"vr": vr.decode(), "BulkDataURI": _where(bulk.length)})
        return b"dlBK%04d" % (len(self.left) - 1) if len(self.left) < 10_000 else b""

    def whole(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """A header made of these bytes, with what was left out: where it lies is not said."""
        found = {tag: self._whole(element) for tag, element in header.items()}
        if self.syntax is not None:
            found["00020010"] = self.syntax
        found |= self.apart
        return {tag: found[tag] for tag in sorted(found)}

    def _whole(self, element: Any) -> Any:
        values = element.get("Value", ())
        if element.get("vr") == "SQ":
            items = [{tag: self._whole(e) for tag, e in (i or {}).items()} for i in values]
            return {**element, "Value": items} if items else element
        mark = _MARK.fullmatch(_said(element, values))
        if mark is None or int(mark[1]) >= len(self.left):
            return element
        return self.left[int(mark[1])]


def _where(length: int) -> str:
    return f"?offset=0&length={length}"


def _apart(element: Mapping[str, Any]) -> dict[str, Any]:
    """An element without its value; how long that is stays."""
    packed = element.get("InlineBinary", "")
    said = parse_qs(urlsplit(str(element.get("BulkDataURI", ""))).query).get("length", ["0"])[0]
    length = len(packed) // 4 * 3 - packed.count("=") if packed else int(said)
    return {"vr": element.get("vr", "OW"), "BulkDataURI": _where(length)}


def _said(element: Mapping[str, Any], values: Any) -> str:
    """A short value as text."""
    if len(element.get("InlineBinary", "")) == 12:
        return base64.b64decode(element["InlineBinary"]).decode("latin-1").rstrip()
    return str(values[0]) if len(values) == 1 else ""
