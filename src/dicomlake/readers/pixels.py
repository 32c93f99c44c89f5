"""Pixels of images of every kind: single frames as they are stored, and as arrays of numbers.

One frame is read without the others. What is compressed is decoded by pydicom and its plugins.
"""

from __future__ import annotations

import struct
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom.walk import BIG_ENDIAN, UNDEFINED, Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, key_of, text, whole
from dicomlake.readers.bulk import (
    bulk_of,
    element_of,
    place_of,
    read_all,
    reader_of,
    syntax_of,
)
from dicomlake.readers.frames import BY_PIXELS, DEFLATED_FRAMES, MOST_PIXELS, NATIVE
from dicomlake.readers.frames import frames_of as single_bits
from dicomlake.readers.jpeg import EXTENDED, extended

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NATIVE_SYNTAX = "1.2.840.10008.1.2.1"
_ITEM = b"\xfe\xff\x00\xe0"
_MOST_FRAGMENTS = 1_000_000


class Pixels:
    """The frames of one object; DataError when it has none, or of a kind that is not read."""

    def __init__(self, header: Item, fetch: Fetch, size: int) -> None:
        self._header, self._fetch, self._size = header, fetch, size
        self.keyword = next((k for k in KEYWORDS if key_of(k) in header), "")
        if not self.keyword:
            raise DataError("there are no pixels in the object")
        self.syntax = syntax_of(header)
        self.native = self.syntax in NATIVE
        self.rows, self.columns = whole(header, "Rows") or 0, whole(header, "Columns") or 0
        self.samples = whole(header, "SamplesPerPixel") or 1
        self.bits = whole(header, "BitsAllocated") or 0
        self.count = 1 if (n := whole(header, "NumberOfFrames")) is None else n
        self.photometric = (text(header, "PhotometricInterpretation") or "MONOCHROME2").strip()
        if self.rows <= 0 or self.columns <= 0 or self.count < 1:
            raise DataError("the header does not say how many rows, columns and frames there are")
        if self.rows * self.columns * self.samples > MOST_PIXELS:
            raise DataError("its frames are too large to be read")
        if self.bits not in (1, 8, 16, 32, 64) or self.samples not in (1, 3):
            raise DataError(f"pixels of {self.samples} samples of {self.bits} bits are not read")

    def stored(self, number: int) -> bytes:
        """A frame, counted from 1, as it is stored; native ones in little endian."""
        self._check(number)
        if not self.native:
            return self._compressed(number)
        if self.bits == 1:
            return np.packbits(self._bits(number), bitorder="little").tobytes()
        length = self._frame_bytes
        raw = self._value[(number - 1) * length :][:length] if self._held else self._part(number)
        if len(raw) < length:
            raise DataError("the object ends before its frames do")
        return raw

    def decoded(self, number: int, *, raw: bool = False) -> tuple[NDArray[Any], str]:
        """A frame as rows, columns and samples, and its photometric interpretation.

        YBR becomes RGB unless it is to stay `raw`.
        """
        self._check(number)
        if self.bits == 1:
            return self._bits(number).reshape(self.rows, self.columns), self.photometric
        if self.keyword != "PixelData":
            kind = "<f4" if self.keyword == "FloatPixelData" else "<f8"
            found = np.frombuffer(self.stored(number), kind)
            return found.reshape(self.rows, self.columns), self.photometric
        if self.syntax == DEFLATED_FRAMES:
            raise DataError(f"frames of the transfer syntax {self.syntax} are not decoded")
        stored = whole(self._header, "BitsStored") or self.bits
        if self.syntax == EXTENDED and stored > 8 and self.samples == 1:
            signed = whole(self._header, "PixelRepresentation") == 1
            frame = self.stored(number)
            return extended(frame, self.rows, self.columns, stored, signed=signed), self.photometric
        return self._by_pydicom(self.stored(number), raw=raw)

    def native_bytes(self, number: int) -> bytes:
        """A frame without compression in little endian, as PS3.18 8.7.3.3.2 has it."""
        if self.native:
            return self.stored(number)
        if self.bits == 1:
            return np.packbits(self._bits(number), bitorder="little").tobytes()
        found, _ = self.decoded(number, raw=True)
        return found.astype(found.dtype.newbyteorder("<"), copy=False).tobytes()

    def _check(self, number: int) -> None:
        if not 1 <= number <= self.count:
            raise DataError(f"there is no frame {number} among {self.count}")

    # Native frames

    @property
    def _held(self) -> bool:
        """Whether the value is not simply somewhere in the object."""
        there = "BulkDataURI" in element_of(self._header, self.keyword)
        return not there or self.syntax == BIG_ENDIAN

    @cached_property
    def _value(self) -> bytes:
        return bulk_of(self._header, self.keyword, self._header, self._fetch, self._size)

    @property
    def _frame_bytes(self) -> int:
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits // 8

    def _part(self, number: int) -> bytes:
        start, whole_length, _ = place_of(self._header, self.keyword)
        first = (number - 1) * self._frame_bytes
        length = max(0, min(self._frame_bytes, whole_length - first))
        reader = reader_of(self._header, self.keyword, self._fetch, self._size)
        return read_all(reader, start + first, length)

    def _bits(self, number: int) -> NDArray[Any]:
        found = next(single_bits(self._header, self._fetch, self._size, number), None)
        if found is None:
            raise DataError(f"there is no frame {number}")
        return found

    # Compressed frames

    def _compressed(self, number: int) -> bytes:
        groups = self._groups
        if number > len(groups):
            raise DataError(f"there are only {len(groups)} of {self.count} frames")
        return b"".join(self._read(begin, length) for begin, length in groups[number - 1])

    @cached_property
    def _start(self) -> tuple[int, int]:
        if "BulkDataURI" in element_of(self._header, self.keyword):
            start, length, _ = place_of(self._header, self.keyword)
            return start, length
        return 0, len(self._value)

    def _read(self, at: int, length: int) -> bytes:
        if "BulkDataURI" in element_of(self._header, self.keyword):
            return read_all(self._fetch, at, length)
        return self._value[at : at + length]

    @cached_property
    def _groups(self) -> list[list[tuple[int, int]]]:
        """Where the fragments of each frame lie (PS3.5 A.4): only their heads are read."""
        fragments = self._fragments()
        if not fragments:
            raise DataError("there are no compressed frames in the object")
        (table_at, table_length), *parts = fragments
        if len(parts) == self.count:
            return [[part] for part in parts]
        if self.count == 1:
            return [parts]
        if table_length != 4 * self.count:
            raise DataError(f"{len(parts)} fragments cannot be told apart into {self.count} frames")
        begin = table_at + table_length
        table = self._read(table_at, table_length)
        starts = [begin + offset for offset in struct.unpack(f"<{self.count}I", table)]
        ends = [*starts[1:], UNDEFINED << 8]
        return [
            [part for part in parts if start < part[0] <= end]
            for start, end in zip(starts, ends, strict=True)
        ]

    def _fragments(self) -> list[tuple[int, int]]:
        start, length = self._start
        at, end, found = start, start + length, list[tuple[int, int]]()
        while at + 8 <= end and len(found) < _MOST_FRAGMENTS:
            head = self._read(at, 8)
            size = int.from_bytes(head[4:8], "little")
            if head[:4] != _ITEM or size == UNDEFINED:
                break
            found.append((at + 8, min(size, end - at - 8)))
            at += 8 + size
        return found

    # Decoding

    def _by_pydicom(self, frame: bytes, *, raw: bool) -> tuple[NDArray[Any], str]:
        from pydicom.encaps import encapsulate
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        syntax = _NATIVE_SYNTAX if self.native else self.syntax
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                decoder = get_decoder(UID(syntax))
                if not decoder.is_available:
                    raise NotImplementedError
            except NotImplementedError as error:
                hint = ": pip install 'dicomlake[pixels]'" if syntax in BY_PIXELS else ""
                raise DataError(
                    f"nobody here decodes the transfer syntax {syntax}{hint}"
                ) from error
            source = frame if self.native else encapsulate([frame], has_bot=False)
            try:
                found, said = decoder.as_array(source, raw=raw, **self._options())
            except (
                ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
                TypeError, ValueError,
            ) as error:  # fmt: skip
                raise DataError(f"a frame cannot be decoded ({type(error).__name__})") from error
        return found, str(said.get("photometric_interpretation", self.photometric))

    def _options(self) -> dict[str, Any]:
        header = self._header
        return {
            "rows": self.rows,
            "columns": self.columns,
            "number_of_frames": 1,
            "samples_per_pixel": self.samples,
            "photometric_interpretation": self.photometric,
            "pixel_representation": whole(header, "PixelRepresentation") or 0,
            "planar_configuration": whole(header, "PlanarConfiguration") or 0,
            "bits_allocated": self.bits,
            "bits_stored": whole(header, "BitsStored") or self.bits,
            "pixel_keyword": "PixelData",
        }
