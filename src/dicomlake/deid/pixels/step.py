"""The step of pixels: what takes the place of those of an object, and of what is shown with them.

In this order: regions of ultrasound, rules of devices, text that is found; overlays, curves, icons
and bits that are not stored. An object in which nobody burns text in passes without being decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Identity, Item, Replaced, Words
from dicomlake.deid.pixels.boxes import Box
from dicomlake.deid.pixels.detection import Detector
from dicomlake.deid.pixels.devices import boxes_of, rules_of
from dicomlake.deid.pixels.frames import Frames, blank, is_indexed
from dicomlake.deid.pixels.graphics import cleared, in_pixels, removed, without_hidden
from dicomlake.deid.pixels.options import Options, options_of
from dicomlake.deid.pixels.reading import Reader
from dicomlake.deid.pixels.seeking import Seeker, Sought
from dicomlake.deid.pixels.suspicion import has_pixels, suspected
from dicomlake.deid.pixels.writing import Values, trimmed, whole_of, written
from dicomlake.readers.attributes import Item as Header
from dicomlake.readers.attributes import whole
from dicomlake.readers.bulk import syntax_of
from dicomlake.readers.frames import NATIVE, RLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODE = "113101"
"""Clean Pixel Data Option (CID 7050)."""


class PixelStep:
    """Makes the pixels of objects harmless; fits `contracts.deid.Step`."""

    def __init__(self, options: Options | Mapping[str, Any] | None = None) -> None:
        self.options = options_of(options)
        self.rules = rules_of(self.options.devices)
        self.seeker = Seeker(
            self.options, self.rules, Detector(self.options.threads), Reader(self.options.threads)
        )

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced | None:
        """What takes the place of pixels, overlays, curves and icons; None without any of them.

        Unresolved when pixels cannot be read, or text stays in them.
        """
        del identity
        values: Values = dict(removed(item.header))
        notes = ["overlays, curves or icons removed"] if values else []
        if not has_pixels(item.header):
            return Replaced(values, changed=bool(values), notes=tuple(notes)) if values else None
        why = self.why(item.header)
        if why:
            more, syntax, told = self._looked_at(item, words)
            notes += [f"searched for text: {why}", *told]
        else:
            more, syntax, told = self._passed(item)
            notes += told
        return Replaced(
            values | more, syntax, (CODE,), changed=bool(values or more), notes=tuple(notes)
        )

    def why(self, header: Header) -> str:
        """Why an object is searched for text; "" when it is not."""
        if self.options.look == "all":
            return "all objects are"
        rows, columns = whole(header, "Rows") or 0, whole(header, "Columns") or 0
        if boxes_of(header, self.rules, rows, columns):
            return "there is a rule for the device"
        return suspected(header)

    def sought(self, item: Item, words: Words | None = None) -> tuple[Frames, Sought]:
        """The frames of an object, and what is blanked in them."""
        frames = Frames(item)
        return frames, self.seeker.seek(frames, words)

    def _looked_at(self, item: Item, words: Words) -> tuple[Values, str, list[str]]:
        frames, sought = self.sought(item, words)
        values, syntax, count = written(frames, _change(frames, sought.boxes))
        if not count:
            return trimmed(frames), "", ["no text was found in its pixels"]
        return values, syntax, [*sought.notes, f"{count} of {frames.count} frames are others now"]

    def _passed(self, item: Item) -> tuple[Values, str, list[str]]:
        """Pixels in which nobody burns text: only bits that are not shown are looked at."""
        syntax = syntax_of(item.header)
        if not (syntax in NATIVE or syntax == RLE or in_pixels(item.header)):
            return {}, "", []
        frames = Frames(item)
        if syntax in NATIVE and not _may_hide(frames):
            return trimmed(frames), "", []
        values, other, count = written(frames, _change(frames, ()))
        if not count:
            return trimmed(frames), "", []
        return values, other, [f"bits that are not stored cleared in {count} frames"]


def _may_hide(frames: Frames) -> bool:
    """Whether something stands in bits of native pixels that are not stored."""
    size, value = frames.pixels.bits // 8, whole_of(frames)
    if size not in (1, 2, 4) or frames.pixels.keyword != "PixelData":
        return False
    values = np.frombuffer(value[: len(value) - len(value) % size], f"<u{size}")
    return cleared(values, frames.header) is not None


class _change:
    """Blanks boxes of a frame, and clears bits that are not stored."""

    def __init__(self, frames: Frames, boxes: tuple[Box, ...]) -> None:
        self._header, self._boxes, self._indexed = frames.header, boxes, is_indexed(frames)

    def __call__(self, values: NDArray[Any]) -> bool:
        hidden = without_hidden(values, self._header)
        return blank(values, self._boxes, indexed=self._indexed) or hidden
