"""Masks on series of all kinds and directions: every voxel of a label at the same mm again."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array

from dicomlake.contracts.converters import Asked, Original
from dicomlake.converters.masks import MasksConverter
from dicomlake.errors import DataError
from dicomlake.testing.dicom import encode, image, uid

ROWS, COLUMNS, SLICES = 6, 8, 5
SPACING = (2.5, 0.5, 0.75)
"""Of slices, rows, columns."""
START = np.array([-10.0, 20.0, 30.0])
STORAGE = "1.2.840.10008.5.1.4.1.1"
SINGLE = {"CT": "2", "MR": "4", "PT": "128"}
ENHANCED = {"CT": "2.1", "MR": "4.1", "PT": "130"}
DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0.0, -0.36, 0.48, 0.8),
    "mirrored": (-0.8, -0.6, 0.0, -0.36, 0.48, 0.8),
}


def normal(along: tuple[float, ...]) -> np.ndarray:
    return np.cross(along[:3], along[3:])


def position(along: tuple[float, ...], at: int) -> list[float]:
    return [round(float(v), 6) for v in START + normal(along) * at * SPACING[0]]


def single(modality: str, along: tuple[float, ...], first: int = 0) -> list[Dataset]:
    """Headers of an object for each slice, the last one first."""
    found = []
    for number in reversed(range(first, SLICES)):
        data = image(
            SOPClassUID=f"{STORAGE}.{SINGLE[modality]}",
            Modality=modality,
            SOPInstanceUID=uid("places", number),
            SeriesInstanceUID=uid("places"),
            InstanceNumber=number + 1,
            Rows=ROWS,
            Columns=COLUMNS,
            PixelSpacing=list(SPACING[1:]),
            SliceThickness=SPACING[0],
            ImagePositionPatient=position(along, number),
            ImageOrientationPatient=[float(v) for v in along],
            ImageType=["DERIVED", "PRIMARY", "REFORMATTED"],
            SliceLocation=...,
            PixelData=np.zeros((ROWS, COLUMNS), np.uint16),
        )
        found.append(dcmread(io.BytesIO(encode(data)), stop_before_pixels=True))
    return found


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def enhanced(modality: str, along: tuple[float, ...]) -> list[Dataset]:
    """One object with functional groups, the last slice first."""
    slices = single("CT", along)
    made = copy.deepcopy(slices[0])
    made.SOPClassUID = f"{STORAGE}.{ENHANCED[modality]}"
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.Modality, made.NumberOfFrames = modality, SLICES
    measures = item(PixelSpacing=list(SPACING[1:]), SliceThickness=SPACING[0])
    plane = item(ImageOrientationPatient=slices[0].ImageOrientationPatient)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(made, keyword)
    made.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[plane])
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=one.ImagePositionPatient)])
        for one in slices
    ]
    return [made]


def nuclear(along: tuple[float, ...], step: float = SPACING[0]) -> list[Dataset]:
    """A reconstruction of NM: its detector says where the first slice lies."""
    made = copy.deepcopy(single("CT", along)[0])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = f"{STORAGE}.20"
    made.Modality, made.NumberOfFrames = "NM", SLICES
    made.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    first = 0 if step > 0 else SLICES - 1
    made.DetectorInformationSequence = [
        item(
            ImagePositionPatient=position(along, first),
            ImageOrientationPatient=[float(v) for v in along],
        )
    ]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        delattr(made, keyword)
    made.SpacingBetweenSlices = step
    made.SliceVector = list(range(1, SLICES + 1))
    return [made]


def truth() -> np.ndarray:
    """A label map by column, row, slice: two structures, no symmetry."""
    found = np.zeros((COLUMNS, ROWS, SLICES), np.uint8)
    found[2:7, 1:4, 1], found[2, 1:3, 2] = 1, 1
    found[0:3, 4, 3], found[7, 5, 4], found[0, 0, 0] = 3, 3, 3
    return found


def nifti(along: tuple[float, ...], axes: tuple[int, int, int], flips: str) -> bytes:
    """The truth in a file whose axes run in another order and direction."""
    place = np.eye(4)
    place[:3, 0], place[:3, 1] = (
        np.multiply(along[:3], SPACING[2]),
        np.multiply(along[3:], SPACING[1]),
    )
    place[:3, 2], place[:3, 3] = normal(along) * SPACING[0], START
    voxels = truth().transpose(axes)
    place[:3, :3] = place[:3, :3][:, axes]
    for axis in map("ijk".index, flips):
        voxels = np.flip(voxels, axis)
        place[:3, 3] += place[:3, axis] * (voxels.shape[axis] - 1)
        place[:3, axis] *= -1
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ place
    return nibabel.Nifti1Image(np.ascontiguousarray(voxels), ras).to_bytes()


def places_of_nifti(data: bytes) -> dict[int, list[tuple[float, ...]]]:
    """Where the voxels of each label lie in mm (left, back, head), by the file alone."""
    file = nibabel.Nifti1Image.from_bytes(data)
    voxels = np.asanyarray(file.dataobj)
    found = {}
    for value in (1, 3):
        at = np.argwhere(voxels == value)
        mm = nibabel.affines.apply_affine(file.affine, at) * (-1, -1, 1)
        found[value] = sorted(map(tuple, np.round(mm, 2) + 0.0))
    return found


def places_of_seg(seg: Dataset) -> dict[int, list[tuple[float, ...]]]:
    """The same by what a Segmentation says of its frames (PS3.3 C.7.6.2.1.1)."""
    file = io.BytesIO()
    seg.save_as(file, enforce_file_format=True)
    file.seek(0)
    said = dcmread(file)
    shared = said.SharedFunctionalGroupsSequence[0]
    found: dict[int, list[tuple[float, ...]]] = {1: [], 3: []}
    frames = pixel_array(said).reshape(-1, ROWS, COLUMNS)
    for frame, own in zip(frames, said.PerFrameFunctionalGroupsSequence, strict=True):

        def of(name: str, own: Dataset = own) -> Dataset:
            return (own if name in own else shared)[name][0]

        start = np.array(of("PlanePositionSequence").ImagePositionPatient, float)
        along = np.array(of("PlaneOrientationSequence").ImageOrientationPatient, float)
        down, across = map(float, of("PixelMeasuresSequence").PixelSpacing)
        number = {1: 1, 2: 3}[of("SegmentIdentificationSequence").ReferencedSegmentNumber]
        for row, column in np.argwhere(frame):
            mm = start + along[:3] * across * column + along[3:] * down * row
            found[number].append(tuple(np.round(mm, 2) + 0.0))
    return {number: sorted(places) for number, places in found.items()}


@pytest.fixture
def converted(ask: Callable[..., Asked]) -> Callable[[bytes, list[Dataset]], Dataset]:
    def made(data: bytes, headers: list[Dataset]) -> Dataset:
        said = {"converter": "masks", "series": {"SeriesInstanceUID": uid("places")},
                "labels": {1: "liver", 3: "spleen"}}  # fmt: skip
        asked = ask(said, series=lambda _: headers, find=lambda _: headers[:1])
        return MasksConverter().convert(Original("m.nii", data), asked).objects[0]

    return made


ORDERS = [((0, 1, 2), ""), ((0, 1, 2), "ij"), ((2, 0, 1), "k"), ((1, 2, 0), "ijk")]


@pytest.mark.parametrize("along", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_in_every_direction(converted, along, axes, flips) -> None:
    data = nifti(along, axes, flips)
    assert places_of_seg(converted(data, single("CT", along))) == places_of_nifti(data)


@pytest.mark.parametrize("along", [DIRECTIONS["axial"], DIRECTIONS["mirrored"]])
@pytest.mark.parametrize(
    "headers",
    [
        lambda along: single("MR", along),
        lambda along: single("PT", along),
        lambda along: enhanced("CT", along),
        lambda along: enhanced("MR", along),
        lambda along: enhanced("PT", along),
        nuclear,
        lambda along: nuclear(along, -SPACING[0]),
    ],
    ids=["MR", "PT", "CT enhanced", "MR enhanced", "PT enhanced", "NM", "NM downwards"],
)
def test_on_every_kind(converted, along, headers) -> None:
    data = nifti(along, (1, 2, 0), "j")
    assert places_of_seg(converted(data, headers(along))) == places_of_nifti(data)


@pytest.mark.parametrize(
    "headers",
    [lambda: single("PT", DIRECTIONS["oblique"]), lambda: enhanced("PT", DIRECTIONS["axial"]),
     lambda: nuclear(DIRECTIONS["axial"])],
    ids=["PT", "PT enhanced", "NM"],
)  # fmt: skip
def test_it_is_valid(converted, faults, headers) -> None:
    along = DIRECTIONS["oblique" if headers().__len__() > 1 else "axial"]
    assert faults(converted(nifti(along, (0, 1, 2), ""), headers())) == []


def test_what_is_no_reconstruction_is_refused(converted) -> None:
    headers = nuclear(DIRECTIONS["axial"])
    headers[0].ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    with pytest.raises(DataError, match="no reconstruction of slices"):
        converted(nifti(DIRECTIONS["axial"], (0, 1, 2), ""), headers)


def test_frames_that_differ_in_time_are_refused(converted) -> None:
    headers = nuclear(DIRECTIONS["axial"])
    headers[0].TimeSlotVector = [1, 1, 1, 2, 2]
    with pytest.raises(DataError, match="more than their slice"):
        converted(nifti(DIRECTIONS["axial"], (0, 1, 2), ""), headers)
