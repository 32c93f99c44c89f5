"""Masks converted into a lake: measured and asked like any other segmentation."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from dicomlake.api import open as open_lake
from dicomlake.converters.masks import MasksConverter
from dicomlake.jobs.converting import convert
from dicomlake.jobs.volumes import volumes
from dicomlake.lake import Store
from dicomlake.testing.dicom import uid
from tests.jobs.made import healthy, put, run, slice_of

MAPPING = {
    "converter": "masks",
    "labels": {1: "liver", 2: "spleen"},
    "algorithm": {"type": "AUTOMATIC", "name": "brush", "version": "2"},
}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for number in range(4):
        put(tmp_path / "files", f"{number}.dcm", slice_of(1, number, SliceThickness=2.5))
    run(tmp_path / "files", tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    voxels = np.zeros((4, 4, 4), np.uint8)
    voxels[1:3, 1:3, 0] = 1
    voxels[0, 0, 1:] = 2
    place = np.diag([-25.0, -25.0, 2.5, 1.0])
    place[:3, 3] = 50, 50, 0
    path = tmp_path / "in" / f"{uid('series', 1)}.nii.gz"
    path.parent.mkdir()
    nibabel.Nifti1Image(voxels, place).to_filename(path)
    return path


def test_a_mask_is_measured_and_asked(lake: Path, mask: Path) -> None:
    said = {**MAPPING, "files": r"(?P<SeriesInstanceUID>[0-9.]+[0-9])\.nii"}
    report = convert(mask, lake=lake, mapping=said, converters=[MasksConverter()])
    assert (report.converted, report.objects, dict(report.refused)) == (1, 1, {})
    volumes(lake)
    rows = {row["label"]: row for row in Store(lake).read("segments").to_pylist()}
    voxel_ml = 25 * 25 * 2.5 / 1000
    assert rows["liver"]["volume"] == pytest.approx(4 * voxel_ml, rel=1e-6)
    assert rows["spleen"]["volume"] == pytest.approx(3 * voxel_ml, rel=1e-6)
    both = "Modality = 'SEG' and PatientID = 'P1'"
    assert open_lake(lake).query(both).total == 1
    organ = "same(segment, segment.type within SCT:10200004 and segment.volume > 6 mL)"
    assert open_lake(lake).query(organ, level="study").total == 1
    healthy(lake)


def test_a_series_that_is_not_there(lake: Path, mask: Path) -> None:
    said = {**MAPPING, "series": {"SeriesInstanceUID": "1.2.3"}}
    report = convert(mask, lake=lake, mapping=said, converters=[MasksConverter()])
    assert list(report.refused) == [
        "The lake has no series with SeriesInstanceUID 1.2.3; index it first."
    ]


def test_by_an_attribute_that_all_files_share(lake: Path, mask: Path) -> None:
    report = convert(mask, lake=lake, mapping=MAPPING, header={"AccessionNumber": "A1"},
                     converters=[MasksConverter()])  # fmt: skip
    assert report.objects == 1
