"""What a segmenter offers: structures of the body in a volume of voxels, and how large they are.

A segmenter is a class that fits the Protocol below, registered as `dicomlake.segmenters`. It gets
voxels in the order slice, row, column with their place in the patient, and gives a label volume.
What is measured of it is the same for all of them: `measured`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vector = tuple[float, float, float]

BORDER_MM = 3.0
"""A structure that comes nearer than this to the border of what was scanned counts as cut off."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where voxels lie, in mm in patient coordinates (PS3.3 C.7.6.2: to the left, back and head).

    `shape` and `steps` are in the order of the array: slice, row, column. `origin` is the middle of
    the first voxel, a step is the way from one voxel to the next.

    >>> grid = Grid((2, 4, 4), (0, 0, 0), ((0, 0, 5), (0, 1, 0), (1, 0, 0)))
    >>> grid.spacing, grid.voxel_ml
    ((5.0, 1.0, 1.0), 0.005)
    """

    shape: tuple[int, int, int]
    origin: Vector
    steps: tuple[Vector, Vector, Vector]

    @property
    def spacing(self) -> Vector:
        """Distance of voxels in mm: of slices, rows, columns."""
        z, y, x = (float(np.linalg.norm(step)) for step in self.steps)
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """What a voxel measures, in mL."""
        slices, rows, columns = np.asarray(self.steps, float)
        return abs(float(slices @ np.cross(rows, columns))) / 1000

    @property
    def affine(self) -> NDArray[np.float64]:
        """From column, row, slice (x, y, z) to patient coordinates, 4 x 4."""
        found = np.eye(4)
        for place, step in enumerate(reversed(self.steps)):
            found[:3, place] = step
        found[:3, 3] = self.origin
        return found

    def place(self, at: Sequence[float]) -> NDArray[np.float64]:
        """Patient coordinates of an index (slice, row, column); halves are edges of voxels."""
        found: NDArray[np.float64] = np.asarray(self.origin) + np.asarray(at) @ np.asarray(
            self.steps
        )
        return found

    def corners(self, low: Sequence[float], high: Sequence[float]) -> list[float]:
        """The smallest box along the axes of the patient around voxels `low` to `high`, inclusive.

        >>> grid = Grid((2, 4, 4), (0, 0, 0), ((0, 0, 5), (0, 1, 0), (1, 0, 0)))
        >>> grid.corners((0, 0, 0), (1, 3, 3))
        [-0.5, -0.5, -2.5, 3.5, 3.5, 7.5]
        """
        a, b = np.asarray(low, float) - 0.5, np.asarray(high, float) + 0.5
        ends = np.array([[a[i] if pick >> i & 1 else b[i] for i in range(3)] for pick in range(8)])
        places = np.array([self.place(end) for end in ends])
        box: list[float] = np.concatenate([places.min(axis=0), places.max(axis=0)]).tolist()
        return box


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of a series in their order, known from headers before a pixel is read.

    `slices` has for each the number of the object, that of its frame counted from 1, and slope and
    intercept of its values. `unit` is "HU" or "".
    """

    grid: Grid
    slices: tuple[tuple[int, int, float, float], ...]
    Modality: str
    ImageType: tuple[str, ...] = ()
    unit: str = ""
    padding: int | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels of a series: int16 in HU of CT, else float32, in the order slice, row, column."""

    voxels: NDArray[Any]
    grid: Grid
    Modality: str = "CT"
    unit: str = "HU"

    def upright(self) -> Volume:
        """The same voxels along the axes of the patient: slices to the head, rows to the back,
        columns to the left, as far as turns by right angles can; a view, nothing is copied.
        """
        order, signs = _upright(self.grid)
        steps = np.asarray(self.grid.steps, float)
        start = [0 if sign > 0 else self.grid.shape[axis] - 1 for axis, sign in enumerate(signs)]
        voxels = self.voxels[tuple(slice(None, None, sign) for sign in signs)].transpose(order)
        turned = [_vector(steps[axis] * signs[axis]) for axis in order]
        shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
        grid = Grid(shape, _vector(self.grid.place(start)), (turned[0], turned[1], turned[2]))
        return Volume(voxels, grid, self.Modality, self.unit)


def _upright(grid: Grid) -> tuple[list[int], list[int]]:
    """Axes of the array that run most to head, back and left, and the sign of each axis."""
    steps = np.asarray(grid.steps, float)
    along = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    order: list[int] = []
    for way in (2, 1, 0):
        free = [axis for axis in range(3) if axis not in order]
        order.append(max(free, key=lambda axis: abs(along[axis, way])))
    signs = [1, 1, 1]
    for axis, way in zip(order, (2, 1, 0), strict=True):
        signs[axis] = 1 if along[axis, way] >= 0 else -1
    return order, signs


def _vector(found: NDArray[np.float64]) -> Vector:
    return float(found[0]), float(found[1]), float(found[2])


@dataclass(frozen=True, slots=True)
class Labels:
    """A label volume: which voxels belong to which structure, on a grid of its own.

    `structures` has the values of each by its label: mostly one, several where a structure is made
    of others. `values` are the intensities on the same grid; `scanned` is the grid of what was
    scanned, when the labels lie on another one.
    """

    voxels: NDArray[Any]
    grid: Grid
    structures: Mapping[str, tuple[int, ...]]
    values: NDArray[Any]
    scanned: Grid | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One structure as it is in the picture: mL, mean value, whether it is cut off, and where.

    `box` is in mm in patient coordinates: smallest x, y, z, largest x, y, z.
    """

    label: str
    volume: float
    intensity: float
    complete: bool
    box: tuple[float, ...]
    voxels: int = 0


@dataclass(slots=True)
class _Sums:
    """Counts and sums by value, and which slices, rows and columns hold each value."""

    counts: NDArray[np.int64]
    totals: NDArray[np.float64]
    held: list[NDArray[np.bool_]] = field(default_factory=list)


def measured(labels: Labels) -> list[Measured]:
    """What there is of every structure, in one pass over the voxels; none without a voxel."""
    sums = _sums(labels)
    found = []
    for label, values in labels.structures.items():
        picked = [value for value in values if 0 < value < len(sums.counts)]
        count = int(sums.counts[picked].sum())
        if not count:
            continue
        spans = [np.flatnonzero(held[picked].any(axis=0)) for held in sums.held]
        low = [int(span[0]) for span in spans]
        high = [int(span[-1]) for span in spans]
        found.append(
            Measured(
                label,
                count * labels.grid.voxel_ml,
                float(sums.totals[picked].sum() / count),
                _complete(labels, low, high),
                tuple(round(edge, 2) for edge in labels.grid.corners(low, high)),
                count,
            )
        )
    return found


def _sums(labels: Labels) -> _Sums:
    most = max((value for values in labels.structures.values() for value in values), default=0) + 1
    depth, rows, columns = labels.voxels.shape
    sums = _Sums(np.zeros(most, np.int64), np.zeros(most))
    sums.held = [np.zeros((most, n), np.bool_) for n in (depth, rows, columns)]
    for number in range(depth):
        plane = labels.voxels[number].ravel()
        (at,) = np.nonzero(plane)
        if not len(at):
            continue
        value = plane[at].astype(np.intp)
        weights = labels.values[number].ravel()[at]
        counts = np.bincount(value, minlength=most)[:most]
        sums.counts += counts
        sums.totals += np.bincount(value, weights, minlength=most)[:most]
        sums.held[0][:, number] = counts > 0
        row, column = np.divmod(at, columns)
        kept = value < most
        sums.held[1][value[kept], row[kept]] = True
        sums.held[2][value[kept], column[kept]] = True
    return sums


def _complete(labels: Labels, low: list[int], high: list[int]) -> bool:
    """Whether voxels of a box stay away from the border of what was scanned, along each axis."""
    scanned = labels.scanned or labels.grid
    steps = np.asarray(scanned.steps, float)
    into = np.linalg.inv(steps)
    a, b = np.asarray(low, float) - 0.5, np.asarray(high, float) + 0.5
    ends = [[a[i] if pick >> i & 1 else b[i] for i in range(3)] for pick in range(8)]
    places = np.array([labels.grid.place(end) for end in ends]) - np.asarray(scanned.origin)
    inside = places @ into
    spacing = np.asarray(scanned.spacing)
    before = (inside.min(axis=0) + 0.5) * spacing
    after = (np.asarray(scanned.shape) - 0.5 - inside.max(axis=0)) * spacing
    return bool(min(before.min(), after.min()) > BORDER_MM - 1e-6)


class Segmenter(Protocol):
    """Finds structures in volumes; registered as `segmenters`, made by `cls(options)`."""

    name: str
    """What the column `enricher` says of its rows."""
    version: str
    """Raise it when its answers change."""
    modalities: tuple[str, ...]
    """Modalities that it may take."""

    def model(self) -> str:
        """What it decides by, by name and digest of tables or weights."""

    def labels(self) -> Sequence[str]:
        """Labels that it may find."""

    def missing(self) -> str:
        """What has to be installed before it can work, and how; empty when nothing is missing."""

    def refuses(self, stack: Stack) -> str:
        """Why it does not take a series, in words; empty when it does."""

    def segment(self, volume: Volume) -> Labels:
        """The structures of a volume.

        DataError when this one cannot be done, ServiceError when none can be done now.
        """

    def close(self) -> None:
        """End what it keeps running."""


class SegmenterClass(Protocol):
    """What an entry point of the family `segmenters` names."""

    def __call__(self, options: Mapping[str, str]) -> Segmenter:
        """A segmenter; UsageError for an option that it does not know."""


class StackReader(Protocol):
    """Reads the slices of a series; the reader `volume` is one."""

    def stack(self, headers: Sequence[Mapping[str, Any]]) -> Stack:
        """The slices in their order, from headers (DICOM JSON); DataError says why not."""

    def volume(self, stack: Stack, opener: Callable[[int], AbstractContextManager[Any]]) -> Volume:
        """Their voxels; `opener` opens an object by its number among the headers."""
