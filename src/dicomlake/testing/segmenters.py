"""What every segmenter must keep to, on a made-up chest.

class TestMine(SegmenterContract):
    @pytest.fixture
    def segmenter(self):
        return MySegmenter({})

    takes = "CT"
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dicomlake.contracts.segmenters import Grid, Labels, Segmenter, Stack, Volume, measured
from dicomlake.testing.volumes import axial, chest


def stack_of(volume: Volume, Modality: str = "CT") -> Stack:
    """What the headers of a volume would say."""
    slices = tuple((at, 1, 1.0, -1024.0) for at in range(volume.grid.shape[0]))
    unit = "HU" if Modality == "CT" else ""
    return Stack(volume.grid, slices, Modality, ("ORIGINAL", "PRIMARY", "AXIAL"), unit)


class SegmenterContract:
    """Subclass it with a fixture `segmenter`; `takes`: a modality that it takes."""

    takes = "CT"

    def volume(self) -> Volume:
        """A volume of axial slices in which it finds something: a chest, unless overridden."""
        return chest(axial((60, 90, 120), (5, 3, 3))).volume()

    def _labels(self, segmenter: Segmenter) -> tuple[Volume, Labels]:
        volume = self.volume()
        return volume, segmenter.segment(volume)

    def test_it_says_what_it_is(self, segmenter: Segmenter) -> None:
        """Names, version, model and labels are there, and nothing is missing."""
        assert segmenter.name
        assert segmenter.version
        assert segmenter.model()
        assert segmenter.labels()
        assert segmenter.missing() == ""
        assert self.takes in segmenter.modalities

    def test_it_takes_its_modalities_and_no_others(self, segmenter: Segmenter) -> None:
        """It refuses in words what it cannot do, before a pixel is read."""
        volume = self.volume()
        assert segmenter.refuses(stack_of(volume, self.takes)) == ""
        assert len(segmenter.refuses(stack_of(volume, "US")).split()) > 2
        single = stack_of(volume, self.takes)
        single = replace(single, grid=replace(single.grid, shape=(1, *single.grid.shape[1:])))
        assert len(segmenter.refuses(single).split()) > 2

    def test_its_labels_lie_in_the_volume(self, segmenter: Segmenter) -> None:
        """The label volume and its values have the shape of its grid, inside of what was scanned.

        What it finds has a label that it says it may find.
        """
        volume, labels = self._labels(segmenter)
        assert labels.voxels.shape == labels.values.shape == labels.grid.shape
        assert labels.voxels.dtype in (np.uint8, np.uint16)
        outer = volume.grid.corners((0, 0, 0), [n - 1 for n in volume.grid.shape])
        slack = max(labels.grid.spacing)
        found = measured(labels)
        assert found
        for one in found:
            assert one.label in segmenter.labels()
            assert one.volume > 0
            assert all(a >= b - slack for a, b in zip(one.box[:3], outer[:3], strict=True))
            assert all(a <= b + slack for a, b in zip(one.box[3:], outer[3:], strict=True))

    def test_it_says_the_same_twice(self, segmenter: Segmenter) -> None:
        """Two answers to one volume are equal."""
        _, one = self._labels(segmenter)
        _, other = self._labels(segmenter)
        assert measured(one) == measured(other)

    def test_the_order_of_axes_does_not_matter(self, segmenter: Segmenter) -> None:
        """A volume that was stored in coronal slices from left to right has the same structures."""
        volume, labels = self._labels(segmenter)
        up, back, left = volume.grid.steps
        depth, rows, columns = volume.grid.shape
        x, y, z = volume.grid.place((depth - 1, 0, 0)).tolist()
        down = (-up[0], -up[1], -up[2])
        grid = Grid((rows, depth, columns), (x, y, z), (back, down, left))
        turned = Volume(volume.voxels.transpose(1, 0, 2)[:, ::-1], grid)
        expected = {one.label: one for one in measured(labels)}
        found = {one.label: one for one in measured(segmenter.segment(turned))}
        for label, one in expected.items():
            if one.volume > 50:
                assert abs(found[label].volume / one.volume - 1) < 0.05, label
                assert np.allclose(found[label].box, one.box, atol=max(labels.grid.spacing) * 2)
