"""Frames of segmentations as arrays of numbers, one after another, packed in whatever way.

What pydicom decodes is left to pydicom (JPEG, JPEG 2000, JPEG-LS, HTJ2K: `dicomlake[pixels]`). Read
here are native frames of any byte order, also those that do not start at a byte; deflated frames;
and RLE, which for single bits pydicom does not know. Transfer syntaxes are compared by value.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom.walk import BIG_ENDIAN, EXPLICIT, IMPLICIT, Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, key_of, whole
from dicomlake.readers.bulk import bulk_of, element_of, fragments_of, place_of, reader_of, syntax_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFLATED = "1.2.840.10008.1.2.1.99"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
RLE = "1.2.840.10008.1.2.5"
NATIVE = frozenset([IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, ""])
BY_PIXELS = frozenset(
    f"1.2.840.10008.1.2.4.{n}" for n in (51, 57, 70, 80, 81, 90, 91, 92, 93, 201, 202, 203)
)
"""What the decoders of the extra `pixels` decode: JPEG of 12 bits and without loss, JPEG-LS,
JPEG 2000 and HTJ2K."""
MOST_PIXELS = 1 << 28
"""A frame with more pixels is not decoded."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the frames of an object are laid out; `bits` is 1, 8 or 16 per pixel."""

    rows: int
    columns: int
    bits: int
    frames: int

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.rows * self.columns

    @property
    def bytes(self) -> int:
        """Bytes of a frame that starts at a byte."""
        return (self.pixels * self.bits + 7) // 8


def shape_of(header: Item) -> Shape:
    """The shape of the frames; DataError when there are none, or of a kind that is not read."""
    rows, columns = whole(header, "Rows") or 0, whole(header, "Columns") or 0
    bits, samples = whole(header, "BitsAllocated"), whole(header, "SamplesPerPixel")
    frames = whole(header, "NumberOfFrames")
    if rows <= 0 or columns <= 0 or (frames is not None and frames < 1):
        raise DataError("the header does not say how many rows, columns and frames there are")
    if rows * columns > MOST_PIXELS:
        raise DataError("its frames are too large to be read")
    if bits not in (1, 8, 16) or samples not in (1, None):
        raise DataError(f"pixels of {samples} samples of {bits} bits are not read")
    return Shape(rows, columns, bits, 1 if frames is None else frames)


def frames_of(header: Item, fetch: Fetch, size: int, first: int = 1) -> Iterator[NDArray[Any]]:
    """The pixels of each frame in turn from the first one asked for, counted from 1, flat.

    DataError when one cannot be read.
    """
    shape, syntax = shape_of(header), syntax_of(header)
    if key_of("PixelData") not in header:
        raise DataError("there are no pixels in the object")
    if syntax in NATIVE:
        yield from _native(header, shape, fetch, size, first)
        return
    raw = bulk_of(header, "PixelData", header, fetch, size)
    count = 0
    for packed in fragments_of(raw, shape.frames):
        if count == shape.frames:
            break
        count += 1
        if count < first:
            continue
        if syntax == DEFLATED_FRAMES:
            yield _unpacked(_inflated(packed, shape), shape)
        elif syntax == RLE:
            yield _rle(packed, shape)
        else:
            yield _by_pydicom(packed, shape, syntax)
    if count < shape.frames:
        raise DataError(f"there are only {count} of {shape.frames} frames")


def _native(
    header: Item, shape: Shape, fetch: Fetch, size: int, first_frame: int
) -> Iterator[NDArray[Any]]:
    """Frames that follow each other without a gap, in bits, in one value."""
    if "BulkDataURI" not in element_of(header, "PixelData") or syntax_of(header) == BIG_ENDIAN:
        raw = bulk_of(header, "PixelData", header, fetch, size)
        start, length = 0, len(raw)
        read: Fetch = _Held(raw)
    else:
        start, length, _ = place_of(header, "PixelData")
        read = reader_of(header, "PixelData", fetch, size)
    bits = shape.pixels * shape.bits
    if bits * shape.frames > length * 8:
        raise DataError(f"there are pixels of only {length * 8 // bits} of {shape.frames} frames")
    for index in range(first_frame - 1, shape.frames):
        first, lead = divmod(index * bits, 8)
        count = (lead + bits + 7) // 8
        packed = read(start + first, count)
        if len(packed) < count:
            raise DataError("the object ends before its frames do")
        yield _unpacked(packed, shape, lead)


@dataclass(frozen=True, slots=True)
class _Held:
    """Reads of bytes that are held."""

    raw: bytes

    def __call__(self, offset: int, length: int) -> bytes:
        return self.raw[offset : offset + length]


def _unpacked(packed: bytes, shape: Shape, lead: int = 0) -> NDArray[Any]:
    """Pixels of bytes in little endian; the first `lead` bits belong to the frame before."""
    if len(packed) * 8 < lead + shape.pixels * shape.bits:
        raise DataError("a frame ends too early")
    if shape.bits == 1:
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
        return bits[lead : lead + shape.pixels]
    kind = np.dtype("<u2" if shape.bits == 16 else "u1")
    return np.frombuffer(packed, kind, shape.pixels)


def _inflated(packed: bytes, shape: Shape) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, shape.bytes + 1)
    except zlib.error as error:
        raise DataError("a deflated frame is damaged") from error


def _rle(packed: bytes, shape: Shape) -> NDArray[Any]:
    """A frame of RLE (PS3.5 Annex G): a segment per byte of a pixel, the highest first.

    Single bits are packed in a segment as they are in a native frame, or one to a byte.
    """
    try:
        count, *offsets = struct.unpack_from("<16I", packed)
    except struct.error as error:
        raise DataError("a frame of RLE ends too early") from error
    expected = 2 if shape.bits == 16 else 1
    if count != expected:
        raise DataError(f"a frame of RLE with {count} segments, where {expected} are needed")
    ends = [*offsets[1:count], len(packed)]
    longest = shape.pixels
    planes = [_packbits(packed[a:b], longest) for a, b in zip(offsets[:count], ends, strict=True)]
    if shape.bits == 1:
        if len(planes[0]) < shape.pixels:
            return _unpacked(planes[0], shape)
        set_: NDArray[Any] = np.frombuffer(planes[0], np.uint8, shape.pixels) != 0
        return set_.astype(np.uint8)
    if any(len(plane) < shape.pixels for plane in planes):
        raise DataError("a frame of RLE ends too early")
    found = np.frombuffer(planes[0], np.uint8, shape.pixels)
    if count == 1:
        return found
    return found.astype(np.uint16) * 256 + np.frombuffer(planes[1], np.uint8, shape.pixels)


def _packbits(packed: bytes, longest: int) -> bytes:
    """The bytes of a segment of RLE (PS3.5 G.3.2), at most so many."""
    found = bytearray()
    at, end = 0, len(packed)
    while at < end and len(found) < longest:
        head = packed[at]
        at += 1
        if head < 128:
            found += packed[at : at + head + 1]
            at += head + 1
        elif head > 128:
            found += packed[at : at + 1] * (257 - head)
            at += 1
    return bytes(found[:longest])


def _by_pydicom(packed: bytes, shape: Shape, syntax: str) -> NDArray[Any]:
    """A frame as pydicom and its plugins decode it."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a UID may be anything
            decoder = get_decoder(UID(syntax))
    except NotImplementedError as error:
        raise DataError(f"nobody decodes the transfer syntax {syntax}") from error
    if not decoder.is_available:
        hint = ": pip install 'dicomlake[pixels]'" if syntax in BY_PIXELS else ""
        raise DataError(f"no decoder of the transfer syntax {syntax} is installed{hint}")
    options: dict[str, Any] = {
        "rows": shape.rows,
        "columns": shape.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": 0,
        "bits_allocated": shape.bits,
        "bits_stored": shape.bits,
        "pixel_keyword": "PixelData",
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, _ = decoder.as_array(encapsulate([packed], has_bot=False), raw=True, **options)
    except (
        ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        raise DataError(f"a frame cannot be decoded ({type(error).__name__})") from error
    if found.size != shape.pixels:
        raise DataError("a decoded frame has another size than the header says")
    return found.reshape(-1)
