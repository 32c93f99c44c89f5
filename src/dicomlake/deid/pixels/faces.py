"""Heads without faces: what lies before a plane through the face is overwritten (PS3.15 E.3.2).

A face that is shaved off evenly can still be seen, so all is cut at a plane that knows nothing of
it: from the forehead downwards and back, under the brain. The plane is found in the volume of a
series, in coordinates of the patient; objects are then cut one by one. Ears stay, and so does the
skull above the brow. It is geometry, no recognition: look at the result before you share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Identity, Item, Opener, Replaced, Unresolved, Words
from dicomlake.contracts.segmenters import Volume
from dicomlake.deid.pixels.frames import Frames
from dicomlake.deid.pixels.graphics import without_hidden
from dicomlake.deid.pixels.writing import written
from dicomlake.errors import DataError
from dicomlake.readers.attributes import Item as Header
from dicomlake.readers.attributes import first, items, key_of, number, numbers, text
from dicomlake.readers.stacks import stack_of, volume_of
from dicomlake.terms import bodyparts

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODE = "113102"
"""Clean Recognizable Visual Features Option (CID 7050)."""
_STEP = 3.0
"""Voxels are looked at in steps of about so many mm."""
_WIDTH, _BROW, _DEEP = 155.0, 80.0, 10.0
"""Of a head of this width the brow is so far below the top, and the cut begins so deep (mm)."""
_SLOPE, _FACE = 0.7, 200.0
"""How far the cut goes back for every mm down, and how far down a face goes (mm)."""
_SKIN, _BONE, _AIR = -300, 300, -1000
"""HU."""


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is, in mm in coordinates of the patient: below `brow`, above `chin`, and in
    front of a plane that begins at `front` and goes back by `slope`."""

    brow: float
    chin: float
    front: float
    slope: float = _SLOPE

    def holds(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether places are in the face.

        >>> Face(0, -200, -90).holds(np.array([-95.0, -85.0]), np.array([-1.0, -1.0])).tolist()
        [True, False]
        """
        inside = (z < self.brow) & (z > self.chin)
        found: NDArray[np.bool_] = inside & (y < self.front + self.slope * (self.brow - z))
        return found


def face_of(volume: Volume) -> Face:
    """The face in a volume of a head of CT or MR; Unresolved when there is no whole head."""
    x, y, z, voxels = _places(volume)
    body = voxels > (_SKIN if volume.unit == "HU" else _threshold(voxels))
    ml = volume.grid.voxel_ml * volume.voxels.size / voxels.size
    heights = np.floor((z - z.min()) / 5.0).astype(int)
    areas = np.bincount(heights[body], minlength=int(heights.max()) + 1) * ml * 2  # cm2
    filled = np.flatnonzero(areas > 20)
    if not len(filled) or areas[-2:].max() > 60:
        raise Unresolved("faces", "the top of a head is not in the series: its face is not found")
    top = float(z.min()) + 5.0 * (int(filled[-1]) + 1)
    width = _extent(x[body & (z < top - 40) & (z > top - 90)])
    if not 80 < width < 260:
        raise Unresolved("faces", "what is in the series is not as wide as a head")
    scale = min(max(width / _WIDTH, 0.6), 1.2)
    brow = top - _BROW * scale
    ahead = y[body & (z > brow - 10) & (z < brow + 25)]
    if not ahead.size:
        raise Unresolved("faces", "the series has a gap where a forehead would be")
    front = float(np.percentile(ahead, 0.5)) + _DEEP * scale
    if volume.unit == "HU":
        front = min(front, _before_brain(voxels, y, z, brow, scale, _axes(volume)))
    return Face(brow, brow - _FACE * scale, front)


def face_of_series(headers: Sequence[Header], opener: Opener) -> Face:
    """The face in a series; `opener` opens an object by its number among the headers.

    Unresolved when the series is no volume, or has no whole head in it.
    """
    try:
        return face_of(volume_of(stack_of(headers), opener))
    except DataError as error:
        if isinstance(error, Unresolved):
            raise
        raise Unresolved("faces", f"the series is no volume: {error}") from error


class FaceStep:
    """Cuts the faces off heads of CT and MR; fits `contracts.deid.Step` and `Looking`.

    `faces`: those that are known, by SeriesInstanceUID.
    """

    def __init__(self, faces: Mapping[str, Face] | None = None) -> None:
        self._faces: dict[str, Face | Unresolved] = dict(faces or {})

    @property
    def looks(self) -> bool:
        """Always: a face is only found in a volume."""
        return True

    def look(self, headers: Sequence[Header], opener: Opener) -> None:
        """Find the face in a series that may show a head."""
        if not headers or not may_show_face(headers[0]):
            return
        name = text(headers[0], "SeriesInstanceUID") or ""
        try:
            self._faces[name] = face_of_series(headers, opener)
        except Unresolved as error:
            self._faces[name] = error

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced | None:
        """The object without the face of its series; None where none can be in it.

        Unresolved when its face was not found, or nobody has looked at its series.
        """
        del words, identity
        face = self._faces.get(text(item.header, "SeriesInstanceUID") or "")
        if isinstance(face, Unresolved):
            raise Unresolved(face.check, str(face))
        if face is None:
            if may_show_face(item.header):
                raise Unresolved("faces", "a face is only found in a whole series")
            return None
        frames, at = Frames(item), 0

        def change(values: NDArray[Any]) -> bool:
            nonlocal at
            at += 1
            mask = face.holds(*_coordinates(item.header, at, frames.rows, frames.columns))
            hidden = without_hidden(values, item.header)
            if not mask.any():
                return hidden
            values[mask] = _nothing(item.header, values)
            return True

        values, syntax, count = written(frames, change)
        notes = (f"the face is cut off in {count} of {frames.count} frames",) if count else ()
        return Replaced(values, syntax, (CODE,), bool(values), notes)


def may_show_face(header: Header) -> bool:
    """Whether an image of CT or MR may show a face: unless it says that it shows something else.

    >>> chest = {"00080060": {"vr": "CS", "Value": ["CT"]},
    ...          "00180015": {"vr": "CS", "Value": ["CHEST"]}, "00280010": {"vr": "US"}}
    >>> may_show_face(chest), may_show_face({**chest, "00180015": {"vr": "CS"}})
    (False, True)
    """
    if text(header, "Modality") not in ("CT", "MR") or key_of("Rows") not in header:
        return False
    told: dict[str, Any] = {name: text(header, name) or "" for name in _TOLD}
    found = bodyparts.of(bodyparts.Evidence(**told))
    sure = [one.code.value for one in found if one.confidence >= bodyparts.SURE]
    return not sure or any(_WITH_FACE & {code, *_asked_by(code)} for code in sure)


def _asked_by(code: str) -> frozenset[str]:
    return bodyparts.asked_by(code, bodyparts.load())


_TOLD = (
    "Modality", "BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription",
    "RequestedProcedureDescription", "PerformedProcedureStepDescription",
)  # fmt: skip
_WITH_FACE = frozenset(["69536005", "38266002", "774007", "45048000"])
"""Head, the entire body, head and neck, neck (SNOMED CT)."""


def _coordinates(
    header: Header, frame: int, rows: int, columns: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """y and z of the pixels of a frame (PS3.3 C.7.6.2.1.1)."""
    shared = first(header, "SharedFunctionalGroupsSequence")
    own = (items(header, "PerFrameFunctionalGroupsSequence")[frame - 1 : frame] or [{}])[0]

    def said(group: str, keyword: str) -> list[float]:
        for item in (first(own, group), first(shared, group), header):
            if found := numbers(item, keyword):
                return found
        return []

    position = said("PlanePositionSequence", "ImagePositionPatient")
    along = said("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = said("PixelMeasuresSequence", "PixelSpacing")
    if len(position) != 3 or len(along) != 6 or len(spacing) != 2:
        raise Unresolved("faces", "an image does not say where in the patient it lies")
    down, right = np.arange(rows)[:, None] * spacing[0], np.arange(columns) * spacing[1]
    y, z = (position[n] + along[n] * right + along[3 + n] * down for n in (1, 2))
    return y, z


def _nothing(header: Header, values: NDArray[Any]) -> Any:
    """The stored value of air: of CT by its Hounsfield units, else the lowest one."""
    info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    if text(header, "Modality") != "CT":
        return max(0, info.min) if values.min() >= 0 else values.min()
    shared = first(first(header, "SharedFunctionalGroupsSequence"),
                   "PixelValueTransformationSequence")  # fmt: skip
    said = shared or header
    slope, intercept = number(said, "RescaleSlope") or 1.0, number(said, "RescaleIntercept") or 0.0
    return min(max(round((_AIR - intercept) / slope), info.min), info.max)


# Looking at the volume


def _places(
    volume: Volume,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """x, y and z of voxels and their values, no denser than is needed."""
    steps = [max(1, round(_STEP / size)) for size in volume.grid.spacing]
    voxels = volume.voxels[:: steps[0], :: steps[1], :: steps[2]]
    index = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(voxels.shape, steps, strict=True)), indexing="ij"
    )
    x, y, z = (
        volume.grid.origin[way]
        + sum(index[axis] * volume.grid.steps[axis][way] for axis in range(3))
        for way in range(3)
    )
    return x, y, z, voxels


def _extent(values: NDArray[Any]) -> float:
    return float(np.subtract(*np.percentile(values, (99, 1)))) if values.size else 0.0


def _threshold(voxels: NDArray[Any]) -> float:
    """The value above which something is a body in MR: a quarter of the way from the mean of what
    surrounds it to the mean of what is bright (both after Otsu)."""
    counts, edges = np.histogram(voxels, 256, (0, float(np.percentile(voxels, 99)) or 1.0))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        dark, bright = sums / below, (sums[-1] - sums) / above
        best = int(np.nanargmax(below * above * (dark - bright) ** 2))
    return float(dark[best] + (bright[best] - dark[best]) / 4)


def _axes(volume: Volume) -> tuple[int, int, int]:
    """Which axis of the array goes along x, y and z of the patient."""
    ways = np.abs(np.asarray(volume.grid.steps, float))
    x, y, z = (int(ways[:, way].argmax()) for way in range(3))
    return x, y, z


def _before_brain(
    voxels: NDArray[Any],
    y: NDArray[Any],
    z: NDArray[Any],
    brow: float,
    scale: float,
    axes: tuple[int, int, int],
) -> float:
    """How far to the back the cut may begin so that it stays before the brain, in CT.

    The brain is what has bone before and behind it and on both sides.
    """  # fmt: skip
    bone = voxels > _BONE
    inside = (voxels > 0) & (voxels < 90)
    for axis in axes[:2]:
        before = np.maximum.accumulate(bone, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(bone, axis), axis=axis), axis)
        inside &= before & behind
    near = inside & (z < brow) & (z > brow - 25 * scale)
    if not near.any():
        return np.inf
    return float(np.percentile((y - _SLOPE * (brow - z))[near], 0.5)) - 4.0
