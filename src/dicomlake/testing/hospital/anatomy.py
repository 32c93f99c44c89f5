"""A trunk made of ellipsoids, as CT shows it: what lies where, and how much of it a series shows.

    Field(low=245, step=5).shows(images=40)["left lung"].complete     # True

Lengths are in mm. `x` points to the patient's left and `y` to the back, as DICOM has it; `height`
is measured from the pelvic floor, which lies at z = FLOOR. All in whole numbers, so that every
machine agrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 128
"""Rows and columns of an image."""
FLOOR = -300
"""Position of the pelvic floor along the axis of the patient."""

_WIDE, _DEEP, _RIM = 165, 115, 12  # half axes of the body, thickness of the fat under the skin

# label -> its name and CT number (HU); later ones lie over earlier ones
OUTSIDE, TABLE, FAT, SOFT, LIVER, RIBS, HIPS, SPINE, RIGHT, LEFT, HEART, AIRWAY, GAS = range(13)
NAMES = {
    FAT: "fat", SOFT: "soft tissue", LIVER: "liver", RIBS: "ribs", HIPS: "hips", SPINE: "spine",
    RIGHT: "right lung", LEFT: "left lung", HEART: "heart", AIRWAY: "airway", GAS: "bowel gas",
}  # fmt: skip
_HU = (-1000, -300, -100, 40, 60, 500, 600, 700, -850, -850, 45, -990, -950)
_CONTRAST = {LIVER: 110, HEART: 160}
_SUMS = {
    "body": tuple(NAMES),
    "bone": (RIBS, HIPS, SPINE),
    "lungs": (RIGHT, LEFT),
}

# label, middle (x, y, height), half axes
_ELLIPSOIDS = (
    (LIVER, (-60, -10, 225), (85, 75, 50)),
    (HIPS, (-95, 30, 30), (20, 45, 60)),
    (HIPS, (95, 30, 30), (20, 45, 60)),
    (RIGHT, (-72, -5, 340), (56, 74, 80)),
    (LEFT, (72, -5, 340), (54, 72, 80)),
    (HEART, (24, -38, 305), (44, 36, 42)),
    (GAS, (30, -50, 130), (24, 18, 22)),
    (GAS, (-45, -55, 100), (20, 20, 30)),
    (GAS, (0, -40, 60), (16, 18, 16)),
)
_ENDLESS = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    """What a CT series shows of a trunk, whatever the number of its images.

    `low`: height of the first image; `step`: from image to image; `wide`: edge of the images;
    `across`: how far their middle lies to the patient's left.
    """

    low: int
    step: int
    wide: int = 380
    across: int = 0
    contrast: bool = False

    def position(self, at: int) -> list[float]:
        """Image Position (Patient) of image `at`.

        >>> Field(245, 5).position(1)
        [-190.0, -190.0, -50]
        """
        half = self.wide / 2
        return [self.across - half, -half, FLOOR + self.low + self.step * at]

    def picture(self, at: int) -> NDArray[np.uint16]:
        """Image `at` in stored values: CT number + 1024.

        >>> picture = Field(245, 5).picture(10)
        >>> picture.shape, int(picture[0, 0])
        ((128, 128), 24)
        """
        return _picture(self.low + self.step * at, self.wide, self.across, self.contrast)

    def shows(self, images: int) -> dict[str, Shown]:
        """What so many images show, by the name of the structure."""
        return _shown(self, images)


@dataclass(frozen=True, slots=True)
class Shown:
    """A structure as a series shows it; `complete`: all of it lies inside the images."""

    volume_mL: float
    HU: float
    complete: bool


@lru_cache(maxsize=512)
def labels(height: int, wide: int = 380, across: int = 0) -> NDArray[np.uint8]:
    """What lies at every pixel of an image at a height."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.int64) * (2 * wide) // SIZE - wide  # half mm
    x += 2 * across
    found = np.full((SIZE, SIZE), OUTSIDE, np.uint8)
    found[(y >= 270) & (y < 282) & (abs(x) < 300)] = TABLE
    found[_within(x, y, _WIDE, _DEEP)] = FAT
    found[_within(x, y, _WIDE - _RIM, _DEEP - _RIM)] = SOFT
    for label, (at_x, at_y, at_h), (a, b, c) in _ELLIPSOIDS[:1]:
        found[_inside(x - 2 * at_x, y - 2 * at_y, 2 * (height - at_h), a, b, c)] = label
    if 250 <= height <= 445 and height % 25 < 12:
        ring = _within(x, y, _WIDE - 16, _DEEP - 16) & ~_within(x, y, _WIDE - 23, _DEEP - 23)
        found[ring & (abs(x) > 60)] = RIBS
    for label, (at_x, at_y, at_h), (a, b, c) in _ELLIPSOIDS[1:]:
        found[_inside(x - 2 * at_x, y - 2 * at_y, 2 * (height - at_h), a, b, c)] = label
    found[_within(x, y - 2 * 75, 19, 17)] = SPINE
    if height >= 360:
        found[_within(x, y + 2 * 10, 8, 8)] = AIRWAY
    found.setflags(write=False)
    return found


def _within(x: NDArray[np.int64], y: NDArray[np.int64], a: int, b: int) -> NDArray[np.bool_]:
    met: NDArray[np.bool_] = x * x * b * b + y * y * a * a <= 4 * a * a * b * b
    return met


def _inside(
    x: NDArray[np.int64], y: NDArray[np.int64], z: int, a: int, b: int, c: int
) -> NDArray[np.bool_]:
    aa, bb, cc = a * a, b * b, c * c
    met: NDArray[np.bool_] = (
        x * x * (bb * cc) + y * y * (aa * cc) + z * z * (aa * bb) <= 4 * aa * bb * cc
    )
    return met


@lru_cache(maxsize=512)
def _picture(height: int, wide: int, across: int, contrast: bool) -> NDArray[np.uint16]:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    grain = (x * 7 + y * 13 + height * 3) % 11 - 5
    made: NDArray[np.uint16] = (_table(contrast)[labels(height, wide, across)] + grain).astype(
        np.uint16
    )
    made.setflags(write=False)
    return made


def _table(contrast: bool) -> NDArray[np.int64]:
    """Stored value by label."""
    changed = _CONTRAST if contrast else {}
    return np.array([changed.get(label, hu) + 1024 for label, hu in enumerate(_HU)], np.int64)


@lru_cache(maxsize=1024)
def _shown(field: Field, images: int) -> dict[str, Shown]:
    counts = np.zeros(len(_HU), np.int64)
    for at in range(images):
        seen = labels(field.low + field.step * at, field.wide, field.across)
        counts += np.bincount(seen.ravel(), minlength=len(_HU))
    cubic = (field.wide / SIZE) ** 2 * field.step / 1000  # mL of a voxel
    grey = _table(field.contrast) - 1024
    found = {}
    for name, parts in {**{n: (label,) for label, n in NAMES.items()}, **_SUMS}.items():
        listed = list(parts)
        number = int(counts[listed].sum())
        if number:
            mean = float((counts[listed] * grey[listed]).sum() / number)
            whole = all(_complete(part, field, images) for part in parts)
            found[name] = Shown(number * cubic, mean, whole)
    return found


def _complete(label: int, field: Field, images: int) -> bool:
    """Whether nothing of a structure lies outside the images."""
    half = field.wide / 2
    pixel = field.wide / SIZE
    sides = (field.across - half, field.across + half - pixel)
    ends = (field.low, field.low + field.step * (images - 1))
    return all(
        sides[0] < x - a and x + a < sides[1] and ends[0] < h - c and h + c < ends[1]
        for (x, _, h), (a, _, c) in _boxes(label)
    )


def _boxes(label: int) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Middles and half axes of the parts of a structure."""
    if label == RIBS:
        return [((0, 0, 348), (_WIDE - 16, _DEEP - 16, 98))]
    if label in (FAT, SOFT, SPINE, AIRWAY):
        return [((0, 0, 0), (_WIDE, _DEEP, _ENDLESS))]
    return [(middle, axes) for at, middle, axes in _ELLIPSOIDS if at == label]
