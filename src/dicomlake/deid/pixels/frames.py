"""Frames of an object while they are made harmless: as they are stored, as numbers, as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Item, Unresolved
from dicomlake.deid.pixels.boxes import Box, mask_of
from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item as Header
from dicomlake.readers.attributes import key_of, text, whole
from dicomlake.readers.bulk import syntax_of
from dicomlake.readers.frames import NATIVE, RLE
from dicomlake.readers.pictures import Window, picture, windowed
from dicomlake.readers.pixels import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

JPEG_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51))
"""JPEG with loss: colours come out of it as red, green and blue."""
_BLOCK = 32
"""Pixels of a block in which frames are compared."""
ALIKE = 0.995
"""Pictures of one frame that correlate as much show the same."""
OUTSIDE = "outside the regions"


class Frames:
    """The frames of an object; Unresolved where they cannot be had."""

    def __init__(self, item: Item) -> None:
        self.header, data = item.header, item.data
        self.place: tuple[Any, Fetch, int] = (
            item.header, lambda at, length: data[at : at + length], len(data),
        )  # fmt: skip
        try:
            self.pixels = Pixels(_as_allocated(item.header), *self.place[1:])
        except DataError as error:
            raise Unresolved("pixels", f"its pixels cannot be read: {error}") from error
        self.count, self.rows, self.columns = (
            self.pixels.count, self.pixels.rows, self.pixels.columns,
        )  # fmt: skip
        self.syntax = self.pixels.syntax

    def digest(self, number: int) -> bytes:
        """What stands for the bytes of a frame, counted from 1."""
        return blake2b(self.stored(number), digest_size=16).digest()

    def stored(self, number: int) -> bytes:
        """A frame as it is stored; native ones in little endian."""
        try:
            return self.pixels.stored(number)
        except DataError as error:
            raise Unresolved("pixels", f"a frame cannot be read: {error}") from error

    def values(self, number: int) -> tuple[NDArray[Any], str]:
        """A frame as numbers that may be changed, and their photometric interpretation."""
        raw = not (self.syntax in JPEG_LOSSY and self.pixels.samples == 3)
        try:
            found, photometric = self.pixels.decoded(number, raw=raw)
        except DataError as error:
            raise Unresolved("pixels", f"a frame cannot be decoded: {error}") from error
        if found.shape[:2] != (self.rows, self.columns):
            raise Unresolved("pixels", "a decoded frame has another size than the header says")
        whole_colours = found.ndim == 3 and photometric == "YBR_FULL_422"
        return np.array(found), "YBR_FULL" if whole_colours else photometric

    def pictures(self, number: int) -> list[NDArray[np.uint8]]:
        """A frame as a person would look at it: as its header has it shown, of gray values of more
        than eight bits also from the lowest to the highest."""
        try:
            shown = [picture(*self.place, number)]
        except DataError:  # a window, a table or a palette that cannot be read
            return [self._wide(number)]
        bits = whole(self.header, "BitsStored") or self.pixels.bits
        if bits > 8 and shown[0].ndim == 2 and not _is_alike(wide := self._wide(number), shown[0]):
            shown.append(wide)
        return shown

    def _wide(self, number: int) -> NDArray[np.uint8]:
        """A frame from its lowest to its highest value."""
        values, _ = self.values(number)
        if values.ndim == 3 and values.dtype == np.uint8:
            return values
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        return windowed(values, Window((low + high) / 2, high - low or 1.0, "LINEAR_EXACT"))

    def differing(self, most: int) -> tuple[int, ...]:
        """Frames, at most so many, that together have what can be seen in any of them.

        Of few frames all. Else those that have more edges somewhere than the ones before them.
        """
        if self.count <= most:
            return tuple(range(1, self.count + 1))
        edges = np.stack([_edges(self.pictures(n)[0]) for n in range(1, self.count + 1)])
        chosen, seen = [0], edges[0].copy()
        while len(chosen) < most:
            more = (edges - seen).reshape(self.count, -1).max(axis=1)
            best = int(more.argmax())
            if more[best] <= 0:
                break
            chosen.append(best)
            seen = np.maximum(seen, edges[best])
        return tuple(sorted(n + 1 for n in chosen))


def _as_allocated(header: Header) -> Header:
    """A header by which also those bits are read that are not stored, where that can be."""
    syntax, bits = syntax_of(header), whole(header, "BitsAllocated")
    if (syntax in NATIVE or syntax == RLE) and bits in (8, 16, 32):
        return {**header, key_of("BitsStored"): {"vr": "US", "Value": [bits]}}
    return header


def _is_alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether what is seen in one of two pictures is seen in the other one."""
    a, b = (each.astype(np.float32).ravel() for each in (one, other))
    if a.std() < 1 or b.std() < 1:
        return bool(a.std() < 1)
    return abs(float(np.corrcoef(a, b)[0, 1])) > ALIKE


def _edges(shown: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much brightness changes within each block of a picture."""
    gray = shown.mean(axis=2) if shown.ndim == 3 else shown.astype(np.float32)
    change = np.abs(np.diff(gray, axis=1, append=gray[:, -1:]))
    change += np.abs(np.diff(gray, axis=0, append=gray[-1:]))
    rows, columns = (-(-side // _BLOCK) * _BLOCK for side in gray.shape)
    padded = np.zeros((rows, columns), np.float32)
    padded[: gray.shape[0], : gray.shape[1]] = change
    blocks = padded.reshape(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def blank(values: NDArray[Any], boxes: Sequence[Box], *, indexed: bool = False) -> bool:
    """Overwrite boxes with the value that is the most usual in each: what text stands on.

    `indexed`: values are of a palette, or such that none between two of them means anything.
    Whether anything is another one then.
    """
    before = values.copy()
    around = [box for box in boxes if box.why == OUTSIDE]
    if around:
        mask = mask_of(around, *values.shape[:2])
        values[mask] = _ground(values[mask], indexed=indexed)
    for box in boxes:
        if box.why != OUTSIDE:
            area = values[box.y0 : box.y1, box.x0 : box.x1]
            area[...] = _ground(area.reshape(-1, *values.shape[2:]), indexed=indexed)
    return not np.array_equal(before, values, equal_nan=values.dtype.kind == "f")


def _ground(area: NDArray[Any], *, indexed: bool) -> Any:
    """The value in the middle of all, per sample; of a palette the most frequent one."""
    if indexed:
        found, counts = np.unique(area, return_counts=True)
        return found[int(counts.argmax())]
    return np.percentile(area, 50, axis=0, method="lower")


def is_indexed(frames: Frames) -> bool:
    """Whether values stand for entries of a palette."""
    return (text(frames.header, "PhotometricInterpretation") or "").strip() == "PALETTE COLOR"


def moved(boxes: Sequence[Box], why: str) -> Iterator[Box]:
    """Boxes with another reason."""
    return (replace(box, why=why) for box in boxes)
