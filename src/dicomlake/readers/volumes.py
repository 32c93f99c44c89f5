"""Volumes of segments and regions, in millilitres, by the geometry of their own object.

A segmentation: voxels that are set, times pixel spacing, times the distance of slices. Frames of
PROBABILITY count where they reach one half, those of OCCUPANCY by their fraction. The distance of
slices is Spacing Between Slices where positions agree with it, else that of the positions along the
normal (empty slices may be left out), else Slice Thickness. Where slices lie at uneven distances
each counts half way to its neighbours.

A structure set: areas of closed planar contours, holes left out by the even-odd rule, times the
distance of slices, in the same way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.dicom.walk import Fetch
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item, first, items, numbers, text, values, whole
from dicomlake.readers.frames import frames_of, shape_of
from dicomlake.readers.segments import kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_PLACE = 0.005
"""Slices that are nearer to each other (mm) lie in one place."""
UNEVEN = 0.05
"""Distances of slices are multiples of the smallest within this fraction of it, or uneven."""
FARTHEST = 1e6
"""Coordinates and distances beyond a kilometre (mm) are a mistake."""
STEPS = 2048
"""Lines on which the area between contours that cross is measured."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume of a segment in mL, or why there is none; `present`: whether voxels are set."""

    volume: float | None
    problem: str | None = None
    present: bool | None = None


def volumes_of(header: Item, fetch: Fetch, size: int) -> dict[int, Volume]:
    """The volume of every segment or region that an object declares, by its number."""
    kind = kind_of(header)
    if kind == "structure set":
        return _regions(header)
    declared = [whole(s, "SegmentNumber") for s in items(header, "SegmentSequence")]
    known = [n for n in declared if n is not None]
    if kind in ("surface", "height map"):
        return dict.fromkeys(known, Volume(None, f"a {kind} has no voxels"))
    counted: _Counted | None = None
    try:
        if kind == "label map":  # its pixels tell what is there, with a geometry or without
            counted = _labels(header, fetch, size, known)
        slabs = _slabs(header)
        _check_places(slabs, kind, known)
        if counted is None:
            counted = _voxels(header, fetch, size, slabs, known)
        return _summed(counted, slabs, known, kind)
    except DataError as error:
        found = {n: Volume(None, str(error)) for n in known}
        if counted is not None:
            there = {n for frame in counted.frames for n, count in frame.items() if count}
            found = {n: Volume(None, str(error), n in there) for n in known}
        return found


@dataclass(slots=True)
class _Counted:
    """Voxels of each segment in each frame; of OCCUPANCY sums of fractions."""

    frames: list[dict[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Slab:
    """Where a frame lies: its segment, position, and mm3 per pixel; or why there is no volume."""

    segment: int | None
    position: tuple[float, float, float] | None
    voxel: float
    problem: str = ""


def _summed(
    counted: _Counted, slabs: list[_Slab], known: list[int], kind: str
) -> dict[int, Volume]:
    total: dict[int, float] = dict.fromkeys(known, 0.0)
    problems: dict[int, str] = {}
    there: set[int] = set()
    for slab, frame in zip(slabs, counted.frames, strict=False):
        for segment, count in frame.items():
            if segment not in total or not count:
                continue
            there.add(segment)
            total[segment] += count * slab.voxel
            if slab.problem:
                problems[segment] = slab.problem
    return {
        n: Volume(None, problems[n], True)
        if n in problems
        else Volume(mm3 / 1000, None, n in there)
        for n, mm3 in total.items()
    }


# Voxels


def _labels(header: Item, fetch: Fetch, size: int, known: list[int]) -> _Counted:
    """Pixels of each value in a label map."""
    counted = _Counted()
    for pixels in frames_of(header, fetch, size):
        if pixels.dtype.kind not in "ui" or (pixels.dtype.kind == "i" and pixels.min() < 0):
            raise DataError("pixels of a label map that are no segment numbers")
        counts = np.bincount(pixels)
        counted.frames.append({n: float(counts[n]) for n in known if 0 <= n < len(counts)})
    return counted


def _voxels(
    header: Item, fetch: Fetch, size: int, slabs: list[_Slab], known: list[int]
) -> _Counted:
    """Voxels that are set in each frame of a binary or fractional segmentation."""
    fractional = text(header, "SegmentationType") == "FRACTIONAL"
    occupancy = text(header, "SegmentationFractionalType") == "OCCUPANCY"
    most = whole(header, "MaximumFractionalValue") or 255
    counted = _Counted()
    only = known[0] if len(known) == 1 else None
    for slab, pixels in zip(slabs, frames_of(header, fetch, size), strict=False):
        segment = only if slab.segment is None else slab.segment
        if segment is None:
            raise DataError("frames do not say which segment they show")
        if not fractional:
            count = float(np.count_nonzero(pixels))
        elif occupancy:
            count = float(pixels.sum(dtype=np.float64)) / most
        else:
            count = float(np.count_nonzero(pixels >= most / 2))
        counted.frames.append({segment: count})
    return counted


# Where frames lie


def _slabs(header: Item) -> list[_Slab]:
    """Where each frame lies and how much a pixel of it stands for; DataError without geometry."""
    shared = first(header, "SharedFunctionalGroupsSequence")
    groups = values(header, "PerFrameFunctionalGroupsSequence")
    groups = [group if isinstance(group, dict) else {} for group in groups]
    frames = shape_of(header).frames
    groups = (groups or [{}])[:frames]
    if len(groups) < frames:
        raise DataError(f"of {frames} frames only {len(groups)} are described")
    if any(first(g, "PlanePositionSlideSequence") for g in (shared, groups[0])):
        raise DataError("no 3D geometry: its frames are tiles of a slide")
    segments = [_segment_of(group, shared) for group in groups]
    positions = [
        _vector(group, shared, "PlanePosition", "ImagePositionPatient", 3) for group in groups
    ]
    orientation = _one_orientation(groups, shared)
    measures = [first(g, "PixelMeasuresSequence") for g in groups]
    everywhere = first(shared, "PixelMeasuresSequence")
    measures = [measure or everywhere for measure in measures]
    if orientation is None or any(position is None for position in positions):
        raise DataError("no 3D geometry: its frames have no place in space")
    normal = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        raise DataError("no 3D geometry: rows and columns are not at right angles")
    places = [float(np.dot(normal / length, np.asarray(p))) for p in positions]
    depths = _depths(places, measures)
    found = []
    for i, measure in enumerate(measures):
        spacing = _sane(numbers(measure, "PixelSpacing"))
        if len(spacing) != 2 or min(spacing) <= 0:
            raise DataError("no 3D geometry: there is no pixel spacing")
        position = positions[i]
        assert position is not None
        found.append(
            _Slab(
                segments[i],
                (position[0], position[1], position[2]),
                spacing[0] * spacing[1] * depths[i],
            )
        )
    return found


def _check_places(slabs: list[_Slab], kind: str, known: list[int]) -> None:
    """Mark frames of one segment that lie in one place: time points and the like."""
    seen: set[Any] = set()
    twice: set[int | None] = set()
    for slab in slabs:
        segment = None if kind == "label map" else slab.segment
        key = (segment, *(round(x, 3) for x in slab.position or ()))
        if key in seen:
            twice.add(segment)
        seen.add(key)
    for i, slab in enumerate(slabs):
        if (None if kind == "label map" else slab.segment) in twice:
            problem = "several of its frames lie in one place"
            slabs[i] = _Slab(slab.segment, slab.position, slab.voxel, problem)


def _segment_of(group: Item, shared: Item) -> int | None:
    for place in (group, shared):
        number = whole(first(place, "SegmentIdentificationSequence"), "ReferencedSegmentNumber")
        if number is not None:
            return number
    return None


def _vector(group: Item, shared: Item, macro: str, keyword: str, count: int) -> list[float] | None:
    """Numbers of a functional group of a frame, else of the one that all frames share."""
    for place in (group, shared):
        found = numbers(first(place, f"{macro}Sequence"), keyword)
        if len(found) == count:
            return _sane(found)
    return None


def _sane(found: list[float]) -> list[float]:
    """Coordinates and distances in mm; DataError when no patient can be so large."""
    if any(abs(number) > FARTHEST for number in found):
        raise DataError("no 3D geometry: coordinates beyond all measure")
    return found


def _one_orientation(groups: list[Item], shared: Item) -> NDArray[np.float64] | None:
    """The orientation of all frames; DataError when they have several."""
    one: NDArray[np.float64] | None = None
    for group in groups:
        found = _vector(group, shared, "PlaneOrientation", "ImageOrientationPatient", 6)
        if found is None:
            return None
        if one is None:
            one = np.asarray(found)
        elif not np.allclose(one, found, atol=1e-3):
            raise DataError("no 3D geometry: its frames are not parallel")
    return one


def _depths(places: list[float], measures: list[Item]) -> list[float]:
    """How thick the slab of each frame is, in mm."""
    stated = {_length(measure, "SpacingBetweenSlices") for measure in measures}
    even, gaps = _thicknesses(places)
    if len(stated) == 1 and (one := stated.pop()) > 0 and _multiples(gaps, one):
        return [one] * len(places)
    if even:
        return [even[_nearest(even, place)] for place in places]
    thick = [_length(measure, "SliceThickness") for measure in measures]
    if min(thick) <= 0:
        raise DataError("no 3D geometry: one slice without a thickness")
    return thick


def _length(item: Item, keyword: str) -> float:
    """A distance in mm, 0 where it is not stated."""
    return abs(sum(_sane(numbers(item, keyword)[:1])))


def _multiples(gaps: Iterable[float], step: float) -> bool:
    """Whether distances are whole multiples of a step."""
    return all(gap > step / 2 and abs(gap / step - round(gap / step)) <= UNEVEN for gap in gaps)


def _nearest(places: dict[float, float], place: float) -> float:
    return place if place in places else min(places, key=lambda other: abs(other - place))


def _thicknesses(places: Iterable[float]) -> tuple[dict[float, float], list[float]]:
    """How thick the slab at each place is, by place, and the distances; empty of a single place.

    >>> _thicknesses([0.0, 2.0, 4.0, 10.0])[0]
    {0.0: 2.0, 2.0: 2.0, 4.0: 2.0, 10.0: 2.0}
    >>> _thicknesses([0.0, 1.0, 2.5])[0]
    {0.0: 1.0, 1.0: 1.25, 2.5: 1.5}
    """
    apart: list[float] = []
    near: dict[float, float] = {}
    for place in sorted(set(places)):
        if not apart or place - apart[-1] > SAME_PLACE:
            apart.append(place)
        near[place] = apart[-1]
    if len(apart) < 2:
        return {}, []
    gaps = [b - a for a, b in pairwise(apart)]
    if _multiples(gaps, min(gaps)):
        step = sum(gaps) / sum(round(gap / min(gaps)) for gap in gaps)
        thick = dict.fromkeys(apart, step)
    else:
        around = zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)
        thick = dict(zip(apart, ((a + b) / 2 for a, b in around), strict=True))
    return {place: thick[other] for place, other in near.items()}, gaps


# Structure sets


def _regions(header: Item) -> dict[int, Volume]:
    shapes: dict[int, list[Item]] = defaultdict(list)
    for shape in items(header, "ROIContourSequence"):
        if (n := whole(shape, "ReferencedROINumber")) is not None:
            shapes[n] += items(shape, "ContourSequence")
    found: dict[int, Volume] = {}
    single: dict[int, float] = {}
    steps: list[float] = []
    for roi in items(header, "StructureSetROISequence"):
        n = whole(roi, "ROINumber")
        if n is None:
            continue
        try:
            areas, slab = _slices(shapes[n])
            thick, gaps = _thicknesses(areas)
        except DataError as error:
            found[n] = Volume(None, str(error), bool(shapes[n]))
            continue
        if gaps:
            steps.append(min(gaps))
            volume = sum(area * thick[place] for place, area in areas.items())
            found[n] = Volume(volume / 1000, None, True)
        elif slab > 0:
            found[n] = Volume(sum(areas.values()) * slab / 1000, None, True)
        else:
            single[n] = sum(areas.values())
    for n, area in single.items():  # one slice is as thick as those of the other regions
        if steps:
            found[n] = Volume(area * min(steps) / 1000, None, True)
        else:
            problem = "no 3D geometry: contours in one slice only, without a thickness"
            found[n] = Volume(None, problem, True)
    return found


def _slices(contours: list[Item]) -> tuple[dict[float, float], float]:
    """Area of a region in each of its slices, mm2, and Contour Slab Thickness or 0.

    DataError when its contours enclose nothing that could be measured.
    """
    if not contours:
        raise DataError("it has no contours")
    types = {text(contour, "ContourGeometricType") for contour in contours}
    if not types <= {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
        raise DataError("its contours are not all closed and planar")
    outlines = []
    for contour in contours:
        points = _sane(numbers(contour, "ContourData"))
        if len(points) < 9 or len(points) % 3:
            raise DataError("a contour has no three points")
        outlines.append(np.asarray(points).reshape(-1, 3))
    normal = _normal(outlines)
    across = _across(normal)
    slices: dict[float, list[NDArray[np.float64]]] = {}
    for outline in outlines:
        places = outline @ normal
        if np.ptp(places) > 0.5:
            raise DataError("its contours are not parallel")
        place = _slice_of(slices, float(places.mean()))
        slices.setdefault(place, []).append(outline @ across)
    slab = _length(contours[0], "ContourSlabThickness")
    return {place: _area(inside) for place, inside in slices.items()}, slab


def _slice_of(slices: Iterable[float], place: float) -> float:
    return next((other for other in slices if abs(other - place) <= 0.05), place)


def _normal(outlines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The normal of the contour with the largest area (Newell)."""
    best = np.zeros(3)
    for outline in outlines:
        from_first = outline - outline[0]
        normal = np.cross(from_first, np.roll(from_first, -1, axis=0)).sum(axis=0)
        if np.linalg.norm(normal) > np.linalg.norm(best):
            best = normal
    length = np.linalg.norm(best)
    if not np.isfinite(length) or length < 1e-9:
        raise DataError("its contours enclose nothing")
    return np.asarray(best / length)


def _across(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two directions at right angles to a normal, as columns."""
    helper = np.eye(3)[int(np.argmin(np.abs(normal)))]
    one = np.cross(normal, helper)
    one /= np.linalg.norm(one)
    return np.stack([one, np.cross(normal, one)], axis=1)


def _area(outlines: list[NDArray[np.float64]]) -> float:
    """Area inside of an odd number of outlines, mm2."""
    areas = [_shoelace(outline) for outline in outlines]
    if len(outlines) == 1:
        return areas[0]
    around = [0] * len(outlines)
    for i, one in enumerate(outlines):
        for j, other in enumerate(outlines):
            if i == j or not _overlap(one, other):
                continue
            inside = _inside(one, other)
            if inside.all() and areas[i] <= areas[j]:
                around[i] += 1
            elif inside.any():
                return _even_odd(outlines)
    return sum(-area if depth % 2 else area for area, depth in zip(areas, around, strict=True))


def _shoelace(outline: NDArray[np.float64]) -> float:
    x, y = (outline - outline[0]).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the boxes around two outlines overlap."""
    return bool(
        (one.min(axis=0) <= other.max(axis=0)).all()
        and (other.min(axis=0) <= one.max(axis=0)).all()
    )


def _inside(points: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points lie inside of an outline, by the even-odd rule."""
    found = np.zeros(len(points), dtype=np.bool_)
    x, y = points.T
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if ay == by:
            continue
        between = (ay <= y) != (by <= y)
        found ^= between & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return found


def _even_odd(outlines: list[NDArray[np.float64]]) -> float:
    """Area inside of an odd number of outlines that cross, by lines."""
    starts = np.concatenate(outlines)
    ends = np.concatenate([np.roll(outline, -1, axis=0) for outline in outlines])
    low, high = float(starts[:, 1].min()), float(starts[:, 1].max())
    step = (high - low) / STEPS
    (ax, ay), (bx, by) = starts.T, ends.T
    total = 0.0
    for line in low + step * (np.arange(STEPS) + 0.5):
        met = (ay <= line) != (by <= line)
        at = np.sort(ax[met] + (line - ay[met]) * (bx[met] - ax[met]) / (by[met] - ay[met]))
        total += float((at[1::2] - at[::2]).sum())
    return total * step
