"""Identifiers of queries and other small data sets (PS3.5 Section 7): written, and read flat."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from dicomlake.dicom.charset import repertoire
from dicomlake.dicom.dictionary import ENCODED, entry_of, tag_of
from dicomlake.errors import UsageError
from dicomlake.sources.dimse import syntaxes
from dicomlake.sources.dimse.pdu import ProtocolError

_LONG = frozenset([b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR"])
_LONGER = _LONG | {b"UT", b"UV"}
_NUMERIC = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 32
_SERIES = 0x0020000E
_CHARACTERS = 0x00080005

Element = tuple[int, str, int, int]
"""Tag, VR ("" in implicit VR), and where the value starts and ends."""


def encode(values: Mapping[str, str], transfer: str) -> bytes:
    """A flat data set of text by keyword; Specific Character Set is added where it is needed.

    >>> encode({"PatientID": "7"}, syntaxes.EXPLICIT)
    b'\\x10\\x00 \\x00LO\\x02\\x007 '
    """
    elements = {tag_of(keyword): value for keyword, value in values.items()}
    if not all(value.isascii() for value in values.values()):
        elements[_CHARACTERS] = "ISO_IR 192"
    out = []
    for tag in sorted(elements):
        entry = entry_of(tag)
        vr = entry[0][:2] if entry else "UN"
        raw = _raw(elements[tag], vr)
        out.append(element(tag, vr, raw, transfer))
    return b"".join(out)


def _raw(value: str, vr: str) -> bytes:
    if vr in _NUMERIC:
        try:
            kind = float if vr in ("FL", "FD") else int
            numbers = [kind(part) for part in value.split("\\") if part]
            return struct.pack(f"<{len(numbers)}{_NUMERIC[vr]}", *numbers)
        except (ValueError, struct.error):
            return b""
    raw = b"" if vr in ("SQ", "UN") or vr.startswith("O") else value.encode("utf-8")
    return raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)


def element(tag: int, vr: str, raw: bytes, transfer: str) -> bytes:
    """One element as bytes, in implicit or explicit VR little endian."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if transfer == syntaxes.IMPLICIT:
        return head + struct.pack("<I", len(raw)) + raw
    code = vr.encode()
    if code in _LONGER:
        return head + code + struct.pack("<HI", 0, len(raw)) + raw
    if len(raw) > 0xFFFE:
        raise UsageError("A value is too long for a query; ask for less at a time.")
    return head + code + struct.pack("<H", len(raw)) + raw


def sequence(keyword: str, items: Iterable[bytes], transfer: str) -> bytes:
    """A sequence of items that are encoded already."""
    raw = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag_of(keyword), "SQ", raw, transfer)


def elements(raw: bytes | memoryview, transfer: str, at: int = 0) -> Iterator[Element]:
    """The elements of a data set at its top level; ProtocolError when they cannot be told."""
    return _elements(raw, at, len(raw), transfer, 0)


def decode(raw: bytes, transfer: str, wanted: Sequence[str] = ()) -> dict[str, str]:
    """A flat data set as text by keyword; several values stay joined by a backslash.

    Sequences and bytes are left out. With `wanted`, these keywords and no others.
    """
    found = [(tag, vr or _vr(tag), raw[a:b]) for tag, vr, a, b in elements(raw, transfer)]
    label = next((value for tag, _, value in found if tag == _CHARACTERS), b"")
    characters = label.decode("ascii", "replace").strip("\0 ")
    rows = {
        keyword: text
        for tag, vr, value in found
        if (keyword := _keyword(tag)) and (text := _text(value, vr, characters)) is not None
    }
    return {keyword: rows.get(keyword, "") for keyword in wanted} if wanted else rows


def references(raw: bytes, transfer: str) -> tuple[str, list[tuple[str, str]]]:
    """Transaction UID and (class, instance) of what a storage commitment is asked for.

    PS3.4 J.3.2, Table J.3-1.
    """
    transaction, pairs = "", []
    for tag, _, start, end in elements(raw, transfer):
        if tag == 0x00081195:
            transaction = raw[start:end].decode("ascii", "replace").strip("\0 ")
        elif tag == 0x00081199:
            for item in _items(raw, start, end, transfer):
                values = decode(item, transfer)
                uids = values.get("ReferencedSOPClassUID"), values.get("ReferencedSOPInstanceUID")
                pairs.append((uids[0] or "", uids[1] or ""))
    return transaction, pairs


def series_of(start: bytes, transfer: str) -> str:
    """SeriesInstanceUID from the first bytes of a data set, "" when they do not have it."""
    try:
        if transfer == syntaxes.DEFLATED:
            start = zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, 1 << 18)
        for tag, _, begin, end in elements(start, transfer):
            if tag >= _SERIES:
                found = start[begin:end] if tag == _SERIES else b""
                return found.decode("ascii", "replace").strip("\0 ")
    except (ProtocolError, zlib.error):
        pass
    return ""


@lru_cache(maxsize=4096)
def _keyword(tag: int) -> str:
    entry = entry_of(tag)
    return entry[4] if entry else ""


@lru_cache(maxsize=4096)
def _vr(tag: int) -> str:
    entry = entry_of(tag)
    return entry[0][:2] if entry else "UN"


def _text(value: bytes, vr: str, characters: str) -> str | None:
    if vr in _NUMERIC:
        code = _NUMERIC[vr]
        count = len(value) // struct.calcsize(f"<{code}")
        numbers = struct.unpack_from(f"<{count}{code}", value)
        return "\\".join(f"{n:g}" if isinstance(n, float) else str(n) for n in numbers)
    if vr in ("SQ", "UN", "AT") or vr.startswith("O"):
        return None
    if vr in ENCODED:
        text = repertoire(characters).decode(value, name=vr == "PN")[0]
    else:
        text = value.decode("latin_1")
    if vr in ("LT", "ST", "UT"):
        return text.rstrip("\0 ")
    if "\\" not in text:
        return text.strip("\0 ")
    return "\\".join(part.strip("\0 ") for part in text.split("\\"))


def _elements(
    raw: bytes | memoryview, at: int, end: int, transfer: str, depth: int
) -> Iterator[Element]:
    while at < end:
        tag, vr, length, start = _header(raw, at, end, transfer)
        if tag == _ITEM_END and depth:
            return
        if length == _UNDEFINED:
            stop = _end_of_sequence(raw, start, end, transfer, depth + 1, vr)
            yield tag, vr, start, stop - 8
            at = stop
            continue
        if length > end - start:
            raise ProtocolError("The other side sent a data set that ends in the middle.")
        yield tag, vr, start, start + length
        at = start + length


def _header(raw: bytes | memoryview, at: int, end: int, transfer: str) -> tuple[int, str, int, int]:
    if at + 8 > end:
        raise ProtocolError("The other side sent a data set that ends in the middle.")
    order = ">" if transfer == syntaxes.BIG_ENDIAN else "<"
    group, number, length = struct.unpack_from(f"{order}HHI", raw, at)
    tag = group << 16 | number
    if transfer == syntaxes.IMPLICIT or group == 0xFFFE:
        return tag, "", length, at + 8
    vr = bytes(raw[at + 4 : at + 6])
    if vr in _LONGER:
        if at + 12 > end:
            raise ProtocolError("The other side sent a data set that ends in the middle.")
        return tag, vr.decode(), struct.unpack_from(f"{order}I", raw, at + 8)[0], at + 12
    length = struct.unpack_from(f"{order}H", raw, at + 6)[0]
    return tag, vr.decode("latin_1"), length, at + 8


def _end_of_sequence(
    raw: bytes | memoryview, at: int, end: int, transfer: str, depth: int, vr: str
) -> int:
    """Where what follows a sequence (or fragments) of undefined length starts (PS3.5 7.5)."""
    if depth > _DEEPEST:
        raise ProtocolError("The other side sent sequences that are nested too deep.")
    inner = syntaxes.IMPLICIT if vr == "UN" else transfer
    while True:
        tag, _, length, start = _header(raw, at, end, inner)
        if tag == _SEQUENCE_END:
            return start
        if tag != _ITEM:
            raise ProtocolError("The other side sent a sequence that cannot be read.")
        if length != _UNDEFINED:
            at = start + length
            continue
        at = start
        for _, _, _, stop in _elements(raw, at, end, inner, depth):
            at = stop
        at = _after_item(raw, at, end, inner)


def _after_item(raw: bytes | memoryview, at: int, end: int, transfer: str) -> int:
    """Where the delimiter of an item ends; one of a sequence may stand before it."""
    while at < end:
        tag, _, length, start = _header(raw, at, end, transfer)
        if tag == _ITEM_END:
            return start
        if tag != _SEQUENCE_END or length:
            break
        at = start
    raise ProtocolError("The other side sent an item without an end.")


def _items(raw: bytes, at: int, end: int, transfer: str) -> Iterator[bytes]:
    while at < end:
        tag, _, length, start = _header(raw, at, end, transfer)
        if tag != _ITEM:
            return
        if length != _UNDEFINED:
            yield raw[start : start + length]
            at = start + length
            continue
        stop = start
        for _, _, _, last in _elements(raw, start, end, transfer, 1):
            stop = last
        at = _after_item(raw, stop, end, transfer)
        yield raw[start : at - 8]
