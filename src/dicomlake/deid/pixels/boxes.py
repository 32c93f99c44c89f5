"""Rectangles of a picture: where they come from, what they cover, and what stays around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.readers.attributes import Item, items, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle in pixels, from the left top one to before the right bottom one, and why."""

    x0: int
    y0: int
    x1: int
    y1: int
    why: str = "text"

    def grown(self, by: int, rows: int, columns: int) -> Box:
        """The box with so many pixels more on every side, within the picture.

        >>> Box(2, 2, 5, 5).grown(3, 6, 9)
        Box(x0=0, y0=0, x1=8, y1=6, why='text')
        """
        return Box(
            max(0, self.x0 - by), max(0, self.y0 - by),
            min(columns, self.x1 + by), min(rows, self.y1 + by), self.why,
        )  # fmt: skip

    @property
    def area(self) -> int:
        """Pixels in it."""
        return max(0, self.x1 - self.x0) * max(0, self.y1 - self.y0)


def kept_of(header: Item, rows: int, columns: int) -> tuple[Box, ...]:
    """The regions of ultrasound that lie in the picture (PS3.3 C.8.5.5): what is outside goes."""
    names = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1",
             "RegionLocationMaxY1")  # fmt: skip
    found = []
    for item in items(header, "SequenceOfUltrasoundRegions"):
        x0, y0, x1, y1 = (whole(item, name) for name in names)
        if x0 is None or y0 is None or x1 is None or y1 is None:
            continue
        box = Box(max(0, x0), max(0, y0), min(columns, x1 + 1), min(rows, y1 + 1), "region")
        if box.x1 - box.x0 > 1 and box.y1 - box.y0 > 1:
            found.append(box)
    return tuple(sorted(set(found)))


def outside(kept: Sequence[Box], rows: int, columns: int) -> tuple[Box, ...]:
    """Boxes that together cover all but some.

    >>> outside([Box(1, 0, 3, 2)], 2, 4)
    (Box(x0=0, y0=0, x1=1, y1=2, why='outside the regions'), \
Box(x0=3, y0=0, x1=4, y1=2, why='outside the regions'))
    """
    if not kept:
        return ()
    ys = sorted({0, rows, *(b.y0 for b in kept), *(b.y1 for b in kept)})
    found = []
    for top, bottom in pairwise(ys):
        at = 0
        for box in sorted(b for b in kept if b.y0 <= top and b.y1 >= bottom):
            if box.x0 > at:
                found.append(Box(at, top, box.x0, bottom, "outside the regions"))
            at = max(at, box.x1)
        if at < columns:
            found.append(Box(at, top, columns, bottom, "outside the regions"))
    return tuple(found)


def mask_of(boxes: Iterable[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    """Where boxes are."""
    mask = np.zeros((rows, columns), bool)
    for box in boxes:
        mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return mask


def united(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes without those that lie in another one."""
    sure: list[Box] = []
    for box in sorted(set(boxes), key=lambda b: (-b.area, b)):
        if not any(
            a.x0 <= box.x0 and a.y0 <= box.y0 and a.x1 >= box.x1 and a.y1 >= box.y1 for a in sure
        ):
            sure.append(box)
    return tuple(sorted(sure, key=lambda b: (b.y0, b.x0, b.y1, b.x1)))
