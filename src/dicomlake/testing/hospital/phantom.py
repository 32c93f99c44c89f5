"""Tiny pictures: an ellipse with organs, in whole numbers only, so that every machine agrees."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 48


@lru_cache(maxsize=512)
def slice_of(kind: str, step: int = 0, size: int = SIZE) -> NDArray[np.uint16]:
    """A square picture with 12-bit grey values; `step` moves the inside a little.

    >>> slice_of("CT").shape, slice_of("CT").dtype.name, int(slice_of("CT").max()) < 4096
    ((48, 48), 'uint16', True)
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.int64) * 96 // size - 48
    inside = (x * x * 9 + y * y * 16) < 16 * 44 * 44
    left = ((x + 18) ** 2 + (y + step % 5) ** 2) < 100 + 6 * (step % 7)
    right = ((x - 18) ** 2 + (y - step % 3) ** 2) < 121
    middle = (x * x + (y - 22) ** 2) < 49
    air, body, dark, bright = _GREY.get(kind, (0, 900, 500, 1400))
    texture = (x * 7 + y * 13 + step * 3) % 11
    picture = np.where(inside, body + texture, air)
    picture = np.where(left & inside, dark + texture, picture)
    picture = np.where(right & inside, (body + bright) // 2 + texture, picture)
    return np.where(middle & inside, bright + texture, picture).astype(np.uint16)


_GREY = {
    "CT": (24, 1064, 1124, 1800),
    "LUNG": (24, 1064, 180, 1800),
    "MR": (4, 320, 610, 150),
    "DWI": (2, 90, 310, 40),
    "PT": (0, 120, 700, 2600),
    "MG": (60, 1700, 2100, 2900),
    "DX": (3600, 1500, 900, 400),
    "US": (0, 90, 30, 210),
    "XA": (210, 150, 60, 30),
}


@lru_cache(maxsize=512)
def bytes_of(kind: str, step: int = 0, size: int = SIZE) -> NDArray[np.uint8]:
    """The same picture with 8-bit grey values."""
    grey: NDArray[np.uint8] = np.minimum(slice_of(kind, step, size), 255).astype(np.uint8)
    return grey


@lru_cache(maxsize=512)
def mask_of(step: int, size: int = SIZE) -> NDArray[np.uint8]:
    """A disc of ones: the frame of a segment before its bits are packed."""
    y, x = np.mgrid[0:size, 0:size].astype(np.int64) - size // 2
    disc: NDArray[np.uint8] = ((x * x + y * y) < (6 + step % 9) ** 2).astype(np.uint8)
    return disc


def rle(frame: NDArray[np.uint8]) -> bytes:
    """A frame of 8-bit samples as RLE Lossless (PS3.5 Annex G), in literal runs.

    >>> rle(np.array([[7, 8]], np.uint8))[64:]
    b'\\x01\\x07\\x08\\x00'
    """
    planes = frame.reshape(-1, frame.shape[-1]).T if frame.ndim == 3 else [frame.ravel()]
    segments = []
    for plane in planes:
        data = plane.tobytes()
        runs = [data[at : at + 128] for at in range(0, len(data), 128)]
        packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(packed + b"\0" * (len(packed) & 1))
    offsets = [64]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    offsets += [0] * (15 - len(offsets))
    return struct.pack("<16I", len(segments), *offsets) + b"".join(segments)
