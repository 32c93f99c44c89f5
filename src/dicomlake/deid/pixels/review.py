"""What would be blanked in an object and why, for somebody who looks at it before it is done."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.contracts.deid import Item, Unresolved, Words
from dicomlake.deid.pixels.boxes import Box
from dicomlake.deid.pixels.frames import blank
from dicomlake.deid.pixels.graphics import removed
from dicomlake.deid.pixels.step import PixelStep
from dicomlake.deid.pixels.suspicion import has_pixels
from dicomlake.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RED = (255, 40, 40)


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame before and after, in eight bits; before with a line around what goes."""

    frame: int
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Review:
    """What the step of pixels would do with an object.

    `why` it is searched for text, "" when it is not. `problem`: why it would go into quarantine.
    """

    why: str
    boxes: tuple[Box, ...]
    frames: tuple[int, ...]
    notes: tuple[str, ...]
    problem: str
    shown: tuple[Shown, ...]


def review(item: Item, step: PixelStep, words: Words | None = None, most_shown: int = 1) -> Review:
    """What is blanked in an object, and so many frames of it; DataError when it has no pixels."""
    if not has_pixels(item.header):
        raise DataError("there are no pixels in the object")
    why = step.why(item.header)
    notes = ["overlays, curves or icons are removed"] if removed(item.header) else []
    if not why:
        return Review("", (), (), tuple(notes), "", ())
    try:
        frames, sought = step.sought(item, words)
    except Unresolved as error:
        return Review(why, (), (), tuple(notes), str(error), ())
    shown = []
    for number in sought.frames[:most_shown]:
        before = frames.pictures(number)[0]
        after = before.copy()
        blank(after, sought.boxes)
        shown.append(Shown(number, _marked(before, sought.boxes), after))
    return Review(why, sought.boxes, sought.frames, (*notes, *sought.notes), "", tuple(shown))


def png(picture: NDArray[np.uint8]) -> bytes:
    """The file of a picture."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("Pictures are written by Pillow: pip install 'dicomlake[deid]'") from error
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _marked(picture: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """A picture in colour with a red line around boxes."""
    marked = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture.copy()
    for box in boxes:
        part = marked[box.y0 : box.y1, box.x0 : box.x1]
        for side in (part[:1], part[-1:], part[:, :1], part[:, -1:]):
            side[...] = _RED
    return marked
