"""Objects with pixels in every transfer syntax, and what is read of them again."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from dicomlake.contracts.deid import Item, Replaced
from dicomlake.deid.pixels.boxes import Box
from dicomlake.deid.pixels.frames import Frames
from dicomlake.deid.pixels.writing import compressed
from dicomlake.readers.header import HeaderReader
from dicomlake.testing.dicom import EXPLICIT_LE, RLE, Fragments, encode, image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import FileDataset

JPEG = "1.2.840.10008.1.2.4."
ULTRASOUND, CT = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.2"
COMPRESSED = (RLE, *(JPEG + n for n in ("57", "70", "80", "90")))
BOX = Box(5, 4, 30, 12)


class Nobody:
    """Words of a patient of whom nothing is known."""

    def spans(self, text: str) -> list[Any]:
        return []

    def clean(self, text: str) -> str:
        return text


def item_of(data: bytes) -> Item:
    """An object as a step sees it."""
    return Item(data, orjson.loads(HeaderReader().read_bytes(data).json))


def described(pixels: NDArray[Any], **more: Any) -> dict[str, Any]:
    """The description of an image of ultrasound with these pixels: frames, rows, columns, samples.

    One frame needs no axis of its own.
    """
    samples = 3 if pixels.shape[-1] == 3 else 1
    shape = pixels.shape[:-1] if samples == 3 else pixels.shape
    bits = pixels.dtype.itemsize * 8
    said: dict[str, Any] = {
        "SOPClassUID": ULTRASOUND, "Modality": "US", "Rows": shape[-2], "Columns": shape[-1],
        "SamplesPerPixel": samples, "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
        "PhotometricInterpretation": "RGB" if samples == 3 else "MONOCHROME2",
        "PixelRepresentation": int(pixels.dtype.kind == "i"), "PixelData": pixels,
    }  # fmt: skip
    if samples == 3:
        said["PlanarConfiguration"] = 0
    if len(shape) == 3:
        said["NumberOfFrames"] = shape[0]
    return image(**(said | more))


def object_of(pixels: NDArray[Any], syntax: str = EXPLICIT_LE, **more: Any) -> Item:
    """An object with these pixels, compressed where the transfer syntax asks for it."""
    said = described(pixels, **more)
    if syntax not in COMPRESSED and not syntax.startswith(JPEG):
        return item_of(encode(said, syntax))
    plain = Frames(item_of(encode(said)))
    parts = []
    for number in range(1, plain.count + 1):
        values, photometric = plain.values(number)
        if syntax == JPEG + "50":
            parts.append(baseline(values))
        else:
            parts.append(compressed(values, syntax, plain, photometric))
    if syntax in (JPEG + "90", JPEG + "91") and said["SamplesPerPixel"] == 3:
        said["PhotometricInterpretation"] = "YBR_RCT"
    if syntax == JPEG + "50" and said["SamplesPerPixel"] == 3:
        said["PhotometricInterpretation"] = "YBR_FULL_422"
    return item_of(encode(said | {"PixelData": Fragments(tuple(parts))}, syntax))


def baseline(values: NDArray[Any]) -> bytes:
    """A frame in JPEG with loss."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=90)
    return file.getvalue()


def rewritten(item: Item, found: Replaced) -> FileDataset:
    """The object with what a step replaces, read by pydicom from a file of its own."""
    return read_again(file_of(item, found))


def file_of(item: Item, found: Replaced) -> bytes:
    """The object with what a step replaces, as pydicom writes it."""
    from pydicom import dcmread
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag
    from pydicom.uid import UID

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dcmread(io.BytesIO(item.data))
        data.pop(0xFFFEE0DD, None)  # a delimiter at the end of some files, which is no element
        syntax = UID(found.syntax or str(data.file_meta.TransferSyntaxUID))
        big = syntax == "1.2.840.10008.1.2.2"
        for tag, value in found.values.items():
            if value is None:
                data.pop(tag, None)
            else:
                raw = value[1]
                if big and value[0] == "OW":
                    raw = np.frombuffer(raw, "<u2").byteswap().tobytes()
                if tag == 0x7FE00010 and syntax.is_compressed and not syntax.is_deflated:
                    assert raw.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
                    raw = raw[:-8]
                data[tag] = RawDataElement(Tag(tag), value[0], len(raw), raw, 0, False, not big)
        data.file_meta.TransferSyntaxUID = syntax
        if 0x7FE00010 in data:
            data["PixelData"].is_undefined_length = syntax.is_encapsulated
        file = io.BytesIO()
        data.save_as(file, enforce_file_format=True)
        return file.getvalue()


def frames_in(data: FileDataset, index: int | None = None, *, raw: bool = False) -> NDArray[Any]:
    """All pixels, or those of a frame, as pydicom decodes them."""
    from pydicom.pixels import pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixel_array(data, index=index, raw=raw)


def read_again(data: bytes) -> FileDataset:
    """The object as it is."""
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(io.BytesIO(data))
