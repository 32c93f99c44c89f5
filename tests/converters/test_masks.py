"""Masks in NIfTI files as Segmentations: the same voxels, codes, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array

from dicomlake.contracts.converters import Asked, Original
from dicomlake.contracts.segmenters import Grid
from dicomlake.converters.masks import MasksConverter, on_grid
from dicomlake.errors import DataError, UsageError
from dicomlake.testing.dicom import encode, image, uid

SERIES = uid("masks", "series")
ROWS, COLUMNS, SLICES = 6, 8, 5
SPACING = (2.5, 0.5, 0.75)
"""Of slices, rows, columns."""
LIVER = ["10200004", "SCT", "Liver"]
MAPPING = {
    "converter": "masks",
    "labels": {1: {"label": "liver", "what": LIVER}, 3: "spleen"},
    "algorithm": {"type": "SEMIAUTOMATIC", "name": "brush", "version": "2"},
}


def series(orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> list[Any]:
    """Headers of a CT series, the last slice first."""
    normal = np.cross(orientation[:3], orientation[3:])
    found = []
    for number in reversed(range(SLICES)):
        position = np.array([-10.0, 20.0, 30.0]) + normal * number * SPACING[0]
        data = encode(
            image(
                SOPInstanceUID=uid("masks", number),
                SeriesInstanceUID=SERIES,
                InstanceNumber=number + 1,
                Rows=ROWS,
                Columns=COLUMNS,
                PixelSpacing=list(SPACING[1:]),
                SliceThickness=SPACING[0],
                ImagePositionPatient=[float(v) for v in position],
                ImageOrientationPatient=list(orientation),
                SliceLocation=...,
                PixelData=np.zeros((ROWS, COLUMNS), np.uint16),
            )
        )
        found.append(dcmread(io.BytesIO(data), stop_before_pixels=True))
    return found


def affine(orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> np.ndarray:
    """From i (column), j (row), k (slice) of the series to RAS."""
    x, y = np.array(orientation[:3]), np.array(orientation[3:])
    found = np.eye(4)
    found[:3, 0], found[:3, 1] = x * SPACING[2], y * SPACING[1]
    found[:3, 2] = np.cross(x, y) * SPACING[0]
    found[:3, 3] = -10.0, 20.0, 30.0
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ found


def truth() -> np.ndarray:
    """A label map by slice, row, column: two structures, no symmetry."""
    found = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    found[1, 1:4, 2:7] = 1
    found[2, 1:3, 2] = 1
    found[3, 4, 0:3] = 3
    found[4, 5, 7] = 3
    return found


def nifti(voxels: np.ndarray, place: np.ndarray, kind: Any = nibabel.Nifti1Image) -> bytes:
    """A file of voxels by i, j, k."""
    return kind(voxels, place).to_bytes()


def turned(flips: str = "") -> bytes:
    """The truth as a file whose axes run the other way."""
    voxels, place = truth().transpose(2, 1, 0), affine()
    for axis, name in enumerate("ijk"):
        if name in flips:
            voxels = np.flip(voxels, axis)
            end = np.zeros(3)
            end[axis] = voxels.shape[axis] - 1
            place[:3, 3] += place[:3, :3] @ end
            place[:3, axis] *= -1
    return nifti(np.ascontiguousarray(voxels), place)


@pytest.fixture
def asked(ask: Callable[..., Asked]) -> Callable[..., Asked]:
    def made(mapping: dict[str, Any] | None = None, **more: Any) -> Asked:
        headers = more.pop("headers", None) or series()
        return ask(
            {**MAPPING, "series": {"SeriesInstanceUID": SERIES}, **(mapping or {})},
            series=lambda uid: headers,
            find=lambda keys: headers[:1],
            **more,
        )

    return made


def decoded(seg: Any) -> np.ndarray:
    """Numbers of segments by slice, row and column, from the frames and what they say."""
    file = io.BytesIO()
    seg.save_as(file, enforce_file_format=True)
    file.seek(0)
    found = dcmread(file)
    frames = pixel_array(found).reshape(-1, ROWS, COLUMNS)
    whole = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    for frame, said in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        shared = found.SharedFunctionalGroupsSequence[0]
        which = said if "SegmentIdentificationSequence" in said else shared
        number = which.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = said.PlanePositionSequence[0].ImagePositionPatient
        at = round((float(position[2]) - 30.0) / SPACING[0])
        source = said.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == uid("masks", at)
        whole[at][frame > 0] = number
    return whole


@pytest.mark.parametrize("flips", ["", "j", "ij", "k", "ijk"])
def test_the_voxels_are_the_same_whatever_way_the_axes_run(asked, flips: str) -> None:
    found = MasksConverter().convert(Original("m.nii", turned(flips)), asked())
    (seg,) = found.objects
    assert (decoded(seg) == np.where(truth() == 3, 2, truth())).all()


def test_axes_in_another_order(asked) -> None:
    voxels = np.ascontiguousarray(truth().transpose(2, 1, 0).transpose(2, 0, 1))
    place = affine()[:, [2, 0, 1, 3]]
    found = MasksConverter().convert(Original("m.nii", nifti(voxels, place)), asked())
    assert (decoded(found.objects[0]) > 0).sum() == (truth() > 0).sum()
    assert (decoded(found.objects[0]) == np.where(truth() == 3, 2, truth())).all()


def test_segments_have_codes_and_who_made_them(asked) -> None:
    (seg,) = MasksConverter().convert(Original("m.nii", turned()), asked()).objects
    liver, spleen = seg.SegmentSequence
    assert liver.SegmentLabel == "liver"
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert spleen.SegmentedPropertyTypeCodeSequence[0].CodeValue == "78961009"
    assert liver.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert liver.SegmentAlgorithmName == "brush"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    assert seg.PatientID == "P1"
    assert seg.StudyInstanceUID == series()[0].StudyInstanceUID


def test_it_is_valid(asked, faults) -> None:
    (seg,) = MasksConverter().convert(Original("m.nii", turned("j")), asked()).objects
    assert faults(seg) == []
    manual = {"algorithm": {"type": "MANUAL"}}
    (seg,) = MasksConverter().convert(Original("m.nii", turned("j")), asked(manual)).objects
    assert faults(seg) == []


def test_a_second_time_the_uids_are_the_same(asked) -> None:
    one, other = (
        MasksConverter().convert(Original(name, turned()), asked()).objects[0]
        for name in ("a.nii", "b.nii")
    )
    assert one.SOPInstanceUID == other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    (third,) = MasksConverter().convert(Original("a.nii", turned("i")), asked()).objects
    assert third.SOPInstanceUID != one.SOPInstanceUID


def test_packed_and_nifti_2(asked) -> None:
    import gzip

    voxels = np.ascontiguousarray(truth().transpose(2, 1, 0))
    data = gzip.compress(nifti(voxels, affine(), nibabel.Nifti2Image))
    assert MasksConverter().format_of(Original("m", data), asked()) == "nifti"
    (seg,) = MasksConverter().convert(Original("m.nii.gz", data), asked()).objects
    assert (decoded(seg) > 0).sum() == (truth() > 0).sum()
    assert (
        MasksConverter().format_of(Original("m.nii.gz", gzip.compress(b"x" * 999)), asked()) == ""
    )
    with pytest.raises(DataError, match="damaged"):
        MasksConverter().convert(Original("m.nii.gz", data[:-20]), asked())


def test_numbers_of_totalsegmentator(asked) -> None:
    (seg,) = (
        MasksConverter()
        .convert(Original("m.nii", turned()), asked({"labels": "total", "title": "Organs"}))
        .objects
    )
    codes = [s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in seg.SegmentSequence]
    assert codes == ["Spleen", "Kidney"]
    side = seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0]
    assert side.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"


def test_a_file_of_one_structure_is_called_by_it(asked) -> None:
    voxels = (truth() == 1).astype(np.uint8).transpose(2, 1, 0)
    data = nifti(np.ascontiguousarray(voxels), affine())
    (seg,) = (
        MasksConverter()
        .convert(Original("pancreas.nii.gz", data), asked({"labels": "total"}))
        .objects
    )
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Pancreas"


def test_the_series_by_the_name_of_the_file(ask) -> None:
    seen: list[str] = []

    def find(wanted: str) -> list[Any]:
        seen.append(wanted)
        return series()

    mapping = {**MAPPING, "files": r"^(?P<SeriesInstanceUID>[0-9.]+)_"}
    asked = ask(mapping, series=find, find=lambda keys: [])
    MasksConverter().convert(Original(f"{SERIES}_liver.nii", turned()), asked)
    assert seen == [SERIES]
    with pytest.raises(DataError, match="'files'"):
        MasksConverter().convert(Original("liver.nii", turned()), asked)


class TestRefused:
    """Nothing is resampled, guessed or dropped: the reason is told instead."""

    def refused(self, asked: Asked, data: bytes) -> str:
        with pytest.raises(DataError) as error:
            MasksConverter().convert(Original("m.nii", data), asked)
        return str(error.value)

    def test_another_number_of_voxels(self, asked) -> None:
        voxels = np.ones((COLUMNS, ROWS, SLICES + 1), np.uint8)
        why = self.refused(asked(), nifti(voxels, affine()))
        assert why == "the mask has 8 x 6 x 6 voxels, its series has 8 x 6 x 5"

    def test_voxels_of_another_size(self, asked) -> None:
        place = affine()
        place[:3, 0] *= 2
        voxels = np.ones((COLUMNS, ROWS, SLICES), np.uint8)
        assert "measure" in self.refused(asked(), nifti(voxels, place))

    def test_beside_the_series(self, asked) -> None:
        place = affine()
        place[0, 3] += SPACING[2]
        voxels = np.ones((COLUMNS, ROWS, SLICES), np.uint8)
        assert "0.75 mm beside" in self.refused(asked(), nifti(voxels, place))

    def test_tilted(self, asked) -> None:
        turn = np.eye(4)
        turn[1:3, 1:3] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
        voxels = np.ones((COLUMNS, ROWS, SLICES), np.uint8)
        assert "tilted" in self.refused(asked(), nifti(voxels, turn @ affine()))

    def test_probabilities(self, asked) -> None:
        voxels = np.full((COLUMNS, ROWS, SLICES), 0.5, np.float32)
        assert "threshold" in self.refused(asked(), nifti(voxels, affine()))

    def test_nothing_in_it(self, asked) -> None:
        voxels = np.zeros((COLUMNS, ROWS, SLICES), np.uint8)
        assert self.refused(asked(), nifti(voxels, affine())) == "the mask is empty"

    def test_values_without_a_name(self, asked) -> None:
        labels = {"labels": {1: "liver"}}
        assert "values 3" in self.refused(asked(labels), turned())
        found = MasksConverter().convert(
            Original("m.nii", turned()), asked({**labels, "unknown": "skip"})
        )
        assert found.notes == ["values 3 left out"]
        assert (decoded(found.objects[0]) == (truth() == 1)).all()

    def test_no_place(self, asked) -> None:
        image_ = nibabel.Nifti1Image(truth().transpose(2, 1, 0), None)
        image_.header["sform_code"] = image_.header["qform_code"] = 0
        assert "where its voxels lie" in self.refused(asked(), image_.to_bytes())

    def test_no_series(self, ask) -> None:
        assert "which series" in self.refused(ask(MAPPING), turned())

    def test_a_series_that_is_no_volume(self, asked) -> None:
        headers = series()
        del headers[2]
        assert "no volume" in self.refused(asked(headers=headers), turned())

    @pytest.mark.parametrize(
        ("mapping", "place"),
        [
            ({"labls": {}}, "labls"),
            ({"labels": {"a": "liver"}}, "labels.a"),
            ({"labels": {1: {"what": ["1", "SCT"]}}}, "labels.1.what"),
            ({"labels": "mine"}, "labels"),
            ({"algorithm": {"type": "AI"}}, "algorithm.type"),
            ({"files": "("}, "files"),
            ({"files": "x"}, "files"),
        ],
    )
    def test_a_mapping_with_a_mistake(self, asked, mapping, place) -> None:
        with pytest.raises(UsageError, match=place.replace(".", r"\.")):
            MasksConverter().convert(Original("m.nii", turned()), asked(mapping))


def test_oblique_series(asked) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    way = (c, s, 0.0, -s * c, c * c, s)
    headers = series(way)
    voxels = np.ascontiguousarray(truth().transpose(2, 1, 0))
    found = MasksConverter().convert(
        Original("m.nii", nifti(voxels, affine(way))), asked(headers=headers)
    )
    assert sum(pixel_array_count(found.objects[0])) == (truth() > 0).sum()


def pixel_array_count(seg: Any) -> list[int]:
    return [int(frame.sum()) for frame in seg.pixel_array.reshape(-1, ROWS, COLUMNS)]


def test_nothing_is_copied_where_axes_are_only_turned() -> None:
    grid = Grid((2, 3, 4), (0, 0, 0), ((0, 0, 5), (0, 1, 0), (1, 0, 0)))
    voxels = np.arange(24).reshape(4, 3, 2)
    found = on_grid(voxels, grid.affine, grid)
    assert np.shares_memory(found, voxels)
    assert found.shape == (2, 3, 4)
