"""Label volumes: segmentations and structure sets put onto the grid of the image they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid
from dicomlake.errors import DataError
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import Item, first, items, numbers, text, values, whole
from dicomlake.readers.frames import frames_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Voxels = NDArray[np.uint16]

NEAR = 0.5
"""A frame or contour belongs to a slice that is nearer than this part of their distance."""


def blank(grid: Grid) -> Voxels:
    """A label volume without labels."""
    return np.zeros(grid.shape, np.uint16)


def draw(labels: Voxels, grid: Grid, found: Opened, kind: str, numbers_: Mapping[int, int]) -> int:
    """Draw the segments or regions of an object, by their numbers; how many voxels were others'.

    DataError when its geometry is not known, or it shows no slice of the grid.
    """
    if kind == "structure set":
        return _regions(labels, grid, found.header, numbers_)
    if kind not in ("segmentation", "label map"):
        raise DataError(f"a {kind} has no voxels")
    return _frames(labels, grid, found, kind, numbers_)


def _frames(
    labels: Voxels, grid: Grid, found: Opened, kind: str, numbers_: Mapping[int, int]
) -> int:
    """Frames of a segmentation, by nearest neighbour where they have another grid."""
    header = found.header
    shared = first(header, "SharedFunctionalGroupsSequence")
    groups = [
        group if isinstance(group, dict) else {}
        for group in values(header, "PerFrameFunctionalGroupsSequence")
    ]
    declared = [whole(s, "SegmentNumber") for s in items(header, "SegmentSequence")]
    only = declared[0] if len(declared) == 1 else None
    half = (whole(header, "MaximumFractionalValue") or 255) / 2
    fractional = text(header, "SegmentationType") == "FRACTIONAL"
    shape = (whole(header, "Rows") or 0, whole(header, "Columns") or 0)
    others = drawn = 0
    for group, pixels in zip(groups, frames_of(header, found.fetch, found.size), strict=False):
        plane = _plane(group, shared)
        picture = pixels.reshape(shape)
        at = _slice_of(grid, plane)
        if at is None:
            continue
        drawn += 1
        picture = _onto(picture, plane, grid, at)
        if kind == "label map":
            for segment, label in numbers_.items():
                others += _put(labels[at], picture == segment, label)
            continue
        shown = numbers_.get(_segment(group, shared) or only or 0)
        if shown is not None:
            others += _put(labels[at], picture >= half if fractional else picture > 0, shown)
    if not drawn:
        raise DataError("it shows no slice of the volume")
    return others


def _put(plane: Voxels, mask: NDArray[np.bool_], label: int) -> int:
    others = int(np.count_nonzero(plane[mask]) - np.count_nonzero(plane[mask] == label))
    plane[mask] = label
    return others


class _Plane:
    """Where a frame lies: position, directions of rows and columns, and pixel spacing."""

    def __init__(self, position: list[float], along: list[float], spacing: list[float]) -> None:
        if len(position) != 3 or len(along) != 6 or len(spacing) != 2 or min(spacing) <= 0:
            raise DataError("its frames have no place in space")
        self.position = np.asarray(position)
        self.across = np.asarray(along[:3]) * spacing[1]
        self.down = np.asarray(along[3:]) * spacing[0]


def _plane(group: Item, shared: Item) -> _Plane:
    def macro(name: str) -> Item:
        return first(group, name) or first(shared, name)

    return _Plane(
        numbers(macro("PlanePositionSequence"), "ImagePositionPatient"),
        numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient"),
        numbers(macro("PixelMeasuresSequence"), "PixelSpacing"),
    )


def _segment(group: Item, shared: Item) -> int | None:
    name = "SegmentIdentificationSequence"
    return whole(first(group, name) or first(shared, name), "ReferencedSegmentNumber")


def _slice_of(grid: Grid, plane: _Plane) -> int | None:
    """The slice in which a frame lies; DataError where it lies across."""
    normal = np.cross(grid.steps[2], grid.steps[1])
    normal /= np.linalg.norm(normal)
    own = np.cross(plane.across, plane.down)
    if abs(float(normal @ (own / np.linalg.norm(own)))) < 0.999:
        raise DataError("it was drawn in another direction than the volume has")
    step = float(np.asarray(grid.steps[0]) @ normal)
    at = float((plane.position - np.asarray(grid.origin)) @ normal) / step
    nearest = round(at)
    inside = 0 <= nearest < grid.shape[0] and abs(at - nearest) < NEAR
    return nearest if inside else None


def _onto(picture: NDArray[Any], plane: _Plane, grid: Grid, at: int) -> NDArray[Any]:
    """A frame on rows and columns of a slice, by nearest neighbour; itself where they are equal."""
    start = grid.place((at, 0, 0))
    same = (
        picture.shape == grid.shape[1:]
        and np.allclose(plane.across, grid.steps[2], atol=1e-3)
        and np.allclose(plane.down, grid.steps[1], atol=1e-3)
        and float(np.linalg.norm(_within(plane.position - start, grid))) < 0.01
    )
    if same:
        return picture
    rows, columns = np.mgrid[: grid.shape[1], : grid.shape[2]]
    places = (
        start
        + rows[..., None] * np.asarray(grid.steps[1])
        + columns[..., None] * np.asarray(grid.steps[2])
        - plane.position
    )
    x = np.rint(places @ plane.across / float(plane.across @ plane.across)).astype(int)
    y = np.rint(places @ plane.down / float(plane.down @ plane.down)).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < picture.shape[1]) & (y < picture.shape[0])
    found = np.zeros(grid.shape[1:], picture.dtype)
    found[inside] = picture[y[inside], x[inside]]
    return found


def _within(way: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """The part of a way that lies in the plane of slices."""
    normal = np.cross(grid.steps[2], grid.steps[1])
    normal /= np.linalg.norm(normal)
    found: NDArray[np.float64] = way - float(way @ normal) * normal
    return found


# Structure sets


def _regions(labels: Voxels, grid: Grid, header: Item, numbers_: Mapping[int, int]) -> int:
    """Closed planar contours, filled by the even-odd rule."""
    inverse = np.linalg.inv(np.asarray(grid.steps, float).T)
    others = drawn = 0
    for region in items(header, "ROIContourSequence"):
        label = numbers_.get(whole(region, "ReferencedROINumber") or 0)
        if label is None:
            continue
        slices: dict[int, NDArray[np.bool_]] = {}
        for contour in items(region, "ContourSequence"):
            if text(contour, "ContourGeometricType") not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
                continue
            points = np.asarray(numbers(contour, "ContourData"), float).reshape(-1, 3)
            index = (points - np.asarray(grid.origin)) @ inverse.T
            at = round(float(index[:, 0].mean()))
            if len(points) < 3 or np.abs(index[:, 0] - at).max() > NEAR:
                continue
            if 0 <= at < grid.shape[0]:
                mask = slices.setdefault(at, np.zeros(grid.shape[1:], bool))
                mask ^= filled(index[:, 1:], mask.shape)
        for at, mask in slices.items():
            drawn += 1
            others += _put(labels[at], mask, label)
    if not drawn:
        raise DataError("it has no closed contour on a slice of the volume")
    return others


def filled(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose middle lies in a polygon of rows and columns, by the even-odd rule.

    >>> filled(np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]]), (4, 4)).sum()
    np.int64(4)
    """
    mask = np.zeros(shape, bool)
    after = np.roll(points, -1, axis=0)
    low, high = int(max(0, np.ceil(points[:, 0].min()))), int(np.floor(points[:, 0].max()))
    columns = np.arange(shape[1])
    for row in range(low, min(high, shape[0] - 1) + 1):
        crosses = (points[:, 0] <= row) != (after[:, 0] <= row)
        a, b = points[crosses], after[crosses]
        where = a[:, 1] + (row - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
        mask[row] = np.count_nonzero(where[:, None] > columns, axis=0) % 2 == 1
    return mask


def present(labels: Voxels) -> list[int]:
    """The labels that a volume has."""
    return [int(n) for n in np.unique(labels) if n]


def smallest(labels: Voxels, most: int) -> NDArray[Any]:
    """The volume in the smallest type that holds all labels of the dataset."""
    return labels.astype(np.uint8 if most < 256 else np.uint16)
