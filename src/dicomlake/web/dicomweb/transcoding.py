"""Objects without compression: Explicit VR Little Endian, where that is asked for."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from dicomlake.dicom.walk import BIG_ENDIAN, EXPLICIT, Fetch
from dicomlake.errors import DataError
from dicomlake.readers.bulk import read_all
from dicomlake.readers.jpeg import EXTENDED, extended

if TYPE_CHECKING:
    from pydicom import FileDataset

__all__ = ["EXPLICIT", "plain_of"]

LARGEST = 1024**3
"""Objects with more bytes are given as they are stored, or not at all."""


def plain_of(fetch: Fetch, size: int) -> bytes:
    """An object in Explicit VR Little Endian (PS3.5 A.2); DataError says why it cannot be had."""
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    if size > LARGEST:
        raise DataError("it is too large")
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = dcmread(io.BytesIO(read_all(fetch, 0, size)), force=True)
            syntax = data.file_meta.TransferSyntaxUID
            if syntax == BIG_ENDIAN:
                raise DataError("it is stored in big endian")
            if syntax.is_compressed and not syntax.is_deflated:
                _decompress(data)
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.save_as(written, implicit_vr=False, little_endian=True, enforce_file_format=True)
        except DataError:
            raise
        except Exception as error:  # a decoder may fail in any way
            raise DataError(f"nobody here decodes it ({type(error).__name__})") from error
    return written.getvalue()


def _decompress(data: FileDataset) -> None:
    if data.file_meta.TransferSyntaxUID != EXTENDED or data.BitsStored <= 8:
        data.decompress(as_rgb=False)
        return
    from pydicom.encaps import generate_frames

    size, signed = (data.Rows, data.Columns, data.BitsStored), data.PixelRepresentation == 1
    count = int(data.get("NumberOfFrames") or 1)
    frames = generate_frames(data.PixelData, number_of_frames=count)
    data.PixelData = b"".join(extended(f, *size, signed=signed).tobytes() for f in frames)
    data["PixelData"].VR = "OW"
    data["PixelData"].is_undefined_length = False
