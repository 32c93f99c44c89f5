"""Frames of JPEG Extended with 12 bits (1.2.840.10008.1.2.4.51), which pydicom leaves undecoded.

GDCM decodes them as dcmtk does, bit for bit; pydicom does not ask it for more than 8 bits.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTENDED = "1.2.840.10008.1.2.4.51"
_LOCK = threading.Lock()


def extended(frame: bytes, rows: int, columns: int, bits: int, *, signed: bool) -> NDArray[Any]:
    """A frame of one sample per pixel and more than 8 bits; DataError when it cannot be had."""
    try:
        import gdcm
    except ImportError as error:
        raise DataError(
            f"nobody here decodes the transfer syntax {EXTENDED}: pip install 'dicomlake[pixels]'"
        ) from error

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(EXTENDED)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(signed)))
    try:
        with _LOCK:  # its switch of warnings is one for all
            gdcm.Trace.WarningOff()
            gdcm.Trace.ErrorOff()
            raw = image.GetBuffer().encode("utf-8", "surrogateescape")
    except (AttributeError, RuntimeError, UnicodeError, ValueError) as error:
        raise DataError(f"a frame cannot be decoded ({type(error).__name__})") from error
    if len(raw) != rows * columns * 2:
        raise DataError("a decoded frame has another size than the header says")
    return np.frombuffer(raw, "<i2" if signed else "<u2").reshape(rows, columns)
