"""Ranges of Hounsfield units find what is known to be there, to ten percent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dicomlake.contracts.segmenters import Measured, Volume, measured
from dicomlake.errors import DataError, UsageError
from dicomlake.segmenters.hounsfield import HounsfieldSegmenter
from dicomlake.testing.segmenters import SegmenterContract, stack_of
from dicomlake.testing.volumes import Phantom, axial, chest


class TestHounsfield(SegmenterContract):
    @pytest.fixture
    def segmenter(self) -> HounsfieldSegmenter:
        return HounsfieldSegmenter()


def found(volume: Volume) -> dict[str, Measured]:
    return {one.label: one for one in measured(HounsfieldSegmenter().segment(volume))}


def body_of(truth: Mapping[str, float]) -> float:
    return sum(ml for name, ml in truth.items() if name not in ("outside", "table"))


@pytest.mark.parametrize("noise", [0, 30])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((100, 180, 240), (3, 1.5, 1.5)),
        ((60, 90, 120), (5, 3, 3)),
        ((240, 300, 410), (1.25, 0.9, 0.9)),
    ],
)
def test_volumes_of_a_chest_are_right(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], noise: float
) -> None:
    made = chest(axial(shape, spacing))
    truth, said = made.truth, found(made.volume(noise=noise))
    assert set(said) == {"body", "lung_left", "lung_right", "bone", "air", "fat"}
    assert said["body"].volume == pytest.approx(body_of(truth), rel=0.03)
    for name in ("bone", "fat"):
        assert said[name].volume == pytest.approx(truth[name], rel=0.1), name
    assert said["air"].volume == pytest.approx(truth["air"] + truth["airway"], rel=0.3)
    for name in ("lung_left", "lung_right"):
        assert said[name].volume == pytest.approx(truth[name], rel=0.03), name
        assert said[name].intensity == pytest.approx(-850, abs=25)
        assert said[name].complete, "the windpipe leaves the picture, the lung does not"
    assert said["fat"].intensity == pytest.approx(-100, abs=10)
    assert said["lung_left"].box[0] > -3 > said["lung_right"].box[0]
    assert not said["body"].complete


def test_what_lies_in_the_middle_is_complete_and_in_its_place() -> None:
    made = Phantom(axial((80, 100, 120), (4, 3, 3)))
    made.ellipsoid("body", (0, 0, 0), (150, 110, 130))
    made.ellipsoid("bone", (40, -20, 30), (30, 30, 30))
    said = found(made.volume())
    assert said["body"].complete
    assert said["bone"].complete
    assert said["bone"].box == pytest.approx([10, -50, 0, 70, 10, 60], abs=4)


def test_one_lung_has_a_side_only_when_it_lies_on_one() -> None:
    for x, label in ((70, "lung_left"), (-70, "lung_right"), (0, "lung")):
        made = Phantom(axial((60, 90, 120), (5, 3, 3)))
        made.ellipsoid("body", (0, 0, 0), (150, 110, float("inf")))
        made.ellipsoid("lung_left", (x, 0, 0), (50, 60, 80))
        said = found(made.volume())
        assert set(said) == {"body", label}
        assert said[label].volume == pytest.approx(made.truth["lung_left"], rel=0.05)


def test_much_gas_is_no_lung() -> None:
    made = Phantom(axial((60, 90, 120), (5, 3, 3)))
    made.ellipsoid("body", (0, 0, 0), (150, 110, float("inf")))
    made.ellipsoid("air", (50, 0, 0), (45, 45, 100))
    said = found(made.volume(noise=20))
    assert set(said) == {"body", "air"}
    assert said["air"].volume == pytest.approx(made.truth["air"], rel=0.1)


def test_contrast_that_is_never_dense_is_no_bone() -> None:
    made = Phantom(axial((60, 90, 120), (5, 3, 3)))
    made.ellipsoid("body", (0, 0, 0), (150, 110, float("inf")))
    made.ellipsoid("vessel", (0, 0, 0), (20, 20, 100))
    values = {"outside": -1000.0, "body": 40.0, "vessel": 300.0}
    assert set(found(made.volume(values))) == {"body"}


def test_nothing_but_air_is_refused() -> None:
    volume = Phantom(axial((10, 20, 20))).volume()
    with pytest.raises(DataError, match="nothing but air"):
        HounsfieldSegmenter().segment(volume)


def test_refusals_and_options_say_why() -> None:
    segmenter = HounsfieldSegmenter()
    volume = Phantom(axial((2, 20, 20))).volume()
    assert segmenter.refuses(stack_of(volume, "MR")) == "it is no CT in Hounsfield units"
    assert segmenter.refuses(stack_of(volume)) == "it has fewer than 3 slices"
    with pytest.raises(UsageError, match="no option 'task'"):
        HounsfieldSegmenter({"task": "total"})


def test_a_real_chest_looks_like_one(corpus_folder: Path) -> None:
    from tests.readers.test_stacks import read

    folder = corpus_folder / "QIICR_dcmqi" / "data" / "segmentations" / "ct-3slice"
    volume = read([path.read_bytes() for path in sorted(folder.glob("*.dcm"))])
    assert volume.grid.spacing == pytest.approx((1.0, 0.8105, 0.8105))
    said = found(volume)
    per_mm = {name: one.volume / 3 for name, one in said.items()}  # cm2 of a cut
    assert 700 < per_mm["body"] * 10 < 1100
    assert 60 < per_mm["lung_left"] * 10 < 110
    assert 60 < per_mm["lung_right"] * 10 < 110
    assert said["lung_right"].box[3] < said["lung_left"].box[0]
    assert 150 < per_mm["fat"] * 10 < 450
    assert 5 < per_mm["bone"] * 10 < 60
    assert -880 < said["lung_left"].intensity < -700
    assert -110 < said["fat"].intensity < -70
    assert not any(one.complete for name, one in said.items() if name != "air")


def test_the_largest_series_fits_into_memory_as_blocks() -> None:
    labels = HounsfieldSegmenter().segment(chest(axial((260, 256, 256), (0.6, 0.8, 0.8))).volume())
    assert labels.grid.spacing == pytest.approx((1.8, 1.6, 1.6))
    assert labels.voxels.dtype == np.uint8
