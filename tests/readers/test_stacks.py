"""Series become volumes with every voxel in its place, or say why they cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest

from dicomlake.contracts.segmenters import Grid, Labels, Volume, measured
from dicomlake.errors import DataError
from dicomlake.readers.stacks import stack_of, volume_of
from dicomlake.testing.dicom import RLE, Fragments, dataset, encode, image, uid
from dicomlake.testing.hospital.phantom import rle
from dicomlake.testing.volumes import Phantom, axial, series
from tests.readers.contents import header_of


class Held(NamedTuple):
    header: dict[str, Any]
    fetch: Any
    size: int


def held(data: bytes) -> Held:
    return Held(header_of(data)[1], lambda at, length: data[at : at + length], len(data))


def read(objects: Sequence[bytes]) -> Volume:
    found = [held(data) for data in objects]
    stack = stack_of([one.header for one in found])
    return volume_of(stack, lambda item: contextlib.nullcontext(found[item]))


def made(grid: Grid | None = None) -> Volume:
    found = Phantom(grid or axial((12, 9, 7), (4, 2, 2.5)))
    found.ellipsoid("body", (3, 2, 1), (8, 8, 20)).ellipsoid("bone", (3, 2, 1), (4, 3, 10))
    return found.volume(noise=40)


def same(one: Volume, other: Volume) -> bool:
    places = [g.place((1, 2, 3)) for g in (one.grid, other.grid)]
    return np.array_equal(one.voxels, other.voxels) and np.allclose(*places, atol=1e-3)


def test_slices_in_no_order_become_the_volume() -> None:
    volume = made()
    assert same(read(series(volume)), Volume(np.maximum(volume.voxels, -1024), volume.grid))


def test_slices_from_head_to_foot_are_turned() -> None:
    volume = made()
    found = read(list(reversed(series(volume))))
    assert found.grid.steps[0] == (0.0, 0.0, 4.0)


def test_other_directions_are_turned_upright() -> None:
    grid = Grid((12, 9, 7), (40, -30, 50), ((-4, 0, 0), (0, 0, -2), (0, 2.5, 0)))
    volume = made(grid)
    found = read(series(volume))
    up = found.upright()
    assert up.grid.shape == (9, 7, 12)
    assert np.allclose(up.grid.steps, [[0, 0, 2], [0, 2.5, 0], [4, 0, 0]])
    for at in ((0, 0, 0), (8, 6, 11), (3, 2, 5)):
        place = up.grid.place(at)
        index = np.linalg.solve(np.asarray(found.grid.steps).T, place - found.grid.origin)
        assert up.voxels[at] == found.voxels[tuple(np.rint(index).astype(int))]


def test_values_are_scaled_and_the_bits_above_them_left_out() -> None:
    volume = made()
    stored = (np.maximum(volume.voxels, -1024) + 1024).astype(np.uint16)
    files = []
    for at, plane in enumerate(stored):
        files.append(
            encode(
                image(
                    SOPInstanceUID=uid("bits", at), Rows=9, Columns=7, PixelSpacing=[2, 2.5],
                    ImagePositionPatient=volume.grid.place((at, 0, 0)).tolist(),
                    RescaleSlope=2, RescaleIntercept=-1000.4, BitsStored=12, HighBit=11,
                    PixelData=plane | 0xF000,
                )
            )
        )  # fmt: skip
    assert np.array_equal(read(files).voxels, np.rint(stored * 2.0 - 1000.4).astype(np.int16))


def test_signed_pixels_of_few_bits_keep_their_sign() -> None:
    values = np.array([[-5, 100], [-2000, 2047]], np.int16)
    files = [
        encode(
            image(
                SOPInstanceUID=uid("signed", at), Rows=2, Columns=2, PixelRepresentation=1,
                RescaleSlope=1, RescaleIntercept=0, ImagePositionPatient=[0, 0, 3 * at],
                PixelData=values & 0xFFF,
            )
        )
        for at in range(3)
    ]  # fmt: skip
    assert np.array_equal(read(files).voxels[1], values)


def test_compressed_pixels_are_decoded() -> None:
    volume = made()
    files = []
    for at in range(12):
        plane = (np.maximum(volume.voxels[at], -1024) + 1024).astype(">u2")
        bytes_of = plane.view(np.uint8).reshape(9, 7, 2)
        files.append(
            encode(
                image(
                    SOPInstanceUID=uid("rle", at), Rows=9, Columns=7, PixelSpacing=[2, 2.5],
                    ImagePositionPatient=volume.grid.place((at, 0, 0)).tolist(),
                    BitsStored=16, HighBit=15, RescaleSlope=1, RescaleIntercept=-1024,
                    PixelData=Fragments((rle(bytes_of),)),
                ),
                RLE,
            )
        )  # fmt: skip
    assert same(read(files), Volume(np.maximum(volume.voxels, -1024), volume.grid))


def test_frames_of_an_enhanced_ct_are_slices() -> None:
    volume = made()
    order = [5, 0, 11, 3, 1, 2, 4, 10, 6, 9, 8, 7]
    scaling = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
    data = encode(
        dataset(
            image(
                SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", Rows=9, Columns=7, NumberOfFrames=12,
                BitsStored=16, HighBit=15, PixelSpacing=..., ImagePositionPatient=...,
                ImageOrientationPatient=..., SliceThickness=...,
                SharedFunctionalGroupsSequence=[{
                    "PixelMeasuresSequence": [{"PixelSpacing": [2, 2.5], "SliceThickness": 4}],
                    "PlaneOrientationSequence": [{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}],
                    "CTImageFrameTypeSequence": [{"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME"]}],
                    "PixelValueTransformationSequence": [scaling],
                }],
                PerFrameFunctionalGroupsSequence=[
                    {"PlanePositionSequence": [
                        {"ImagePositionPatient": volume.grid.place((at, 0, 0)).tolist()}]}
                    for at in order
                ],
                PixelData=(np.maximum(volume.voxels[order], -1024) + 1024).astype(np.uint16),
            )
        )
    )  # fmt: skip
    assert same(read([data]), Volume(np.maximum(volume.voxels, -1024), volume.grid))


def refused(change: Any, count: int = 12) -> str:
    files = []
    for at in range(count):
        place = {"ImagePositionPatient": [0, 0, 3 * at], "SOPInstanceUID": uid("refused", at)}
        files.append(
            encode(image(**{"RescaleSlope": 1, "RescaleIntercept": 0, **place, **change(at)}))
        )
    with pytest.raises(DataError) as error:
        stack_of([held(data).header for data in files])
    return str(error.value)


def shifted(at: int) -> dict[str, Any]:
    return {"ImagePositionPatient": [0, at * 3 * float(np.tan(np.radians(15))), 3 * at]}


CHANGES: dict[str, Any] = {
    "the gantry was tilted: its slices are shifted by 15.0 degrees": shifted,
    "uneven distances": lambda at: {"ImagePositionPatient": [0, 0, 3 * at + (at > 6)]},
    "some are missing": lambda at: {"ImagePositionPatient": [0, 0, 3 * (at + (at > 6))]},
    "lie in one place": lambda at: {"ImagePositionPatient": [0, 0, 3 * (at % 6)]},
    "several directions": lambda at: {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1 if at else 1]},
    "several sizes": lambda at: {"Rows": 4 if at else 2},
    "several pixel spacings": lambda at: {"PixelSpacing": [25, 24 if at else 25]},
    "a localizer": lambda at: {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"][: 3 - at % 2]},
    "derived": lambda at: {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    "not images of one kind": lambda at: {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    "no Hounsfield units": lambda at: {"RescaleType": "US"},
    "where in the patient": lambda at: {"ImagePositionPatient": ...},
    "no pixel spacing": lambda at: {"PixelSpacing": ...},
    "where they lie": lambda at: {"NumberOfFrames": 2},
}


@pytest.mark.parametrize("reason", CHANGES)
def test_what_is_no_volume_says_why(reason: str) -> None:
    assert reason in refused(CHANGES[reason])


def test_one_image_is_no_volume() -> None:
    assert refused(lambda at: {}, 1) == "it has only one image"
    with pytest.raises(DataError, match="no objects"):
        stack_of([])


def test_a_series_that_compression_made_derived_is_read() -> None:
    volume = made()
    files = series(volume, ImageType=["DERIVED", "PRIMARY", "AXIAL"])
    assert same(read(files), Volume(np.maximum(volume.voxels, -1024), volume.grid))


def test_missing_pixels_are_told() -> None:
    files = series(made())
    files[4] = files[4][:-30]
    with pytest.raises(DataError, match="ends before its frames do"):
        read(files)


def test_enhanced_and_single_frames_of_others_agree(corpus_folder: Path) -> None:
    folder = corpus_folder / "QIICR_dcmqi" / "data" / "segmentations" / "ct-3slice"
    files = sorted(folder.glob("*.dcm"))
    volume = read([path.read_bytes() for path in files])
    by_pydicom = sorted(map(pydicom.dcmread, files), key=lambda ds: ds.ImagePositionPatient[2])
    for plane, ds in zip(volume.voxels, by_pydicom, strict=True):
        assert np.array_equal(plane, ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept)


# What is measured of labels


def test_structures_are_measured_in_the_patient() -> None:
    grid = Grid((6, 8, 10), (100, 200, 300), ((0, 0, 5), (0, 2, 0), (3, 0, 0)))
    voxels = np.zeros(grid.shape, np.uint8)
    voxels[2:4, 3:5, 4:8] = 1
    voxels[0, 3, 4] = 2
    voxels[3, 3, 0] = 3
    values = np.arange(voxels.size).reshape(grid.shape)
    labels = Labels(voxels, grid, {"a": (1,), "b": (2,), "none": (4,), "all": (1, 2, 3)}, values)
    found = {one.label: one for one in measured(labels)}
    assert set(found) == {"a", "b", "all"}
    assert found["a"].volume == pytest.approx(16 * 0.03)
    assert found["a"].intensity == pytest.approx(values[voxels == 1].mean())
    assert found["a"].box == (110.5, 205, 307.5, 122.5, 209, 317.5)
    assert found["all"].voxels == 18
    assert (found["a"].complete, found["b"].complete, found["all"].complete) == (True, False, False)


@pytest.mark.parametrize(("first", "complete"), [(0, False), (1, False), (2, False), (3, True)])
def test_what_comes_within_three_mm_of_the_border_is_cut_off(first: int, complete: bool) -> None:
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[first:10, 5:10, 5:10] = 1
    grid = Grid((20, 20, 20), (0, 0, 0), ((0, 0, 1), (0, 1, 0), (1, 0, 0)))
    (one,) = measured(Labels(voxels, grid, {"a": (1,)}, voxels))
    assert one.complete == complete


def test_the_border_is_that_of_the_scan_and_not_of_a_cut_out() -> None:
    scanned = Grid((40, 40, 40), (0, 0, 0), ((0, 0, 2), (0, 2, 0), (2, 0, 0)))
    part = Grid((5, 5, 5), (20, 20, 20), ((0, 0, 2), (0, 2, 0), (2, 0, 0)))
    voxels = np.ones((5, 5, 5), np.uint8)
    assert measured(Labels(voxels, part, {"a": (1,)}, voxels, scanned))[0].complete
    assert not measured(Labels(voxels, part, {"a": (1,)}, voxels))[0].complete
