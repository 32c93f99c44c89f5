"""Faces are cut off heads of CT and MR, and brains stay as they are."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread

from dicomlake.contracts.deid import Unresolved
from dicomlake.contracts.segmenters import Grid, Volume
from dicomlake.deid.pixels.faces import Face, FaceStep, face_of, face_of_series
from dicomlake.jobs.deid.files import deidentify_files
from dicomlake.settings import Pseudonyms
from dicomlake.testing.dicom import uid
from dicomlake.testing.volumes import axial, chest, series
from tests.deid.heads import VALUES, head, seen
from tests.deid.objects import Nobody, item_of, rewritten

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut(volume: Volume, face: Face, nothing: float) -> NDArray[Any]:
    """The voxels of a volume along the axes of the patient without the face."""
    voxels = volume.voxels.copy()
    _, y, z = (volume.grid.origin[n] for n in range(3))
    ys = y + np.arange(voxels.shape[1]) * volume.grid.steps[1][1]
    zs = z + np.arange(voxels.shape[0]) * volume.grid.steps[0][2]
    voxels[np.broadcast_to(face.holds(ys[:, None], zs[:, None, None]), voxels.shape)] = nothing
    return voxels


def as_mr(volume: Volume) -> Volume:
    """The same head as MR shows it: skin bright, bone and air dark, noise everywhere."""
    random = np.random.default_rng(3)
    bright = np.where((volume.voxels > -300) & (volume.voxels < 300), 600.0, 20.0)
    noisy = np.abs(bright + random.normal(0, 15, bright.shape))
    return Volume(noisy.astype(np.float32), volume.grid, "MR", "")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_face_is_gone_and_the_brain_stays(seed: int, modality: str) -> None:
    phantom = head(seed)
    volume = phantom.volume(VALUES, noise=8)
    volume = volume if modality == "CT" else as_mr(volume)
    nothing, skin = (-1000, -300) if modality == "CT" else (0, 200)
    after = cut(volume, face_of(volume), nothing)
    where = {name: phantom.painted == n for n, name in enumerate(phantom.names)}
    np.testing.assert_array_equal(after[where["brain"]], volume.voxels[where["brain"]])
    for part in ("nose", "chin", "lids"):
        assert (after[where[part]] == nothing).mean() > 0.95, part
    before_light, after_light = seen(volume.voxels, skin), seen(after, skin)
    assert abs(np.corrcoef(before_light.ravel(), after_light.ravel())[0, 1]) < 0.2


def test_two_faces_look_alike_afterwards() -> None:
    volumes = [head(seed).volume(VALUES) for seed in (1, 2)]
    one, other = (seen(cut(v, face_of(v), -1000), -300) for v in volumes)
    assert (
        np.abs(one - other).mean()
        < 0.1 * np.abs(np.subtract(*(seen(v.voxels, -300) for v in volumes))).mean()
    )


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (0, 1, 2)])
def test_the_direction_of_slices_does_not_matter(order: tuple[int, int, int]) -> None:
    volume = head().volume(VALUES)
    steps = tuple(volume.grid.steps[axis] for axis in order)
    shape = tuple(volume.grid.shape[axis] for axis in order)
    turned = Volume(volume.voxels.transpose(order), Grid(shape, volume.grid.origin, steps))  # type: ignore[arg-type]
    assert face_of(turned) == face_of(volume)


def test_objects_are_cut_one_by_one() -> None:
    phantom = head()
    volume = phantom.volume(VALUES)
    items = [item_of(data) for data in series(volume, name="head", Modality="CT")]

    @contextmanager
    def opener(number: int) -> Any:
        data = items[number].data
        yield SimpleNamespace(
            header=items[number].header, fetch=lambda at, n: data[at : at + n], size=len(data)
        )

    face = face_of_series([item.header for item in items], opener)
    step = FaceStep({uid("head", "series"): face})
    wanted = cut(volume, face, -1000)
    order = {uid("head", "instance", at): at for at in range(len(items))}
    for item in items[::5]:
        found = step.clean(item, Nobody(), None)  # type: ignore[arg-type]
        assert found is not None
        assert found.codes == ("113102",)
        after = rewritten(item, found)
        at = order[str(after.SOPInstanceUID)]
        np.testing.assert_array_equal(after.pixel_array.astype(int) - 1024, wanted[at])
        assert found.changed == bool((wanted[at] != volume.voxels[at]).any())


def test_other_series_are_left_alone() -> None:
    item = item_of(series(head().volume(VALUES), BodyPartExamined="KNEE")[0])
    assert FaceStep().clean(item, Nobody(), None) is None  # type: ignore[arg-type]
    item = item_of(series(head().volume(VALUES))[0])
    with pytest.raises(Unresolved, match="whole series"):
        FaceStep().clean(item, Nobody(), None)  # type: ignore[arg-type]


def test_a_profile_cuts_faces_off_a_folder_of_files(tmp_path: Path) -> None:
    volume = head().volume(VALUES)
    files = {"head": ("CCT nativ", volume.voxels), "knee": ("Knie", volume.voxels),
             "part": ("brain", volume.voxels[:70])}  # fmt: skip
    for name, (said, voxels) in files.items():
        grid = Grid((len(voxels), *volume.grid.shape[1:]), volume.grid.origin, volume.grid.steps)
        made = series(Volume(voxels, grid), name=name, Modality="CT", SeriesDescription=said)
        for number, data in enumerate(made):
            place = tmp_path / "in" / f"{name}{number:03}.dcm"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(data)
    (tmp_path / "key").write_text("k" * 40)
    site = tmp_path / "faces.yaml"
    site.write_text("title: Without faces\nextends: basic\noptions: [uids, visual-features]\n")
    settings = Pseudonyms(key_file=tmp_path / "key")
    report = deidentify_files(tmp_path / "in", tmp_path / "out", site, settings)
    assert report.refused == {"faces": 70}
    assert report.written == 2 * len(volume.voxels)
    wanted = cut(volume, face_of(volume), -1000)
    for path in (tmp_path / "out").rglob("*.dcm"):
        after = dcmread(path)
        at = after.InstanceNumber - 1
        voxels = after.pixel_array.astype(int) - 1024
        codes = {one.CodeValue for one in after.DeidentificationMethodCodeSequence}
        is_head = after.SeriesInstanceUID == uid("head", "series")
        np.testing.assert_array_equal(voxels, (wanted if is_head else volume.voxels)[at])
        assert ("113102" in codes) == is_head


def test_without_the_top_of_a_head_there_is_no_face() -> None:
    volume = head().volume(VALUES)
    lower = Volume(volume.voxels[:70], Grid((70, *volume.grid.shape[1:]), volume.grid.origin,
                                            volume.grid.steps))  # fmt: skip
    with pytest.raises(Unresolved, match="top of a head") as told:
        face_of(lower)
    assert told.value.check == "faces"
    with pytest.raises(Unresolved):
        face_of(chest().volume())
    with pytest.raises(Unresolved, match="top of a head"):
        face_of(Volume(np.full((20, 20, 20), -1000, np.int16), axial((20, 20, 20))))


def test_a_series_that_is_no_volume_is_told() -> None:
    with pytest.raises(Unresolved, match="no volume"):
        face_of_series([], lambda number: None)  # type: ignore[arg-type,return-value]
