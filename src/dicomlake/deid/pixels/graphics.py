"""What else shows text beside the pixels: overlays, curves, icons, bits that nobody displays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom import dictionary
from dicomlake.readers.attributes import Item, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ICON = dictionary.tag_of("IconImageSequence")


def removed(header: Item) -> dict[int, None]:
    """The elements of overlays (60xx), curves (50xx) and icons at the top level: all go.

    >>> sorted(map(hex, removed({"60020010": {}, "00280010": {}, "00880200": {}})))
    ['0x60020010', '0x880200']
    """
    return {tag: None for key in header if _is_graphic(tag := int(key, 16))}


def _is_graphic(tag: int) -> bool:
    group = tag >> 16
    return tag == _ICON or (group & 1 == 0 and group >> 8 in (0x50, 0x60))


def in_pixels(header: Item) -> bool:
    """Whether an overlay is said to lie in the bits of the pixels (PS3.5 8.1.2, retired)."""
    groups = {key[:4] for key in header if key.startswith("60") and int(key[:4], 16) & 1 == 0}
    return any(f"{group}3000" not in header for group in groups)


def shifts_of(header: Item) -> tuple[int, int] | None:
    """By how many bits values go up and down so that nothing is left beside those that are stored.

    None where all bits are stored, or the header says what cannot be.
    """
    allocated, stored = whole(header, "BitsAllocated") or 0, whole(header, "BitsStored") or 0
    high = whole(header, "HighBit")
    high = stored - 1 if high is None else high
    if allocated not in (8, 16, 32) or not 0 < stored <= high + 1 <= allocated:
        return None
    up, down = allocated - 1 - high, allocated - stored
    return (up, down) if down else None


def without_hidden(values: NDArray[Any], header: Item) -> bool:
    """Take away what stands in bits that are not stored; whether there was something."""
    found = cleared(values, header)
    if found is None:
        return False
    values[...] = found
    return True


def cleared(values: NDArray[Any], header: Item) -> NDArray[Any] | None:
    """Values without what stands in bits that are not stored; None where nothing does.

    Bits above a negative number are ones, or zeros where the device did not care.
    """
    shifts, size = shifts_of(header), values.dtype.itemsize
    if (
        shifts is None
        or values.dtype.kind not in "iu"
        or size * 8 != whole(header, "BitsAllocated")
    ):
        return None
    up, down = shifts
    low = down - up
    shown = ((1 << (size * 8 - down)) - 1) << low
    raw = values.view(f"u{size}")
    plain = raw & np.array(shown, raw.dtype)
    if np.array_equal(plain, raw):
        return None
    if whole(header, "PixelRepresentation") == 1:
        plain = (((values.view(f"i{size}") << up) >> down) << low).view(raw.dtype)
        if np.array_equal(plain, raw):
            return None
    found: NDArray[Any] = plain.view(values.dtype)
    return found
