"""Frames written again: in the same transfer syntax where it keeps them as they are, else in
another one without loss.

Frames that nobody touched stay as they are stored wherever the transfer syntax stays. What was
compressed with loss is written without any further one; that it once had a loss stays said.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Unresolved
from dicomlake.deid.pixels.frames import JPEG_LOSSY, Frames
from dicomlake.deid.pixels.lossless import jpeg
from dicomlake.dicom import dictionary
from dicomlake.readers.attributes import key_of, text, whole
from dicomlake.readers.bulk import bulk_of, element_of
from dicomlake.readers.frames import NATIVE, RLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_JPEG = "1.2.840.10008.1.2.4."
JPEG_LS, J2K, J2K_ANY = _JPEG + "80", _JPEG + "90", _JPEG + "91"
JPEG_LOSSLESS = frozenset([_JPEG + "57", _JPEG + "70"])
EXPLICIT = "1.2.840.10008.1.2.1"
LOSSY = JPEG_LOSSY | {_JPEG + "81", J2K_ANY, _JPEG + "203"}
_SMALLEST = 32
"""Pixels of the shorter side from which frames are compressed in JPEG 2000."""

Values = dict[int, tuple[str, bytes] | None]
Change = Callable[["NDArray[Any]"], bool]
"""Changes the values of a frame, and says whether any is another one then."""


def written(frames: Frames, change: Change) -> tuple[Values, str, int]:
    """All frames changed: the elements that take the place of what there was, the transfer syntax
    where it is another one, and how many frames are others now. No elements where none is."""
    if frames.pixels.native and frames.pixels.photometric != "YBR_FULL_422":
        return _native(frames, change)
    return _compressed(frames, change)


# Native frames


def _native(frames: Frames, change: Change) -> tuple[Values, str, int]:
    """Frames in the place of those before, in a value that is otherwise the same."""
    pixels = frames.pixels
    count, value = 0, bytearray()
    if pixels.bits == 1:
        bits = [frames.values(n)[0] for n in range(1, frames.count + 1)]
        count = sum(change(each) for each in bits)
        flat = np.concatenate([b.reshape(-1) for b in bits])
        value += np.packbits(flat, bitorder="little").tobytes()
    else:
        for number in range(1, frames.count + 1):
            found, _ = frames.values(number)
            same = not change(found)
            value += frames.stored(number) if same else _laid_out(found, frames)
            count += not same
    if not count:
        return {}, "", 0
    return {dictionary.tag_of(pixels.keyword): (_vr(frames), _even(value))}, "", count


def _laid_out(found: NDArray[Any], frames: Frames) -> bytes:
    if found.ndim == 3 and whole(frames.header, "PlanarConfiguration") == 1:
        found = np.moveaxis(found, -1, 0)
    return found.astype(found.dtype.newbyteorder("<"), copy=False).tobytes()


def _vr(frames: Frames) -> str:
    said = str(element_of(frames.header, frames.pixels.keyword).get("vr") or "")
    if frames.pixels.keyword != "PixelData":
        return "OF" if frames.pixels.bits == 32 else "OD"
    return said if said in ("OB", "OW") and frames.pixels.bits <= 8 else "OW"


def whole_of(frames: Frames) -> bytes:
    """The value of the pixels in little endian."""
    return bulk_of(frames.header, frames.pixels.keyword, *frames.place)


def trimmed(frames: Frames) -> Values:
    """The pixels without what stands behind the last frame, where there is something."""
    pixels = frames.pixels
    if not pixels.native or pixels.keyword != "PixelData":
        return {}
    samples = 2 if pixels.photometric == "YBR_FULL_422" else pixels.samples
    bits = frames.rows * frames.columns * samples * pixels.bits * frames.count
    length = (bits + 7) // 8
    value = whole_of(frames)
    rest = value[length:]
    if not rest.strip(b"\0") or len(rest) < 2:
        return {}
    return {dictionary.tag_of(pixels.keyword): (_vr(frames), _even(bytearray(value[:length])))}


def _even(value: bytearray) -> bytes:
    return bytes(value) + b"\0" * (len(value) & 1)


# Compressed frames


def _compressed(frames: Frames, change: Change) -> tuple[Values, str, int]:
    """Frames one after another, each decoded, changed and compressed again."""
    syntax = target(frames)
    stays = syntax == frames.syntax
    made: list[bytes] = []
    count, photometric = 0, ""
    for number in range(1, frames.count + 1):
        found, photometric = frames.values(number)
        other = change(found)
        count += other
        if stays and not other:
            made.append(frames.stored(number))
        else:
            made.append(compressed(found, syntax, frames, photometric))
    if not count:
        return {}, "", 0
    values = _said(frames, syntax, photometric)
    values[0x7FE00010] = _value(made, syntax)
    return values, "" if stays else syntax, count


def target(frames: Frames) -> str:
    """The transfer syntax that frames are written in again: their own one where it can be."""
    syntax, bits = frames.syntax, frames.pixels.bits
    small = min(frames.rows, frames.columns) < _SMALLEST
    if syntax == RLE or frames.pixels.native:
        return syntax
    if bits not in (8, 16):
        return EXPLICIT
    if syntax in JPEG_LOSSLESS or (syntax == JPEG_LS and _can(JPEG_LS)):
        return syntax
    if small or not _can(J2K):
        return EXPLICIT
    return syntax if syntax == J2K_ANY and frames.pixels.samples == 1 else J2K


def _can(syntax: str) -> bool:
    """Whether somebody here compresses in a transfer syntax."""
    from pydicom.pixels.encoders.base import get_encoder
    from pydicom.uid import UID

    return bool(get_encoder(UID(syntax)).is_available)


def compressed(found: NDArray[Any], syntax: str, frames: Frames, photometric: str) -> bytes:
    """A frame in a transfer syntax; Unresolved when it does not come out of it as it went in."""
    if syntax in NATIVE:
        return found.astype(found.dtype.newbyteorder("<"), copy=False).tobytes()
    if syntax in JPEG_LOSSLESS:
        return jpeg(found)
    return _by_pydicom(found, syntax, frames, photometric)


def _by_pydicom(found: NDArray[Any], syntax: str, frames: Frames, photometric: str) -> bytes:
    from pydicom.pixels.encoders.base import get_encoder
    from pydicom.uid import UID

    encoder = get_encoder(UID(J2K if syntax == J2K_ANY else syntax))
    said = _photometric(frames, syntax, photometric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = encoder.encode(
                np.ascontiguousarray(found),
                rows=frames.rows, columns=frames.columns, number_of_frames=1,
                samples_per_pixel=frames.pixels.samples, bits_allocated=frames.pixels.bits,
                bits_stored=_stored_bits(frames, syntax), photometric_interpretation=said,
                pixel_representation=whole(frames.header, "PixelRepresentation") or 0,
                planar_configuration=0, pixel_keyword="PixelData",
            )  # fmt: skip
        except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
                ValueError) as error:  # fmt: skip
            raise Unresolved("pixels", f"a frame cannot be compressed again ({syntax})") from error
    return bytes(made)


def _stored_bits(frames: Frames, syntax: str) -> int:
    """Bits of a value that are compressed: of RLE all that there are."""
    stored = whole(frames.header, "BitsStored")
    return frames.pixels.bits if syntax == RLE or not stored else stored


def _photometric(frames: Frames, syntax: str, photometric: str) -> str:
    """What the header says of the colours of frames that are compressed again."""
    said = frames.pixels.photometric
    if frames.pixels.samples == 1:
        return said
    if syntax == J2K and photometric == "RGB":
        return "RGB" if frames.syntax == J2K and said == "RGB" else "YBR_RCT"
    return photometric


def _said(frames: Frames, syntax: str, photometric: str) -> Values:
    """What the header must say of frames that are compressed in another way."""
    values: Values = {}
    said = _photometric(frames, syntax, photometric)
    if syntax == frames.syntax and said == frames.pixels.photometric:
        return _without_offsets(frames)
    values[dictionary.tag_of("PhotometricInterpretation")] = ("CS", _text(said))
    if frames.pixels.samples > 1:
        values[dictionary.tag_of("PlanarConfiguration")] = ("US", struct.pack("<H", 0))
    if frames.syntax in LOSSY and text(frames.header, "LossyImageCompression") != "01":
        values[dictionary.tag_of("LossyImageCompression")] = ("CS", b"01")
    return values | _without_offsets(frames)


def _without_offsets(frames: Frames) -> Values:
    names = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    return {dictionary.tag_of(n): None for n in names if key_of(n) in frames.header}


def _text(value: str) -> bytes:
    raw = value.encode("ascii")
    return raw + b" " * (len(raw) & 1)


def _value(made: list[bytes], syntax: str) -> tuple[str, bytes]:
    """Pixel data of frames: native ones in a row, else encapsulated with an offset table."""
    if syntax in NATIVE:
        return "OW", _even(bytearray(b"".join(made)))
    return "OB", b"".join(_encapsulated(made))


def _encapsulated(made: list[bytes]) -> Iterator[bytes]:
    """An item of offsets, an item per frame, and the delimiter (PS3.5 A.4)."""
    item = struct.Struct("<HHI").pack
    offsets, at = [], 0
    for frame in made:
        offsets.append(at)
        at += 8 + len(frame) + (len(frame) & 1)
    table = b"" if at > 0xFFFFFFFF else struct.pack(f"<{len(offsets)}I", *offsets)
    yield item(0xFFFE, 0xE000, len(table)) + table
    for frame in made:
        yield item(0xFFFE, 0xE000, len(frame) + (len(frame) & 1)) + frame
        yield b"\0" * (len(frame) & 1)
    yield item(0xFFFE, 0xE0DD, 0)
