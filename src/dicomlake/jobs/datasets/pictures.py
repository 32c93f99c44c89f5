"""Pictures as PNG: in eight bits as a viewer shows them, or in sixteen with their own values."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import key_of, number, text, whole
from dicomlake.readers.pictures import picture
from dicomlake.readers.pixels import KEYWORDS, Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKS = ("SEG", "RTDOSE")
"""Modalities whose pixels are no pictures."""


def pictures_of(found: Opened, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """The frames of an object: how the name of the file ends, and its bytes.

    Nothing where it has no pixels, or they are no pictures; DataError where nobody decodes them.
    """
    pixels = any(key_of(keyword) in found.header for keyword in KEYWORDS)
    if not pixels or text(found.header, "Modality") in MASKS:
        return
    frames = whole(found.header, "NumberOfFrames") or 1
    for frame in range(1, frames + 1):
        made = _sixteen(found, frame) if wanted.depth == 16 else _eight(found, frame)
        yield (f"_{frame:04}.png" if frames > 1 else ".png"), _png(made)


def _eight(found: Opened, frame: int) -> NDArray[Any]:
    return picture(found.header, found.fetch, found.size, frame)


def _sixteen(found: Opened, frame: int) -> NDArray[Any]:
    """Values of a gray frame with its rescaling, plus 32768 where some may be negative."""
    stored, _ = Pixels(found.header, found.fetch, found.size).decoded(frame)
    if stored.ndim == 3:
        return _eight(found, frame)
    slope = number(found.header, "RescaleSlope") or 1.0
    intercept = number(found.header, "RescaleIntercept") or 0.0
    values = stored.astype(np.float64) * slope + intercept
    signed = intercept < 0 or stored.dtype.kind == "i"
    values = np.rint(values) + (32768 if signed else 0)
    if values.min() < 0 or values.max() > 65535:
        raise DataError("its values do not fit into 16 bits")
    return values.astype(np.uint16)


def _png(values: NDArray[Any]) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("PNG needs pillow: pip install 'dicomlake[export]'") from error
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(out, "png")
    return out.getvalue()
