"""Bulk data of an object: the bytes that its header left out, and the frames of pixel data."""

from __future__ import annotations

import base64
import struct
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dicomlake.dicom.walk import BIG_ENDIAN, UNDEFINED, Fetch, Inflated
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, key_of, number, text

LARGEST = 2 * 1024**3
"""Bulk data with more bytes are not read."""
_ITEM = b"\xfe\xff\x00\xe0"
_WIDTHS = {"OW": 2, "US": 2, "SS": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


def syntax_of(header: Item) -> str:
    """Transfer syntax UID of a header, or ""."""
    return text(header, "TransferSyntaxUID") or ""


def element_of(item: Item, keyword: str) -> Mapping[str, Any]:
    """An element of DICOM JSON, empty when there is none."""
    element = item.get(key_of(keyword))
    return element if isinstance(element, dict) else {}


def place_of(item: Item, keyword: str) -> tuple[int, int, bool]:
    """Offset, length and whether they count in the inflated data set; DataError without any."""
    element = element_of(item, keyword)
    uri = urlsplit(str(element.get("BulkDataURI") or ""))
    asked = parse_qs(uri.query)
    try:
        return int(asked["offset"][0]), int(asked["length"][0]), "inflated" in asked
    except (KeyError, ValueError) as error:
        raise DataError(f"there is no {keyword} in the object") from error


def bulk_of(item: Item, keyword: str, header: Item, fetch: Fetch, size: int) -> bytes:
    """The value of a binary attribute in little endian, from the header or from the object.

    `item` is the header, or an item in it. DataError when it is missing or ends too early.
    """
    element = element_of(item, keyword)
    if "InlineBinary" in element:
        try:
            return base64.b64decode(element["InlineBinary"], validate=True)
        except (NotBase64, TypeError, ValueError) as error:
            raise DataError(f"{keyword} cannot be read from the header") from error
    offset, length, _ = place_of(item, keyword)
    if length > LARGEST:
        raise DataError(f"{keyword} is too large to be read")
    raw = read_all(reader_of(item, keyword, fetch, size, header), offset, length)
    if syntax_of(header) == BIG_ENDIAN:
        width = _WIDTHS.get(str(element.get("vr")), 1)
        if width > 1:
            raw = raw[: len(raw) - len(raw) % width]
            swapped = bytearray(len(raw))
            for i in range(width):
                swapped[i::width] = raw[width - 1 - i :: width]
            raw = bytes(swapped)
    return raw


def reader_of(
    item: Item, keyword: str, fetch: Fetch, size: int, header: Item | None = None
) -> Fetch:
    """What reads the bytes of an attribute by its offset; of a deflated object forward only."""
    if not place_of(item, keyword)[2]:
        return fetch
    return Inflated(fetch, _start(item if header is None else header), size)


def read_all(fetch: Fetch, offset: int, length: int) -> bytes:
    """So many bytes from an offset; fewer where the object ends."""
    step = 32 * 1024**2
    parts = []
    while length > 0:
        part = fetch(offset, min(step, length))
        if not part:
            break
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def _start(header: Item) -> int:
    """Where the data set of a deflated object starts."""
    found = number(header, "FileMetaInformationGroupLength")
    if found is None:
        raise DataError("a deflated object without the length of its file meta information")
    return 132 + 12 + int(found)


def fragments_of(raw: bytes, frames: int) -> Iterator[bytes]:
    """The compressed frames in encapsulated pixel data (PS3.5 A.4), one after another.

    DataError when it cannot be told where a frame ends: several fragments to a frame are only
    understood with an offset table, or when there is one frame.
    """
    places: list[tuple[int, int]] = []
    at = 0
    while at + 8 <= len(raw):
        tag, length = raw[at : at + 4], int.from_bytes(raw[at + 4 : at + 8], "little")
        if tag != _ITEM or length == UNDEFINED:
            break
        places.append((at + 8, min(at + 8 + length, len(raw))))
        at += 8 + length
    if not places:
        raise DataError("there are no compressed frames in the object")
    table = raw[slice(*places[0])]
    parts = places[1:]
    if len(parts) == frames:
        groups = [[part] for part in parts]
    elif frames == 1:
        groups = [parts]
    elif len(table) == 4 * frames:
        begin = places[0][1]
        starts = [begin + offset for offset in struct.unpack(f"<{frames}I", table)]
        ends = [*starts[1:], len(raw)]
        groups = [
            [part for part in parts if start < part[0] <= end]
            for start, end in zip(starts, ends, strict=True)
        ]
    else:
        raise DataError(f"{len(parts)} fragments cannot be told apart into {frames} frames")
    for group in groups:
        yield b"".join(raw[begin:end] for begin, end in group)
