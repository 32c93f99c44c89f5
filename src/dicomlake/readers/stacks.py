"""Stacks: the slices of a series of CT or MR in their order, and their voxels as one volume.

Headers decide whether there is a volume at all; pixels are read afterwards, each object once.
What cannot be measured as it is - tilted, uneven, mixed or derived - is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.segmenters import Grid, Stack, Vector, Volume
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, first, items, number, numbers, text, texts, whole
from dicomlake.readers.pixels import Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
}
"""SOP classes whose pictures may be volumes, and their modality."""
NUCLEAR = "1.2.840.10008.5.1.4.1.1.20"
GEOMETRY = PICTURES | {
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    NUCLEAR: "NM",
}
"""SOP classes whose frames may lie above each other, whatever their values mean."""
TILT = 0.5
"""Degrees by which slices may be shifted against each other before it counts as gantry tilt."""
UNEVEN = 0.05
"""Distances of slices may differ by this fraction of them."""
MOST_VOXELS = 1 << 31
"""More voxels (4 GB) are not read into memory."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """One picture of a series: where it is found, where it lies, and what its values mean."""

    item: int
    frame: int
    position: NDArray[np.float64]
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class _Plane:
    """What all slices of a stack have in common."""

    rows: int
    columns: int
    orientation: tuple[float, ...]
    spacing: tuple[float, float]


class StackReader:
    """Stacks and volumes of series of CT and MR; registered as the reader `volume`."""

    def stack(self, headers: Sequence[Item]) -> Stack:
        """As `stack_of`."""
        return stack_of(headers)

    def geometry(self, headers: Sequence[Item]) -> Stack:
        """As `geometry_of`."""
        return geometry_of(headers)

    def volume(self, stack: Stack, opener: Callable[[int], AbstractContextManager[Any]]) -> Volume:
        """As `volume_of`."""
        return volume_of(stack, opener)


def stack_of(headers: Sequence[Item]) -> Stack:
    """The slices of the objects of a series in their order, from foot to head or the like.

    DataError says why there is no volume: several sizes or directions, uneven distances, a tilted
    gantry, a localizer, a derived picture.
    """
    if not headers:
        raise DataError("the series has no objects")
    kinds = {text(header, "SOPClassUID") or "" for header in headers}
    modalities = {PICTURES.get(kind) for kind in kinds}
    if len(kinds) > 1 or None in modalities:
        raise DataError("its objects are not images of one kind of CT or MR")
    modality = str(modalities.pop())
    types = _image_type(headers)
    return _stacked(headers, modality, types, _unit(headers, modality))


def geometry_of(headers: Sequence[Item]) -> Stack:
    """Where the slices of a series lie: of CT, MR, PT and reconstructions of NM, derived ones too.

    Their values are nobody's concern here. DataError as of `stack_of`.
    """
    kinds = {text(header, "SOPClassUID") or "" for header in headers}
    modalities = {GEOMETRY.get(kind) for kind in kinds}
    if len(kinds) != 1 or None in modalities:
        raise DataError("its objects are not images of one kind of CT, MR, PT or NM")
    return _stacked(headers, str(modalities.pop()), tuple(texts(headers[0], "ImageType")), "")


def _stacked(headers: Sequence[Item], modality: str, types: tuple[str, ...], unit: str) -> Stack:
    slices: list[_Slice] = []
    planes: set[_Plane] = set()
    for item, header in enumerate(headers):
        for plane, one in _slices(header, item):
            planes.add(plane)
            slices.append(one)
    plane = _one(planes)
    grid, order = _grid(plane, slices)
    return Stack(
        grid,
        tuple((s.item, s.frame, s.slope, s.intercept) for s in (slices[i] for i in order)),
        modality,
        types,
        unit,
        whole(headers[0], "PixelPaddingValue"),
    )


def volume_of(stack: Stack, opener: Callable[[int], AbstractContextManager[Any]]) -> Volume:
    """The voxels of a stack; `opener` opens an object by its number among the headers,
    with `header`, `fetch` and `size`.

    DataError when pixels are missing or cannot be decoded.
    """
    kind = np.int16 if stack.unit == "HU" else np.float32
    shape = stack.grid.shape
    if shape[0] * shape[1] * shape[2] > MOST_VOXELS:
        raise DataError("the volume is too large to be read")
    voxels: NDArray[Any] = np.empty(shape, kind)
    wanted: dict[int, list[tuple[int, int, float, float]]] = {}
    for place, (item, frame, slope, intercept) in enumerate(stack.slices):
        wanted.setdefault(item, []).append((place, frame, slope, intercept))
    for item, frames in wanted.items():
        with opener(item) as found:
            pixels = Pixels(found.header, found.fetch, found.size)
            for place, frame, slope, intercept in frames:
                stored = stored_of(pixels, found.header, frame)
                if stored.shape != shape[1:]:
                    raise DataError("a decoded frame has another size than the header says")
                voxels[place] = _scaled(stored, slope, intercept, kind)
    return Volume(voxels, stack.grid, stack.Modality, stack.unit)


def stored_of(pixels: Pixels, header: Item, frame: int) -> NDArray[Any]:
    """Values of a frame, without what may stand in the bits above those that are stored."""
    found, _ = pixels.decoded(frame)
    bits = whole(header, "BitsStored") or pixels.bits
    if pixels.native and pixels.bits == 16 and bits < 16 and found.dtype.kind in "ui":
        signed = whole(header, "PixelRepresentation") == 1
        found = found.astype(np.int16 if signed else np.uint16, copy=False)
        found = (found << (16 - bits)) >> (16 - bits)
    return found


def _scaled(stored: NDArray[Any], slope: float, intercept: float, kind: Any) -> NDArray[Any]:
    values: NDArray[Any] = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if kind is np.int16:
        values = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return values


# Headers


def _image_type(headers: Sequence[Item]) -> tuple[str, ...]:
    """Image Type of the first object; DataError when one is no cut through the body as scanned."""
    for header in headers:
        said = [t.upper() for t in _frame_type(header) or texts(header, "ImageType")]
        if "LOCALIZER" in said[2:]:
            raise DataError("it is a localizer, or has one among its images")
        derived = said[:1] == ["DERIVED"] and "AXIAL" not in said[2:3] and "VOLUME" not in said[2:3]
        if derived or "SECONDARY" in said[1:2]:
            raise DataError("it is derived from other images (Image Type)")
    return tuple(texts(headers[0], "ImageType"))


def _frame_type(header: Item) -> list[str]:
    shared = first(header, "SharedFunctionalGroupsSequence")
    for macro in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
        if found := texts(first(shared, macro), "FrameType"):
            return found
    return []


def _unit(headers: Sequence[Item], modality: str) -> str:
    if modality != "CT":
        return ""
    for header in headers:
        shared = first(header, "SharedFunctionalGroupsSequence")
        scaling = first(shared, "PixelValueTransformationSequence")
        said = text(scaling or header, "RescaleType") or "HU"
        if said.upper() not in ("HU", "HU_MOD"):
            raise DataError("its values are no Hounsfield units (Rescale Type)")
    return "HU"


def _slices(header: Item, item: int) -> Iterator[tuple[_Plane, _Slice]]:
    """The pictures of an object; of an enhanced one its frames."""
    rows, columns = whole(header, "Rows") or 0, whole(header, "Columns") or 0
    frames = whole(header, "NumberOfFrames") or 1
    if rows <= 0 or columns <= 0:
        raise DataError("its headers do not say how many rows and columns there are")
    if (whole(header, "SamplesPerPixel") or 1) != 1:
        raise DataError("its pictures are in colour")
    shared = first(header, "SharedFunctionalGroupsSequence")
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if text(header, "SOPClassUID") == NUCLEAR:
        yield from _nuclear(header, item, rows, columns, frames)
        return
    if not shared and not groups:
        if frames > 1:
            raise DataError("its frames do not say where they lie")
        yield _slice(rows, columns, header, header, header, header, item, 1)
        return
    if len(groups) < frames:
        raise DataError(f"of {frames} frames only {len(groups)} are described")
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    for frame, group in enumerate(groups[:frames], start=1):
        parts = [first(group, name) or first(shared, name) for name in names]
        yield _slice(rows, columns, parts[0], parts[1], parts[2], parts[3], item, frame)


def _nuclear(
    header: Item, item: int, rows: int, columns: int, frames: int
) -> Iterator[tuple[_Plane, _Slice]]:
    """The slices of a reconstruction of NM: the first one's place, and the way to the others."""
    if "RECON TOMO" not in [each.upper() for each in texts(header, "ImageType")]:
        raise DataError("it is no reconstruction of slices (Image Type without RECON TOMO)")
    detector = first(header, "DetectorInformationSequence")
    place = detector if numbers(detector, "ImagePositionPatient") else header
    along = numbers(place, "ImageOrientationPatient")
    start = numbers(place, "ImagePositionPatient")
    step = number(header, "SpacingBetweenSlices") or number(header, "SliceThickness")
    if len(along) != 6 or len(start) != 3 or not step:
        raise DataError("its images do not say where in the patient they lie")
    if any(len(set(numbers(header, name))) > 1 for name in _OTHER_VECTORS):
        raise DataError("its frames differ in more than their slice")
    order = [int(n) for n in numbers(header, "SliceVector")] or list(range(1, frames + 1))
    if len(order) != frames:
        raise DataError("its frames do not say which slices they are")
    normal = np.cross(along[:3], along[3:])
    for frame, at in enumerate(order, start=1):
        plane, one = _slice(rows, columns, place, place, header, header, item, frame)
        position = np.asarray(start) + normal * step * (at - 1)
        yield plane, replace(one, position=position)


_OTHER_VECTORS = ("EnergyWindowVector", "RRIntervalVector", "TimeSlotVector")


def _slice(
    rows: int,
    columns: int,
    place: Item,
    orientation: Item,
    measures: Item,
    scaling: Item,
    item: int,
    frame: int,
) -> tuple[_Plane, _Slice]:
    position = numbers(place, "ImagePositionPatient")
    along = numbers(orientation, "ImageOrientationPatient")
    spacing = numbers(measures, "PixelSpacing")
    if len(position) != 3 or len(along) != 6:
        raise DataError("its images do not say where in the patient they lie")
    if len(spacing) != 2 or min(spacing) <= 0:
        raise DataError("its images have no pixel spacing")
    slope, intercept = number(scaling, "RescaleSlope"), number(scaling, "RescaleIntercept")
    plane = _Plane(
        rows,
        columns,
        tuple(round(a, 3) + 0.0 for a in along),
        (round(spacing[0], 4), round(spacing[1], 4)),
    )
    return plane, _Slice(item, frame, np.asarray(position), slope or 1.0, intercept or 0.0)


def _one(planes: set[_Plane]) -> _Plane:
    if len({(p.rows, p.columns) for p in planes}) > 1:
        raise DataError("its images are of several sizes")
    if len({p.spacing for p in planes}) > 1:
        raise DataError("its images have several pixel spacings")
    one = next(iter(planes))
    if not all(np.allclose(p.orientation, one.orientation, atol=5e-3) for p in planes):
        raise DataError("its images lie in several directions")
    return one


def _grid(plane: _Plane, slices: list[_Slice]) -> tuple[Grid, list[int]]:
    """Where the voxels lie, and the order of the slices along their normal."""
    if len(slices) < 2:
        raise DataError("it has only one image")
    row, column = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if not 0.99 < length < 1.01:
        raise DataError("rows and columns of its images are not at right angles")
    normal /= length
    positions = np.array([one.position for one in slices])
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    gaps = np.diff(places[order])
    step = float(np.median(gaps))
    if gaps.min() < 0.01:
        raise DataError("several of its images lie in one place: phases or time points")
    if float(np.abs(gaps - step).max()) > max(UNEVEN * step, 0.02):
        raise DataError("its slices lie at uneven distances, or some are missing")
    _straight(positions[order], normal, plane)
    step = float(places[order[-1]] - places[order[0]]) / (len(slices) - 1)
    steps = (
        _vector(normal * step),
        _vector(column * plane.spacing[0]),
        _vector(row * plane.spacing[1]),
    )
    start = slices[int(order[0])].position
    shape = (len(slices), plane.rows, plane.columns)
    return Grid(shape, _vector(start), steps), [int(i) for i in order]


def _straight(positions: NDArray[np.float64], normal: NDArray[np.float64], plane: _Plane) -> None:
    """DataError when slices are shifted against each other, as they are with a tilted gantry."""
    way = positions[-1] - positions[0]
    along = float(way @ normal)
    aside = way - along * normal
    angle = float(np.degrees(np.arctan2(np.linalg.norm(aside), along)))
    if angle > TILT:
        raise DataError(f"the gantry was tilted: its slices are shifted by {angle:.1f} degrees")
    line = positions[0] + np.outer((positions - positions[0]) @ normal, normal + aside / along)
    if float(np.abs(positions - line).max()) > max(plane.spacing):
        raise DataError("its slices do not lie above each other")


def _vector(found: NDArray[np.float64]) -> Vector:
    return float(found[0]), float(found[1]), float(found[2])
