"""Made-up frames with text burned in, and where: the boxes that must be hidden afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = (
    "MUELLER ANNA", "Okonkwo^Chidi", "12.03.1957", "ID 48213377", "St. Hedwig Klinik", "1957-03-12",
    "Dr. B. Tanaka", "Acc 2021-77123", "09:41:22", "GARCIA LOPEZ", "Patient: Weiss", "F 064Y",
    "Ward 7B Bed 2", "MRN00981245", "Ivanova, Olga", "Hospital Sao Jose",
)  # fmt: skip
SIZES = (10, 12, 14, 16, 20, 24)
CONTRASTS = ((255, 0), (230, 0), (200, 30), (180, 60), (140, 60), (110, 60))
"""Values of text and of what it stands on."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Text in a frame: its box (x0, y0, x1, y1, the last ones not in it) and how it was written."""

    box: tuple[int, int, int, int]
    size: int
    contrast: tuple[int, int]
    text: str


def ultrasound(seed: int, columns: int = 800, rows: int = 600) -> NDArray[np.uint8]:
    """A frame without text: a sector full of speckle on black."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    across, down = x - columns / 2, y + rows * 0.05
    radius = np.hypot(across, down)
    inside = (np.abs(np.arctan2(across, down)) < 0.62) & (radius > 60) & (radius < rows * 0.98)
    speckle = random.rayleigh(38, (rows, columns))
    speckle = (speckle + np.roll(speckle, 1, 1) + np.roll(speckle, -1, 1)) / 3
    depth = 0.5 + 0.5 * np.sin(radius / 41 + seed) * np.cos(across / 67 - seed)
    frame = np.where(inside, speckle * (0.45 + 0.7 * depth), 0)
    return np.asarray(np.clip(frame, 0, 255), np.uint8)


def write(
    frame: NDArray[Any],
    at: tuple[int, int],
    text: str,
    size: int,
    values: tuple[int, int],
    *,
    boxed: bool = True,
    turned: bool = False,
) -> Planted | None:
    """Write text into a frame, on a ground of its own unless not `boxed`; `turned` by 90 degrees.

    None where it does not fit.
    """  # fmt: skip
    drawn = _drawn(text, size)
    if turned:
        drawn = np.rot90(drawn)
    (height, width), (x, y) = drawn.shape, at
    if y + height > frame.shape[0] or x + width > frame.shape[1]:
        return None
    there = frame[y : y + height, x : x + width]
    share = drawn[..., None] / 255 if there.ndim == 3 else drawn / 255
    ground = np.full(there.shape, float(values[1])) if boxed else there.astype(float)
    there[:] = np.rint(ground * (1 - share) + values[0] * share).astype(frame.dtype)
    return Planted((x, y, x + width, y + height), size, values, text)


def _drawn(text: str, size: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    margin = 2
    shape = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    image = Image.new("L", shape, 0)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, font=font, fill=255)
    return np.asarray(image)


def frame_with_text(seed: int, count: int = 6) -> tuple[NDArray[np.uint8], list[Planted]]:
    """A frame of ultrasound with so many texts of all sizes and contrasts at places by chance."""
    random = np.random.default_rng(1000 + seed)
    frame = ultrasound(seed)
    taken = np.zeros(frame.shape, bool)
    found: list[Planted] = []
    for n in range(count):
        size, contrast = SIZES[(n + seed) % 6], CONTRASTS[(n * 5 + seed // 2) % 6]
        text = WORDS[int(random.integers(len(WORDS)))]
        for _ in range(200):
            x, y = int(random.integers(4, 640)), int(random.integers(4, 560))
            height, width = _drawn(text, size).shape
            around = taken[max(0, y - 12) : y + height + 12, max(0, x - 12) : x + width + 12]
            if around.any() or x + width > 796 or y + height > 596:
                continue
            taken[y : y + height, x : x + width] = True
            if planted := write(frame, (x, y), text, size, contrast):
                found.append(planted)
            break
    return frame, found


def correlation(before: NDArray[Any], after: NDArray[Any], planted: Planted) -> float:
    """How much of a planted text is still seen: 0 when nothing is, 1 when all is."""
    x0, y0, x1, y1 = planted.box
    patches = (f[y0:y1, x0:x1].astype(float) for f in (before, after))
    a, b = ((p.mean(axis=2) if p.ndim == 3 else p).ravel() for p in patches)
    if b.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(a, b)[0, 1]))
