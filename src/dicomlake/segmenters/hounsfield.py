"""Body, lungs, bone, air and fat by their ranges of Hounsfield units: no network, no weights.

It is rough on purpose. Contrast medium and metal count as bone, marrow does not; the windpipe is
air. What it is good for: to see which part of a body a CT shows, and how much of it, on any
machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.contracts.segmenters import Grid, Labels, Stack, Volume
from dicomlake.errors import DataError, UsageError
from dicomlake.segmenters.masks import Parts, eroded, filled, grown, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINEST_MM = 2.0
"""Voxels are put together until they would be larger than this."""
FEWEST = 3
"""Slices below which a series is no volume."""
BODY_HU = -300
AIR_HU = -400
LUNG_HU = (-950, -500)
"""More than half of the voxels of a lung have values between these; air elsewhere does not."""
BONE_HU, DENSE_HU = 200, 400
"""Bone is above the first; somewhere in each piece of it there is a value above the second."""
FAT_HU = (-190, -30)
SHEET_MM = 3.0
"""What is thinner than twice this, such as a table, is no body."""
_LUNG_ML, _BONE_ML, _FAT_ML, _AIR_ML = 15.0, 0.5, 0.5, 0.1
_HOLE_MM2 = 2000.0
_BRIDGE_MM = 9.0
"""Lungs that meet are told apart when this much off their surface takes them apart."""
_FEWEST_BLOCKS = 32
"""Along each axis; so what does not fill a block stays below some percent."""
_RIM = 2
"""Voxels that a lung reaches beyond its tissue: its smallest airways, and where it meets others."""
_SIDE = 0.9
"""A single lung has a side when so much of it lies on one side of the body."""

REST, LEFT, RIGHT, LUNG, BONE, AIR, FAT = range(1, 8)
_LUNGS = (LEFT, RIGHT, LUNG)
STRUCTURES = {
    "body": (REST, LEFT, RIGHT, LUNG, BONE, AIR, FAT),
    "lung_left": (LEFT,),
    "lung_right": (RIGHT,),
    "lung": (LUNG,),
    "bone": (BONE,),
    "air": (AIR,),
    "fat": (FAT,),
}


class HounsfieldSegmenter:
    """Structures of a CT by ranges of Hounsfield units, not by a trained network."""

    name = "hounsfield"
    version = "1"
    modalities = ("CT",)

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        if options:
            raise UsageError(f"The segmenter hounsfield has no option {sorted(options)[0]!r}.")

    def model(self) -> str:
        """What it decides by: its ranges."""
        return f"Hounsfield ranges {self.version}, not a trained network"

    def labels(self) -> Sequence[str]:
        """Labels that it may find."""
        return tuple(STRUCTURES)

    def missing(self) -> str:
        """Nothing: it needs no more than NumPy."""
        return ""

    def refuses(self, stack: Stack) -> str:
        """Why it does not take a series: only CT in Hounsfield units, of at least three slices."""
        if stack.Modality != "CT" or stack.unit != "HU":
            return "it is no CT in Hounsfield units"
        if stack.grid.shape[0] < FEWEST:
            return f"it has fewer than {FEWEST} slices"
        return ""

    def segment(self, volume: Volume) -> Labels:
        """The structures of a CT; DataError when there is nothing but air in it."""
        values, grid = _reduced(volume.upright())
        body = _body(values, grid)
        if not body.any():
            raise DataError("there is nothing but air in it")
        labels = np.where(body, np.uint8(REST), np.uint8(0))
        fat = body & (values > FAT_HU[0]) & (values < FAT_HU[1])
        labels[_enough(fat, _FAT_ML, grid)] = FAT
        labels[_bone(body, values, grid)] = BONE
        air = body & (values < AIR_HU)
        _paint_lungs(labels, _lungs(air, values, grid), body, values, grid)
        labels[_enough(air & ~np.isin(labels, _LUNGS), _AIR_ML, grid)] = AIR
        return Labels(labels, grid, STRUCTURES, values, volume.grid)

    def close(self) -> None:
        """Nothing runs on."""


def _reduced(volume: Volume) -> tuple[NDArray[np.int16], Grid]:
    """Means of blocks of voxels; what does not fill a block at the end is left out."""
    factors = [
        max(1, min(int(FINEST_MM / length + 1e-6), n // _FEWEST_BLOCKS))
        for length, n in zip(volume.grid.spacing, volume.grid.shape, strict=True)
    ]
    shape = [n // f for n, f in zip(volume.grid.shape, factors, strict=True)]
    (fz, fy, fx), (depth, rows, columns) = factors, shape
    values = np.empty((depth, rows, columns), np.int16)
    for at in range(depth):
        block = volume.voxels[at * fz : (at + 1) * fz, : rows * fy, : columns * fx]
        block = np.maximum(block, -1024).reshape(fz, rows, fy, columns, fx)
        values[at] = np.rint(block.mean(axis=(0, 2, 4), dtype=np.float32))
    origin = volume.grid.place([(f - 1) / 2 for f in factors])
    a, b, c = (
        (step[0] * f, step[1] * f, step[2] * f)
        for step, f in zip(volume.grid.steps, factors, strict=True)
    )
    start = (float(origin[0]), float(origin[1]), float(origin[2]))
    return values, Grid((depth, rows, columns), start, (a, b, c))


def _body(values: NDArray[np.int16], grid: Grid) -> NDArray[np.bool_]:
    """The body with what it encloses in each slice, without the table below it."""
    solid = values > BODY_HU
    times = int(SHEET_MM / max(grid.spacing[1:]) + 0.25)
    parts = parts_of(eroded(solid, times, flat=True))
    if not len(parts.sizes):
        return solid
    core = parts.mask(parts.sizes >= parts.sizes.max() / 10)
    return filled(grown(core, solid, times + 1, flat=True))


def _bone(body: NDArray[np.bool_], values: NDArray[np.int16], grid: Grid) -> NDArray[np.bool_]:
    parts = parts_of(body & (values > BONE_HU))
    dense = parts.largest(values) > DENSE_HU
    return parts.mask(dense & (parts.sizes * grid.voxel_ml >= _BONE_ML))


def _enough(mask: NDArray[np.bool_], ml: float, grid: Grid) -> NDArray[np.bool_]:
    parts = parts_of(mask)
    return parts.mask(parts.sizes * grid.voxel_ml >= ml)


def _lungs(air: NDArray[np.bool_], values: NDArray[np.int16], grid: Grid) -> NDArray[np.bool_]:
    """Parts of the air in a body that are lung: large, and denser than mere air."""
    parts = parts_of(air)
    between = parts.sums((values > LUNG_HU[0]) & (values < LUNG_HU[1]))
    return parts.mask((parts.sizes * grid.voxel_ml >= _LUNG_ML) & (between > parts.sizes / 2))


def _paint_lungs(
    labels: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    body: NDArray[np.bool_],
    values: NDArray[np.int16],
    grid: Grid,
) -> None:
    """Lungs with the vessels in them, by side where the sides can be told apart.

    They grow from their tissue, so that the windpipe is left out.
    """
    if not lungs.any():
        return
    hole = int(_HOLE_MM2 / (grid.spacing[1] * grid.spacing[2]))
    tissue = lungs & (values > LUNG_HU[0])
    core = grown(eroded(tissue, 1), tissue, 1)  # without the thin walls of airways
    if not core.any():
        core = tissue
    sides = _sides(tissue, core, grid)
    if sides is None:
        parts = parts_of(core)
        one = grown(parts.mask(parts.sizes >= parts.sizes.max() / 10), lungs, _RIM)
        labels[filled(one, hole) & body] = _side_of(one, body)
        return
    for value, mask in zip((RIGHT, LEFT), _grown_apart(sides, lungs, _RIM), strict=True):
        labels[filled(mask, hole) & body] = value


def _side_of(lungs: NDArray[np.bool_], body: NDArray[np.bool_]) -> int:
    """The side of a single lung, as its place in the body says; columns run to the left."""
    columns = np.arange(lungs.shape[2])
    middle = float(np.average(columns, weights=body.sum(axis=(0, 1))))
    share = float(lungs.sum(axis=(0, 1))[columns > middle].sum() / lungs.sum())
    if share > _SIDE:
        return LEFT
    return RIGHT if share < 1 - _SIDE else LUNG


def _sides(
    tissue: NDArray[np.bool_], core: NDArray[np.bool_], grid: Grid
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """The tissue of the right and the left lung; None when they cannot be told apart.

    They may meet in front of the heart, where the wall between them is thinner than a voxel:
    without their surface they come apart, then each grows back.
    """
    for times in range(1, int(_BRIDGE_MM / max(grid.spacing)) + 3):
        pair = _two(parts_of(eroded(tissue, times)))
        if pair is not None:
            return _grown_apart(pair, core)
    return None


def _two(parts: Parts) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Parts that are the right and the left lung: large both, and beside each other."""
    if len(parts.sizes) < 2:
        return None
    order = np.argsort(parts.sizes)[::-1]
    one, other = int(order[0]), int(order[1])
    if parts.sizes[other] < parts.sizes[one] / 5:
        return None
    masks = [parts.mask(np.arange(len(parts.sizes)) == number) for number in (one, other)]
    spans = [mask.sum(axis=(0, 1)) for mask in masks]
    columns = np.arange(parts.shape[2])
    middles = [float(np.average(columns, weights=span)) for span in spans]
    widths = [float(np.count_nonzero(span)) for span in spans]
    if abs(middles[0] - middles[1]) < min(widths) / 2:
        return None
    right, left = masks if middles[0] < middles[1] else masks[::-1]
    return right, left


def _grown_apart(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    within: NDArray[np.bool_],
    times: int | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two seeds grown, so many times or until they are full; each voxel goes to the nearer one."""
    right, left = pair
    for _ in repeat(None) if times is None else repeat(None, times):
        free = within & ~(right | left)
        more_right = grown(right, right | free, 1)
        more_left = grown(left, left | (free & ~more_right), 1)
        if not (more_right & free).any() and not (more_left & free).any():
            break
        right, left = more_right, more_left
    return right, left
