"""What is to be blanked in an object: regions, rules of devices, and text that is found.

A picture is searched as it is, and once more larger and with its contrasts evened out, for text
that is small or hardly stands out; and both turned, for text that goes upwards. What was found is
blanked and searched again, until nothing is found. Pictures that are the same are searched once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.contracts.deid import Span, Unresolved, Words
from dicomlake.deid.pixels.boxes import Box, kept_of, outside, united
from dicomlake.deid.pixels.detection import Detector
from dicomlake.deid.pixels.devices import Rule, boxes_of
from dicomlake.deid.pixels.frames import Frames, blank
from dicomlake.deid.pixels.options import Options
from dicomlake.deid.pixels.reading import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_REMEMBERED = 4096
"""Pictures of which it is remembered where text is."""
HIGHEST, LONG, SMALL = (0.12, 0.25), 2.5, 40
"""A line of text is no higher than the first part of the picture or than so many pixels; where it
is so many times as long as it is high, than the second part."""
SURE = 0.65
"""How sure the network is of text that it finds only when other text is gone."""
LARGE = 1200
"""Pixels of the longer side from which pictures are large enough as they are."""
_AROUND = 41
"""Pixels over which contrasts are evened out."""


class _Nobody:
    """Words of somebody of whom nothing is known."""

    def spans(self, text: str) -> Sequence[Span]:
        return ()

    def clean(self, text: str) -> str:
        return text


NOBODY: Words = _Nobody()


@dataclass(frozen=True, slots=True)
class Sought:
    """What is blanked, in which frames it was sought, and what was found besides."""

    boxes: tuple[Box, ...]
    frames: tuple[int, ...]
    notes: tuple[str, ...]


class Seeker:
    """Finds what is to be blanked."""

    def __init__(
        self, options: Options, rules: Sequence[Rule], detector: Detector, reader: Reader
    ) -> None:
        self._options, self._rules = options, rules
        self._detector, self._reader = detector, reader
        self._known: OrderedDict[bytes, tuple[Box, ...]] = OrderedDict()

    def seek(self, frames: Frames, words: Words | None = None) -> Sought:
        """The boxes of an object, the same in all its frames; Unresolved when text stays."""
        rows, columns = frames.rows, frames.columns
        kept = kept_of(frames.header, rows, columns) if self._options.regions else ()
        sure = (*outside(kept, rows, columns), *boxes_of(frames.header, self._rules, rows, columns))
        chosen = frames.differing(self._options.most_frames)
        boxes: tuple[Box, ...] = sure
        for number in chosen:  # what was found in one is blanked in all
            boxes = (*boxes, *self._frame(frames, number, boxes, words))
        boxes = (*sure, *united(boxes[len(sure) :]))
        return Sought(boxes, chosen, tuple(_notes(boxes)))

    def _frame(
        self, frames: Frames, number: int, sure: Sequence[Box], words: Words | None
    ) -> tuple[Box, ...]:
        """Text in a frame beside what is blanked already."""
        if self._options.policy != "blank_all_text":
            return self.texts(frames.pictures(number), sure, words or NOBODY)
        key = blake2b(frames.digest(number) + repr(sure).encode()).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = self.texts(frames.pictures(number), sure)
        self._known[key] = found
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found

    def texts(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        sure: Sequence[Box] = (),
        words: Words | None = None,
    ) -> tuple[Box, ...]:
        """Where text is in a picture that is shown in some ways; Unresolved when it stays.

        With `words`, harmless text is none.
        """
        found: list[Box] = []
        shown = [each.copy() for each in pictures]
        for picture in shown:
            blank(picture, sure)
        turned, least = True, 0.5
        for _ in range(self._options.most_rounds + 1):
            new = [box for each in shown for box in self._search(each, least, turned=turned)]
            new = [box for box in new if not _is_plain(shown, box)]
            if self._options.markers:
                new = [b for b in new if not self._reader.is_marker(shown[0], b)]
            if words is not None:
                new = [b for b in new if not self._reader.may_stay(shown[0], b, words)]
            if not new:
                return united(found)
            found += new
            turned, least = any(b.y1 - b.y0 > b.x1 - b.x0 for b in new), SURE
            for picture in shown:
                blank(picture, new)
        raise Unresolved(
            "pixels",
            "text is found in its pixels again and again, also after it was blanked; look at it "
            "with: dicomlake deid pixels FILE --to FOLDER",
        )

    def _search(
        self, picture: NDArray[np.uint8], least: float, *, turned: bool = True
    ) -> list[Box]:
        """Text in a picture: as it is, twice as large with even contrasts, perhaps turned."""
        rows, columns = picture.shape[:2]
        even = evened(picture)
        found = [*self._coarse(picture, least), *self._enlarged(even, least)]
        if turned:
            for b in self._enlarged(np.ascontiguousarray(np.rot90(even)), least):
                found.append(Box(columns - b.y1, b.x0, columns - b.y0, b.x1))
        return [box for box in found if _is_line(box, rows, columns)]

    def _coarse(self, picture: NDArray[np.uint8], least: float) -> list[Box]:
        """Text in a picture as it is, in half of its size where it is large: for high letters."""
        if min(picture.shape[:2]) < LARGE // 2:
            return list(self._detector.boxes(picture, least))
        found = self._detector.boxes(_sized(picture, 0.5), least)
        rows, columns = picture.shape[:2]
        large = (Box(b.x0 * 2, b.y0 * 2, b.x1 * 2, b.y1 * 2) for b in found)
        return [box.grown(0, rows, columns) for box in large]

    def _enlarged(self, picture: NDArray[np.uint8], least: float) -> list[Box]:
        """What is found in a picture of twice the size, where it is not large already."""
        if max(picture.shape[:2]) > LARGE:
            return list(self._detector.boxes(picture, least))
        found = self._detector.boxes(_sized(picture, 2), least)
        small = (Box(b.x0 // 2, b.y0 // 2, (b.x1 + 1) // 2, (b.y1 + 1) // 2) for b in found)
        return [box for box in small if _height(box) <= SMALL or _is_long(box)]


def evened(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in gray in which contrasts are the same everywhere."""
    import cv2

    gray = (picture.mean(axis=2) if picture.ndim == 3 else picture).astype(np.float32)
    mean = cv2.blur(gray, (_AROUND, _AROUND))
    spread = cv2.blur(gray * gray, (_AROUND, _AROUND)) - mean * mean
    scaled = (gray - mean) / (np.sqrt(np.maximum(spread, 0)) + 8) * 50 + 128
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def _sized(picture: NDArray[np.uint8], by: float) -> NDArray[np.uint8]:
    import cv2

    size = (round(picture.shape[1] * by), round(picture.shape[0] * by))
    kind = cv2.INTER_CUBIC if by > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=kind), np.uint8)


def _height(box: Box) -> int:
    """How high a line of text is, upright or turned."""
    return min(box.x1 - box.x0, box.y1 - box.y0)


def _is_long(box: Box) -> bool:
    return max(box.x1 - box.x0, box.y1 - box.y0) >= LONG * _height(box)


def _is_line(box: Box, rows: int, columns: int) -> bool:
    """Whether a box is no higher than lines of text are; other things are."""
    side, high = min(rows, columns), _height(box)
    most = HIGHEST[1] * side if _is_long(box) else max(HIGHEST[0] * side, min(SMALL, 0.2 * side))
    return high <= max(most, 24)


def _is_plain(pictures: Sequence[NDArray[np.uint8]], box: Box) -> bool:
    """Whether there is nothing but one value in a box."""
    areas = (each[box.y0 : box.y1, box.x0 : box.x1] for each in pictures)
    return all(a.size == 0 or bool((a == a[0, 0]).all()) for a in areas)


def _notes(boxes: Sequence[Box]) -> list[str]:
    counts = Counter(box.why for box in boxes)
    return [f"{why}: {count} rectangles blanked" for why, count in sorted(counts.items())]
