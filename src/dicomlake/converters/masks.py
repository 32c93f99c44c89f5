"""Masks in NIfTI files become DICOM Segmentations of the series that they were drawn on.

    converter: masks
    series: {SeriesInstanceUID: 1.2.840.113619.2.55.3}
    labels:
      1: {label: liver, what: [10200004, SCT, Liver]}

A mask has to lie on the voxels of its series, in any order of the axes: nothing is resampled.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake import plugins
from dicomlake.contracts.converters import Asked, Converted, Original
from dicomlake.contracts.segmenters import Grid, Stack
from dicomlake.converters.label_tables import SUFFIXES, beside, table_of
from dicomlake.dicom.segmentation import (
    ALGORITHMS,
    ANATOMY,
    Algorithm,
    Segment,
    Series,
    missing,
    segment_of,
    segmentation,
)
from dicomlake.errors import DataError, UsageError
from dicomlake.terms import Code, structures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

GZIP = b"\x1f\x8b"
MOST_BYTES = 4 * 1024**3
"""A mask that unpacks to more is refused."""
TOLERANCE = 0.05
"""Voxels may lie beside those of the series by this part of a voxel, in the farthest corner."""
READY = ("total", "total_mr")
"""Tables of numbers that are there: label maps of TotalSegmentator."""
_SUFFIXES = (".nii.gz", ".nii", ".hdr")
_KEYS = ("SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID")
BESIDE = "beside"
"""Labels that a table beside the mask names."""
_TOP = {"converter", "series", "files", "labels", "names", "algorithm", "unknown", "title",
        "background"}  # fmt: skip
_LABEL = {"label", "what", "category", "laterality", "region"}


@dataclass(frozen=True, slots=True)
class _Spec:
    """What a mapping says. `files`: names of files, with groups called by keyword; `segments`:
    by number, None when a table beside the mask says it; `names`: by what such a table says.
    """

    series: Mapping[str, str]
    files: re.Pattern[str] | None
    segments: Mapping[int, Segment] | None
    names: Mapping[str, Segment]
    named: bool
    """Whether a file with one structure is called by its label."""
    algorithm: Algorithm
    skip_unknown: bool
    background: frozenset[int]
    title: str


class MasksConverter:
    """Makes Segmentations of NIfTI masks; registered as the converter `masks`."""

    name = "masks"
    about = "masks drawn on a series: label maps and binary masks"
    formats: Mapping[str, str] = {
        "nifti": "NIfTI-1 and NIfTI-2 (.nii, .nii.gz)",
        "labels": "table of labels beside masks (dseg.tsv of BIDS, ITK-SNAP, JSON)",
    }
    version = "1"

    def format_of(self, original: Original, asked: Asked) -> str:
        """As of `Converter`."""
        if _is_nifti(_head(original.data)):
            return "nifti"
        told = asked.mapping.get("labels") == BESIDE and original.suffix in SUFFIXES
        return "labels" if told and b"\0" not in original.data[:512] else ""

    def convert(self, original: Original, asked: Asked) -> Converted:
        """As of `Converter`: one Segmentation with a segment for each label that is there."""
        if why := missing():
            raise UsageError(why)
        spec = _spec(asked.mapping)
        if self.format_of(original, asked) == "labels":
            return Converted(notes=["tables of labels, read with their masks"])
        voxels, affine = _read(original.data)
        headers = _series(spec, original, asked)
        stack = _stack(headers)
        mask = on_grid(voxels, affine, stack.grid)
        found = Converted()
        segments = _segments(spec, original, mask, found)
        sources, numbers = _frames(headers, stack, _renumbered(mask, list(segments)))
        digest = hashlib.sha256(original.data).hexdigest()
        series = str(headers[0].SeriesInstanceUID)
        said = Series(
            spec.title,
            spec.algorithm.name or "masks",
            spec.algorithm.version or "1",
            "MASKS",
            asked.uid("series", "masks", series, spec.title),
            asked.uid("instance", "masks", series, digest),
        )
        made = segmentation(sources, numbers, list(segments.values()), spec.algorithm, None, said)
        for keyword, value in asked.header.items():
            if not made.get(keyword):
                setattr(made, keyword, value)
        found.objects.append(made)
        return found


# The file


def _head(data: bytes) -> bytes:
    """The first bytes of what a file holds, unpacked."""
    if not data.startswith(GZIP):
        return data[:544]
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[: 1 << 16], 544)
    except zlib.error:
        return b""


def _is_nifti(head: bytes) -> bool:
    if len(head) < 348:
        return False
    first = head[:4]
    if first in ((348).to_bytes(4, "little"), (348).to_bytes(4, "big")):
        return head[344:348] in (b"n+1\0", b"ni1\0")
    return head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")


def _read(data: bytes) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Whole numbers of a mask by i, j, k, and where they lie in mm (left, back, head)."""
    try:
        import nibabel
    except ImportError as error:
        raise UsageError(
            "NIfTI needs nibabel. Install it with: pip install 'dicomlake[convert]'"
        ) from error
    plain = _unpacked(data)
    kind = nibabel.Nifti1Image if plain[:4] in _FIRST else nibabel.Nifti2Image
    try:
        image = kind.from_bytes(plain)
        coded = int(image.header["sform_code"]) or int(image.header["qform_code"])
        values = np.asanyarray(image.dataobj)
        affine = np.asarray(image.affine, float)
    except Exception as error:
        raise DataError(f"the NIfTI file cannot be read ({type(error).__name__})") from error
    if not coded:
        raise DataError("the file does not say where its voxels lie (no sform and no qform)")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise DataError(f"a mask has three axes; this file has {values.ndim}")
    return _whole(values), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


_FIRST = ((348).to_bytes(4, "little"), (348).to_bytes(4, "big"))


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(GZIP):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            plain = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("the packed file is damaged") from error
    if len(plain) > MOST_BYTES:
        raise DataError("the mask unpacks to too many bytes")
    return plain


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """Labels as whole numbers; DataError for anything between."""
    if values.dtype.kind in "iub":
        found = values
    else:
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            raise DataError("the voxels are no whole numbers: probabilities need a threshold first")
        found = values
    if found.size and (found.min() < 0 or found.max() > 65_535):
        raise DataError("labels are numbers from 0 to 65535")
    return found.astype(np.uint16)


# The series


def _series(spec: _Spec, original: Original, asked: Asked) -> list[Dataset]:
    """Headers of the series that a mask is of; DataError when it cannot be known."""
    keys = {k: v for k, v in asked.header.items() if k in _KEYS} | dict(spec.series)
    if spec.files is not None:
        found = spec.files.search(original.name)
        if found is None:
            raise DataError("its name does not fit 'files' of the mapping")
        keys |= {name: value for name, value in found.groupdict().items() if value}
    if not keys:
        raise DataError(
            "it is not known which series it was drawn on: say it in the mapping, or with "
            "--header SeriesInstanceUID=..."
        )
    if asked.series is None or asked.find is None:
        raise DataError("its series cannot be looked for: name a lake, or --images FOLDER")
    uid = keys.get("SeriesInstanceUID")
    if uid is None:
        uid = _only(asked.find(keys), keys)
    return asked.series(uid)


def _only(found: Sequence[Dataset], keys: Mapping[str, str]) -> str:
    """The one series of pictures that has some attributes."""
    pictures = {str(one.SeriesInstanceUID) for one in found if one.get("Rows")}
    if len(pictures) != 1:
        raise DataError(
            f"{len(pictures)} series of images have its {' and '.join(sorted(keys))}; it has to be "
            "one: name its SeriesInstanceUID"
        )
    return pictures.pop()


def _stack(headers: Sequence[Dataset]) -> Stack:
    reader = plugins.load("readers", "volume")()
    try:
        stack: Stack = reader.geometry([header.to_json_dict() for header in headers])
    except DataError as error:
        raise DataError(f"the series that it was drawn on is no volume: {error}") from error
    return stack


def on_grid(voxels: NDArray[Any], affine: NDArray[np.float64], grid: Grid) -> NDArray[Any]:
    """Voxels by i, j, k in the order slice, row, column of a grid; a view, nothing is resampled.

    `affine`: from i, j, k to mm (left, back, head). DataError with what differs when the voxels
    are not those of the grid.
    """
    mine = np.sort(np.linalg.norm(affine[:3, :3], axis=0))
    theirs = np.sort(np.asarray(grid.spacing))
    wanted = sorted(grid.shape)
    if sorted(voxels.shape) != wanted:
        raise DataError(
            f"the mask has {_times(voxels.shape)} voxels, its series has {_times(grid.shape[::-1])}"
        )
    if np.abs(mine - theirs).max() > 0.01 * theirs.max():
        raise DataError(
            f"voxels of the mask measure {_times(np.round(mine, 3))} mm, those of its series "
            f"{_times(np.round(theirs, 3))} mm"
        )
    to_grid = np.linalg.inv(grid.affine) @ affine
    turned = np.round(to_grid[:3, :3])
    if not _is_permutation(turned) or np.abs(to_grid[:3, :3] - turned).max() > 0.02:
        raise DataError("the mask is tilted against its series; resample it to the series first")
    return _turned(voxels, to_grid, turned, grid)


def _is_permutation(turned: NDArray[np.float64]) -> bool:
    ones = np.abs(turned)
    return bool((ones.sum(axis=0) == 1).all() and (ones.sum(axis=1) == 1).all())


def _turned(
    voxels: NDArray[Any], to_grid: NDArray[np.float64], turned: NDArray[np.float64], grid: Grid
) -> NDArray[Any]:
    """The voxels with their axes in the order of the grid, once all corners lie on its corners."""
    axes = [int(np.argmax(np.abs(turned[row]))) for row in range(3)]  # of column, row, slice
    flips = [bool(turned[row, axis] < 0) for row, axis in enumerate(axes)]
    shape = tuple(voxels.shape[axis] for axis in axes)
    if shape != grid.shape[::-1]:
        raise DataError(
            f"the mask has {_times(shape)} voxels along the axes of its series, which has "
            f"{_times(grid.shape[::-1])}"
        )
    first = np.array([n - 1 if flip else 0 for n, flip in zip(shape, flips, strict=True)], float)
    last = np.array([0 if flip else n - 1 for n, flip in zip(shape, flips, strict=True)], float)
    ends = np.array([voxels.shape[axis] - 1 for axis in range(3)], float)
    off = np.abs(to_grid[:3, 3] - first)
    far = np.abs(to_grid[:3, :3] @ ends + to_grid[:3, 3] - last)
    if max(off.max(), far.max()) > TOLERANCE:
        shift = np.asarray(grid.spacing)[::-1] * np.maximum(off, far)
        raise DataError(
            f"the mask lies {float(np.linalg.norm(shift)):.2f} mm beside the voxels of its series"
        )
    found = voxels.transpose(axes[::-1])
    return found[tuple(slice(None, None, -1 if flip else 1) for flip in flips[::-1])]


def _times(numbers: Any) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _frames(
    headers: Sequence[Dataset], stack: Stack, mask: NDArray[Any]
) -> tuple[list[Dataset], NDArray[Any]]:
    """Headers in the order of the frames, and the planes of the mask in the same order."""
    items = [item for item, *_ in stack.slices]
    if len(set(items)) == len(items):
        sources = [headers[item] for item in items]
        order = list(range(len(items)))
    elif len(set(items)) == 1:
        header = headers[items[0]]
        if int(header.get("NumberOfFrames") or 1) != len(items):
            raise DataError("not all frames of its series are slices of one volume")
        order = sorted(range(len(items)), key=lambda at: stack.slices[at][1])
        told = header.get("PerFrameFunctionalGroupsSequence")
        sources = [header if told else _placed(header, stack.grid, order)]
    else:
        raise DataError("its series has several objects of several frames")
    for header in sources:
        header.setdefault("SliceThickness", stack.grid.spacing[0])
        if not header.get("FrameOfReferenceUID"):
            raise DataError("its series has no FrameOfReferenceUID, which a Segmentation needs")
    return sources, np.ascontiguousarray(mask[order])


def _placed(header: Dataset, grid: Grid, order: Sequence[int]) -> Dataset:
    """A header that says of each frame where it lies: at some slices of a grid."""
    from copy import copy

    across, down, along = (np.asarray(step) for step in grid.steps)
    z, y, x = grid.spacing
    made = copy(header)
    measures = _item(PixelSpacing=[y, x], SliceThickness=z, SpacingBetweenSlices=z)
    directions = _item(ImageOrientationPatient=[*(along / x), *(down / y)])
    made.SharedFunctionalGroupsSequence = [
        _item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[directions])
    ]
    made.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=list(grid.origin + at * across))])
        for at in order
    ]
    return made


def _item(**values: Any) -> Dataset:
    from pydicom import Dataset
    from pydicom.valuerep import DSfloat

    made = Dataset()
    for keyword, value in values.items():
        numbers = not keyword.endswith("Sequence")
        each = value if isinstance(value, list) else [value]
        said = [DSfloat(float(one), auto_format=True) for one in each] if numbers else value
        setattr(made, keyword, said if isinstance(value, list) else said[0])
    return made


# Labels


def _segments(
    spec: _Spec, original: Original, mask: NDArray[Any], found: Converted
) -> dict[int, Segment]:
    """What the values of a mask are; DataError for one that the mapping does not name."""
    there = [int(value) for value in np.unique(mask) if int(value) not in spec.background]
    if not there:
        raise DataError("the mask is empty")
    if spec.named and len(there) == 1 and (label := _label_of(original.name)):
        return {there[0]: segment_of(label)}
    named = _beside(spec, original) if spec.segments is None else spec.segments
    known = {value: named[value] for value in there if value in named}
    strange = [value for value in there if value not in known]
    if strange and not spec.skip_unknown:
        raise DataError(f"the mapping does not name the values {', '.join(map(str, strange[:20]))}")
    if not known:
        raise DataError("the mask has none of the labels of the mapping")
    found.notes += [f"values {value} left out" for value in strange]
    return known


def _beside(spec: _Spec, original: Original) -> dict[int, Segment]:
    """What the table of labels of a mask says."""
    if original.path is None:
        raise DataError("it does not lie in a folder, so no table of labels is beside it")
    table = beside(original.path, _stem(original.name))
    try:
        return dict(_own(table_of(table), spec.names))
    except UsageError as error:
        raise DataError(f"{table.name} has a mistake: {error}") from error


def _stem(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _label_of(name: str) -> str:
    """The label that a file of one structure is called by; "" for none."""
    plain = _stem(name)
    return plain if structures.of(plain).structure or structures.of(plain).code else ""


def _renumbered(mask: NDArray[Any], values: Sequence[int]) -> NDArray[Any]:
    """The same mask with numbers of segments, from 1 on."""
    kind = np.uint8 if len(values) < 256 else np.uint16
    numbers = np.zeros(int(mask.max()) + 1, kind)
    for number, value in enumerate(values, 1):
        numbers[value] = number
    return np.take(numbers, mask)


# The mapping


def _spec(said: Mapping[str, Any]) -> _Spec:
    """A mapping, checked; UsageError names the place of a mistake."""
    for name in said:
        if name not in _TOP:
            raise _wrong("", f"there is no {str(name)!r}; there are {', '.join(sorted(_TOP))}")
    labels, names = said.get("labels", "total"), _names(said.get("names", {}))
    algorithm = _algorithm(said.get("algorithm", {}))
    unknown = said.get("unknown", "refuse")
    if unknown not in ("refuse", "skip"):
        raise _wrong("unknown", f"{unknown!r} is neither refuse nor skip")
    series = said.get("series", {})
    if not isinstance(series, Mapping) or any(k not in _KEYS for k in series):
        raise _wrong("series", f"name one of {', '.join(_KEYS)} with its value")
    return _Spec(
        {str(k): str(v) for k, v in series.items()},
        _pattern(said.get("files")),
        None if labels == BESIDE else _labels(labels, names),
        names,
        isinstance(labels, str) and labels in READY,
        algorithm,
        unknown == "skip",
        _background(said.get("background", [0])),
        str(said.get("title") or f"Masks{f' by {algorithm.name}' if algorithm.name else ''}"),
    )


def _wrong(place: str, what: str) -> UsageError:
    return UsageError(f"The mapping has a mistake{f' at {place}' if place else ''}: {what}.")


def _background(said: Any) -> frozenset[int]:
    if not isinstance(said, list) or not all(isinstance(one, int) for one in said):
        raise _wrong("background", "write a list of numbers, such as [0]")
    return frozenset(said)


def _pattern(said: Any) -> re.Pattern[str] | None:
    if said is None:
        return None
    try:
        found = re.compile(str(said))
    except re.error as error:
        raise _wrong("files", f"{said!r} is no regular expression ({error})") from error
    strange = [name for name in found.groupindex if name not in _KEYS]
    if strange or not found.groupindex:
        raise _wrong("files", f"its groups are to be called by {', '.join(_KEYS)}")
    return found


def _algorithm(said: Any) -> Algorithm:
    if not isinstance(said, Mapping) or set(said) - {"type", "name", "version"}:
        raise _wrong("algorithm", "it has type, name and version")
    kind = str(said.get("type", "AUTOMATIC" if said.get("name") else "MANUAL")).upper()
    if kind not in ALGORITHMS:
        raise _wrong("algorithm.type", f"{kind!r} is none of {', '.join(ALGORITHMS)}")
    name, version = str(said.get("name", "")), str(said.get("version", ""))
    if kind != "MANUAL" and not name:
        raise _wrong("algorithm.name", f"what is {kind} has a name")
    return Algorithm(kind, name, version)


def _names(said: Any) -> dict[str, Segment]:
    """Segments by the names that tables of labels have for them."""
    if not isinstance(said, Mapping):
        raise _wrong("names", "write a table: a name, and what it is")
    return {str(name).casefold(): _segment(f"names.{name}", one, {}) for name, one in said.items()}


def _labels(said: Any, names: Mapping[str, Segment]) -> dict[int, Segment]:
    if isinstance(said, str):
        if said not in READY:
            known = ", ".join((*READY, BESIDE))
            raise _wrong("labels", f"{said!r} is no table; there are {known}, or name its file")
        return {number: segment_of(label) for number, label in structures.numbered(said).items()}
    if not isinstance(said, Mapping) or not said:
        raise _wrong("labels", f"name {' or '.join(READY)}, or write a table of numbers")
    return dict(_own(said, names))


def _own(said: Mapping[Any, Any], names: Mapping[str, Segment]) -> Iterator[tuple[int, Segment]]:
    for number, one in said.items():
        place = f"labels.{number}"
        if not isinstance(number, int) or isinstance(number, bool):
            raise _wrong(place, "labels of masks are whole numbers")
        yield number, _segment(place, one, names)


def _segment(place: str, one: Any, names: Mapping[str, Segment]) -> Segment:
    if isinstance(one, str):
        return names.get(one.casefold()) or segment_of(one)
    if not isinstance(one, Mapping) or set(one) - _LABEL or "what" not in one:
        raise _wrong(place, f"it needs what, and may have {', '.join(sorted(_LABEL))}")
    codes = {name: _code(f"{place}.{name}", one[name]) for name in _LABEL - {"label"}
             if name in one}  # fmt: skip
    return Segment(
        str(one.get("label") or codes["what"].meaning),
        codes["what"],
        codes.get("category", ANATOMY),
        codes.get("laterality"),
        codes.get("region"),
    )


def _code(place: str, said: Any) -> Code:
    if not (isinstance(said, list) and len(said) == 3):
        raise _wrong(place, "write a code as [value, scheme, meaning]")
    value, scheme, meaning = said
    if isinstance(value, bool | float) or not isinstance(value, str | int):
        raise _wrong(place, f"{value!r} is no code; put its value in quotes")
    return Code(str(value).strip(), str(scheme).strip(), str(meaning).strip())
