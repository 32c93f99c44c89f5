"""Frames as pictures that a screen shows: the grayscale and colour pipelines (PS3.4 N.2).

Stored values, modality LUT or rescale, window or VOI LUT, eight bits; palettes and YBR as RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, first, items, key_of, number, numbers, text, wholes
from dicomlake.readers.bulk import bulk_of, element_of
from dicomlake.readers.pixels import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
"""VOI LUT functions (PS3.3 C.11.2.1.3)."""
_MOST_SAMPLED = 1 << 20
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class Window:
    """Which values are shown, from black to white (PS3.3 C.11.2)."""

    center: float
    width: float
    function: str = "LINEAR"


def picture(
    header: Item, fetch: Fetch, size: int, frame: int = 1, window: Window | None = None
) -> NDArray[np.uint8]:
    """A frame, counted from 1, in eight bits: rows and columns, and red, green, blue of colours.

    Without a window the one of the header is taken, else its VOI LUT, else what spans nearly all
    values. DataError when the object has no such frame, or nobody decodes it.
    """
    found, photometric = Pixels(header, fetch, size).decoded(frame)
    bulk = (header, fetch, size)
    if photometric == "PALETTE COLOR":
        return _palette(found, *bulk)
    if found.ndim == 3:
        return _eight(found, header)
    gray = _gray(found, frame, window, *bulk)
    return np.asarray(255 - gray if _inverse(header, photometric) else gray, np.uint8)


def _inverse(header: Item, photometric: str) -> bool:
    return photometric == "MONOCHROME1" or text(header, "PresentationLUTShape") == "INVERSE"


def _eight(found: NDArray[Any], header: Item) -> NDArray[np.uint8]:
    """Colours in eight bits."""
    bits = int(number(header, "BitsStored") or 8)
    return np.asarray(found if bits <= 8 else found >> (bits - 8), np.uint8)


# Gray


def _gray(
    found: NDArray[Any], frame: int, window: Window | None, header: Item, fetch: Fetch, size: int
) -> NDArray[np.uint8]:
    padded = _padding(found, header)
    values = _modality(found, frame, header, fetch, size)
    chosen = window or _said(header, frame)
    table = None if chosen else _lut(first(header, "VOILUTSequence"), header, fetch, size)
    if table is not None:
        shown = _looked_up(values, *table[:2]) * (255.0 / (2 ** table[2] - 1))
        return np.asarray(np.clip(np.rint(shown), 0, 255), np.uint8)
    return windowed(values, chosen or _automatic(values, padded))


def _padding(found: NDArray[Any], header: Item) -> NDArray[np.bool_] | None:
    """Where there is no picture (PS3.3 C.7.5.1.1.2)."""
    value = number(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = number(header, "PixelPaddingRangeLimit")
    low, high = sorted([value, value if limit is None else limit])
    padded: NDArray[np.bool_] = (found >= low) & (found <= high)
    return padded


def _modality(
    found: NDArray[Any], frame: int, header: Item, fetch: Fetch, size: int
) -> NDArray[Any]:
    """Values of the modality LUT (PS3.3 C.11.1), of this frame where there are some."""
    table = _lut(first(header, "ModalityLUTSequence"), header, fetch, size)
    if table is not None:
        return _looked_up(found, *table[:2])
    of_frame = _of_frame(header, frame, "PixelValueTransformationSequence")
    for item in (of_frame, header):
        slope = number(item, "RescaleSlope")
        if slope:
            return found * np.float32(slope) + np.float32(number(item, "RescaleIntercept") or 0)
    return found


def _of_frame(header: Item, frame: int, keyword: str) -> Item:
    """An item of the functional groups of a frame, or of those of all (PS3.3 C.7.6.16)."""
    of_frames = items(header, "PerFrameFunctionalGroupsSequence")
    for group in (*of_frames[frame - 1 : frame], first(header, "SharedFunctionalGroupsSequence")):
        if found := first(group, keyword):
            return found
    return {}


def _said(header: Item, frame: int) -> Window | None:
    """The window that the header says."""
    for item in (_of_frame(header, frame, "FrameVOILUTSequence"), header):
        center, width = number(item, "WindowCenter"), number(item, "WindowWidth")
        if center is not None and width is not None and width > 0:
            function = text(item, "VOILUTFunction") or "LINEAR"
            return Window(center, width, function if function in FUNCTIONS else "LINEAR")
    return None


def _automatic(values: NDArray[Any], padded: NDArray[np.bool_] | None) -> Window:
    """The window that spans all values but the outermost."""
    inside = values if padded is None or padded.all() else values[~padded]
    flat = inside.reshape(-1)
    flat = flat[:: max(1, flat.size // _MOST_SAMPLED)]
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Window(0.5, 1.0, "LINEAR_EXACT")
    low, high = (float(v) for v in np.percentile(flat, (0.5, 99.5)))
    if low == high:
        low, high = float(flat.min()), float(flat.max())
    return Window((low + high) / 2, (high - low) or 1.0, "LINEAR_EXACT")


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Values in eight bits as a window shows them (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    >>> windowed(np.array([0, 50, 100]), Window(50, 100, "LINEAR_EXACT")).tolist()
    [0, 128, 255]
    """
    x = np.nan_to_num(values.astype(np.float32))
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        shown = 255 / (1 + np.exp(np.clip(-4 * (x - center) / width, -60, 60)))
    elif window.function == "LINEAR_EXACT":
        shown = ((x - center) / width + 0.5) * 255
    else:
        width = max(width, 1.0)
        shown = (((x - (center - 0.5)) / max(width - 1, 1e-6)) + 0.5) * 255
    return np.asarray(np.clip(np.rint(shown), 0, 255), np.uint8)


# Tables


def _lut(item: Item, header: Item, fetch: Fetch, size: int) -> tuple[int, NDArray[Any], int] | None:
    """The first value, the entries and the bits of a LUT (PS3.3 C.11.1.1); None without one."""
    described = wholes(item, "LUTDescriptor")
    if len(described) != 3:
        return None
    entries = _entries(item, "LUTData", described[2], header, fetch, size)
    return (described[1], entries, described[2]) if entries.size else None


def _entries(
    item: Item, keyword: str, bits: int, header: Item, fetch: Fetch, size: int
) -> NDArray[Any]:
    if key_of(keyword) not in item:
        raise DataError(f"there is no {keyword} in the object")
    if "Value" in element_of(item, keyword):
        return np.array(numbers(item, keyword), np.int64) & 0xFFFF
    raw = bulk_of(item, keyword, header, fetch, size)
    return np.frombuffer(raw[: len(raw) // 2 * 2], "<u2").astype(np.int64)


def _looked_up(values: NDArray[Any], start: int, entries: NDArray[Any]) -> NDArray[Any]:
    at = np.clip(values.astype(np.int64) - start, 0, len(entries) - 1)
    found: NDArray[Any] = entries[at]
    return found


def _palette(found: NDArray[Any], header: Item, fetch: Fetch, size: int) -> NDArray[np.uint8]:
    """Colours of a palette (PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6)."""
    planes = []
    for colour in _COLOURS:
        name = f"{colour}PaletteColorLookupTable"
        described = wholes(header, f"{name}Descriptor")
        if len(described) != 3:
            raise DataError("a palette that is not described")
        count = described[0] or 65536
        entries = _entries(header, f"{name}Data", described[2], header, fetch, size)
        if described[2] == 8 and len(entries) * 2 >= count > len(entries):  # two in a word
            entries = entries.astype("<u2").view(np.uint8).astype(np.int64)
        if not entries.size:
            raise DataError("an empty palette")
        shown = _looked_up(found, described[1], entries)
        wide = described[2] == 16 and bool(entries.max() > 255)
        planes.append((shown >> 8 if wide else shown).astype(np.uint8))
    return np.stack(planes, axis=-1)
